"""Faults armed by whoever rehearses with the hub: each is a row, so a restart forgets none, in the order of arming.

An operation's faults, before anything is done: `drop_before` cuts the connection, `http_500_before` and `unavailable`
answer 500 and 503, `rate_limit` answers 429. After it was done: `drop_after_commit` cuts, `http_500_after` answers
500, `latency_ms` answers late, `bad_response_signature` signs with another secret, `html` answers with a page and
`truncate` with half an answer; `forget` answers well, and then denies ever having seen it (of a payment or refund).
A notice's, each for one delivery: `forged` (another secret), `stale` (dated ten minutes ago), `tamper_amount` (one
minor unit more, well signed), `duplicate_n` (posted n times at once), `late_s` (postponed), `out_of_order` (kept
until a later one of its payment was taken), `never`. A statement's: `statement_omit|alter|duplicate` (one line).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hub.sandbox.books import Movement
from hub.sandbox.tables import Tables

BEFORE = frozenset({"drop_before", "http_500_before", "unavailable", "rate_limit"})
AFTER = frozenset({
    "drop_after_commit", "http_500_after", "latency_ms", "bad_response_signature", "html", "truncate",
})  # fmt: skip
OPERATION_FAULTS = BEFORE | AFTER
STATEMENT_FAULTS = frozenset({"statement_omit", "statement_alter", "statement_duplicate"})
NOTICE_FAULTS = frozenset({"forged", "stale", "tamper_amount", "duplicate_n", "late_s", "out_of_order", "never"})
NEED_VALUE = frozenset({"latency_ms", "late_s", "duplicate_n"})
MAY_HAVE_VALUE = NEED_VALUE | STATEMENT_FAULTS | {"rate_limit"}  # which line, counted from 1; seconds to wait
FORGET = "forget"
PAYMENTS = "payments"
NOTICE = "notice"
STATEMENT = "statement"
REMEMBERED = {  # what makes a thing, and what then denies it
    "create": ("find", "get", "confirm", "capture", "cancel", "refund"),
    "refund": ("find_refund",),
}
PAYMENT_OPERATIONS = frozenset({
    "create", "get", "find", "confirm", "capture", "cancel", "refund", "find_refund", "answer_dispute",
    STATEMENT,
})  # fmt: skip
PLATFORM_OPERATIONS = frozenset({"catalog", "publish", "member", "grant", "verify", "revoke", "launch"})
EVERY = "*"
LARGEST_VALUE = 600_000  # ten minutes of latency in ms, or a week of lateness in s
DUPLICATES_LIMIT = 200
SURE = 100  # per cent


@dataclass(frozen=True, slots=True)
class Fault:
    """`value`: milliseconds, seconds, copies or a line, where the kind has one. `drawn`: chance, the same by seed."""

    kind: str
    value: int | None = None
    drawn: int = 0


def arm(
    tables: Tables,
    *,
    peer: str,
    operation: str,
    fault: str,
    value: int | None,
    reference: str | None,
    times: int | None,
    chance: int = SURE,
    seed: str = "",
) -> int:
    """Arm `fault` for the next `times` calls (None: for every call until cleared), of one payment or of any.

    `chance` per cent of the calls that it looks at are struck, the same ones for the same `seed`. Gives its number.
    Raises ValueError, with what may stand there, for a fault that could never strike.
    """
    operations = PAYMENT_OPERATIONS | {NOTICE} if peer == PAYMENTS else PLATFORM_OPERATIONS
    if operation not in operations | {EVERY}:
        raise ValueError(f"operation must be * or one of {', '.join(sorted(operations))}")
    kinds = _kinds(peer, operation)
    if fault not in kinds:
        raise ValueError(f"fault must be one of {', '.join(sorted(kinds))}")
    if (fault in NEED_VALUE and value is None) or (fault not in MAY_HAVE_VALUE and value is not None):
        raise ValueError(f"value is needed by {', '.join(sorted(NEED_VALUE))}, and most others take none")
    if value is not None and not 0 < value <= (DUPLICATES_LIMIT if fault == "duplicate_n" else LARGEST_VALUE):
        raise ValueError("value is out of range")
    if times is not None and times < 1:
        raise ValueError("times must be at least 1, or absent for ever")
    if not 0 < chance <= SURE:
        raise ValueError(f"chance is from 1 to {SURE} per cent")
    row = tables.one(
        "INSERT INTO fault (peer, operation, reference, fault, value, times, chance, seed, looks) VALUES "
        "(:peer, :operation, :reference, :fault, :value, :times, :chance, :seed, 0) RETURNING id",
        peer=peer,
        operation=operation,
        reference=reference,
        fault=fault,
        value=value,
        times=times,
        chance=chance,
        seed=seed,
    )
    assert row is not None
    return int(row["id"])


def _kinds(peer: str, operation: str) -> frozenset[str]:
    if operation == NOTICE:
        return NOTICE_FAULTS
    if operation == STATEMENT:
        return OPERATION_FAULTS | STATEMENT_FAULTS
    makes = peer == PAYMENTS and operation in REMEMBERED
    return OPERATION_FAULTS | {FORGET} if makes else OPERATION_FAULTS


def take(tables: Tables, peer: str, operation: str, reference: str | None) -> Fault | None:
    """The fault that strikes this call, counted down; None, the usual case, when nothing is armed or chance spares."""
    rows = tables.all(
        "SELECT id, fault, value, times, chance, seed, looks FROM fault WHERE peer = :peer "
        "AND (operation = :operation OR (operation = '*' AND :operation <> 'notice')) "
        "AND (reference IS NULL OR reference = :reference) ORDER BY id LIMIT 1000",
        peer=peer,
        operation=operation,
        reference=reference,
    )
    for row in rows:
        drawn = _drawn(row["seed"], row["looks"])
        if drawn % SURE >= row["chance"]:
            tables.run("UPDATE fault SET looks = looks + 1 WHERE id = :id", id=row["id"])
            continue
        if row["times"] == 1:
            tables.run("DELETE FROM fault WHERE id = :id", id=row["id"])
        else:
            tables.run("UPDATE fault SET looks = looks + 1, times = times - 1 WHERE id = :id", id=row["id"])
        return Fault(row["fault"], row["value"], drawn // SURE)
    return None


def _drawn(seed: str, look: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {look}".encode()).digest()[:8])


def forget(tables: Tables, operation: str, reference: str) -> None:
    """From now on, deny what `operation` has just made under `reference`, until the faults are cleared."""
    for denied in REMEMBERED[operation]:
        tables.insert(
            "fault", peer=PAYMENTS, operation=denied, reference=reference, fault=FORGET, value=None, times=None,
            chance=SURE, seed="", looks=0,
        )  # fmt: skip


def clear(tables: Tables, peer: str | None = None, reference: str | None = None) -> int:
    """Disarm everything, or what strikes one peer, or one payment; gives how many faults were armed."""
    return tables.run(
        "DELETE FROM fault WHERE (:peer IS NULL OR peer = :peer) AND (:reference IS NULL OR reference = :reference)",
        peer=peer,
        reference=reference,
    )


def altered(movements: list[Movement], fault: Fault | None) -> Sequence[Movement]:
    """The statement's lines with one left out, changed by one minor unit, or there twice: `value`'s, or a drawn one."""
    if fault is None or fault.kind not in STATEMENT_FAULTS or not movements:
        return movements
    at = (fault.value - 1 if fault.value else fault.drawn) % len(movements)
    line = movements[at]
    instead = {
        "statement_omit": [],
        "statement_alter": [replace(line, gross=line.gross + 1, net=line.net + 1)],
        "statement_duplicate": [line, line],
    }[fault.kind]
    return [*movements[:at], *instead, *movements[at + 1 :]]
