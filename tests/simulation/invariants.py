"""What must hold of every order that a step has moved, and of all of them: read from the rows, beside what was seen.

`look` reads a step's orders in one snapshot: their sums, attempts, facts, books and rights. `fold` reads everything.
Which orders have moved the log tells, whoever moved them: what changes without being told, `fold` finds.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, literal_column, select

from hub.domain.disputes import RANK as DISPUTE_RANK
from hub.domain.disputes import Dispute, DisputeFact, told_by
from hub.domain.entitlements import LIVE_GRANTS, EntitlementState, GrantState
from hub.domain.money import Money
from hub.domain.orders import PAID_ONCE, ChargeStatus, Order, OrderStatus, charge_status
from hub.domain.payments import LIVE, AttemptState, Fact, FactKind, PaymentAttempt, Source, reassured, reduce
from hub.domain.refunds import Refund, RefundFact, RefundState
from hub.domain.refunds import reduce as reduce_refund
from hub.flows import attempt_facts, refund_facts
from hub.store.disputes import dispute as dispute_table
from hub.store.entitlements import entitlement, grant
from hub.store.events import event
from hub.store.ledger import account, journal_entry, posting, postings_in, reservation
from hub.store.metadata import is_one_of
from hub.store.orders import order, order_of
from hub.store.payments import attempt_of, channel_fact, payment_attempt
from hub.store.refunds import refund as refund_table
from hub.store.refunds import refund_of
from hub.store.tasks import task
from hub.store.transactions import Rx, Store


class Broken(AssertionError):
    """An invariant that does not hold: which, and of what."""


@dataclass(slots=True)
class Seen:
    """An order as it was last looked at."""

    order: Order
    attempts: dict[str, PaymentAttempt]
    refunds: dict[str, Refund]
    disputes: dict[str, Dispute]


@dataclass(frozen=True, slots=True)
class Entry:
    """One posting of an order."""

    id: tuple[str, int]
    order_id: str
    reference: str
    debit: str
    credit: str
    asset: str
    amount: int


@dataclass(frozen=True, slots=True)
class Promise:
    """One Reservation."""

    order_id: str
    reference: str
    state: str
    postings: str  # JSON


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
        self._read_to = 0  # of the log
        self.looks = 0

    def order_named(self, number: str) -> str | None:
        return self._named.get(number)

    def order(self, order_id: str) -> Order | None:
        seen = self._seen.get(order_id)
        return seen and seen.order

    def attempts(self, order_id: str) -> list[PaymentAttempt]:
        seen = self._seen.get(order_id)
        return [] if seen is None else list(seen.attempts.values())

    def disputes(self, order_id: str) -> list[Dispute]:
        seen = self._seen.get(order_id)
        return [] if seen is None else list(seen.disputes.values())

    def refunds(self) -> list[Refund]:
        """All refunds there are, as they were last seen."""
        return [one for seen in self._seen.values() for one in seen.refunds.values()]

    def balance(self, account_id: str) -> int:
        """Debits less credits."""
        debits, credits = self._balances[account_id]
        return debits - credits

    def everything(self) -> list[str]:
        """The ids of all orders there are."""
        return sorted(self._seen)

    def states(self) -> Counter[str]:
        """How many orders and attempts are in each state."""
        found = Counter(f"orders {seen.order.status}" for seen in self._seen.values())
        found.update(f"attempts {one.state}" for seen in self._seen.values() for one in seen.attempts.values())
        found.update(f"refunds {one.state}" for seen in self._seen.values() for one in seen.refunds.values())
        found.update(f"disputes {one.state}" for seen in self._seen.values() for one in seen.disputes.values())
        return found

    def know(self, order_id: str, number: str) -> None:
        """Before it is looked at, its notices may come."""
        self._named[number] = order_id

    # ---- what a step has moved -------------------------------------------------------------------------------------

    async def moved(self) -> set[str]:
        """The orders that the log tells something new of since the last call."""
        async with self._store.reading() as rx:
            told = await rx.many(_TOLD, lambda seq, subject: (seq, subject), after=self._read_to)
            subjects = _by([subject for _, subject in told], lambda subject: subject.partition("_")[0])
            found = set(subjects["ord"])
            for prefix, orders in _ORDERS_OF.items():
                if subjects[prefix]:
                    found.update(await rx.many(orders, str, ids=sorted(set(subjects[prefix]))))
        self._read_to = max((seq for seq, _ in told), default=self._read_to)
        return found

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
            strange = [f"{account_id} is {debits}, {credits}" for account_id, debits, credits in balances
                       if self._balances[account_id] != [debits, credits]]  # fmt: skip
            for account_id in [one.partition(" ")[0] for one in strange]:
                strange += [str(one) for one in await rx.many(_OF_ACCOUNT, _entry, id=account_id)
                            if one.id not in self._posted]  # fmt: skip
        expect(not strange, "I4", "; ".join(strange))
        expect(len(balances) == len(touched), "I4", "an account with postings has no balance")
        for found in rows.orders:
            self._check(found, rows)
            self._named[found.number] = found.id
            self._seen[found.id] = Seen(
                found,
                {one.id: one for one in rows.attempts[found.id]},
                {one.id: one for one in rows.refunds[found.id]},
                {one.id: one for one in rows.disputes[found.id]},
            )

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
        self._check_money(found, rows.disputes[found.id])
        self._check_rights(found, rights)
        for attempt in attempts:
            self._check_attempt(attempt, rows.facts[attempt.id], len(attempts))
        check_refunds(found, rows)
        for live_one in (one for one in attempts if one.is_live):
            expect(live_one.id in rows.asked, "somebody asks", f"{live_one.key} is {live_one.state}, without a Task")
        for open_one in (one for one in rows.refunds[found.id] if one.is_open):
            expect(open_one.id in rows.asked, "somebody asks", f"{open_one.key} is {open_one.state}, without a Task")
        if (before := self._seen.get(found.id)) is not None:
            check_monotone(before, found, rows)

    def _check_money(self, found: Order, disputes: Sequence[Dispute]) -> None:
        """I5: escrow is what came, less what went back, less what disputes took; nothing is negative."""
        debits, credits = self._balances[f"order:{found.id}:escrow/{found.total.currency}"]
        lost = sum(one.deducted_minor for one in disputes if one.amount.currency == found.total.currency)
        left = found.received_minor - found.refunded_minor - lost
        expect(credits - debits == left >= 0, "I5", f"{found.number}: escrow {credits - debits}, and {left} is left")
        gone = found.refunded_minor + found.refund_reserved_minor
        expect(found.received_minor >= gone, "I6", f"{found.number}: {gone} of {found.received_minor} go back")

    def _check_rights(self, found: Order, rights: Sequence[Right]) -> None:
        live = [one for one in rights if one.state in LIVE_GRANTS]
        expect(len(live) <= 1, "one grant per order", f"{found.number} has {len(live)} that are live")
        is_paid = found.status in PAID_ONCE
        expect(bool(rights) == is_paid, "a right where it was paid", f"{found.number} is {found.status}: {rights}")
        if found.status is OrderStatus.REFUNDED:
            expect(not live, "no right for money that went back", found.number)
        if found.status is OrderStatus.PAID:
            is_full = found.charge_status in (ChargeStatus.FULL, ChargeStatus.OVERCHARGED)
            expect(is_full, "no access before FULL", f"{found.number} is {found.charge_status}")

    def _check_attempt(self, attempt: PaymentAttempt, facts: Sequence[Fact], number: int) -> None:
        """Its facts, folded anew, give its state; but one that came to life beside another stays as it was."""
        rebuilt = rebuilt_from(attempt, facts)
        is_kept_down = rebuilt.state in LIVE and attempt.state not in LIVE and number > 1
        is_in_doubt = attempt.is_instructed and rebuilt.state is reassured(attempt).state  # its capture was lost
        expect(rebuilt.state is attempt.state or is_kept_down or is_in_doubt, "states follow from facts",
               f"{attempt.key} is {attempt.state}, its facts say {rebuilt.state}")  # fmt: skip

    # ---- everything ------------------------------------------------------------------------------------------------

    async def fold(self) -> None:
        """I1 to I4 over all accounts and all rights; nothing was written that the log did not tell."""
        async with self._store.reading() as rx:
            kept, folded = await rx.ledger.balances(), await rx.ledger.folded()
            rights = await rx.many(_ALL_RIGHTS, lambda *columns: columns)
        expect(kept == folded, "I4", "balances differ from the fold of their postings")
        mine = {account_id: tuple(sums) for account_id, sums in self._balances.items() if any(sums)}
        theirs = {one.account_id: (one.debits, one.credits) for one in kept}
        expect(mine == theirs, "I4", f"accounts that moved untold: {sorted(mine.items() ^ theirs.items())[:4]}")
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


def check_refunds(found: Order, rows: "Rows") -> None:
    """I6, I8: no charge gives back more than it took, and each promise ends once, as its refund did."""
    promised = {one.reference: one for one in rows.reservations[found.id]}
    entries = Counter(one.reference for one in rows.entries if one.order_id == found.id and one.id[1] == 0)
    gone: Counter[tuple[str, str]] = Counter()
    for refund in rows.refunds[found.id]:
        name, state = f"refund/{refund.key}", promised[f"refund/{refund.key}"].state
        is_late = refund.state is RefundState.SUCCEEDED and state == "VOIDED"  # it had been refused, or called off
        is_free = refund.state is RefundState.REVERSED or is_late
        expect(state == _PROMISED[refund.state] or is_free, "I8", f"{name} is {state}")
        posted = (entries[name], entries[f"refund_reversed/{refund.key}"])
        expect(posted == _POSTED.get(refund.state, (0, 0)), "I8", f"{name} of {refund.state} is posted {posted}")
        if refund.is_open or refund.state is RefundState.SUCCEEDED:
            gone[refund.attempt_id, refund.amount.currency] += refund.amount.amount_minor - refund.excess_minor
        parts = sum(one.amount_minor for one in postings_in(promised[name].postings))
        expect(parts == refund.amount.amount_minor, "I7", f"the parts of {name} are {parts}")
        facts = rows.refund_facts[refund.id]
        rebuilt = refund_rebuilt_from(refund, facts)
        expect(rebuilt is refund.state or not facts, "states follow from facts", f"{name}: {refund.state}, {rebuilt}")
    for (attempt_id, currency), minor in gone.items():
        taken = [one.amount.amount_minor for one in rows.facts[attempt_id]
                 if one.kind is FactKind.CAPTURED and one.amount and one.amount.currency == currency]  # fmt: skip
        expect(minor <= sum(taken), "I6", f"{minor} of {sum(taken)} {currency} of {found.number} go back")
    for dispute in rows.disputes[found.id]:
        is_held = dispute.reservation is not None
        expect(not is_held or promised[str(dispute.reservation)].state == "PENDING", "I8", f"dispute {dispute.id}")
        told = told_by(rows.dispute_facts[dispute.id])
        expect(told.state is dispute.state, "states follow from facts", f"dispute {dispute.id} is {dispute.state}")


_S = RefundState
_PROMISED = {
    _S.REQUESTED: "PENDING", _S.SUBMITTED: "PENDING", _S.PENDING: "PENDING", _S.UNKNOWN: "PENDING",
    _S.SUCCEEDED: "POSTED", _S.FAILED: "VOIDED", _S.CANCELED: "VOIDED", _S.REVERSED: "",
}  # fmt: skip
# How often its entry and the mirror of that are posted; what is not here: neither.
_POSTED = {_S.SUCCEEDED: (1, 0), _S.REVERSED: (1, 1)}


def refund_rebuilt_from(refund: Refund, facts: Sequence[RefundFact]) -> RefundState:
    """Submitted as often as it was, and told all of it again. What no channel has may be sent again, or called off."""
    blank = replace(refund, state=RefundState.SUBMITTED, heard_rank=0, heard_at_us=None, heard_key="")
    for fact in facts:
        blank = reduce_refund(blank, fact)
    is_ours = blank.state is RefundState.REQUESTED and refund.state in (RefundState.SUBMITTED, RefundState.CANCELED)
    return refund.state if is_ours else blank.state


def check_monotone(before: Seen, now: Order, rows: "Rows") -> None:
    """Money that came stays; what a channel has said is outdone by more alone; a charge is for ever."""
    then = before.order
    expect(now.received_minor >= then.received_minor, "monotone", f"{now.number} has lost money")
    expect(now.version >= then.version, "monotone", f"{now.number} went back to version {now.version}")
    is_next = now.status == then.status or now.status in _AFTER[then.status]
    expect(is_next, "monotone", f"{now.number} was {then.status} and is {now.status}")
    for refund in rows.refunds[now.id]:
        known = before.refunds.get(refund.id)
        is_so = known is None or refund.heard_rank >= known.heard_rank
        expect(is_so, "monotone", f"{refund.key} forgot what it heard")
    for dispute in rows.disputes[now.id]:
        then_ranked = before.disputes.get(dispute.id)
        is_so = then_ranked is None or DISPUTE_RANK[dispute.state] >= DISPUTE_RANK[then_ranked.state]
        expect(is_so, "monotone", f"dispute {dispute.id} went back to {dispute.state}")
    for attempt in rows.attempts[now.id]:
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
    refunds: dict[str, list[Refund]]
    refund_facts: dict[str, list[RefundFact]]
    disputes: dict[str, list[Dispute]]
    dispute_facts: dict[str, list[DisputeFact]]
    reservations: dict[str, list[Promise]]
    asked: set[str]  # the attempts and refunds that a Task asks about, or closes


async def _read(rx: Rx, ids: Sequence[str]) -> Rows:
    refunds = _by(await rx.many(_REFUNDS, refund_of, ids=ids), lambda one: one.order_id)
    disputes = _by(await rx.disputes.of_orders(ids), lambda one: one.order_id)
    contested = [one.id for found in disputes.values() for one in found]
    attempts = _by(await rx.many(_ATTEMPTS, attempt_of, ids=ids), lambda one: one.order_id)
    made = [one.id for found in (*attempts.values(), *refunds.values()) for one in found]
    return Rows(
        refunds=refunds,
        refund_facts=await _facts_of_refunds(rx, refunds),
        disputes=disputes,
        dispute_facts=_told(await rx.disputes.facts_of(contested)) if contested else defaultdict(list),
        reservations=_by(await rx.many(_RESERVATIONS, Promise, ids=ids), lambda one: one.order_id),
        orders=await rx.many(_ORDERS, order_of, ids=ids),
        attempts=attempts,
        asked=set(await rx.many(_ASKED, str, ids=made)),
        facts=await _facts(rx, ids),
        entries=await rx.many(_ENTRIES, _entry, ids=ids),
        rights=_by(await rx.many(_RIGHTS, _right, ids=ids), lambda one: one.order_id),
    )


async def _facts(rx: Rx, ids: Sequence[str]) -> dict[str, list[Fact]]:
    told: dict[str, list[Fact]] = defaultdict(list)
    for attempt_id, fact in await rx.many(_FACTS, _fact, ids=ids):
        told[attempt_id].append(fact)
    return told


async def _facts_of_refunds(rx: Rx, refunds: Mapping[str, Sequence[Refund]]) -> dict[str, list[RefundFact]]:
    asked = [one.id for found in refunds.values() for one in found]
    return _told(await rx.refunds.facts_of(asked)) if asked else defaultdict(list)


def _told(rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Facts by what they are about: each row begins with that, and then the fact."""
    found: dict[str, list[Any]] = defaultdict(list)
    for about, fact, *_ in rows:
        found[about].append(fact)
    return found


