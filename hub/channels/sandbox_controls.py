"""The sandbox provider's control API: what an operator rehearses with. A key of its own; no money is asked for here."""

from collections.abc import Sequence
from typing import Any

import httpx
import orjson

from hub.channels.exchange import Silence, exchange
from hub.channels.sandbox_words import Json, dispute_word
from hub.domain.disputes import DisputeState
from hub.domain.rehearsals import SandboxDispute, SandboxFault, SandboxFaultKind, SandboxOperation
from hub.ports import RehearsalRefused, RehearsalUnavailable

PEER = "payments"
OPERATIONS: dict[SandboxOperation, str] = {
    SandboxOperation.CREATE: "create",
    SandboxOperation.QUERY: "find",
    SandboxOperation.CAPTURE: "capture",
    SandboxOperation.VOID: "cancel",
    SandboxOperation.REFUND: "refund",
    SandboxOperation.QUERY_REFUND: "find_refund",
    SandboxOperation.ANSWER_DISPUTE: "answer_dispute",
    SandboxOperation.STATEMENT: "statement",
    SandboxOperation.NOTICE: "notice",
    SandboxOperation.ANY: "*",
}
BY_WORD = {word: operation for operation, word in OPERATIONS.items()}


class SandboxControls:
    """The port `Rehearsal` over the provider's control API."""

    def __init__(self, *, base_url: str, control_key: str, client: httpx.AsyncClient) -> None:
        """`client` is closed by the channel that these belong to."""
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {control_key}"}
        self._client = client

    async def set_fault(self, fault: SandboxFault) -> Sequence[SandboxFault]:
        """Arm it behind those that are armed."""
        body = {
            "peer": PEER,
            "operation": OPERATIONS[fault.operation],
            "fault": fault.kind.lower(),
            "value": fault.value,
            "reference": fault.reference,
            "times": fault.times or 0,
            "chance": fault.chance_percent,
            "seed": fault.seed or None,
        }
        told = await self._call("POST", "faults", json={k: v for k, v in body.items() if v is not None})
        return _faults(told)

    async def clear_faults(self, reference: str | None) -> Sequence[SandboxFault]:
        """Disarm those of one payment, or all; gives what is still armed."""
        await self._call("DELETE", "faults", params={"peer": PEER} | ({"reference": reference} if reference else {}))
        return _faults(await self._call("GET", "faults"))

    async def move_dispute(self, reference: str, state: DisputeState, amount_minor: int | None) -> SandboxDispute:
        """Open the dispute of a charge, or move it on."""
        body = {"reference": reference, "status": state.lower()} | ({"amount": amount_minor} if amount_minor else {})
        word = dispute_word(await self._call("POST", "disputes", json=body))
        return SandboxDispute(word.channel_ref, word.state, word.amount, word.evidence_due_at_us)

    async def advance_clock(self, seconds: int) -> int:
        """Its time after that, in microseconds since 1970."""
        now: int = (await self._call("POST", "clock", json={"advance_s": seconds}))["now"]
        return now * 1_000_000

    async def _call(self, method: str, path: str, **parts: Any) -> Json:
        url = f"{self._base_url}/control/{path}"
        answer = await exchange(self._client, method, url, headers=self._headers, **parts)
        if isinstance(answer, Silence):
            raise RehearsalUnavailable(f"the sandbox does not answer: {answer.code}")
        try:
            content: Json = orjson.loads(answer.body)
            if answer.status == 200:
                return content
            error = content["error"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as fault:
            raise RehearsalUnavailable(f"the sandbox answered {answer.status}, and no JSON") from fault
        if answer.status in (400, 404, 409):
            raise RehearsalRefused(error["param"], error["message"])
        raise RehearsalUnavailable(f"the sandbox answered {answer.status}: {error['code']}")


def _faults(told: Json) -> Sequence[SandboxFault]:
    """Those of payments whose operation has a name here: what a fault made the provider deny besides stays inside."""
    return [
        SandboxFault(
            operation=BY_WORD[row["operation"]],
            kind=SandboxFaultKind(row["fault"].upper()),
            value=row["value"],
            reference=row["reference"],
            times=row["times"],
            chance_percent=row["chance"],
            seed=row["seed"],
        )
        for row in told["data"]
        if row["peer"] == PEER and row["operation"] in BY_WORD
    ]
