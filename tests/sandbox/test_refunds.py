"""Money held, taken in part and given back at the peer: what it answers, keeps and refuses."""

import json
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import NOON, Clock, Merchant, Sandbox

WEEK_S = 7 * 24 * 60 * 60


async def refund(
    sandbox: Sandbox, amount: int = 500, reference: str = "TB-1-1-R1", key: str | None = None, **fields: Any
) -> httpx.Response:
    body = {"reference": reference, "payment_reference": "TB-1-1", "amount": amount, **fields}
    headers = sandbox.as_hub | {"Idempotency-Key": key or reference}
    return await sandbox.client.post("/v1/refunds", json=body, headers=headers)


async def found(sandbox: Sandbox, reference: str = "TB-1-1-R1") -> list[dict[str, Any]]:
    answer = await sandbox.client.get("/v1/refunds", params={"reference": reference}, headers=sandbox.as_hub)
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


async def capture(sandbox: Sandbox, amount: int, reference: str = "TB-1-1") -> httpx.Response:
    body = {"reference": reference, "amount_to_capture": amount}
    return await sandbox.client.post("/v1/payment_intents/capture", json=body, headers=sandbox.as_hub)


async def hold(sandbox: Sandbox, **fields: Any) -> None:
    answer = await sandbox.create(capture_method="manual", payment_method="pm_card_visa", **fields)
    assert answer.json()["status"] == "requires_capture"


async def test_refund_at_once_is_told_and_found(sandbox: Sandbox, merchant: Merchant) -> None:
    await sandbox.create(payment_method="pm_card_visa", notice_url=merchant.url)

    answer = await refund(sandbox)

    assert answer.status_code == 200
    assert answer.json() == {
        "id": answer.json()["id"],
        "object": "refund",
        "livemode": False,
        "reference": "TB-1-1-R1",
        "payment_reference": "TB-1-1",
        "amount": 500,
        "currency": "USD",
        "status": "succeeded",
        "status_at": NOON,
        "failure_reason": None,
        "created": NOON,
    }
    assert await found(sandbox) == [answer.json()]
    told = [json.loads(body) for _, body in await merchant.got(2)]
    assert ("refund.updated", answer.json()) in [(event["type"], event["data"]["object"]) for event in told]


async def test_no_more_is_given_back_than_was_taken(sandbox: Sandbox) -> None:
    await sandbox.create(payment_method="pm_card_visa")

    answers = [await refund(sandbox, amount, f"R{amount}") for amount in (1000, 251, 250, 1)]

    assert [answer.status_code for answer in answers] == [200, 400, 200, 400]
    assert {answer.json()["error"]["code"] for answer in answers if answer.status_code == 400} == {"amount_too_large"}
    assert await found(sandbox, "R251") == []


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"amount": 0}, 400, "parameter_invalid"),
        ({"amount": -500}, 400, "parameter_invalid"),
        ({"amount": 1.5}, 400, "parameter_invalid"),
        ({"payment_reference": "none"}, 404, "resource_missing"),
        ({"payment_reference": "open"}, 400, "payment_not_charged"),
        ({"currency": "EUR"}, 400, "parameter_unknown"),
    ],
)
async def test_what_cannot_be_given_back_is_refused(
    sandbox: Sandbox, fields: dict[str, Any], status: int, code: str
) -> None:
    await sandbox.create(payment_method="pm_card_visa")
    await sandbox.create("open")

    answer = await refund(sandbox, **fields)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert await found(sandbox) == []


