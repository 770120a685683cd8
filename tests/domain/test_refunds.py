"""Whatever a channel says of a refund, in whatever order and however often: one set of facts, one state; and whoever
gives money back gives of what it holds, to the last unit and never below nothing."""

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.ledger import NotHeld, Posting, escrow, fold, held, mirrored, payee_pending, taken_from
from hub.domain.money import Money
from hub.domain.orders import ChargeStatus, Order, OrderStatus, charge_status
from hub.domain.payments import Outcome, Result, Source, Stage
from hub.domain.refunds import (
    MAX_REFUNDS,
    OPEN,
    RANK,
    TRANSITIONS,
    Refund,
    Refundable,
    RefundFact,
    RefundFactKind,
    RefundState,
    chosen,
    excess_minor,
    fact_of,
    may_be_canceled,
    may_be_refunded,
    reduce,
    refunded,
    submitted,
    surplus_charge,
)
from hub.domain.shares import Share, ShareAgreement, release
from tests.domain.samples import order

AMOUNT = Money(700, "CNY")
OWN = frozenset({RefundFactKind.NOT_SENT, RefundFactKind.UNKNOWN})


def refund(**more: object) -> Refund:
    sent = Refund(
        id="rfn_1", order_id="ord_1", attempt_id="pat_1", number=1, key="TB1-1-R1", amount=AMOUNT,
        state=RefundState.SUBMITTED, reason=None, requested_by="platform plt_1", request_key=None, calls=1,
        sent_at_us=10, heard_rank=0, heard_at_us=None, heard_key="", channel_ref=None, code=None,
        unknown_since_us=None, version=1, created_at_us=9,
    )  # fmt: skip
    return replace(sent, **more)  # type: ignore[arg-type]  # fields are given by name


def fact(kind: RefundFactKind, at: int | None = None, *, call: int = 1) -> RefundFact:
    of_call = f"/{call}" if kind in OWN else f"/{at or ''}" if kind is RefundFactKind.PENDING else ""
    amount = AMOUNT if kind is RefundFactKind.SUCCEEDED else None
    key = f"{kind}/TB1-1-R1{of_call}"
    return RefundFact("sandbox", key, Source.NOTICE, kind, 50, amount, None if kind in OWN else at, call)


def told(start: Refund, *facts: RefundFact) -> Refund:
    for each in facts:
        start = reduce(start, each)
    return start


def meaning(facts: list[RefundFact], calls: int) -> RefundState:
    """The state that 02 §3 gives a set of facts, by its definition: no arrival in it."""
    facts = [each for each in facts if each.kind is not RefundFactKind.REJECTED or each.call == calls]
    kinds = {each.kind for each in facts}
    bad = [each for each in facts if RANK.get(each.kind) == 4]
    if bad:
        if RefundFactKind.SUCCEEDED in kinds:
            return RefundState.REVERSED
        greatest = max(bad, key=lambda each: (each.provider_at_us is not None, each.provider_at_us, each.key))
        return RefundState(greatest.kind.value)
    if RefundFactKind.SUCCEEDED in kinds:
        return RefundState.SUCCEEDED
    if RefundFactKind.REJECTED in kinds:
        return RefundState.FAILED
    if RefundFactKind.PENDING in kinds:
        return RefundState.PENDING
    own = {each.kind for each in facts if each.call == calls}
    if RefundFactKind.NOT_SENT in own:
        return RefundState.REQUESTED
    return RefundState.UNKNOWN if RefundFactKind.UNKNOWN in own else RefundState.SUBMITTED


facts = st.builds(
    lambda kind, at, call: fact(kind, at, call=call),
    st.sampled_from(RefundFactKind),
    st.none() | st.integers(0, 3),
    st.integers(1, 2),
)


@given(st.lists(facts, max_size=6), st.data())
@settings(max_examples=300, deadline=None)
def test_any_order_and_any_repetition_of_the_facts_ends_in_the_same_refund(
    heard: list[RefundFact], data: st.DataObject
) -> None:
    calls = data.draw(st.integers(1, 2))
    doubled = heard + data.draw(st.lists(st.sampled_from(heard), max_size=4)) if heard else heard
    shuffled = data.draw(st.permutations(doubled))
    start = refund(calls=calls)
    assert told(start, *heard) == told(start, *shuffled)
    assert told(start, *shuffled).state is meaning(heard, calls)


