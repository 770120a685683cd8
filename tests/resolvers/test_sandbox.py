"""Rehearsals over GraphQL: for operators, told in our words, and only where there is a sandbox to rehearse with."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hub.domain.disputes import DisputeState
from hub.domain.money import Money
from hub.domain.rehearsals import SandboxDispute, SandboxFault, SandboxFaultKind, SandboxOperation
from hub.ports import RehearsalRefused, RehearsalUnavailable
from tests.resolvers.conftest import Api
from tests.world import operator

SET = """mutation($input: SandboxFaultSetInput!) { sandboxFaultSet(input: $input) {
  armed { faults { operation fault value reference times chancePercent seed } } userErrors { code path message } } }"""
CLEAR = """mutation { sandboxFaultsClear(input: {reference: "TB1-1"}) {
  armed { faults { fault } } userErrors { code } } }"""
MOVE = """mutation($input: SandboxDisputeMoveInput!) { sandboxDisputeMove(input: $input) {
  dispute { channelReference state amount { amountMinor currency } evidenceDueAt } userErrors { code path } } }"""
ADVANCE = """mutation($seconds: Int!) { sandboxClockAdvance(input: {seconds: $seconds}) {
  now userErrors { code path message } } }"""


@dataclass
class Hands:
    """A rehearsal that keeps what it is asked, and fails as a test has said."""

    fault: Exception | None = None
    asked: list[Any] = field(default_factory=list)

    async def set_fault(self, fault: SandboxFault) -> Sequence[SandboxFault]:
        self.did(fault)
        return [fault]

    async def clear_faults(self, reference: str | None) -> Sequence[SandboxFault]:
        self.did(reference)
        return []

    async def move_dispute(self, reference: str, state: DisputeState, amount_minor: int | None) -> SandboxDispute:
        self.did((reference, state, amount_minor))
        return SandboxDispute("dp_1", state, Money(amount_minor or 1250, "USD"), 1_790_000_000_000_000)

    async def advance_clock(self, seconds: int) -> int:
        self.did(seconds)
        return 1_790_000_000_000_000

    def did(self, asked: object) -> None:
        self.asked.append(asked)
        if self.fault:
            raise self.fault


@dataclass
class Sandboxed:
    rehearsal: Hands | None


def with_sandbox(api: Api, hands: Hands | None) -> Api:
    channels: Any = {"sandbox": Sandboxed(hands)}
    return replace(api, hub=replace(api.hub, channels=channels))


async def test_fault_is_armed_as_it_was_asked(api: Api) -> None:
    hands = Hands()
    asked = {"operation": "CAPTURE", "fault": "LATENCY_MS", "value": 50, "reference": "TB1-1", "times": 0,
             "chancePercent": 30, "seed": "s"}  # fmt: skip

    payload = (await with_sandbox(api, hands).data(operator(), SET, input=asked))["sandboxFaultSet"]

    assert payload == {"armed": {"faults": [asked | {"times": None}]}, "userErrors": []}
    assert hands.asked == [
        SandboxFault(SandboxOperation.CAPTURE, SandboxFaultKind.LATENCY_MS, 50, "TB1-1", None, 30, "s")
    ]


async def test_faults_are_cleared_dispute_moved_and_clock_advanced(api: Api) -> None:
    hands = Hands()
    sandboxed = with_sandbox(api, hands)

    cleared = await sandboxed.data(operator(), CLEAR)
    moved = await sandboxed.data(
        operator(), MOVE, input={"reference": "TB1-1", "state": "NEEDS_RESPONSE", "amountMinor": "400"}
    )
    advanced = await sandboxed.data(operator(), ADVANCE, seconds=86400)

    assert cleared["sandboxFaultsClear"] == {"armed": {"faults": []}, "userErrors": []}
    assert moved["sandboxDisputeMove"]["dispute"] == {
        "channelReference": "dp_1",
        "state": "NEEDS_RESPONSE",
        "amount": {"amountMinor": "400", "currency": "USD"},
        "evidenceDueAt": "2026-09-21T14:13:20.000000Z",
    }
    assert advanced["sandboxClockAdvance"]["now"] == "2026-09-21T14:13:20.000000Z"
    assert hands.asked == ["TB1-1", ("TB1-1", DisputeState.NEEDS_RESPONSE, 400), 86400]


async def test_what_the_sandbox_refuses_names_our_field(api: Api) -> None:
    hands = Hands(RehearsalRefused("advance_s", "the clock goes forward"))

    payload = (await with_sandbox(api, hands).data(operator(), ADVANCE, seconds=1))["sandboxClockAdvance"]

    assert payload == {
        "now": None,
        "userErrors": [{"code": "INVALID_INPUT", "path": ["input", "seconds"], "message": "the clock goes forward"}],
    }


@pytest.mark.parametrize(
    ("document", "variables", "path"),
    [
        (ADVANCE, {"seconds": -1}, ["input", "seconds"]),
        (SET, {"input": {"operation": "CREATE", "fault": "HTML", "times": -1}}, ["input", "times"]),
        (SET, {"input": {"operation": "CREATE", "fault": "HTML", "seed": "s" * 101}}, ["input", "seed"]),
        (SET, {"input": {"operation": "CREATE", "fault": "HTML", "reference": "\0"}}, ["input", "reference"]),
        (MOVE, {"input": {"reference": "r" * 256, "state": "WON"}}, ["input", "reference"]),
        (MOVE, {"input": {"reference": "r", "state": "WON", "amountMinor": "0"}}, ["input", "amountMinor"]),
    ],
)
async def test_what_cannot_be_is_refused_before_any_call(
    api: Api, document: str, variables: dict[str, Any], path: list[str]
) -> None:
    hands = Hands()

    [payload] = (await with_sandbox(api, hands).data(operator(), document, **variables)).values()

    assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [("INVALID_INPUT", path)]
    assert hands.asked == []


async def test_sandbox_that_is_silent_is_an_error_and_one_that_is_not_there_a_refusal(api: Api) -> None:
    silent = with_sandbox(api, Hands(RehearsalUnavailable("it is silent")))

    assert await silent.codes(operator(), ADVANCE, seconds=1) == ["UNAVAILABLE"]
    for without in (api, with_sandbox(api, None)):
        payload = (await without.data(operator(), ADVANCE, seconds=1))["sandboxClockAdvance"]
        assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [
            ("NOT_FOUND", ["input", "sandbox"])
        ]
