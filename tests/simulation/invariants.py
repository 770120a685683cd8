"""What must hold of every order that a step has touched, and of all of them: read from the rows, beside what was seen.

`look` reads a step's orders in one snapshot: their sums, attempts, facts, books and rights. `fold` reads everything.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from hub.domain.entitlements import EntitlementState, GrantState
from hub.domain.money import Money
from hub.domain.orders import ChargeStatus, Order, OrderStatus, charge_status
from hub.domain.payments import LIVE, AttemptState, Fact, FactKind, PaymentAttempt, Source, reduce
from hub.store.entitlements import entitlement, grant
from hub.store.ledger import account, journal_entry, posting
from hub.store.metadata import is_one_of
from hub.store.orders import order, order_of
from hub.store.payments import attempt_of, channel_fact, payment_attempt
from hub.store.transactions import Rx, Store


class Broken(AssertionError):
    """An invariant that does not hold: which, and of what."""


@dataclass(slots=True)
class Seen:
    """An order as it was last looked at."""

    order: Order
    attempts: dict[str, PaymentAttempt]


@dataclass(frozen=True, slots=True)
class Entry:
    """One posting of a touched order."""

    id: tuple[str, int]
    order_id: str
    kind: str
    debit: str
    credit: str
    asset: str
    amount: int


@dataclass(frozen=True, slots=True)
class Right:
    """One grant with the entitlement above it."""

    order_id: str
    state: GrantState
    entitlement_id: str
    entitlement_state: EntitlementState


class Books:
    """A second set of books, kept posting by posting, and what every order was like when it was last seen."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, Seen] = {}
        self._named: dict[str, str] = {}  # order ids by order number
        self._posted: dict[tuple[str, int], Entry] = {}
        self._balances: dict[str, list[int]] = defaultdict(lambda: [0, 0])  # debits, credits
        self.looks = 0

    def order_named(self, number: str) -> str | None:
        return self._named.get(number)

    def order(self, order_id: str) -> Order | None:
        seen = self._seen.get(order_id)
        return seen and seen.order

    def attempts(self, order_id: str) -> list[PaymentAttempt]:
        seen = self._seen.get(order_id)
        return [] if seen is None else list(seen.attempts.values())

    def everything(self) -> list[str]:
        """The ids of all orders there are."""
        return sorted(self._seen)

    def states(self) -> Counter[str]:
        """How many orders and attempts are in each state."""
        found = Counter(f"orders {seen.order.status}" for seen in self._seen.values())
        found.update(f"attempts {one.state}" for seen in self._seen.values() for one in seen.attempts.values())
        return found

    def know(self, order_id: str, number: str) -> None:
        """Before it is looked at, its notices may come."""
        self._named[number] = order_id

    # ---- what a step has touched -----------------------------------------------------------------------------------

    async def look(self, order_ids: Iterable[str]) -> None:
        """Raises Broken."""
        ids = sorted(order_ids)
        if not ids:
            return
        self.looks += len(ids)
        async with self._store.reading() as rx:
            rows = await _read(rx, ids)
            touched = self._take_in(rows.entries)
            balances = await rx.many(_BALANCES, lambda *columns: columns, ids=sorted(touched))
        for account_id, debits, credits in balances:
            expect(self._balances[account_id] == [debits, credits], "I4", f"{account_id} is {debits}, {credits}")
        expect(len(balances) == len(touched), "I4", "an account with postings has no balance")
        for found in rows.orders:
            self._check(found, rows)
            self._named[found.number] = found.id
            self._seen[found.id] = Seen(found, {one.id: one for one in rows.attempts[found.id]})

    def _take_in(self, entries: Sequence[Entry]) -> set[str]:
        """Postings that are new; which accounts they touch. One that was seen stays as it was (I3)."""
        touched = set()
        for entry in entries:
            if (known := self._posted.get(entry.id)) is not None:
                expect(known == entry, "I3", f"posting {entry.id} was changed")
                continue
            self._posted[entry.id] = entry
            self._balances[entry.debit][0] += entry.amount
            self._balances[entry.credit][1] += entry.amount
            touched |= {entry.debit, entry.credit}
        return touched

    def _check(self, found: Order, rows: "Rows") -> None:
        attempts, rights = rows.attempts[found.id], rows.rights[found.id]
        live = [one.key for one in attempts if one.is_live]
        expect(len(live) <= 1, "one live attempt", f"{found.number}: {live}")
        expect(found.attempts == len(attempts), "attempts", f"{found.number} counts {found.attempts}")
        expect(charge_status(found) is found.charge_status, "charge status", f"{found.number}: {found.charge_status}")
        self._check_money(found)
        self._check_rights(found, rights)
        for attempt in attempts:
            self._check_attempt(attempt, rows.facts[attempt.id], len(attempts))
        if (before := self._seen.get(found.id)) is not None:
            check_monotone(before, found, attempts)

    def _check_money(self, found: Order) -> None:
        """I5: escrow is what came, less what went; nothing is negative."""
        debits, credits = self._balances[f"order:{found.id}:escrow/{found.total.currency}"]
        refunded = getattr(found, "refunded_minor", 0)
        expect(credits - debits == found.received_minor - refunded, "I5",
               f"{found.number}: {credits - debits}, received {found.received_minor}, refunded {refunded}")  # fmt: skip
        reserved = getattr(found, "refund_reserved_minor", 0)
        expect(found.received_minor >= refunded + reserved >= 0, "I6", f"{found.number}: {refunded} + {reserved}")

    def _check_rights(self, found: Order, rights: Sequence[Right]) -> None:
        expect(len(rights) <= 1, "one grant per order", f"{found.number} has given {len(rights)}")
        is_paid = found.status not in (OrderStatus.AWAITING_PAYMENT, OrderStatus.EXPIRED, OrderStatus.CANCELED)
        expect(bool(rights) == is_paid, "a right where it was paid", f"{found.number} is {found.status}: {rights}")
        if found.status is OrderStatus.PAID:
            is_full = found.charge_status in (ChargeStatus.FULL, ChargeStatus.OVERCHARGED)
            expect(is_full, "no access before FULL", f"{found.number} is {found.charge_status}")

    def _check_attempt(self, attempt: PaymentAttempt, facts: Sequence[Fact], number: int) -> None:
        """Its facts, folded anew, give its state; but one that came to life beside another stays as it was."""
        rebuilt = rebuilt_from(attempt, facts)
        is_kept_down = rebuilt.state in LIVE and attempt.state not in LIVE and number > 1
        expect(rebuilt.state is attempt.state or is_kept_down, "states follow from facts",
               f"{attempt.key} is {attempt.state}, its facts say {rebuilt.state}")  # fmt: skip

    # ---- everything ------------------------------------------------------------------------------------------------

    async def fold(self) -> None:
        """I1 to I4 over all accounts and all rights; nothing was written that no step has touched."""
        async with self._store.reading() as rx:
            kept, folded = await rx.ledger.balances(), await rx.ledger.folded()
            rights = await rx.many(_ALL_RIGHTS, lambda *columns: columns)
        expect(kept == folded, "I4", "balances differ from the fold of their postings")
        mine = {account_id: tuple(sums) for account_id, sums in self._balances.items() if any(sums)}
        theirs = {one.account_id: (one.debits, one.credits) for one in kept}
        expect(mine == theirs, "I4", f"accounts that no step touched: {sorted(mine.items() ^ theirs.items())[:4]}")
        for asset in {one.rpartition("/")[2] for one in theirs}:
            sides = [sums for name, sums in theirs.items() if name.endswith(f"/{asset}")]
            expect(sum(d for d, _ in sides) == sum(c for _, c in sides), "I2", asset)
        is_live: dict[str, tuple[str, bool]] = {}
        for id_, state, grant_state in rights:
            is_live[id_] = (state, is_live.get(id_, ("", False))[1] or grant_state == GrantState.ACTIVE)
        for id_, (state, is_open) in is_live.items():
            expect((state == EntitlementState.ACTIVE) == is_open, "access = OR of live grants", f"{id_} is {state}")


