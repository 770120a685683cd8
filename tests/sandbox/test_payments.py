"""The provider's API: what it answers, keeps and refuses."""

import asyncio
import hashlib
import hmac
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import NOON, Clock, Sandbox, sandbox_in


async def test_create_answers_an_open_test_intent_with_its_pay_page(sandbox: Sandbox) -> None:
    answer = await sandbox.create(
        description="Double Entry", metadata={"order": "TB-1"}, return_url="https://shop.test/x"
    )

    intent = answer.json()
    page_url = intent["next_action"]["redirect_to_url"].pop("url")
    assert answer.status_code == 200
    assert page_url.startswith(f"{sandbox.address.base_url}/pay/page_")
    assert intent == {
        "id": intent["id"],
        "object": "payment_intent",
        "livemode": False,
        "reference": "TB-1-1",
        "amount": 1250,
        "amount_received": 0,
        "amount_capturable": 0,
        "capture_method": "automatic",
        "currency": "USD",
        "status": "requires_action",
        "status_at": NOON,
        "description": "Double Entry",
        "metadata": {"order": "TB-1"},
        "payment_method": None,
        "last_payment_error": None,
        "latest_charge": None,
        "next_action": {"type": "redirect_to_url", "redirect_to_url": {"return_url": "https://shop.test/x"}},
        "cancellation_reason": None,
        "created": NOON,
        "expires_at": NOON + 1800,
    }
    got = await sandbox.client.get(f"/v1/payment_intents/{intent['id']}", headers=sandbox.as_hub)
    assert got.json()["reference"] == "TB-1-1"


@pytest.mark.parametrize(
    ("fields", "status", "charged"),
    [
        ({"payment_method": "pm_card_visa"}, "succeeded", 1250),
        ({"payment_method": "pm_card_mastercard"}, "succeeded", 1250),
        ({"payment_method": "pm_card_createDispute"}, "succeeded", 1250),
        ({"payment_method": "pm_card_refundFail"}, "succeeded", 1250),
        ({"sandbox_outcome": "succeed"}, "succeeded", 1250),
        ({"payment_method": "pm_card_authenticationRequired"}, "requires_action", 0),
    ],
)
async def test_payment_method_decides_at_once(
    sandbox: Sandbox, fields: dict[str, Any], status: str, charged: int
) -> None:
    answer = await sandbox.create(**fields)

    assert (answer.status_code, answer.json()["status"], answer.json()["amount_received"]) == (200, status, charged)
    assert (answer.json()["latest_charge"] is not None) == (status == "succeeded")


@pytest.mark.parametrize(
    ("token", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
async def test_decline_answers_402_with_the_intent(sandbox: Sandbox, token: str, code: str, decline_code: str) -> None:
    answer = await sandbox.create(payment_method=token)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["decline_code"]) == (402, code, decline_code)
    assert (error["payment_intent"]["status"], error["payment_intent"]["latest_charge"]) == (
        "requires_payment_method",
        None,
    )


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"amount": 49}, "amount_too_small"),
        ({"amount": 0}, "amount_too_small"),
        ({"amount": -1}, "amount_too_small"),
        ({"amount": 100_000_000}, "amount_too_large"),
        ({"amount": 12.5}, "parameter_invalid"),
        ({"amount": True}, "parameter_invalid"),
        ({"amount": "1250"}, "parameter_invalid"),
        ({"currency": "XXX"}, "currency_unknown"),
        ({"currency": "usd"}, "currency_unknown"),
        ({"payment_method": "4242424242424242"}, "payment_method_unknown"),
        ({"return_url": "javascript:alert(1)"}, "parameter_invalid"),
        ({"return_url": "http://[::1"}, "parameter_invalid"),
        ({"metadata": {"a": 1}}, "parameter_invalid"),
        ({"expires_in_s": 59}, "parameter_invalid"),
        ({"amuont": 1}, "parameter_unknown"),
        ({"reference": ""}, "parameter_invalid"),
    ],
)
async def test_what_cannot_be_charged_is_refused_and_not_kept(
    sandbox: Sandbox, fields: dict[str, Any], code: str
) -> None:
    answer = await sandbox.create(**({"reference": "TB-1-1", "key": "key"} | fields))

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert await sandbox.find("TB-1-1") == []
    assert (await sandbox.create(key="key")).status_code == 200  # the key was not used up


async def test_same_key_gives_the_saved_answer_and_another_body_is_refused(sandbox: Sandbox) -> None:
    first = await sandbox.create(payment_method="pm_card_chargeDeclined")
    again = await sandbox.create(payment_method="pm_card_chargeDeclined")
    other = await sandbox.create(amount=1251, payment_method="pm_card_chargeDeclined")

    assert (again.status_code, again.json()) == (402, first.json())
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")


async def test_another_key_with_a_used_reference_is_refused(sandbox: Sandbox) -> None:
    await sandbox.create()

    answer = await sandbox.create(key="another")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "reference_in_use")