def test_all_words_at_once_end_alike_in_each_of_their_5040_orders() -> None:
    words = [fact(kind, at) for kind, at in zip(RefundFactKind, (1, 2, 3, 4, 5, None, None), strict=True)]
    ends = {told(refund(), *arrival) for arrival in itertools.permutations(words)}
    assert [end.state for end in ends] == [RefundState.REVERSED]


def test_every_move_of_the_reducer_is_in_the_table_and_every_row_of_the_table_is_a_move() -> None:
    moves = set()
    for start in itertools.permutations([fact(kind) for kind in RefundFactKind], 2):
        for more in RefundFactKind:
            before = told(refund(), *start)
            after = reduce(before, fact(more, 9))
            if after.state is not before.state:
                moves.add((before.state, more, after.state))
    for more in RefundFactKind:  # from the states of our own commands, of which no fact tells
        for state in (RefundState.SUBMITTED, RefundState.REQUESTED, RefundState.UNKNOWN, RefundState.CANCELED):
            after = reduce(refund(state=state), fact(more))
            if after.state is not state:
                moves.add((state, more, after.state))
    assert moves <= TRANSITIONS
    assert {(move[0], move[2]) for move in TRANSITIONS} == {(move[0], move[2]) for move in moves}


def test_a_success_over_another_amount_moves_nothing_before_or_after_the_right_one() -> None:
    wrong = replace(fact(RefundFactKind.SUCCEEDED), amount=Money(600, "CNY"))
    assert reduce(refund(), wrong) == refund()
    right = fact(RefundFactKind.SUCCEEDED)
    assert told(refund(), wrong, right) == told(refund(), right, wrong)


WORDS = [
    (Outcome.DONE, Stage.REFUNDED, "SUCCEEDED", "SUCCEEDED"),
    (Outcome.DONE, Stage.VOIDED, "CANCELED", "CANCELED"),
    (Outcome.DONE, Stage.NONE, "UNKNOWN", "NOT_SENT"),
    (Outcome.DONE, Stage.CHARGED, "UNKNOWN", None),
    (Outcome.PENDING, Stage.NONE, "PENDING", "PENDING"),
    (Outcome.ACTION, Stage.NONE, "PENDING", "PENDING"),
    (Outcome.DECLINED, Stage.NONE, "FAILED", "FAILED"),
    (Outcome.REJECTED, Stage.NONE, "REJECTED", None),
    (Outcome.NOT_SENT, Stage.NONE, "NOT_SENT", None),
    (Outcome.UNKNOWN, Stage.NONE, "UNKNOWN", None),
]


@pytest.mark.parametrize(("outcome", "stage", "answer", "query"), WORDS)
def test_what_a_result_says(outcome: Outcome, stage: Stage, answer: str, query: str | None) -> None:
    amount = AMOUNT if stage is Stage.REFUNDED else None
    result = Result(outcome, stage, b"", 50, amount=amount)
    heard = [fact_of(refund(), "sandbox", result, source) for source in (Source.ANSWER, Source.QUERY)]
    assert [each and each.kind for each in heard] == [answer, query]


def test_success_without_its_amount_is_as_if_the_answer_had_been_lost() -> None:
    said = fact_of(refund(), "sandbox", Result(Outcome.DONE, Stage.REFUNDED, b"", 50), Source.ANSWER)
    assert said is not None
    assert said.kind is RefundFactKind.UNKNOWN


def test_two_refunds_of_equal_amount_under_one_charge_are_two_facts() -> None:
    result = Result(Outcome.DONE, Stage.REFUNDED, b"", 50, amount=AMOUNT, movement_ref="ch_1")
    keys = {
        said.key
        for one in (refund(), refund(key="TB1-1-R2", number=2))
        if (said := fact_of(one, "sandbox", result, Source.NOTICE))
    }
    assert len(keys) == 2


def test_what_is_sent_again_is_one_more_call_and_only_what_was_not_sent_can_be_called_off() -> None:
    again = submitted(refund(state=RefundState.REQUESTED), 70)
    assert (again.state, again.calls, again.sent_at_us) == ("SUBMITTED", 2, 70)
    assert [state for state in RefundState if may_be_canceled(refund(state=state)) is None] == ["REQUESTED"]
    assert {state for state in RefundState if refund(state=state).is_open} == OPEN