def expect(holds: bool, what: str, detail: str) -> None:
    if not holds:
        raise Broken(f"{what}: {detail}")


# Once there, an order stays there, or goes where the row says.
_AFTER = {
    "AWAITING_PAYMENT": {"PAID", "EXPIRED", "CANCELED", "PARTIALLY_REFUNDED", "REFUNDED"},
    "PAID": {"PARTIALLY_REFUNDED", "REFUNDED"},
    "PARTIALLY_REFUNDED": {"PAID", "REFUNDED"},
    "REFUNDED": {"PAID", "PARTIALLY_REFUNDED"},
    "EXPIRED": {"PAID"},
    "CANCELED": {"PAID"},
}


def check_monotone(before: Seen, now: Order, attempts: Sequence[PaymentAttempt]) -> None:
    """Money that came stays; what a channel has said is outdone by more alone; a charge is for ever."""
    then = before.order
    expect(now.received_minor >= then.received_minor, "monotone", f"{now.number} has lost money")
    expect(now.version >= then.version, "monotone", f"{now.number} went back to version {now.version}")
    is_next = now.status == then.status or now.status in _AFTER[then.status]
    expect(is_next, "monotone", f"{now.number} was {then.status} and is {now.status}")
    for attempt in attempts:
        if (was := before.attempts.get(attempt.id)) is None:
            continue
        expect(attempt.heard_rank >= was.heard_rank, "monotone", f"{attempt.key} forgot what it heard")
        is_same = was.state is not AttemptState.CHARGED or attempt.state is AttemptState.CHARGED
        expect(is_same, "monotone", f"{attempt.key} was CHARGED and is {attempt.state}")


