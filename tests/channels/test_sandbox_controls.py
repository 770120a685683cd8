"""The sandbox's control API as an operator's hands: against the living peer, and against nonsense."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.channels.sandbox import SandboxChannel
from hub.channels.sandbox_controls import OPERATIONS, SandboxControls
from hub.domain.disputes import Dispute, DisputeState, Warned
from hub.domain.money import Money
from hub.domain.payments import Outcome
from hub.domain.rehearsals import SandboxDispute, SandboxFault, SandboxFaultKind, SandboxOperation
from hub.ports import RehearsalRefused, RehearsalUnavailable
from hub.sandbox import faults
from tests.channels.benches import NOW_US, attempt_at, bench_of
from tests.sandbox.conftest import Clock, Sandbox, sandbox_in

DAY_US = 24 * 3600 * 1_000_000


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with sandbox_in(tmp_path, Clock()) as running:
        yield running


@pytest.fixture
async def controls(sandbox: Sandbox) -> AsyncIterator[SandboxControls]:
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        yield SandboxControls(base_url=sandbox.address.base_url, control_key=sandbox.address.control_key, client=client)


def fault(
    operation: SandboxOperation = SandboxOperation.CREATE,
    kind: SandboxFaultKind = SandboxFaultKind.DROP_BEFORE,
    **fields: Any,
) -> SandboxFault:
    made: dict[str, Any] = {"value": None, "reference": None, "times": 1, "chance_percent": 100, "seed": ""}
    return SandboxFault(operation, kind, **(made | fields))


async def test_armed_fault_is_shown_strikes_and_is_cleared(sandbox: Sandbox, controls: SandboxControls) -> None:
    standing = fault(SandboxOperation.QUERY, SandboxFaultKind.UNAVAILABLE, reference="A", times=None, chance_percent=99)
    once = fault(SandboxOperation.CREATE, SandboxFaultKind.RATE_LIMIT, value=7, seed="s")

    assert await controls.set_fault(standing) == [standing]
    assert await controls.set_fault(once) == [standing, once]
    struck = await sandbox.create()
    assert (struck.status_code, struck.headers["Retry-After"]) == (429, "7")
    assert await controls.clear_faults("B") == [standing]
    assert await controls.clear_faults("A") == []


async def test_clearing_leaves_the_platforms_faults(sandbox: Sandbox, controls: SandboxControls) -> None:
    await sandbox.arm("lumen", "catalog", "unavailable", times=0)

    assert await controls.clear_faults(None) == []
    armed = await sandbox.client.get("/control/faults", headers=sandbox.as_controller)
    assert [row["peer"] for row in armed.json()["data"]] == ["lumen"]


@pytest.mark.parametrize("operation", list(SandboxOperation))
async def test_every_operation_can_be_struck(controls: SandboxControls, operation: SandboxOperation) -> None:
    kind = SandboxFaultKind.NEVER if operation is SandboxOperation.NOTICE else SandboxFaultKind.HTML

    assert [armed.operation for armed in await controls.set_fault(fault(operation, kind))] == [operation]


@pytest.mark.parametrize("kind", list(SandboxFaultKind))
async def test_every_fault_can_be_armed_somewhere(controls: SandboxControls, kind: SandboxFaultKind) -> None:
    value = 1 if kind.lower() in faults.NEED_VALUE else None
    operation = SandboxOperation.CREATE
    if kind.lower() in faults.NOTICE_FAULTS:
        operation = SandboxOperation.NOTICE
    elif kind.lower() in faults.STATEMENT_FAULTS:
        operation = SandboxOperation.STATEMENT

    assert [armed.kind for armed in await controls.set_fault(fault(operation, kind, value=value))] == [kind]


def test_no_operation_or_fault_of_the_provider_is_without_a_name() -> None:
    kinds = faults.OPERATION_FAULTS | faults.NOTICE_FAULTS | faults.STATEMENT_FAULTS | {faults.FORGET}
    assert {kind.lower() for kind in SandboxFaultKind} == kinds
    assert set(OPERATIONS) == set(SandboxOperation)
    assert set(OPERATIONS.values()) <= faults.PAYMENT_OPERATIONS | {faults.NOTICE, faults.EVERY}


async def test_fault_that_could_never_strike_is_refused_in_words(controls: SandboxControls) -> None:
    with pytest.raises(RehearsalRefused, match="value is needed by"):
        await controls.set_fault(fault(kind=SandboxFaultKind.LATENCY_MS))


async def test_dispute_is_opened_and_moved(sandbox: Sandbox, controls: SandboxControls) -> None:
    await sandbox.create("TB-7-1", payment_method="pm_card_visa")

    opened = await controls.move_dispute("TB-7-1", DisputeState.NEEDS_RESPONSE, 400)
    lost = await controls.move_dispute("TB-7-1", DisputeState.LOST, None)

    assert opened == SandboxDispute(
        opened.channel_ref, DisputeState.NEEDS_RESPONSE, Money(400, "USD"), NOW_US + 7 * DAY_US
    )
    assert (lost.channel_ref, lost.state, lost.amount) == (opened.channel_ref, DisputeState.LOST, Money(400, "USD"))
    with pytest.raises(RehearsalRefused, match="lost for good"):
        await controls.move_dispute("TB-7-1", DisputeState.WON, None)
    with pytest.raises(RehearsalRefused, match="no payment carries this reference") as refused:
        await controls.move_dispute("TB-8-1", DisputeState.WON, None)
    assert refused.value.field == "reference"


async def test_days_pass(controls: SandboxControls) -> None:
    assert await controls.advance_clock(24 * 3600) == NOW_US + DAY_US
    assert await controls.advance_clock(0) == NOW_US + DAY_US


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"<h1>"),
        httpx.Response(500, json={"error": {"code": "internal", "message": "", "param": None}}),
        httpx.Response(401, json={"error": {"code": "api_key_invalid", "message": "", "param": None}}),
        httpx.Response(400, json=[]),
    ],
)
async def test_answer_that_is_none_is_unavailable(answer: httpx.Response) -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))
    controls = SandboxControls(base_url="http://provider.test", control_key="control_1", client=client)

    with pytest.raises(RehearsalUnavailable):
        await controls.advance_clock(1)


# ---- with the channel: what was rehearsed is what the adapter tells -----------------------------------------------


def disputed(channel_ref: str) -> Dispute:
    return Dispute(
        id="dsp_1", order_id="ord_1", attempt_id="att_1", channel="sandbox", channel_ref=channel_ref,
        state=DisputeState.NEEDS_RESPONSE, amount=Money(1250, "USD"), reason=None, evidence_due_at_us=None, fee=None,
        held_minor=0, deducted_minor=0, excess_minor=0, reservation=None, warned=Warned.NO, answer=None, answers=0,
        version=1, created_at_us=NOW_US,
    )  # fmt: skip


async def test_dispute_is_answered_and_an_answer_may_be_lost(tmp_path: Path) -> None:
    async with bench_of("sandbox", tmp_path) as bench:
        channel = bench.channel
        assert isinstance(channel, SandboxChannel)
        paid = attempt_at(bench, method="pm_card_createDispute")
        await channel.create(paid)
        raw = [channel.verify_notice(await bench.notice(n), bench.now_us) for n in (1, 2)]
        [word] = [notice.dispute for notice in raw if notice.dispute]
        dispute = disputed(word.channel_ref)
        await bench.lose("answer_dispute", "after")

        lost = await channel.submit_evidence(paid, dispute, "They read it all.")
        again = await channel.submit_evidence(paid, dispute, "They read it all.")
        other = await channel.accept_dispute(paid, replace(dispute, answers=1))

    assert (lost.result.outcome, lost.word) == (Outcome.UNKNOWN, None)
    assert again.result.outcome is Outcome.DONE
    assert again.word == replace(word, state=DisputeState.UNDER_REVIEW)
    assert (other.result.outcome, other.result.code, other.word) == (
        Outcome.REJECTED,
        "dispute_unexpected_state",
        None,
    )