# ---- whether, and of which charge ------------------------------------------------------------------------------------


def charge(captured: int = 1000, **more: int) -> Refundable:
    given = {"refunded_minor": 0, "reserved_minor": 0, "refunds": 0} | more
    return Refundable("pat_1", "TB1-1", "sandbox", Money(captured, "CNY"), **given)


@pytest.mark.parametrize(
    ("of", "minor", "more", "code"),
    [
        (charge(), 1000, {}, None),
        (charge(refunded_minor=600, reserved_minor=400), 1, {}, "REFUND_EXCEEDS"),
        (charge(refunded_minor=600, reserved_minor=399), 1, {}, None),
        (charge(held_minor=5), 6, {}, "REFUND_EXCEEDS"),
        (charge(), 1001, {}, "REFUND_EXCEEDS"),
        (charge(), 0, {}, "REFUND_EXCEEDS"),
        (charge(refunds=MAX_REFUNDS), 1, {}, "NOT_REFUNDABLE"),
        (charge(), 1, {"can_refund_partly": False}, "CHANNEL_UNAVAILABLE"),
        (charge(), 1000, {"can_refund_partly": False}, None),
        (charge(), 1000, {"can_refund": False}, "CHANNEL_UNAVAILABLE"),
        (charge(), 1000, {"has_channel": False}, "CHANNEL_UNAVAILABLE"),
        (charge(), 1000, {"open_dispute_id": "dsp_1"}, "DISPUTE_OPEN"),
        (None, 1000, {}, "NOT_REFUNDABLE"),
    ],
)
def test_why_a_refund_is_refused(of: Refundable | None, minor: int, more: dict[str, object], code: str | None) -> None:
    asked = {"has_channel": True, "can_refund": True, "can_refund_partly": True, "open_dispute_id": None, **more}
    refusal = may_be_refunded(of, Money(minor, "CNY"), **asked)  # type: ignore[arg-type]  # fields are given by name
    assert (refusal and refusal.code) == code


def test_money_of_another_currency_is_none_of_the_charge() -> None:
    asked = {"has_channel": True, "can_refund": True, "can_refund_partly": True, "open_dispute_id": None}
    refusal = may_be_refunded(charge(), Money(1, "USD"), **asked)  # type: ignore[arg-type]  # fields are given by name
    assert refusal is not None
    assert refusal.code == "REFUND_EXCEEDS"


def test_the_latest_charge_that_has_enough_gives_it_back() -> None:
    first, second = charge(1000), replace(charge(500), attempt_id="pat_2")
    assert chosen([first, second], Money(400, "CNY")) == (second, Money(400, "CNY"))
    assert chosen([first, second], Money(600, "CNY")) == (first, Money(600, "CNY"))
    assert chosen([first, second], Money(1200, "CNY")) == (first, Money(1200, "CNY"))
    assert chosen([first, second], None) == (second, Money(500, "CNY"))
    assert chosen([], None) == (None, None)


# ---- the order's figures ---------------------------------------------------------------------------------------------


def paid(received: int = 9900, **more: object) -> Order:
    total = Money(9900, "CNY")
    return replace(order(), total=total, status=OrderStatus.PAID, received_minor=received, has_exact=True, **more)  # type: ignore[arg-type]  # fields are given by name


def gave(minor: int, state: RefundState = RefundState.SUCCEEDED, *, is_surplus: bool = False) -> Refund:
    return refund(amount=Money(minor, "CNY"), state=state, is_surplus=is_surplus)


@pytest.mark.parametrize(
    ("received", "refunds", "status", "charged", "excess"),
    [
        (9900, [], "PAID", "FULL", 0),
        (9900, [gave(9900, RefundState.UNKNOWN)], "PAID", "FULL", 0),
        (9900, [gave(1)], "PARTIALLY_REFUNDED", "FULL", 0),
        (9900, [gave(9899), gave(1)], "REFUNDED", "FULL", 0),
        (9900, [gave(9900, RefundState.REVERSED)], "PAID", "FULL", 0),
        (19800, [], "PAID", "OVERCHARGED", 9900),
        (19800, [gave(9900, RefundState.PENDING, is_surplus=True)], "PAID", "OVERCHARGED", 0),
        (19800, [gave(9900, is_surplus=True)], "PAID", "FULL", 0),
        (19800, [gave(300), gave(9900, is_surplus=True)], "PARTIALLY_REFUNDED", "FULL", 0),
        (19800, [gave(9900, is_surplus=True), gave(9900)], "REFUNDED", "FULL", 0),
        (19800, [gave(300)], "PARTIALLY_REFUNDED", "OVERCHARGED", 9900),
    ],
)
def test_what_refunds_make_of_a_paid_order(
    received: int, refunds: list[Refund], status: str, charged: str, excess: int
) -> None:
    after = refunded(paid(received), refunds, [], 5)
    assert (after.status, after.charge_status, excess_minor(after, refunds)) == (status, charged, excess)
    assert after.kept_minor >= 0