def rebuilt_from(attempt: PaymentAttempt, facts: Sequence[Fact]) -> PaymentAttempt:
    """Submitted, and told all of it again."""
    blank = replace(attempt, state=AttemptState.SUBMITTED, heard_rank=0, heard_at_us=None, heard_key="")
    for fact in facts:
        blank = reduce(blank, fact)
    return blank


# ---- reading ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Rows:
    """All that is looked at, by order; facts by attempt."""

    orders: list[Order]
    attempts: dict[str, list[PaymentAttempt]]
    facts: dict[str, list[Fact]]
    entries: list[Entry]
    rights: dict[str, list[Right]]


async def _read(rx: Rx, ids: Sequence[str]) -> Rows:
    return Rows(
        orders=await rx.many(_ORDERS, order_of, ids=ids),
        attempts=_by(await rx.many(_ATTEMPTS, attempt_of, ids=ids), lambda one: one.order_id),
        facts=await _facts(rx, ids),
        entries=await rx.many(_ENTRIES, _entry, ids=ids),
        rights=_by(await rx.many(_RIGHTS, _right, ids=ids), lambda one: one.order_id),
    )


async def _facts(rx: Rx, ids: Sequence[str]) -> dict[str, list[Fact]]:
    told: dict[str, list[Fact]] = defaultdict(list)
    for attempt_id, fact in await rx.many(_FACTS, _fact, ids=ids):
        told[attempt_id].append(fact)
    return told


def _by(rows: Sequence[Any], key: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _entry(
    entry_id: str, seq: int, order_id: str, kind: str, debit: str, credit: str, asset: str, amount: int
) -> Entry:
    return Entry((entry_id, seq), order_id, kind, debit, credit, asset, amount)


def _right(order_id: str, state: str, entitlement_id: str, entitlement_state: str) -> Right:
    return Right(order_id, GrantState(state), entitlement_id, EntitlementState(entitlement_state))


def _fact(
    attempt_id: str, channel: str, key: str, source: str, kind: str, amount: int | None, currency: str | None,
    provider_at_us: int | None, observed_at_us: int, call: int,
) -> tuple[str, Fact]:  # fmt: skip
    money = None if amount is None or currency is None else Money(amount, currency)
    fact = Fact(channel, key, Source(source), FactKind(kind), observed_at_us, money, provider_at_us, call)
    return attempt_id, fact


_ORDERS = select(order).where(is_one_of(order.c.id, "ids"))
_ATTEMPTS = (
    select(payment_attempt).where(is_one_of(payment_attempt.c.order_id, "ids")).order_by(payment_attempt.c.number)
)
_f = channel_fact.c
_FACTS = (
    select(
        _f.attempt_id, _f.channel, _f.key, _f.source, _f.kind, _f.amount_minor, _f.currency, _f.provider_at_us,
        _f.observed_at_us, _f.call,
    )
    .join(payment_attempt, payment_attempt.c.id == _f.attempt_id)
    .where(is_one_of(payment_attempt.c.order_id, "ids"))
    .order_by(_f.id)
)  # fmt: skip
_ENTRIES = (
    select(
        posting.c.entry_id, posting.c.seq, journal_entry.c.order_id, journal_entry.c.kind, posting.c.debit_account,
        posting.c.credit_account, posting.c.asset, posting.c.amount_minor,
    )
    .join(journal_entry, journal_entry.c.id == posting.c.entry_id)
    .where(is_one_of(journal_entry.c.order_id, "ids"))
)  # fmt: skip
_BALANCES = select(account.c.id, account.c.debits_posted, account.c.credits_posted).where(
    is_one_of(account.c.id, "ids")
)
_RIGHTS = (
    select(grant.c.source_ref, grant.c.state, entitlement.c.id, entitlement.c.state)
    .join(entitlement, entitlement.c.id == grant.c.entitlement_id)
    .where(is_one_of(grant.c.source_ref, "ids"))
)
_ALL_RIGHTS = select(entitlement.c.id, entitlement.c.state, grant.c.state).join(
    grant, grant.c.entitlement_id == entitlement.c.id
)