async def test_duplicate_during_the_first_call_is_told_to_wait(sandbox: Sandbox) -> None:
    await sandbox.arm("payments", "create", "latency_ms", value=300)

    answers = await asyncio.gather(*(sandbox.create(payment_method="pm_card_visa") for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} == {"idempotency_key_in_use"}
    assert len(await sandbox.find("TB-1-1")) == 1


async def test_confirm_pays_once_and_never_what_is_closed(sandbox: Sandbox) -> None:
    paid, closed = (await sandbox.create("A")).json(), (await sandbox.create("B")).json()
    visa = {"payment_method": "pm_card_visa"}

    first = await sandbox.client.post(f"/v1/payment_intents/{paid['id']}/confirm", json=visa, headers=sandbox.as_hub)
    again = await sandbox.client.post(f"/v1/payment_intents/{paid['id']}/confirm", json=visa, headers=sandbox.as_hub)
    canceled = await sandbox.client.post(f"/v1/payment_intents/{closed['id']}/cancel", headers=sandbox.as_hub)
    refused = await sandbox.client.post(
        f"/v1/payment_intents/{closed['id']}/confirm", json=visa, headers=sandbox.as_hub
    )

    assert (first.status_code, first.json()["status"]) == (200, "succeeded")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "intent_unexpected_state")
    assert (canceled.json()["status"], canceled.json()["cancellation_reason"]) == ("canceled", "requested")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "intent_unexpected_state")
    assert (await sandbox.find("B"))[0]["amount_received"] == 0


async def test_cancel_by_reference_repeats_and_refuses_what_is_paid(sandbox: Sandbox) -> None:
    await sandbox.create("open")
    await sandbox.create("paid", payment_method="pm_card_visa")
    await sandbox.create("declined", payment_method="pm_card_chargeDeclined")

    async def cancel(reference: str) -> tuple[int, str]:
        answer = await sandbox.client.post(
            "/v1/payment_intents/cancel", json={"reference": reference}, headers=sandbox.as_hub
        )
        return answer.status_code, answer.json().get("status") or answer.json()["error"]["code"]

    assert await cancel("open") == (200, "canceled")
    assert await cancel("open") == (200, "canceled")
    assert await cancel("declined") == (200, "canceled")
    assert await cancel("paid") == (409, "intent_unexpected_state")
    assert await cancel("never seen") == (404, "resource_missing")


async def test_unpaid_intent_expires_by_the_clock(sandbox: Sandbox, clock: Clock) -> None:
    intent = (await sandbox.create(expires_in_s=60)).json()
    clock.now_s = NOON + 59
    assert (await sandbox.find("TB-1-1"))[0]["status"] == "requires_action"

    clock.now_s = NOON + 60
    refused = await sandbox.client.post(
        f"/v1/payment_intents/{intent['id']}/confirm", json={"payment_method": "pm_card_visa"}, headers=sandbox.as_hub
    )

    assert refused.json()["error"]["code"] == "intent_unexpected_state"
    found = (await sandbox.find("TB-1-1"))[0]
    assert (found["status"], found["cancellation_reason"], found["status_at"]) == ("canceled", "expired", NOON + 60)


async def test_every_answer_is_signed_over_its_bytes_and_time(sandbox: Sandbox) -> None:
    paid = await sandbox.create(payment_method="pm_card_visa")
    refused = await sandbox.client.get("/v1/payment_intents/pi_none", headers=sandbox.as_hub)

    for answer in (paid, refused):
        # Stripe's published algorithm, written anew: v1 is HMAC-SHA256 of "<t>.<body>".
        t, v1 = (part.partition("=")[2] for part in answer.headers["Sandbox-Signature"].split(","))
        secret = sandbox.address.answer_secret.encode()
        assert v1 == hmac.new(secret, t.encode() + b"." + answer.content, hashlib.sha256).hexdigest()
        assert t == str(NOON)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "resource_missing")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic c2s6", "Bearer \xff"])
async def test_wrong_key_is_refused_everywhere(sandbox: Sandbox, authorization: str) -> None:
    headers = {b"Authorization": authorization.encode("latin-1")}
    for method, path in [
        ("POST", "/v1/payment_intents"),
        ("GET", "/v1/payment_intents?reference=TB-1-1"),
        ("GET", "/control/faults"),
        ("POST", "/control/tick"),
        ("POST", "/platforms/lumen/v1/access"),
    ]:
        answer = await sandbox.client.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "api_key_invalid")


