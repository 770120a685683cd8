"""A dispute is the projection of its facts: any order, doubled or not, the same end; and it never takes too much."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.disputes import (
    OPEN,
    RANK,
    TAKEN,
    TRANSITIONS,
    AnswerState,
    DisputeFact,
    DisputeState,
    DisputeWord,
    account,
    allowed_actions,
    borne,
    excess,
    fact_of,
    given_back,
    status_of,
    told_by,
)
from hub.domain.money import Money
from hub.domain.payments import Source

S = DisputeState


def fact(state: DisputeState, at_us: int | None = None, minor: int = 990, due_us: int | None = None) -> DisputeFact:
    word = DisputeWord("dp_1", state, Money(minor, "CNY"), "fraudulent", due_us)
    return fact_of("sandbox", word, Source.NOTICE, at_us, 0)


FACTS = st.builds(fact, st.sampled_from(S), st.none() | st.integers(0, 3), st.sampled_from([990, 500]))


@given(st.lists(FACTS, min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_any_order_of_arrival_doubled_is_told_the_same(facts: list[DisputeFact], chance: object) -> None:
    expected = told_by(facts)
    doubled = [*facts, *facts]
    chance.shuffle(doubled)  # type: ignore[attr-defined]  # hypothesis's Random
    assert told_by(doubled) == expected
    assert RANK[expected.state] == max(RANK[one.word.state] for one in facts)


@pytest.mark.parametrize("from_", S)
@pytest.mark.parametrize("to", S)
def test_the_machine_is_what_two_words_come_to(from_: DisputeState, to: DisputeState) -> None:
    after = told_by([fact(from_, 1), fact(to, 2)]).state
    assert after is (to if (from_, to, to) in TRANSITIONS else from_)


def test_between_ends_the_provider_s_time_decides_and_one_without_time_comes_before() -> None:
    for ends in permutations([fact(S.WON, 2), fact(S.LOST, 1), fact(S.ACCEPTED)]):
        assert told_by(ends).state is S.WON


def test_a_late_warning_downgrades_nothing_and_its_deadline_stays() -> None:
    told = told_by([fact(S.NEEDS_RESPONSE, 1, due_us=7), fact(S.EARLY_WARNING, 9)])
    assert (told.state, told.evidence_due_at_us) == (S.NEEDS_RESPONSE, 7)


def test_one_state_with_two_amounts_is_a_contradiction_and_two_states_are_none() -> None:
    assert told_by([fact(S.LOST, 1), fact(S.LOST, 2, minor=500)]).is_contradicted
    assert not told_by([fact(S.EARLY_WARNING, 1), fact(S.LOST, 2, minor=500)]).is_contradicted


@given(st.integers(1, 2_000), st.dictionaries(st.sampled_from(["order:1:escrow", "payee:a:pending", "payee:b:pending"]),
                                               st.integers(0, 900), max_size=3))  # fmt: skip
def test_parties_bear_at_most_what_they_hold_and_get_the_very_same_back(minor: int, holds: dict[str, int]) -> None:
    amount = Money(minor, "CNY")
    lost = borne("dsp_1", amount, holds)
    bearable = sum(one.amount_minor for one in lost)
    beyond = sum(one.amount_minor for one in excess("dsp_1", "sandbox", amount, bearable))
    assert (bearable, bearable + beyond) == (min(minor, sum(holds.values())), minor)
    assert all(one.amount_minor <= holds[one.debit] for one in lost)
    back = given_back("dsp_1", lost)
    assert {(one.credit, one.amount_minor) for one in back} == {(one.debit, one.amount_minor) for one in lost}
    assert given_back("dsp_1", (*lost, *back)) == ()
    assert {one.debit for one in back} <= {account("dsp_1")}


def test_an_order_shows_the_dispute_that_needs_somebody_most() -> None:
    assert status_of([]) is None
    assert status_of([S.WON, S.LOST]) is S.LOST
    assert status_of([S.LOST, S.UNDER_REVIEW]) is S.UNDER_REVIEW
    assert status_of(S) is S.NEEDS_RESPONSE
    assert not OPEN & TAKEN


@pytest.mark.parametrize("state", S)
def test_one_answer_is_taken_while_it_is_awaited(state: DisputeState) -> None:
    assert bool(allowed_actions(state, None)) == (state is S.NEEDS_RESPONSE)
    assert bool(allowed_actions(state, AnswerState.REFUSED)) == (state is S.NEEDS_RESPONSE)
    assert allowed_actions(state, AnswerState.TAKEN) == allowed_actions(state, AnswerState.SUBMITTED) == ()
