"""Payment providers in process, one per channel, with books of their own: what they took is what the hub must find out.

Each call and each notice meets a fault drawn from the seed, the payment's key and how often it was asked, so that the
same payment meets the same faults however its steps interleave with others'.
"""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hub.domain.disputes import OPEN, RANK, TAKEN, DisputeState, DisputeWord
from hub.domain.money import Money
from hub.domain.payments import CaptureMethod, NextAction, Notice, Outcome, PaymentAttempt, Result, Stage
from hub.domain.refunds import Refund
from hub.flows import notices
from hub.ports import Ack, AmountRange, Capabilities, Hub, NoticeRefused, RawNotice
from hub.store.transactions import Unavailable, running_unit

if TYPE_CHECKING:
    from tests.simulation.town import Town

SKEW_US = 300 * 1_000_000  # how old or new a dated notice may be
HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Manner:
    """How the providers of one kind go about it."""

    code: str
    is_dated: bool
    not_found_after_ms: int
    opens: Mapping[str, int]  # what a new payment becomes, by weight
    has_movement_refs: bool = False
    can_authorize: bool = False
    can_be_answered: bool = False  # its disputes, by its API


MANNERS = (
    Manner(
        "sandbox",
        True,
        65_000,
        {"TAKEN": 50, "OPEN": 38, "DECLINED": 8, "PENDING": 4},
        can_authorize=True,
        can_be_answered=True,
    ),
    Manner("stripe", True, 65_000, {"TAKEN": 55, "OPEN": 25, "DECLINED": 15, "PENDING": 5}, True, True, True),
    Manner("alipay", False, 2 * 3_600_000, {"OPEN": 100}),  # a shown code may still be paid before
    Manner("wechat", True, 65_000, {"OPEN": 97, "DECLINED": 3}),
)
FAULTS = {
    "capture": {"": 76, "lost before": 7, "lost after": 8, "refused": 4, "raises": 1, "slow": 4},
    "refund": {"": 76, "lost before": 6, "lost after": 8, "refused": 4, "raises": 1, "slow": 4, "rejected": 1},
    "query_refund": {"": 80, "lost before": 10, "refused": 4, "slow": 4, "forgets": 2},
    "create": {"": 72, "lost before": 7, "lost after": 6, "refused": 8, "raises": 1, "slow": 5, "rejected": 1},
    "query": {"": 80, "lost before": 10, "refused": 4, "raises": 1, "slow": 3, "forgets": 2},
    "answer_dispute": {"": 70, "lost before": 9, "lost after": 10, "refused": 4, "raises": 1, "slow": 4, "rejected": 2},
    "void": {"": 80, "lost before": 6, "lost after": 8, "refused": 3, "slow": 3},
}
# What a buyer does who is shown a page or a code.
BUYERS = {
    "pays": 56, "declined": 8, "declined, then pays": 5, "leaves": 11, "lapses": 3, "pays late": 8, "pays twice": 4,
    "pays a part": 3, "pays otherwise": 2,
}  # fmt: skip
# What becomes of a refund that a provider was asked for.
RETURNS = {"DONE": 60, "PENDING": 24, "FAILED": 8, "DONE, then FAILED": 8}
# How a contested charge ends, after whatever was told before; and how many of a thousand charges are contested.
DISPUTES = {"WON": 35, "LOST": 40, "ACCEPTED": 10, "PREVENTED": 15}
CONTESTED_OF_1000 = 40
FEE_MINOR = 1_500
# What becomes of held money when it is to be taken.
CAPTURES = {"TAKEN": 84, "DECLINED": 8, "DECLINED, and let go": 8}
# How a notice comes.
FATES = {"during": 20, "soon": 40, "late": 15, "hours later": 5, "lost": 20}
DELAYS_S = {"soon": (0.0, 4.0), "late": (60.0, 900.0), "hours later": (HOUR_S, 20 * HOUR_S)}
SILENT_OF_1000 = 4  # payments of which nothing is heard until providers are kind


@dataclass(slots=True)
class Payment:
    """One payment as its provider knows it. `movements` is the money that was taken, by reference."""

    key: str
    amount: Money
    state: str = "OPEN"
    at_us: int = 0
    movements: dict[str, Money] = field(default_factory=dict)
    notices: int = 0
    is_manual: bool = False  # held until it is captured
    is_denied: bool = False  # it has told once that there is no such payment
    no_capture: str = ""  # why its held money is not paid out