def _by(rows: Sequence[Any], key: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _entry(
    entry_id: str, seq: int, order_id: str, reference: str, debit: str, credit: str, asset: str, amount: int
) -> Entry:
    return Entry((entry_id, seq), order_id, reference, debit, credit, asset, amount)


def _right(order_id: str, state: str, entitlement_id: str, entitlement_state: str) -> Right:
    return Right(order_id, GrantState(state), entitlement_id, EntitlementState(entitlement_state))


def _fact(
    attempt_id: str, channel: str, key: str, source: str, kind: str, amount: int | None, currency: str | None,
    provider_at_us: int | None, observed_at_us: int, call: int,
) -> tuple[str, Fact]:  # fmt: skip
    money = None if amount is None or currency is None else Money(amount, currency)
    fact = Fact(channel, key, Source(source), FactKind(kind), observed_at_us, money, provider_at_us, call)
    return attempt_id, fact


_TOLD = select(event.c.seq, event.c.subject).where(event.c.seq > bindparam("after"))
_ORDERS_OF = {
    prefix: select(order_id).where(is_one_of(of, "ids"))
    for prefix, order_id, of in (
        ("pat", payment_attempt.c.order_id, payment_attempt.c.id),
        ("rfn", refund_table.c.order_id, refund_table.c.id),
        ("dsp", dispute_table.c.order_id, dispute_table.c.id),
        ("ent", grant.c.source_ref, grant.c.entitlement_id),
    )
}
_ORDERS = select(order).where(is_one_of(order.c.id, "ids"))
_ATTEMPTS = (
    select(payment_attempt).where(is_one_of(payment_attempt.c.order_id, "ids")).order_by(payment_attempt.c.number)
)
_ASKED = select(task.c.key).where(
    is_one_of(task.c.key, "ids")
    & task.c.kind.in_([
        literal_column(f"'{kind}'") for kind in (attempt_facts.RESOLVE, attempt_facts.VOID, refund_facts.RESOLVE)
    ])
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
        posting.c.entry_id, posting.c.seq, journal_entry.c.order_id, journal_entry.c.reference, posting.c.debit_account,
        posting.c.credit_account, posting.c.asset, posting.c.amount_minor,
    )
    .join(journal_entry, journal_entry.c.id == posting.c.entry_id)
    .where(is_one_of(journal_entry.c.order_id, "ids"))
)  # fmt: skip
_OF_ACCOUNT = (
    select(*_ENTRIES.selected_columns)
    .join(journal_entry, journal_entry.c.id == posting.c.entry_id)
    .where((posting.c.debit_account == bindparam("id")) | (posting.c.credit_account == bindparam("id")))
)
_t = refund_table.c
_REFUNDS = select(refund_table).where(is_one_of(_t.order_id, "ids")).order_by(_t.created_at_us, _t.id)
_r = reservation.c
_RESERVATIONS = select(_r.order_id, _r.reference, _r.state, _r.postings).where(is_one_of(_r.order_id, "ids"))
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