def test_all_that_comes_to_a_closed_order_is_excess_and_none_once_it_went_back() -> None:
    closed = replace(order(), status=OrderStatus.EXPIRED, received_minor=9900, has_exact=True)
    assert (charge_status(closed), excess_minor(closed, [])) == (ChargeStatus.LATE_PAYMENT, 9900)
    after = refunded(closed, [gave(9900, is_surplus=True)], [], 5)
    assert (after.status, after.charge_status, excess_minor(after, [])) == ("EXPIRED", "NONE", 0)


def test_what_refused_surplus_money_once_is_not_asked_again() -> None:
    first, second = charge(), replace(charge(), attempt_id="pat_2")
    failed = replace(gave(1000, RefundState.FAILED, is_surplus=True), attempt_id="pat_2")
    assert surplus_charge([first, second], []) == second
    assert surplus_charge([first, second], [failed]) == first
    assert surplus_charge([replace(first, refunded_minor=1000)], []) is None


# ---- who gives back how much -----------------------------------------------------------------------------------------


def test_refunds_in_random_pieces_leave_every_party_at_0_and_never_below() -> None:
    chance = random.Random(18)
    for _ in range(150):
        amount, released = chance.choice((7, 1000, 9999, 10**15)), 0
        cuts = sorted(chance.randint(0, 10_000) for _ in range(chance.randint(1, 6)))
        bps = [end - start for start, end in zip([0, *cuts], [*cuts, 10_000], strict=True)]
        shares = tuple(Share(f"mer_{n}" if n else None, share) for n, share in enumerate(bps))
        posted = [Posting("channel:x:clearing", escrow("ord_1"), "CNY", amount)]
        released = chance.randint(1, amount)
        posted += release("ord_1", Money(released, "CNY"), ShareAgreement("sha_1", "mer_1", 1, shares))
        left = amount
        while left:
            piece = min(left, chance.randint(1, max(amount // 4, 1)))
            posted += taken_from(held(posted, (), "CNY"), Money(piece, "CNY"), "channel:x:clearing")
            left -= piece
            balances = {address: credits - debits for (address, _), (debits, credits) in fold(posted).items()}
            assert min(value for address, value in balances.items() if "clearing" not in address) >= 0
        assert set(balances.values()) == {0}


def test_what_is_promised_is_held_by_nobody_else_and_what_nobody_earned_goes_first() -> None:
    came = [
        Posting("channel:x:clearing", escrow("ord_1"), "CNY", 1000),
        Posting(escrow("ord_1"), payee_pending("mer_1"), "CNY", 300),
    ]
    promised = taken_from(held(came, (), "CNY"), Money(800, "CNY"), "channel:x:clearing")
    assert promised == (
        Posting(escrow("ord_1"), "channel:x:clearing", "CNY", 700),
        Posting(payee_pending("mer_1"), "channel:x:clearing", "CNY", 100),
    )
    assert held(came, promised, "CNY") == {payee_pending("mer_1"): 200}
    with pytest.raises(NotHeld):
        taken_from(held(came, promised, "CNY"), Money(201, "CNY"), "channel:x:clearing")


def test_the_mirror_of_a_refund_gives_each_party_its_own_part_again() -> None:
    came = [
        Posting("channel:x:clearing", escrow("ord_1"), "CNY", 1001),
        Posting(escrow("ord_1"), payee_pending("mer_1"), "CNY", 1000),
    ]
    gone = taken_from(held(came, (), "CNY"), Money(500, "CNY"), "channel:x:clearing")
    assert held([*came, *gone, *mirrored(gone)], (), "CNY") == held(came, (), "CNY")