@dataclass(slots=True)
class Returned:
    """Money on its way back, as the provider knows it."""

    key: str
    payment: Payment
    amount: Money
    state: str  # PENDING, DONE, FAILED
    is_denied: bool = False  # it has told once that there is no such refund


@dataclass(slots=True)
class Contested:
    """A dispute as the provider knows it."""

    reference: str
    payment: Payment
    amount: Money
    state: DisputeState = DisputeState.EARLY_WARNING
    answers: dict[str, bool] = field(default_factory=dict)  # whether each was taken, by its key

    @property
    def taken_minor(self) -> int:
        """What the provider holds back of its balance, or has taken for good, with its fee."""
        if self.state in (*OPEN, *TAKEN):
            return self.amount.amount_minor + (FEE_MINOR if self.state in TAKEN else 0)
        return 0


class Provider:
    """A `Channel` over its own books. Idempotent by key; says the same in answers, queries and notices."""

    def __init__(self, manner: Manner, town: "Town") -> None:
        self.manner, self.town, self.code = manner, town, manner.code
        self.capabilities = Capabilities(
            currencies={"CNY": AmountRange(1, 10**12)},
            not_found_after_ms=manner.not_found_after_ms,
            is_dated=manner.is_dated,
            can_authorize=manner.can_authorize,
            can_capture_partly=manner.can_authorize,
            can_refund=True,
            can_refund_partly=True,
            has_disputes=True,
        )
        self.payments: dict[str, Payment] = {}
        self.returned: dict[str, Returned] = {}
        self.contested: dict[str, Contested] = {}
        self.is_kind = False  # at the end: no fault any more
        self.met: Counter[str] = Counter()  # faults, by what they were
        self._calls: Counter[tuple[str, str]] = Counter()
        self._told: dict[bytes, Notice] = {}
        self._of_order: dict[str, list[str]] = defaultdict(list)  # keys, by order number
        self._under_way: set[str] = set()
        self._overasked: set[str] = set()  # refunds that were refused, by key
        self._during: dict[str, list[Notice]] = {}  # notices that come before the call under way is answered
        self._secret = hashlib.sha256(f"secret of {self.code}".encode()).digest()

    # ---- the port --------------------------------------------------------------------------------------------------

    async def create(self, attempt: PaymentAttempt) -> Result:
        return await self._call("create", attempt, attempt.key, lambda: self._open(attempt))

    async def query(self, attempt: PaymentAttempt) -> Result:
        return await self._call("query", attempt, attempt.key, lambda: None)

    async def void(self, attempt: PaymentAttempt) -> Result:
        return await self._call("void", attempt, attempt.key, lambda: self._close(attempt.key, "VOIDED"))

    async def capture(self, attempt: PaymentAttempt, amount: Money) -> Result:
        told = await self._call("capture", attempt, attempt.key, lambda: self._capture(attempt.key, amount))
        payment = self.payments.get(attempt.key)
        if told.outcome is Outcome.DONE and payment is not None and payment.no_capture:
            return self._result(Outcome.DECLINED, code="capture_declined", decline="soft")
        return told

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        return await self._call("refund", attempt, refund.key, lambda: self._return(attempt, refund))

    async def query_refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        return await self._call("query_refund", attempt, refund.key, lambda: None)

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        stamp = raw.headers["stamp"]
        if raw.headers["signature"] != self._signature(raw.body, stamp):
            raise NoticeRefused("the signature is not ours")
        if self.manner.is_dated and abs(now_us - int(stamp)) > SKEW_US:
            raise NoticeRefused("the notice is too old, or not of now")
        return self._told[raw.body]

    def ack(self, accepted: bool) -> Ack:
        return Ack(200 if accepted else 409)

    async def aclose(self) -> None: ...

    # ---- calls and their faults ------------------------------------------------------------------------------------

    async def _call(self, method: str, attempt: PaymentAttempt, key: str, act: Callable[[], None]) -> Result:
        """`key` is of the payment or of one of its refunds, whichever it is about."""
        self.town.books.know(attempt.order_id, attempt.key.rpartition("-")[0])
        assert running_unit.get() is None, f"{method} of {key} while {running_unit.get()} holds a transaction"
        self._calls[method, key] += 1
        chance = self.town.chance(self.code, method, key, self._calls[method, key])
        fault = "" if self.is_kind else drawn(chance, FAULTS[method])
        if self._is_silent(key):
            fault = "lost after" if method in ("create", "refund") and chance.random() < 0.5 else "lost before"
        self.met[f"{method} {fault or 'answered'}"] += 1
        if fault == "raises":
            raise RuntimeError(f"the adapter is broken, says {method} of {key}")
        if fault in _BEFORE:
            return self._result(_BEFORE[fault], code=fault)
        self._under_way.add(key)
        act()
        self._under_way.discard(key)
        await self._tell_during(key)
        if fault == "slow":
            await self.town.sleep(chance.uniform(1, 4))
        if fault == "lost after":
            return self._result(Outcome.UNKNOWN)
        if fault == "forgets":
            self._remember_later(key)
            return self._result(Outcome.DONE)
        return self._says_of_refund(key) if method.endswith("refund") else self._says(key)

    def _remember_later(self, key: str) -> None:
        """Who denied what it has is believed, and asked no more: whatever becomes of it, its notice comes."""
        if (returned := self.returned.get(key)) is not None:
            returned.is_denied = True
            self._tell_of_refund(returned, is_told=True)
        if (payment := self.payments.get(key)) is not None:
            payment.is_denied = True
            if payment.state != "OPEN":
                self._tell(payment, self._says(key), is_told=True)

    def _is_silent(self, key: str) -> bool:
        return not self.is_kind and self.town.chance("silent", key).randrange(1000) < SILENT_OF_1000

    def _result(self, outcome: Outcome, stage: Stage = Stage.NONE, **more: object) -> Result:
        digest = hashlib.sha256(b"answer").digest()
        return Result(outcome, stage, digest, self.town.clock.now_us(), **more)  # type: ignore[arg-type]  # fields are given by name

    def _says(self, key: str) -> Result:
        """What is true of a payment, as answers and queries tell it."""
        payment = self.payments.get(key)
        if payment is None:
            return self._result(Outcome.DONE)
        if payment.movements:
            reference = next(iter(payment.movements))
            return self._charged(payment, reference)
        told = {
            "OPEN": self._result(Outcome.ACTION, next_action=NextAction("qr", data=f"pay {key}")),
            "PENDING": self._result(Outcome.PENDING),
            "DECLINED": self._result(Outcome.DECLINED, code="card_declined", decline="soft"),
            "AUTHORIZED": self._result(Outcome.DONE, Stage.AUTHORIZED, amount=payment.amount),
            "VOIDED": self._result(Outcome.DONE, Stage.VOIDED),
            "EXPIRED": self._result(Outcome.DONE, Stage.EXPIRED),
        }[payment.state]
        return replace(told, provider_at_us=payment.at_us if self.manner.is_dated else None)

    def _charged(self, payment: Payment, reference: str) -> Result:
        return self._result(
            Outcome.DONE,
            Stage.CHARGED,
            amount=payment.movements[reference],
            movement_ref=None if reference == payment.key else reference,
            channel_ref=f"ref of {payment.key}",
            provider_at_us=payment.at_us if self.manner.is_dated else None,
        )

    def _says_of_refund(self, key: str) -> Result:
        returned = self.returned.get(key)
        if returned is None and key in self._overasked:
            return self._result(Outcome.REJECTED, code="more_than_is_left")
        if returned is None:
            return self._result(Outcome.DONE)
        if returned.state == "DONE":
            return self._result(Outcome.DONE, Stage.REFUNDED, amount=returned.amount, movement_ref=f"re_{key}")
        if returned.state == "PENDING":
            return self._result(Outcome.PENDING)
        return self._result(Outcome.DECLINED, code="the bank does not take it back")

    # ---- what becomes of a payment ---------------------------------------------------------------------------------

    def _open(self, attempt: PaymentAttempt) -> None:
        if attempt.key in self.payments:
            return
        payment = self.payments[attempt.key] = Payment(attempt.key, attempt.amount)
        payment.is_manual = attempt.capture_method is CaptureMethod.MANUAL
        self._of_order[attempt.key.rpartition("-")[0]].append(attempt.key)
        chance = self.town.chance(self.code, "opens", attempt.key)
        self._move(payment, drawn(chance, self.manner.opens))
        if payment.state in ("OPEN", "PENDING"):
            self.town.spawn(self._buyer(payment, chance))

    def _move(self, payment: Payment, state: str) -> None:
        if state == "TAKEN" and payment.is_manual:
            state = "AUTHORIZED"
        if state == "TAKEN":
            self._take(payment, payment.amount)
            return
        payment.state, payment.at_us = state, self.town.clock.now_us()
        if state != "OPEN":
            self._tell(payment, self._says(payment.key))

    def _take(self, payment: Payment, amount: Money, *, is_told: bool = False) -> None:
        """Money moves. `is_told`: nothing but the notice can tell of it, so that one is not lost for ever."""
        first = f"ch_{payment.key}" if self.manner.has_movement_refs else payment.key
        reference = f"{first}/{len(payment.movements) + 1}" if payment.movements else first
        is_told = is_told or bool(payment.movements) or payment.state not in _UNPAID
        for earlier in payment.movements:  # once this one is known, nobody asks for those before it
            self._tell(payment, self._charged(payment, earlier), is_told=True)
        payment.movements[reference] = amount
        payment.state, payment.at_us = "TAKEN", self.town.clock.now_us()
        self._tell(payment, self._charged(payment, reference), is_told=is_told)
        if self.town.chance("contested", payment.key, reference).randrange(1000) < CONTESTED_OF_1000:
            self.town.spawn(self._contest(payment, amount, f"dp_{reference}"))

    def taken_minor(self, order_number: str, currency: str) -> int:
        """What it took for one order in all, in one currency."""
        return sum(
            money.amount_minor
            for key in self._of_order[order_number]
            for money in self.payments[key].movements.values()
            if money.currency == currency
        )

    def shown(self, order_number: str) -> list[str]:
        """Its payments of one order, for who looks for a mistake."""
        mine = [self.payments[key] for key in self._of_order[order_number]]
        return [f"{one.key} {one.state} {one.movements} {'denied' if one.is_denied else ''}" for one in mine]

    def balance_minor(self, currency: str) -> int:
        """What it has of ours: taken, less what it gave back, less what disputes hold or took."""
        taken = sum(
            money.amount_minor
            for payment in self.payments.values()
            for money in payment.movements.values()
            if money.currency == currency
        )
        back = [one.amount for one in self.returned.values() if one.state == "DONE" and one.amount.currency == currency]
        held = [one.taken_minor for one in self.contested.values() if one.amount.currency == currency]
        return taken - sum(money.amount_minor for money in back) - sum(held)

    def given_back_minor(self, order_number: str, currency: str) -> int:
        """What it gave back of one order, in one currency."""
        return sum(
            one.amount.amount_minor
            for one in self.returned.values()
            if one.state == "DONE" and one.amount.currency == currency and one.key.startswith(f"{order_number}-")
        )

    def _close(self, key: str, state: str) -> None:
        payment = self.payments.get(key)
        if payment is not None and payment.state in _UNPAID:
            self._move(payment, state)

    def _capture(self, key: str, amount: Money) -> None:
        """Once, all of it or a part; the rest is the payer's again."""
        payment = self.payments.get(key)
        if payment is None or payment.state != "AUTHORIZED" or payment.no_capture:
            return
        becomes = drawn(self.town.chance(self.code, "captures", key), CAPTURES)
        self.met[f"capture {becomes}"] += 1
        if becomes == "TAKEN":
            self._take(payment, amount)
            return
        payment.no_capture = becomes
        if becomes == "DECLINED, and let go":
            self._move(payment, "VOIDED")

    async def _buyer(self, payment: Payment, chance: random.Random) -> None:
        """Somebody in front of a page, a code or their bank."""
        does = drawn(chance, BUYERS)
        self.met[f"buyer {does}"] += 1
        await self.town.sleep(chance.uniform(31 * 60, 26 * HOUR_S) if does == "pays late" else chance.uniform(2, 600))
        is_open = payment.state in ("OPEN", "PENDING")
        if does == "leaves" or not (is_open or (does == "pays late" and chance.random() < 0.5)):
            return
        if does == "lapses":
            self._move(payment, "EXPIRED")
            return
        if does.startswith("declined"):
            self._move(payment, "DECLINED")
            if does == "declined":
                return
            await self.town.sleep(chance.uniform(5, 900))
        if payment.is_manual:
            if payment.state in ("OPEN", "PENDING"):
                self._move(payment, "AUTHORIZED")
            return
        amount, rest = payment.amount, 0
        if does == "pays a part" and amount.amount_minor > 1:
            rest = chance.randint(1, amount.amount_minor - 1)
            amount = replace(amount, amount_minor=amount.amount_minor - rest)
        if does == "pays otherwise":
            amount = replace(amount, currency="USD") if chance.random() < 0.5 else replace(amount, amount_minor=20_001)
        self._take(payment, amount)
        if does == "pays twice" or (rest and chance.random() < 0.6):
            await self.town.sleep(chance.uniform(1, 3 * HOUR_S))
            self._take(payment, replace(amount, amount_minor=rest) if rest else amount)

    # ---- money that goes back --------------------------------------------------------------------------------------

    def _return(self, attempt: PaymentAttempt, refund: Refund) -> None:
        """Once per key; more than is left of the charge is never asked for, or the hub has miscounted."""
        if (known := self.returned.get(refund.key)) is not None:
            self.town.expect(known.amount == refund.amount, "refunds", f"{refund.key} asked with another amount")
            return
        payment = self.payments[attempt.key]
        mine = [money.amount_minor for money in payment.movements.values() if money.currency == refund.amount.currency]
        gone = [one for one in self.returned.values()
                if one.payment is payment and one.state != "FAILED"
                and one.amount.currency == refund.amount.currency]  # fmt: skip
        left = sum(mine) - sum(one.amount.amount_minor for one in gone)
        if refund.amount.amount_minor > left and any(one.is_denied for one in gone):
            self.met["refund of what it denied"] += 1  # the hub could not know: here it is refused
            self._overasked.add(refund.key)
            return
        shown = [f"{one.key} {one.amount.amount_minor} {one.state}" for one in gone]
        why = f"{refund.key} asks for {refund.amount} of {left}: {shown}"
        self.town.expect(refund.amount.amount_minor <= left, "I6", why)
        chance = self.town.chance(self.code, "returns", refund.key)
        becomes = drawn(chance, RETURNS)
        self.met[f"refund {becomes}"] += 1
        returned = Returned(refund.key, payment, refund.amount, becomes.partition(",")[0])
        self.returned[refund.key] = returned
        self._tell_of_refund(returned)
        if becomes in ("PENDING", "DONE, then FAILED"):
            self.town.spawn(self._bank(returned, chance))

    async def _bank(self, returned: Returned, chance: random.Random) -> None:
        """The payer's bank takes its time, or sends back what it had taken."""
        await self.town.sleep(chance.uniform(60, 12 * HOUR_S))
        is_fine = returned.state == "PENDING" and chance.random() < 0.8
        returned.state = "DONE" if is_fine else "FAILED"
        self._tell_of_refund(returned, is_told=True)

    def _tell_of_refund(self, returned: Returned, *, is_told: bool = False) -> None:
        told = self._says_of_refund(returned.key)
        self._tell(returned.payment, told, is_told=is_told, refund_key=returned.key)

    async def _contest(self, payment: Payment, amount: Money, reference: str) -> None:
        """The payer's bank asks for the money; nothing but notices tells of it, each of which comes in the end."""
        chance = self.town.chance(self.code, "contest", reference)
        await self.town.sleep(chance.uniform(600, 12 * HOUR_S))
        if chance.random() < 0.3:
            amount = replace(amount, amount_minor=chance.randint(1, amount.amount_minor))
        contested = self.contested[reference] = Contested(reference, payment, amount)
        end = drawn(chance, DISPUTES)
        self.met[f"dispute {end}"] += 1
        states = [DisputeState.NEEDS_RESPONSE, DisputeState(end)]
        if chance.random() < 0.3:
            states.insert(0, DisputeState.EARLY_WARNING)
        if chance.random() < 0.5:
            states.insert(-1, DisputeState.UNDER_REVIEW)
        for state in states:
            is_past = RANK[state] <= RANK[contested.state]
            if is_past and state is not states[0]:  # its merchant has answered meanwhile
                continue
            contested.state = state
            self._tell_of_dispute(contested)
            if state is DisputeState.NEEDS_RESPONSE:
                self._asks_merchant(contested)
            await self.town.sleep(chance.uniform(60, 6 * HOUR_S))

    def _asks_merchant(self, contested: Contested) -> None:
        """Here they answer by hand, of which the hub knows nothing."""

    def _tell_of_dispute(self, contested: Contested) -> None:
        told = replace(self._says(contested.payment.key), provider_at_us=self.town.clock.now_us())
        self._tell(contested.payment, told, is_told=True, dispute=self._word(contested))

    def _word(self, contested: Contested) -> DisputeWord:
        """What is true of a dispute now."""
        fee = replace(contested.amount, amount_minor=FEE_MINOR) if contested.state in TAKEN else None
        due_us = self.town.clock.now_us() + 7 * 24 * 3600 * 1_000_000
        return DisputeWord(contested.reference, contested.state, contested.amount, "fraudulent", due_us, fee)

    # ---- notices ---------------------------------------------------------------------------------------------------

    def _tell(
        self,
        payment: Payment,
        told: Result,
        *,
        is_told: bool = False,
        refund_key: str | None = None,
        dispute: DisputeWord | None = None,
    ) -> None:
        """A notice is made, and comes as its fate will have it; before it perhaps forged ones."""
        payment.notices += 1
        event_id = f"evt_{self.code}_{payment.key}_{payment.notices}"
        digest = hashlib.sha256(repr((event_id, replace(told, observed_at_us=0), dispute)).encode()).digest()
        kind = "refund" if refund_key else "dispute" if dispute else "payment"
        notice = Notice(event_id, payment.key, told, digest, kind, refund_key, dispute)
        self._told[digest] = notice
        is_told = is_told or payment.is_denied
        chance = self.town.chance(self.code, "notice", event_id)
        fate = drawn(chance, FATES)
        if fate == "lost" and (is_told or self.is_kind):
            fate = "late"
        about = refund_key or payment.key
        if fate == "during" and (is_told or about not in self._under_way):  # a call may be given up in the middle
            fate = "soon"
        if self._is_silent(payment.key):
            fate = "hours later" if is_told else "lost"
        self.met[f"notice {fate}"] += 1
        if fate == "during":
            self._during.setdefault(about, []).append(notice)
        elif fate != "lost":
            self.town.spawn(self._come(notice, fate, chance))

    async def _tell_during(self, key: str) -> None:
        """Before the call that caused it has been answered."""
        for notice in self._during.pop(key, []):
            await self._deliver(notice, self.town.chance("door", notice.event_id))

    async def _come(self, notice: Notice, fate: str, chance: random.Random) -> None:
        least, most = DELAYS_S[fate]
        if most:
            await self.town.sleep(chance.uniform(least, most))
        for _ in range(chance.choice((1, 1, 1, 1, 1, 1, 2, 2, 3, 5))):
            await self._deliver(notice, chance)
            if chance.random() < 0.1:
                await self.town.sleep(chance.uniform(1, HOUR_S))

    async def _deliver(self, notice: Notice, chance: random.Random) -> None:
        """To any of the hub's processes; now and then somebody else tries first, in vain."""
        hub = chance.choice(self.town.hubs)
        stamp = str(self.town.clock.now_us() + chance.randint(-SKEW_US, SKEW_US))
        raw = RawNotice({"stamp": stamp, "signature": self._signature(notice.digest, stamp)}, notice.digest)
        if chance.random() < 0.08:
            await self._refused(hub, chance, raw)
        try:
            ack = await notices.receive(hub, self.code, raw)
        except Unavailable:  # answered by "send it again"
            self.town.busy += 1
            await self.town.sleep(chance.uniform(5, 60))
            await self._deliver(notice, chance)
            return
        assert ack.status == 200, notice.event_id

    async def _refused(self, hub: Hub, chance: random.Random, raw: RawNotice) -> None:
        """One byte changed, another's signature, an old stamp, or the endpoint of another channel."""
        stamp, body, code = raw.headers["stamp"], raw.body, self.code
        signature = raw.headers["signature"]
        how = chance.choice(("tampered", "forged", "stale", "elsewhere"))
        if how == "stale" and not self.manner.is_dated:
            how = "forged"
        if how == "tampered":
            body = bytes([body[0] ^ 1]) + body[1:]
        elif how == "forged":
            signature = hashlib.blake2b(body + stamp.encode(), key=b"somebody else").hexdigest()
        elif how == "stale":
            stamp = str(self.town.clock.now_us() - SKEW_US - 1)
            signature = self._signature(body, stamp)
        else:
            code = next(other.code for other in MANNERS if other.code != self.code)
        self.met[f"refused {how}"] += 1
        try:
            await notices.receive(hub, code, RawNotice({"stamp": stamp, "signature": signature}, body))
        except NoticeRefused:
            return
        raise AssertionError(f"a {how} notice of {self.code} was taken")

    def _signature(self, body: bytes, stamp: str) -> str:
        return hashlib.blake2b(body + stamp.encode(), key=self._secret).hexdigest()


_UNPAID = ("OPEN", "PENDING", "AUTHORIZED")
_BEFORE = {
    "lost before": Outcome.UNKNOWN,
    "refused": Outcome.NOT_SENT,
    "rejected": Outcome.REJECTED,
}


def drawn(chance: random.Random, weights: Mapping[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]