async def test_hub_keys_open_no_control_and_no_other_peer(sandbox: Sandbox) -> None:
    lumen = {"Authorization": f"Bearer {sandbox.address.platforms['lumen'].api_key}"}

    assert (await sandbox.client.get("/control/faults", headers=sandbox.as_hub)).status_code == 401
    assert (await sandbox.client.get("/platforms/folio/v1/catalog", headers=lumen)).status_code == 401
    assert (await sandbox.client.get("/platforms/lumen/v1/catalog", headers=lumen)).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b"[" * 50_000, 400),
        (b'{"reference": "' + b"a" * 70_000 + b'"}', 413),
    ],
)
async def test_malformed_body_is_bounded_and_refused(sandbox: Sandbox, body: bytes, status: int) -> None:
    answer = await sandbox.client.post("/v1/payment_intents", content=body, headers=sandbox.as_hub)

    assert answer.status_code == status


@pytest.mark.parametrize(("fault", "is_kept"), [("drop_before", False), ("drop_after_commit", True)])
async def test_dropped_answer_is_a_cut_connection(sandbox: Sandbox, fault: str, is_kept: bool) -> None:
    await sandbox.arm("payments", "create", fault)

    with pytest.raises(httpx.RemoteProtocolError):
        await sandbox.create(payment_method="pm_card_visa")

    assert [found["status"] for found in await sandbox.find("TB-1-1")] == (["succeeded"] if is_kept else [])
    again = await sandbox.create(payment_method="pm_card_visa")  # armed for one call only
    assert (again.status_code, again.headers.get("Idempotent-Replayed")) == (200, "true" if is_kept else None)
    assert len(await sandbox.find("TB-1-1")) == 1


async def test_fault_strikes_its_reference_and_operation_alone(sandbox: Sandbox) -> None:
    await sandbox.arm("payments", "find", "unavailable", reference="B", times=2)

    assert await sandbox.find("A") == []
    assert (await sandbox.create("B")).status_code == 200
    statuses = [
        (await sandbox.client.get("/v1/payment_intents", params={"reference": "B"}, headers=sandbox.as_hub)).status_code
        for _ in range(3)
    ]
    assert statuses == [503, 503, 200]


async def test_standing_fault_lasts_until_cleared(sandbox: Sandbox) -> None:
    await sandbox.arm("payments", "*", "unavailable", times=0)
    assert [(await sandbox.create()).status_code for _ in range(3)] == [503, 503, 503]

    await sandbox.client.delete("/control/faults", headers=sandbox.as_controller)

    assert (await sandbox.create()).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"peer": "nobody"},
        {"operation": "grant"},
        {"fault": "forged"},
        {"fault": "latency_ms"},
        {"value": 5},
        {"times": -1},
    ],
)
async def test_fault_that_could_never_strike_is_refused(sandbox: Sandbox, fields: dict[str, Any]) -> None:
    body = {"peer": "payments", "operation": "create", "fault": "drop_before"} | fields

    answer = await sandbox.client.post("/control/faults", json=body, headers=sandbox.as_controller)

    assert answer.status_code == 400
    armed = await sandbox.client.get("/control/faults", headers=sandbox.as_controller)
    assert armed.json()["data"] == []


async def test_charge_against_the_rules_takes_late_money_of_any_amount(sandbox: Sandbox) -> None:
    intent = (await sandbox.create()).json()
    await sandbox.client.post(f"/v1/payment_intents/{intent['id']}/cancel", headers=sandbox.as_hub)

    answer = await sandbox.client.post(
        "/control/charge", json={"reference": "TB-1-1", "amount": 1300}, headers=sandbox.as_controller
    )

    assert answer.status_code == 200
    found = (await sandbox.find("TB-1-1"))[0]
    assert (found["status"], found["amount"], found["amount_received"]) == ("succeeded", 1250, 1300)


async def test_same_seed_repeats_a_transcript_and_no_seed_does_not(tmp_path: Path) -> None:
    async def transcript(name: str, seed: str | None) -> list[Any]:
        async with sandbox_in(tmp_path / name, Clock(), seed) as sandbox:
            intent = (await sandbox.create(payment_method="pm_card_visa")).json()
            return [intent["id"], intent["latest_charge"], sandbox.address.notice_secret]

    first, again, other, free = [
        await transcript(name, seed) for name, seed in [("a", "s"), ("b", "s"), ("c", "t"), ("d", None)]
    ]
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))
    assert all(one != two for one, two in zip(first, free, strict=True))


async def test_restart_keeps_keys_payments_saved_answers_and_port(tmp_path: Path) -> None:
    async with sandbox_in(tmp_path, Clock(), None) as before:
        created = (await before.create()).json()
    async with sandbox_in(tmp_path, Clock(), None) as after:
        again = await after.create()

        assert after.address == before.address
        assert (again.json(), again.headers["Idempotent-Replayed"]) == (created, "true")
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


async def test_address_shows_no_secret_in_its_text(sandbox: Sandbox) -> None:
    shown = repr(sandbox.address)

    assert sandbox.address.base_url in shown
    for secret in (sandbox.address.api_key, sandbox.address.notice_secret, sandbox.address.control_key):
        assert secret not in shown
