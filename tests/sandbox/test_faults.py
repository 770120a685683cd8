"""Armed faults at the peer: what each makes of an answer or a notice, and that chance repeats by its seed."""

import json
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import NOON, Clock, Merchant, Sandbox, merchant_listening, sandbox_in

PAID = {"payment_method": "pm_card_visa"}


@pytest.mark.parametrize(
    ("fault", "status", "is_kept"),
    [
        ("http_500_before", 500, False),
        ("unavailable", 503, False),
        ("rate_limit", 429, False),
        ("http_500_after", 500, True),
        ("html", 200, True),
        ("bad_response_signature", 200, True),
    ],
)
async def test_answer_goes_wrong_once(sandbox: Sandbox, fault: str, status: int, is_kept: bool) -> None:
    await sandbox.arm("payments", "create", fault)

    wrong = await sandbox.create(**PAID)
    kept = await sandbox.find("TB-1-1")
    right = await sandbox.create(**PAID)

    assert (wrong.status_code, len(kept), right.status_code) == (status, int(is_kept), 200)
    assert ("Retry-After" in wrong.headers) == (fault == "rate_limit")
    assert (wrong.headers["Content-Type"].startswith("text/html")) == (fault == "html")
    if fault == "bad_response_signature":
        assert (wrong.json(), wrong.headers["Sandbox-Signature"]) != (right.json(), right.headers["Sandbox-Signature"])
        assert wrong.json() == right.json()


async def test_truncated_answer_promises_more_than_it_holds(sandbox: Sandbox) -> None:
    await sandbox.arm("payments", "create", "truncate")

    async with sandbox.client.stream(
        "POST",
        "/v1/payment_intents",
        json={"reference": "TB-1-1", "amount": 1250, "currency": "USD"},
        headers=sandbox.as_hub,
    ) as answer:
        chunks: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError):
            await collect(answer, chunks)

    got = b"".join(chunks)
    assert answer.status_code == 200
    assert 0 < len(got) < int(answer.headers["Content-Length"])
    assert len(await sandbox.find("TB-1-1")) == 1


async def collect(answer: httpx.Response, chunks: list[bytes]) -> None:
    async for chunk in answer.aiter_bytes():
        chunks.append(chunk)


async def test_forgotten_payment_was_never_seen_until_faults_are_cleared(sandbox: Sandbox) -> None:
    await sandbox.arm("payments", "create", "forget")

    created = await sandbox.create(**PAID)
    denied = await sandbox.find("TB-1-1")
    gone = await sandbox.client.get(f"/v1/payment_intents/{created.json()['id']}", headers=sandbox.as_hub)
    await sandbox.create("other", **PAID)
    await sandbox.client.delete("/control/faults", headers=sandbox.as_controller)

    assert (created.status_code, denied, gone.status_code) == (200, [], 404)
    assert len(await sandbox.find("other")) == 1
    assert len(await sandbox.find("TB-1-1")) == 1


async def test_chance_strikes_the_same_calls_by_the_same_seed(sandbox: Sandbox) -> None:
    async def struck(seed: str) -> list[int]:
        await sandbox.arm("payments", "find", "unavailable", chance=40, seed=seed, times=0)
        looks = [
            await sandbox.client.get("/v1/payment_intents", params={"reference": "x"}, headers=sandbox.as_hub)
            for _ in range(30)
        ]
        await sandbox.client.delete("/control/faults", headers=sandbox.as_controller)
        return [answer.status_code for answer in looks]

    first, again, other = await struck("one"), await struck("one"), await struck("two")

    assert first == again != other
    assert 4 <= first.count(503) <= 20


async def test_notice_out_of_order_comes_after_the_later_one(sandbox: Sandbox, merchant: Merchant) -> None:
    await sandbox.arm("payments", "notice", "out_of_order")
    await sandbox.create(capture_method="manual", notice_url=merchant.url, **PAID)
    await sandbox.tick()
    body = {"reference": "TB-1-1", "amount_to_capture": 1250}
    await sandbox.client.post("/v1/payment_intents/capture", json=body, headers=sandbox.as_hub)

    told = [json.loads(body)["type"] for _, body in await merchant.got(2)]

    assert told == ["payment.succeeded", "payment.authorized"]


