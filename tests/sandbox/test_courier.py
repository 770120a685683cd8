"""The provider's notices: signed by Stripe's scheme, tried again until taken, kept across a restart."""

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import NOON, Clock, Merchant, Sandbox, sandbox_in


def is_signed(header: str, body: bytes, secret: str, now: int, tolerance_s: int = 300) -> bool:
    """Stripe's documented verification, written anew as the outside judge.

    Split at commas, each at the first `=`; take t and every v1; the signed text is `<t>.<raw body>`; compare the
    HMAC-SHA256 in constant time; refuse what is older than the tolerance.
    """
    parts = [part.split("=", 1) for part in header.split(",")]
    stamp = next(value for name, value in parts if name == "t")
    expected = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    is_known = any(hmac.compare_digest(value, expected) for name, value in parts if name == "v1")
    return is_known and now - int(stamp) <= tolerance_s


async def notices_of(sandbox: Sandbox, reference: str = "TB-1-1") -> list[tuple[str, int]]:
    answer = await sandbox.client.get(
        "/control/notices", params={"reference": reference}, headers=sandbox.as_controller
    )
    return [(row["state"], row["tries"]) for row in answer.json()["data"]]


async def test_paid_intent_is_announced_once_and_verifies_by_stripes_algorithm(
    sandbox: Sandbox, merchant: Merchant
) -> None:
    paid = (await sandbox.create(payment_method="pm_card_visa", notice_url=merchant.url)).json()

    [(headers, body)] = await merchant.got(1)
    event = json.loads(body)

    assert is_signed(headers["sandbox-signature"], body, sandbox.address.notice_secret, NOON)
    assert not is_signed(headers["sandbox-signature"], body, sandbox.address.answer_secret, NOON)
    assert not is_signed(headers["sandbox-signature"], body + b" ", sandbox.address.notice_secret, NOON)
    assert event.pop("id").startswith("evt_")
    assert event == {
        "object": "event",
        "type": "payment.succeeded",
        "created": NOON,
        "livemode": False,
        "data": {"object": paid},
    }
    await sandbox.tick()
    assert await notices_of(sandbox) == [("delivered", 1)]
    assert len(merchant.received) == 1


@pytest.mark.parametrize(
    ("end", "kind"),
    [("decline", "payment.declined"), ("cancel", "payment.canceled"), ("expire", "payment.expired")],
)
async def test_each_end_has_its_notice(sandbox: Sandbox, merchant: Merchant, clock: Clock, end: str, kind: str) -> None:
    token = {"payment_method": "pm_card_chargeDeclined"} if end == "decline" else {}
    await sandbox.create(notice_url=merchant.url, **token)
    if end == "cancel":
        await sandbox.client.post("/v1/payment_intents/cancel", json={"reference": "TB-1-1"}, headers=sandbox.as_hub)
    if end == "expire":
        clock.now_s += 1800
        await sandbox.tick()

    [(_, body)] = await merchant.got(1)

    assert json.loads(body)["type"] == kind


async def test_open_intent_is_not_announced(sandbox: Sandbox, merchant: Merchant) -> None:
    await sandbox.create(notice_url=merchant.url)
    await sandbox.tick()

    assert await notices_of(sandbox) == []
    assert merchant.received == []


async def test_refused_notice_comes_again_with_the_same_id_until_taken(
    sandbox: Sandbox, merchant: Merchant, clock: Clock
) -> None:
    merchant.status = 500
    await sandbox.create(payment_method="pm_card_visa", notice_url=merchant.url)
    await merchant.got(1)
    await sandbox.tick()  # the first post is over and noted
    merchant.status = 204

    clock.now_s += 1
    await sandbox.tick()

    (_, first), (headers, second) = await merchant.got(2)
    assert first == second
    assert is_signed(headers["sandbox-signature"], second, sandbox.address.notice_secret, NOON + 1, tolerance_s=0)
    assert await notices_of(sandbox) == [("delivered", 2)]


async def test_notice_nobody_takes_is_given_up_after_its_tries(
    sandbox: Sandbox, merchant: Merchant, clock: Clock
) -> None:
    merchant.status = 400
    await sandbox.create(payment_method="pm_card_visa", notice_url=merchant.url)
    for tries in (1, 2, 3):  # the fixture's two pauses make three tries
        await merchant.got(tries)
        await sandbox.tick()  # this post is over and noted
        clock.now_s += 6
        await sandbox.tick()

    assert await notices_of(sandbox) == [("abandoned", 3)]
    assert len(merchant.received) == 3


async def test_waiting_notice_survives_a_restart(tmp_path: Path, merchant: Merchant) -> None:
    clock = Clock()
    merchant.status = 503
    async with sandbox_in(tmp_path, clock) as before:
        await before.create(payment_method="pm_card_visa", notice_url=merchant.url)
        await merchant.got(1)
    merchant.status = 200
    clock.now_s += 60
    async with sandbox_in(tmp_path, clock) as after:
        (_, first), (_, second) = await merchant.got(2)

        await after.tick()
        assert first == second
        assert [state for state, _ in await notices_of(after)] == ["delivered"]


@pytest.mark.parametrize(
    ("fault", "is_verified", "amount"), [("forged", False, 1250), ("stale", False, 1250), ("tamper_amount", True, 1251)]
)
async def test_spoilt_notice_is_spoilt_in_one_way_only(
    sandbox: Sandbox, merchant: Merchant, fault: str, is_verified: bool, amount: int
) -> None:
    await sandbox.arm("payments", "notice", fault)
    await sandbox.create(payment_method="pm_card_visa", notice_url=merchant.url)

    [(headers, body)] = await merchant.got(1)

    assert is_signed(headers["sandbox-signature"], body, sandbox.address.notice_secret, NOON) == is_verified
    assert is_signed(headers["sandbox-signature"], body, sandbox.address.notice_secret, NOON, 600) == (
        fault != "forged"
    )
    assert json.loads(body)["data"]["object"]["amount"] == amount
    assert (await sandbox.find("TB-1-1"))[0]["amount"] == 1250


async def test_duplicates_arrive_together_and_alike(sandbox: Sandbox, merchant: Merchant) -> None:
    await sandbox.arm("payments", "notice", "duplicate_n", value=50)
    await sandbox.create(payment_method="pm_card_visa", notice_url=merchant.url)

    received = await merchant.got(50)

    assert len({body for _, body in received}) == 1
    await sandbox.tick()
    assert len(merchant.received) == 50


async def test_late_notice_waits_and_a_kept_one_never_comes(sandbox: Sandbox, merchant: Merchant, clock: Clock) -> None:
    await sandbox.arm("payments", "notice", "never", reference="kept")
    await sandbox.arm("payments", "notice", "late_s", value=5, reference="late")
    for reference in ("kept", "late"):
        await sandbox.create(reference, payment_method="pm_card_visa", notice_url=merchant.url)
    await sandbox.tick()
    assert merchant.received == []

    clock.now_s += 5
    await sandbox.tick()

    [(_, body)] = await merchant.got(1)
    event: dict[str, Any] = json.loads(body)
    assert event["data"]["object"]["reference"] == "late"
    assert await notices_of(sandbox, "kept") == [("abandoned", 1)]


async def test_notice_overtakes_a_slow_answer(sandbox: Sandbox, merchant: Merchant) -> None:
    await sandbox.arm("payments", "create", "latency_ms", value=60_000)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await sandbox.create(payment_method="pm_card_visa", notice_url=merchant.url)

    [(_, body)] = await merchant.got(1)

    assert json.loads(body)["data"]["object"]["status"] == "succeeded"
