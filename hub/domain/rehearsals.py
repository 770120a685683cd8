"""What can be rehearsed with the sandbox: faults of its calls, notices and statements, disputes, and days that pass."""

from dataclasses import dataclass
from enum import StrEnum

from hub.domain.disputes import DisputeState
from hub.domain.money import Money


class SandboxOperation(StrEnum):
    """What a fault strikes."""

    CREATE = "CREATE"
    QUERY = "QUERY"
    CAPTURE = "CAPTURE"
    VOID = "VOID"
    REFUND = "REFUND"
    QUERY_REFUND = "QUERY_REFUND"
    ANSWER_DISPUTE = "ANSWER_DISPUTE"
    STATEMENT = "STATEMENT"
    NOTICE = "NOTICE"
    ANY = "ANY"  # every call; no notice


class SandboxFaultKind(StrEnum):
    """What goes wrong."""

    DROP_BEFORE = "DROP_BEFORE"
    DROP_AFTER_COMMIT = "DROP_AFTER_COMMIT"
    LATENCY_MS = "LATENCY_MS"
    HTTP_500_BEFORE = "HTTP_500_BEFORE"
    HTTP_500_AFTER = "HTTP_500_AFTER"
    UNAVAILABLE = "UNAVAILABLE"
    RATE_LIMIT = "RATE_LIMIT"
    BAD_RESPONSE_SIGNATURE = "BAD_RESPONSE_SIGNATURE"
    FORGET = "FORGET"
    HTML = "HTML"
    TRUNCATE = "TRUNCATE"
    NEVER = "NEVER"
    LATE_S = "LATE_S"
    DUPLICATE_N = "DUPLICATE_N"
    OUT_OF_ORDER = "OUT_OF_ORDER"
    FORGED = "FORGED"
    STALE = "STALE"
    TAMPER_AMOUNT = "TAMPER_AMOUNT"
    STATEMENT_OMIT = "STATEMENT_OMIT"
    STATEMENT_ALTER = "STATEMENT_ALTER"
    STATEMENT_DUPLICATE = "STATEMENT_DUPLICATE"


@dataclass(frozen=True, slots=True)
class SandboxFault:
    """A fault that is armed: for the next `times` calls, None until it is cleared; of one payment, or of any."""

    operation: SandboxOperation
    kind: SandboxFaultKind
    value: int | None
    reference: str | None
    times: int | None
    chance_percent: int
    seed: str


@dataclass(frozen=True, slots=True)
class SandboxDispute:
    """A dispute as the sandbox has it after it was moved."""

    channel_ref: str
    state: DisputeState
    amount: Money
    evidence_due_at_us: int | None
