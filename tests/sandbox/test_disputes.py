"""Disputes at the peer: who opens them, what moves the money, and what the merchant is told."""

import json
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import NOON, Clock, Merchant, Sandbox

WEEK_S = 7 * 24 * 60 * 60


async def move(sandbox: Sandbox, status: str, **fields: Any) -> httpx.Response:
    body = {"reference": "TB-1-1", "status": status, **fields}
    return await sandbox.client.post("/control/disputes", json=body, headers=sandbox.as_controller)


async def refund(sandbox: Sandbox) -> httpx.Response:
    body = {"reference": "R1", "payment_reference": "TB-1-1", "amount": 100}
    return await sandbox.client.post("/v1/refunds", json=body, headers=sandbox.as_hub)


async def test_one_card_disputes_what_it_has_just_paid(sandbox: Sandbox, merchant: Merchant) -> None:
    await sandbox.create(payment_method="pm_card_createDispute", notice_url=merchant.url)

    told = [json.loads(body) for _, body in await merchant.got(2)]

    [dispute] = [event["data"]["object"] for event in told if event["type"] == "dispute.created"]
    assert dispute == {
        "id": dispute["id"],
        "object": "dispute",
        "livemode": False,
        "payment_reference": "TB-1-1",
        "amount": 1250,
        "currency": "USD",
        "status": "needs_response",
        "status_at": NOON,
        "reason": "fraudulent",
        "evidence_due_by": NOON + WEEK_S,
        "fee": 1500,
        "created": NOON,
    }
    assert (await refund(sandbox)).json()["error"]["code"] == "charge_disputed"


@pytest.mark.parametrize("end", ["won", "lost", "accepted", "prevented"])
async def test_dispute_goes_its_way_and_ends_once(sandbox: Sandbox, merchant: Merchant, end: str) -> None:
    await sandbox.create(payment_method="pm_card_visa", notice_url=merchant.url)

    moved = [await move(sandbox, status) for status in ("early_warning", "needs_response", "under_review", end)]
    after = await move(sandbox, "needs_response")

    assert [answer.status_code for answer in moved] == [200] * 4
    assert (after.status_code, after.json()["error"]["code"]) == (409, "dispute_unexpected_state")
    assert [answer.json()["fee"] for answer in moved] == [0, 1500, 1500, 1500]
    kinds = sorted(json.loads(body)["type"] for _, body in await merchant.got(5))
    assert kinds == ["dispute.closed", "dispute.created", "dispute.updated", "dispute.updated", "payment.succeeded"]
    assert (await refund(sandbox)).status_code == (200 if end in ("won", "prevented") else 400)


async def test_early_warning_takes_nothing_yet(sandbox: Sandbox) -> None:
    await sandbox.create(payment_method="pm_card_visa")

    warned = (await move(sandbox, "early_warning", amount=400)).json()

    assert (warned["fee"], warned["amount"], warned["evidence_due_by"]) == (0, 400, None)
    assert (await refund(sandbox)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"reference": "none"}, 404), ({"status": "angry"}, 400), ({"amount": 1251}, 409), ({"reference": "open"}, 409)],
)
async def test_dispute_that_cannot_be_is_refused(sandbox: Sandbox, fields: dict[str, Any], status: int) -> None:
    await sandbox.create(payment_method="pm_card_visa")
    await sandbox.create("open")

    assert (await move(sandbox, **({"status": "lost"} | fields))).status_code == status


async def answer(sandbox: Sandbox, how: str, dispute_id: str, **fields: Any) -> httpx.Response:
    body = {"payment_reference": "TB-1-1", **fields}
    headers = sandbox.as_hub | {"Idempotency-Key": "TB-1-1-D"}
    return await sandbox.client.post(f"/v1/disputes/{dispute_id}/{how}", json=body, headers=headers)


@pytest.mark.parametrize(("how", "fields", "status"), [
    ("evidence", {"evidence": "They read it all."}, "under_review"), ("accept", {}, "accepted"),
])  # fmt: skip
async def test_merchant_answers_once(sandbox: Sandbox, how: str, fields: dict[str, Any], status: str) -> None:
    await sandbox.create(payment_method="pm_card_visa")
    dispute_id = (await move(sandbox, "needs_response")).json()["id"]

    first, again = [await answer(sandbox, how, dispute_id, **fields) for _ in range(2)]
    other = await sandbox.client.post(
        f"/v1/disputes/{dispute_id}/accept", json={"payment_reference": "TB-1-1"}, headers=sandbox.as_hub
    )

    assert (first.status_code, first.json()["status"]) == (200, status)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "dispute_unexpected_state")


@pytest.mark.parametrize(
    ("dispute_id", "fields", "status"),
    [
        ("dp_none", {"evidence": "x"}, 404),
        (None, {"evidence": ""}, 400),
        (None, {"evidence": "x" * 20_001}, 400),
        (None, {"evidence": "x", "payment_reference": "none"}, 404),
    ],
)
async def test_answer_that_cannot_be_taken_is_refused(
    sandbox: Sandbox, dispute_id: str | None, fields: dict[str, Any], status: int
) -> None:
    await sandbox.create(payment_method="pm_card_visa")
    real = (await move(sandbox, "needs_response")).json()["id"]

    assert (await answer(sandbox, "evidence", dispute_id or real, **fields)).status_code == status


async def test_answer_comes_too_late_after_a_week(sandbox: Sandbox, clock: Clock) -> None:
    await sandbox.create(payment_method="pm_card_visa")
    dispute_id = (await move(sandbox, "needs_response")).json()["id"]
    clock.now_s += WEEK_S

    late = await answer(sandbox, "accept", dispute_id)

    assert (late.status_code, late.json()["error"]["code"]) == (409, "dispute_unexpected_state")
