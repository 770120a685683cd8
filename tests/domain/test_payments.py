"""Whatever a channel says, in whatever order and however often: one set of facts, one state."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain import payments
from hub.domain.money import Money
from hub.domain.payments import (
    ENDED,
    LIVE,
    RANK,
    STATE_OF,
    TRANSITIONS,
    AttemptState,
    Fact,
    FactKind,
    Outcome,
    PaymentAttempt,
    PaymentRequest,
    Result,
    Source,
    Stage,
    fact_of,
    is_as_asked,
    reduce,
    resent,
    void_fact_of,
)
from tests.domain.samples import PRICE, attempt

OWN = frozenset({FactKind.NOT_SENT, FactKind.UNKNOWN})
_AMOUNTS = frozenset({Stage.AUTHORIZED, Stage.CHARGED, Stage.REFUNDED})


def fact(kind: FactKind, at: int | None = None, *, key: str = "", call: int = 1, observed: int = 50) -> Fact:
    key = key or (f"{kind}/TB1-1/{call}" if kind in OWN else f"{kind}/TB1-1/{at or ''}")
    return Fact("sandbox", key, Source.NOTICE, kind, observed, None, at, call)


def result(outcome: Outcome, stage: Stage = Stage.NONE, at: int | None = None, **more: object) -> Result:
    amount = PRICE if stage in _AMOUNTS else None
    return Result(outcome, stage, b"", 50, **{"amount": amount, "provider_at_us": at, **more})  # type: ignore[arg-type]  # fields are given by name


def told(start: PaymentAttempt, *facts: Fact) -> PaymentAttempt:
    for each in facts:
        start = reduce(start, each)
    return start


def meaning(facts: list[Fact], calls: int) -> AttemptState:
    """The state that 02 §3 gives a set of facts, by its definition: no arrival in it."""
    is_latest = [each.kind is not FactKind.REJECTED or each.call == calls for each in facts]
    channel = [each for each, counts in zip(facts, is_latest, strict=True) if counts and each.kind in RANK]
    if channel:
        greatest = max(
            channel, key=lambda each: (RANK[each.kind], each.provider_at_us is not None, each.provider_at_us, each.key)
        )
        return STATE_OF[greatest.kind]
    own = {each.kind for each in facts if each.call == calls}
    if FactKind.NOT_SENT in own:
        return AttemptState.NOT_SENT
    return AttemptState.UNKNOWN if FactKind.UNKNOWN in own else AttemptState.SUBMITTED


times = st.none() | st.integers(0, 3)
facts = st.builds(
    lambda kind, at, ref, call: (
        fact(kind, call=call)
        if kind in OWN
        else fact(kind, at, key=f"{kind}/{ref}" if RANK[kind] > 1 else f"{kind}/TB1-1/{'' if at is None else at}")
    ),
    st.sampled_from(FactKind),
    times,
    st.sampled_from("ab"),
    st.integers(1, 3),
)


# ---- the reducer: a projection of the set --------------------------------------------------------------------


@given(st.lists(facts, max_size=7), st.data())
@settings(max_examples=400, deadline=None)
def test_any_order_and_any_repetition_of_the_facts_ends_in_the_same_attempt(
    heard: list[Fact], data: st.DataObject
) -> None:
    calls = data.draw(st.integers(1, 3))
    doubled = heard + data.draw(st.lists(st.sampled_from(heard), max_size=4)) if heard else heard
    shuffled = data.draw(st.permutations(doubled))
    start = attempt(calls=calls)
    assert told(start, *heard) == told(start, *shuffled)
    assert told(start, *shuffled).state is meaning(heard, calls)


def test_every_pair_and_triple_of_words_ends_alike_with_and_without_times() -> None:
    words = [fact(kind, at) for kind in FactKind for at in ((None,) if kind in OWN else (None, 1, 2))]
    for two in itertools.combinations(words, 2):
        assert told(attempt(), *two) == told(attempt(), *reversed(two)), two
    for kinds in itertools.combinations(FactKind, 3):
        ends = {told(attempt(), *order) for order in itertools.permutations([fact(kind) for kind in kinds])}
        assert len(ends) == 1, kinds


@given(st.lists(facts, max_size=6), facts)
@settings(max_examples=150, deadline=None)
def test_a_fact_told_again_changes_nothing_at_all(heard: list[Fact], again: Fact) -> None:
    known = told(attempt(), *heard, again)
    assert reduce(known, again) is known


@given(st.lists(facts, max_size=6), facts)
@settings(max_examples=150, deadline=None)
def test_what_was_heard_only_rises(heard: list[Fact], more: Fact) -> None:
    before = told(attempt(), *heard)
    after = reduce(before, more)
    assert after.heard_rank >= before.heard_rank
    if before.state is AttemptState.CHARGED:
        assert after.state is AttemptState.CHARGED


def test_the_table_of_transitions_is_what_the_ranks_derive() -> None:
    """02 §3: from every state that any facts reach, with every further fact, earlier or later than what was heard."""
    words = [fact(kind, at) for kind in FactKind for at in ((None,) if kind in OWN else (None, 1, 2))]
    reached = {attempt()} | {reduce(attempt(), word) for word in words}
    reached |= {reduce(state, word) for state in reached for word in words}
    derived = {
        (before.state, word.kind, reduce(before, word).state)
        for before in reached
        for word in words
        if reduce(before, word).state is not before.state
    }
    assert derived == TRANSITIONS


def test_every_state_is_reached_and_nothing_leaves_charged() -> None:
    assert {to for _, _, to in TRANSITIONS} == frozenset(AttemptState) - {AttemptState.SUBMITTED}
    assert not [row for row in TRANSITIONS if row[0] is AttemptState.CHARGED]


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ((fact(FactKind.DECLINED), fact(FactKind.CAPTURED)), AttemptState.CHARGED),
        ((fact(FactKind.VOIDED, 9), fact(FactKind.CAPTURED, 1)), AttemptState.CHARGED),
        ((fact(FactKind.LAPSED, 9), fact(FactKind.AUTHORIZED, 99)), AttemptState.EXPIRED),
        ((fact(FactKind.VOIDED, 5), fact(FactKind.LAPSED, 6)), AttemptState.EXPIRED),
        ((fact(FactKind.VOIDED, 6), fact(FactKind.LAPSED, 5)), AttemptState.VOIDED),
        ((fact(FactKind.DECLINED), fact(FactKind.AUTHORIZED)), AttemptState.AUTHORIZED),
        ((fact(FactKind.REJECTED), fact(FactKind.DECLINED)), AttemptState.DECLINED),
        ((fact(FactKind.DECLINED), fact(FactKind.REJECTED)), AttemptState.DECLINED),
        ((fact(FactKind.ACTION, 1), fact(FactKind.PENDING, 2)), AttemptState.PENDING),
        ((fact(FactKind.PENDING, 1), fact(FactKind.ACTION, 2)), AttemptState.ACTION),
        ((fact(FactKind.ACTION), fact(FactKind.PENDING)), AttemptState.PENDING),  # without times the key decides
        ((fact(FactKind.ACTION, 0), fact(FactKind.PENDING)), AttemptState.ACTION),  # a time beats none, even 1970
        ((fact(FactKind.DECLINED, 9), fact(FactKind.PENDING, 99)), AttemptState.DECLINED),
    ],
)
def test_rank_then_provider_time_then_key_decides(facts: tuple[Fact, ...], state: AttemptState) -> None:
    for order in itertools.permutations(facts):
        assert told(attempt(), *order).state is state


# ---- our own words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(RANK))
@pytest.mark.parametrize("own", sorted(OWN))
def test_our_own_word_counts_only_while_the_channel_is_silent(kind: FactKind, own: FactKind) -> None:
    assert told(attempt(), fact(own)).state is STATE_OF[own]
    assert told(attempt(), fact(own), fact(kind)).state is STATE_OF[kind]
    assert told(attempt(), fact(kind), fact(own)).state is STATE_OF[kind]


@pytest.mark.parametrize("own", sorted(OWN))
@pytest.mark.parametrize("call", [1, 3])
def test_our_own_word_about_another_call_changes_nothing(own: FactKind, call: int) -> None:
    again = attempt(calls=2)
    assert reduce(again, fact(own, call=call)) is again


def test_never_seen_ends_unknown_and_unknown_does_not_come_back() -> None:
    unknown = reduce(attempt(), fact(FactKind.UNKNOWN, observed=77))
    assert (unknown.state, unknown.unknown_since_us) == (AttemptState.UNKNOWN, 77)
    never_seen = reduce(unknown, fact(FactKind.NOT_SENT))
    assert (never_seen.state, never_seen.unknown_since_us) == (AttemptState.NOT_SENT, None)
    assert reduce(never_seen, fact(FactKind.UNKNOWN)) is never_seen


def test_a_word_of_the_channel_ends_not_knowing() -> None:
    unknown = reduce(attempt(), fact(FactKind.UNKNOWN))
    assert reduce(unknown, fact(FactKind.PENDING)).unknown_since_us is None


def test_sending_again_waits_for_the_new_call_s_own_word() -> None:
    again = resent(reduce(attempt(), fact(FactKind.NOT_SENT)), now_us=99)
    assert (again.state, again.calls, again.sent_at_us) == (AttemptState.SUBMITTED, 2, 99)
    assert again.key == attempt().key
    assert reduce(again, fact(FactKind.NOT_SENT, call=1)) is again
    assert reduce(again, fact(FactKind.UNKNOWN, call=2)).state is AttemptState.UNKNOWN


def test_the_first_call_landing_late_is_heard_after_sending_again() -> None:
    again = resent(reduce(attempt(), fact(FactKind.NOT_SENT)), now_us=99)
    assert reduce(again, fact(FactKind.CAPTURED)).state is AttemptState.CHARGED


# ---- from a call's outcome to a fact -----------------------------------------------------------------------------

DONE, NONE = Outcome.DONE, Stage.NONE
_UNSAID = (Outcome.REJECTED, Outcome.NOT_SENT, Outcome.UNKNOWN)
_SAID = (
    (DONE, Stage.AUTHORIZED, AttemptState.AUTHORIZED),
    (DONE, Stage.CHARGED, AttemptState.CHARGED),
    (DONE, Stage.VOIDED, AttemptState.VOIDED),
    (DONE, Stage.EXPIRED, AttemptState.EXPIRED),
    (DONE, Stage.REFUNDED, AttemptState.CHARGED),
    (Outcome.PENDING, NONE, AttemptState.PENDING),
    (Outcome.ACTION, NONE, AttemptState.ACTION),
    (Outcome.DECLINED, NONE, AttemptState.DECLINED),
)
_CREATE = (
    *_SAID,
    (Outcome.REJECTED, NONE, AttemptState.REJECTED),
    (Outcome.NOT_SENT, NONE, AttemptState.NOT_SENT),
    (Outcome.UNKNOWN, NONE, AttemptState.UNKNOWN),
    (DONE, NONE, AttemptState.UNKNOWN),  # done, and nothing is there: nothing we know
)


@pytest.mark.parametrize(("outcome", "stage", "state"), _CREATE)
def test_the_answer_to_a_create_makes_this_state(outcome: Outcome, stage: Stage, state: AttemptState) -> None:
    heard = fact_of(attempt(), result(outcome, stage), Source.ANSWER)
    assert heard is not None
    assert reduce(attempt(), heard).state is state


@pytest.mark.parametrize("source", [Source.QUERY, Source.NOTICE, Source.STATEMENT])
@pytest.mark.parametrize(("outcome", "stage", "state"), _SAID)
def test_a_later_word_makes_this_state(outcome: Outcome, stage: Stage, state: AttemptState, source: Source) -> None:
    heard = fact_of(attempt(), result(outcome, stage), source)
    assert heard is not None
    assert reduce(attempt(), heard).state is state


@pytest.mark.parametrize("source", [Source.QUERY, Source.NOTICE, Source.STATEMENT])
@pytest.mark.parametrize("outcome", _UNSAID)
def test_a_question_that_was_lost_or_refused_says_nothing(outcome: Outcome, source: Source) -> None:
    assert fact_of(attempt(), result(outcome), source) is None


def test_only_a_question_can_be_answered_never_seen() -> None:
    heard = fact_of(attempt(calls=2), result(DONE, NONE), Source.QUERY)
    assert heard is not None
    assert (heard.kind, heard.call) == (FactKind.NOT_SENT, 2)
    assert fact_of(attempt(), result(DONE, NONE), Source.NOTICE) is None
    assert fact_of(attempt(), result(DONE, NONE), Source.STATEMENT) is None


@pytest.mark.parametrize("stage", sorted(_AMOUNTS))
def test_money_without_its_amount_is_as_if_the_answer_had_been_lost(stage: Stage) -> None:
    vague = replace(result(DONE, stage), amount=None)
    heard = fact_of(attempt(), vague, Source.ANSWER)
    assert heard is not None
    assert heard.kind is FactKind.UNKNOWN
    assert fact_of(attempt(), vague, Source.NOTICE) is None
    assert fact_of(attempt(), vague, Source.QUERY) is None


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        (Stage.VOIDED, FactKind.VOIDED),
        (Stage.EXPIRED, FactKind.LAPSED),
        (Stage.CHARGED, FactKind.CAPTURED),
        (Stage.REFUNDED, FactKind.CAPTURED),
    ],
)
def test_a_void_that_is_confirmed_or_came_too_late_is_an_end(stage: Stage, kind: FactKind) -> None:
    heard = void_fact_of(attempt(), result(DONE, stage))
    assert heard is not None
    assert heard.kind is kind


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not DONE])
def test_a_void_that_is_not_done_changes_nothing(outcome: Outcome) -> None:
    assert void_fact_of(attempt(), result(outcome)) is None


@pytest.mark.parametrize("stage", [Stage.NONE, Stage.AUTHORIZED])
def test_a_void_that_confirms_no_end_frees_nothing(stage: Stage) -> None:
    assert void_fact_of(attempt(state=AttemptState.UNKNOWN), result(DONE, stage)) is None


def test_one_movement_told_four_times_is_one_key() -> None:
    keys = {
        fact_of(attempt(), replace(result(DONE, Stage.CHARGED), movement_ref="mv_1"), source).key  # type: ignore[union-attr]  # a result that moves money gives a fact
        for source in Source
    }
    assert keys == {"CAPTURED/mv_1"}


def test_two_movements_are_two_keys_even_of_one_amount() -> None:
    first = fact_of(attempt(), result(DONE, Stage.CHARGED, movement_ref="mv_1"), Source.NOTICE)
    second = fact_of(attempt(), result(DONE, Stage.CHARGED, movement_ref="mv_2"), Source.NOTICE)
    assert first is not None
    assert second is not None
    assert first.key != second.key


def test_a_movement_without_a_name_has_our_own() -> None:
    heard = fact_of(attempt(), result(DONE, Stage.CHARGED), Source.ANSWER)
    assert heard is not None
    assert heard.key == "CAPTURED/TB1-1"


def test_the_amount_is_content_and_not_key() -> None:
    heard = [
        fact_of(attempt(), result(DONE, Stage.CHARGED, movement_ref="mv_1", amount=Money(minor, "CNY")), Source.NOTICE)
        for minor in (990, 1)
    ]
    assert heard[0] is not None
    assert heard[1] is not None
    assert heard[0].key == heard[1].key
    assert heard[0].amount != heard[1].amount


def test_what_may_repeat_has_its_time_or_its_call_in_the_key() -> None:
    def key(outcome: Outcome, at: int | None = None, calls: int = 1) -> str:
        heard = fact_of(attempt(calls=calls), result(outcome, at=at), Source.ANSWER)
        assert heard is not None
        return heard.key

    assert len({key(Outcome.PENDING, at) for at in (None, 1, 2)}) == 3
    assert len({key(Outcome.UNKNOWN, calls=calls) for calls in (1, 2)}) == 2
    assert key(Outcome.DECLINED, 1) == key(Outcome.DECLINED, 2)


# ---- what the rest relies on -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FactKind.CAPTURED, FactKind.AUTHORIZED])
@pytest.mark.parametrize("amount", [Money(989, "CNY"), Money(991, "CNY"), Money(990, "USD"), Money(0, "CNY"), None])
def test_money_other_than_asked_is_told_apart(kind: FactKind, amount: Money | None) -> None:
    assert not is_as_asked(attempt(), replace(fact(kind), amount=amount))
    assert is_as_asked(attempt(), replace(fact(kind), amount=PRICE))


@pytest.mark.parametrize("kind", sorted(frozenset(FactKind) - {FactKind.CAPTURED, FactKind.AUTHORIZED}))
def test_a_word_without_money_is_always_as_asked(kind: FactKind) -> None:
    assert is_as_asked(attempt(), fact(kind))


def test_each_state_is_live_or_ended_or_waits_to_be_sent_again() -> None:
    assert LIVE | ENDED | {AttemptState.NOT_SENT} == frozenset(AttemptState)
    assert not LIVE & ENDED
    assert AttemptState.UNKNOWN in LIVE
    for state in AttemptState:
        assert attempt(state=state).is_live is (state in LIVE)
        assert attempt(state=state).is_settled is (state in ENDED)


def test_unknown_is_asked_about_at_growing_times_then_hourly() -> None:
    assert [payments.next_query_after_s(asked) for asked in range(7)] == [2, 5, 15, 60, 300, 3600, 3600]
    at_us, pauses_s = 0, []
    for asked in range(7):
        later_us = payments.next_query_at_us(asked, 0, at_us)
        pauses_s.append((later_us - at_us) / 1_000_000)
        at_us = later_us
    assert pauses_s == [2, 5, 15, 60, 300, 3600, 3600]


@pytest.mark.parametrize(
    ("age_s", "asked_again_at_s"),
    [(0, 2), (0.5, 7), (21, 82), (61, 82), (80, 82), (81, 382), (381, 3981), (382, 3982)],
)
def test_what_is_young_is_asked_about_soon_however_many_have_died_over_it(age_s: float, asked_again_at_s: int) -> None:
    opened_us = 1_000_000_000
    now_us = opened_us + int(age_s * 1_000_000)
    assert payments.next_query_at_us(20, opened_us, now_us) == opened_us + asked_again_at_s * 1_000_000


def test_a_request_is_the_same_by_what_it_asks_and_not_by_its_key() -> None:
    one = PaymentRequest("ord_1", "sandbox", PRICE, "key-1", method="tok_visa")
    assert one.normalised == replace(one, idempotency_key="key-2").normalised
    others = [
        replace(one, order_id="ord_2"),
        replace(one, channel="stripe"),
        replace(one, expected=Money(990, "USD")),
        replace(one, method=None),
        replace(one, return_url="https://shop.example/"),
    ]
    assert all(other.normalised != one.normalised for other in others)