async def test_notice_out_of_order_comes_alone_in_the_end(sandbox: Sandbox, merchant: Merchant, clock: Clock) -> None:
    await sandbox.arm("payments", "notice", "out_of_order", times=0)
    await sandbox.create(notice_url=merchant.url, **PAID)
    await sandbox.tick()
    assert merchant.received == []
    clock.now_s = NOON + 30

    await sandbox.tick()

    assert len(await merchant.got(1)) == 1


async def test_tampered_refund_notice_names_more_than_was_given_back(sandbox: Sandbox, merchant: Merchant) -> None:
    await sandbox.create(notice_url=merchant.url, **PAID)
    await merchant.got(1)
    await sandbox.arm("payments", "notice", "tamper_amount")
    body = {"reference": "R1", "payment_reference": "TB-1-1", "amount": 100}
    await sandbox.client.post("/v1/refunds", json=body, headers=sandbox.as_hub)

    _, told = (await merchant.got(2))[1]

    assert json.loads(told)["data"]["object"]["amount"] == 101


@pytest.mark.parametrize(
    "fields",
    [
        {"chance": 0},
        {"chance": 101},
        {"operation": "cancel", "fault": "forget"},
        {"fault": "statement_omit"},
        {"operation": "notice", "fault": "late_ms", "value": 5},
    ],
)
async def test_impossible_fault_is_refused(sandbox: Sandbox, fields: dict[str, Any]) -> None:
    body = {"peer": "payments", "operation": "create", "fault": "drop_before"} | fields

    answer = await sandbox.client.post("/control/faults", json=body, headers=sandbox.as_controller)

    assert answer.status_code == 400


async def test_same_seed_gives_the_same_transcript_of_answers_notices_and_faults(tmp_path: Path) -> None:
    """Ids, amounts, times, signatures, which calls are struck and which notices: all of it, or none is of use."""
    runs = (("a", "1"), ("b", "1"), ("c", "2"))
    first, again, other = [await transcript(tmp_path / name, seed) for name, seed in runs]

    assert first == again
    assert first != other
    assert any("cut" in line for line in first)
    assert any("dispute" in line for line in first)


async def transcript(directory: Path, seed: str) -> list[str]:
    clock = Clock()
    async with merchant_listening() as merchant, sandbox_in(directory, clock, seed) as sandbox:
        await sandbox.arm("payments", "create", "drop_after_commit", chance=40, seed=seed, times=0)
        await sandbox.arm("payments", "refund", "http_500_after", chance=40, seed=seed, times=0)
        await sandbox.arm("payments", "notice", "never", chance=30, seed=seed, times=0)
        lines = []
        for n in range(6):
            clock.now_s += 1
            method = "pm_card_createDispute" if n == 2 else "pm_card_visa"
            lines.append(await said(sandbox.create(f"TB-{n}-1", payment_method=method, notice_url=merchant.url)))
            await sandbox.tick()
            body = {"reference": f"TB-{n}-1-R1", "payment_reference": f"TB-{n}-1", "amount": 100}
            lines.append(await said(sandbox.client.post("/v1/refunds", json=body, headers=sandbox.as_hub)))
            await sandbox.tick()
        clock.now_s += 24 * 60 * 60
        day = datetime.fromtimestamp(NOON, UTC).date().isoformat()
        lines.append(await said(sandbox.client.get("/v1/statement", params={"day": day}, headers=sandbox.as_hub)))
        told = sorted(headers["sandbox-signature"] + body.decode() for headers, body in merchant.received)
    return lines + told


async def said(call: Awaitable[httpx.Response]) -> str:
    try:
        answer = await call
    except httpx.RemoteProtocolError:
        return "cut"
    return f"{answer.status_code} {answer.headers['Sandbox-Signature']} {answer.text}"