async def test_refund_is_made_once_per_key_and_reference(sandbox: Sandbox) -> None:
    await sandbox.create(payment_method="pm_card_visa")

    first, again, other_body, other_key = [
        await refund(sandbox),
        await refund(sandbox),
        await refund(sandbox, 501),
        await refund(sandbox, key="another"),
    ]

    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    assert (other_body.status_code, other_body.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert (other_key.status_code, other_key.json()["error"]["code"]) == (409, "reference_in_use")
    assert (await refund(sandbox, 750, "rest")).status_code == 200


@pytest.mark.parametrize(
    ("method", "becomes", "reason", "left"),
    [
        ("pm_card_refundFail", "failed", "expired_or_canceled_card", 1250),
        ("pm_card_pendingRefund", "succeeded", None, 0),
    ],
)
async def test_some_cards_answer_later(
    sandbox: Sandbox, merchant: Merchant, clock: Clock, method: str, becomes: str, reason: str | None, left: int
) -> None:
    await sandbox.create(payment_method=method, notice_url=merchant.url)

    pending = (await refund(sandbox, 1250)).json()
    clock.now_s += 2
    still = await found(sandbox)
    clock.now_s += 1
    await sandbox.tick()

    assert pending["status"] == still[0]["status"] == "pending"
    ended = (await found(sandbox))[0]
    assert (ended["status"], ended["failure_reason"], ended["status_at"]) == (becomes, reason, NOON + 3)
    told = [json.loads(body)["data"]["object"] for _, body in await merchant.got(3)]
    assert [o["status"] for o in told if o["object"] == "refund"] == ["pending", becomes]
    assert (await refund(sandbox, 1250, "anew")).status_code == (200 if left else 400)


@pytest.mark.parametrize("amount", [1250, 400])
async def test_held_money_is_taken_once_whole_or_in_part(sandbox: Sandbox, merchant: Merchant, amount: int) -> None:
    await hold(sandbox, notice_url=merchant.url)
    held = (await sandbox.find("TB-1-1"))[0]

    taken, again, more = await capture(sandbox, amount), await capture(sandbox, amount), await capture(sandbox, 1)

    assert (held["amount_capturable"], held["amount_received"], held["latest_charge"]) == (1250, 0, None)
    assert (taken.json()["status"], taken.json()["amount_received"], taken.json()["amount_capturable"]) == (
        "succeeded",
        amount,
        0,
    )
    assert again.json() == taken.json()
    assert more.status_code == 409
    assert more.json()["error"]["payment_intent"] == taken.json()
    kinds = [json.loads(body)["type"] for _, body in await merchant.got(2)]
    assert sorted(kinds) == ["payment.authorized", "payment.succeeded"]
    assert (await refund(sandbox, amount + 1)).json()["error"]["code"] == "amount_too_large"


async def test_capture_refuses_more_than_is_held_and_what_is_not_held(sandbox: Sandbox) -> None:
    await hold(sandbox)
    await sandbox.create("open", capture_method="manual")

    assert (await capture(sandbox, 1251)).json()["error"]["code"] == "amount_too_large"
    assert (await capture(sandbox, 0)).status_code == 400
    assert (await capture(sandbox, 1250, "none")).status_code == 404
    assert (await capture(sandbox, 1250, "open")).json()["error"]["payment_intent"]["status"] == "requires_action"
    assert (await sandbox.find("TB-1-1"))[0]["status"] == "requires_capture"


async def test_held_money_is_let_go_when_asked_or_after_a_week(sandbox: Sandbox, clock: Clock) -> None:
    await hold(sandbox, reference="asked")
    await hold(sandbox, reference="forgotten")
    body = {"reference": "asked"}
    canceled = await sandbox.client.post("/v1/payment_intents/cancel", json=body, headers=sandbox.as_hub)
    clock.now_s += WEEK_S
    await sandbox.tick()

    assert (canceled.json()["status"], canceled.json()["cancellation_reason"]) == ("canceled", "requested")
    forgotten = (await sandbox.find("forgotten"))[0]
    assert (forgotten["status"], forgotten["cancellation_reason"], forgotten["status_at"]) == (
        "canceled",
        "expired",
        NOON + WEEK_S,
    )
    assert (await capture(sandbox, 1250, "forgotten")).json()["error"]["payment_intent"]["status"] == "canceled"
