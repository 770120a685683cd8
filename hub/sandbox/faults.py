"""Faults armed by whoever tests the hub: each is a row, so a restart forgets none, taken in the order of arming.

An operation's faults: `drop_before` cuts the connection before anything is done, `drop_after_commit` after it was
done, `latency_ms` answers late (after it was done), `unavailable` answers 503 before anything is done.
A notice's faults, each for one delivery: `forged` (signed with another secret), `stale` (dated ten minutes ago),
`tamper_amount` (one minor unit more, well signed), `duplicate_n` (posted n times at once), `late_ms` (postponed),
`never` (kept back for good).
"""

from dataclasses import dataclass

from hub.sandbox.tables import Tables

OPERATION_FAULTS = frozenset({"drop_before", "drop_after_commit", "latency_ms", "unavailable"})
NOTICE_FAULTS = frozenset({"forged", "stale", "tamper_amount", "duplicate_n", "late_ms", "never"})
NEED_VALUE = frozenset({"latency_ms", "late_ms", "duplicate_n"})
PAYMENTS = "payments"
NOTICE = "notice"
PAYMENT_OPERATIONS = frozenset({
    "create", "get", "find", "confirm", "capture", "cancel", "refund", "find_refund",
})  # fmt: skip
PLATFORM_OPERATIONS = frozenset({"catalog", "publish", "member", "grant", "verify", "revoke", "launch"})
EVERY = "*"
LARGEST_VALUE = 600_000  # ten minutes of latency, or far more duplicates than anybody sends
DUPLICATES_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """`value`: milliseconds or copies, where the kind needs one."""

    kind: str
    value: int | None = None


def arm(
    tables: Tables,
    *,
    peer: str,
    operation: str,
    fault: str,
    value: int | None,
    reference: str | None,
    times: int | None,
) -> None:
    """Arm `fault` for the next `times` calls (None: for every call until cleared), of one reference or of any.

    Raises ValueError, with what may stand there, for a fault that could never strike.
    """
    operations = PAYMENT_OPERATIONS | {NOTICE} if peer == PAYMENTS else PLATFORM_OPERATIONS
    if operation not in operations | {EVERY}:
        raise ValueError(f"operation must be * or one of {', '.join(sorted(operations))}")
    kinds = NOTICE_FAULTS if operation == NOTICE else OPERATION_FAULTS
    if fault not in kinds:
        raise ValueError(f"fault must be one of {', '.join(sorted(kinds))}")
    if (fault in NEED_VALUE) != (value is not None):
        raise ValueError("value belongs to latency_ms, late_ms and duplicate_n, and to these alone")
    if value is not None and not 0 < value <= (DUPLICATES_LIMIT if fault == "duplicate_n" else LARGEST_VALUE):
        raise ValueError("value is out of range")
    if times is not None and times < 1:
        raise ValueError("times must be at least 1, or absent for ever")
    tables.insert("fault", peer=peer, operation=operation, reference=reference, fault=fault, value=value, times=times)


def take(tables: Tables, peer: str, operation: str, reference: str | None) -> Fault | None:
    """The fault that strikes this call, counted down; None, the usual case, when nothing is armed."""
    row = tables.one(
        "SELECT id, fault, value, times FROM fault WHERE peer = :peer "
        "AND (operation = :operation OR (operation = '*' AND :operation <> 'notice')) "
        "AND (reference IS NULL OR reference = :reference) ORDER BY id LIMIT 1",
        peer=peer,
        operation=operation,
        reference=reference,
    )
    if row is None:
        return None
    if row["times"] == 1:
        tables.run("DELETE FROM fault WHERE id = :id", id=row["id"])
    elif row["times"] is not None:
        tables.run("UPDATE fault SET times = times - 1 WHERE id = :id", id=row["id"])
    return Fault(row["fault"], row["value"])


def clear(tables: Tables) -> int:
    """Disarm everything; gives how many faults were armed."""
    return tables.run("DELETE FROM fault")
