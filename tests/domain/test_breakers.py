"""A channel that does not answer is left alone for a while, and asked by one call then."""

import pytest

from hub.domain.breakers import (
    OPEN_AFTER,
    OPEN_FIRST_US,
    OPEN_MOST_US,
    PROBE_WITHIN_US,
    Breaker,
    Breakers,
    BreakerState,
)
from hub.domain.payments import Outcome

NOW = 1_000_000_000


def opened(at_us: int = NOW) -> Breaker:
    breaker = Breaker()
    for _ in range(OPEN_AFTER):
        breaker.record(breaker.admit(at_us), Outcome.UNKNOWN, at_us)
    return breaker


def test_five_failures_in_a_row_open_it_and_an_answer_between_them_does_not() -> None:
    breaker = Breaker()
    for outcome in [*[Outcome.NOT_SENT, Outcome.UNKNOWN] * 2, Outcome.DECLINED, *[Outcome.UNKNOWN] * 4]:
        breaker.record(breaker.admit(NOW), outcome, NOW)
        assert breaker.state(NOW) is BreakerState.CLOSED
    breaker.record(breaker.admit(NOW), Outcome.NOT_SENT, NOW)
    assert breaker.state(NOW) is BreakerState.OPEN
    assert breaker.admit(NOW).wait_us == OPEN_FIRST_US


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in (Outcome.NOT_SENT, Outcome.UNKNOWN)])
def test_whatever_is_an_answer_never_counts(outcome: Outcome) -> None:
    breaker = Breaker()
    for _ in range(100):
        breaker.record(breaker.admit(NOW), outcome, NOW)
    assert breaker.state(NOW) is BreakerState.CLOSED


def test_one_probe_at_a_time_and_its_answer_closes_it() -> None:
    breaker, later = opened(), NOW + OPEN_FIRST_US
    assert breaker.state(later) is BreakerState.HALF_OPEN
    admitted = [breaker.admit(later) for _ in range(50)]
    assert [one.is_probe for one in admitted] == [True] + [False] * 49
    assert all(one.wait_us > 0 for one in admitted[1:])
    breaker.record(admitted[0], Outcome.DONE, later)
    assert breaker.state(later) is BreakerState.CLOSED
    assert breaker.admit(later).wait_us == 0


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_five_minutes() -> None:
    breaker, now = opened(), NOW
    waited = []
    for _ in range(8):
        now += breaker.open_for_us
        breaker.record(breaker.admit(now), Outcome.UNKNOWN, now)
        waited.append(breaker.admit(now).wait_us)
    assert waited[:3] == [2 * OPEN_FIRST_US, 4 * OPEN_FIRST_US, 8 * OPEN_FIRST_US]
    assert waited[-1] == OPEN_MOST_US


def test_a_probe_that_never_came_back_makes_room_for_another() -> None:
    breaker, later = opened(), NOW + OPEN_FIRST_US
    assert breaker.admit(later).is_probe
    assert not breaker.admit(later + PROBE_WITHIN_US - 1).is_probe
    assert breaker.admit(later + PROBE_WITHIN_US).is_probe


def test_calls_from_before_it_opened_neither_lengthen_it_nor_take_the_probes_place() -> None:
    breaker, later = opened(), NOW + OPEN_FIRST_US
    old, probe = Breaker().admit(NOW), breaker.admit(later)
    breaker.record(old, Outcome.UNKNOWN, later)
    assert not breaker.admit(later).is_probe
    breaker.record(probe, Outcome.PENDING, later)
    assert breaker.state(later) is BreakerState.CLOSED


def test_each_channel_and_class_of_call_has_its_own() -> None:
    breakers = Breakers()
    breakers.held["a", "create"] = opened()
    assert breakers.is_open("a", "create", NOW)
    assert not breakers.is_open("a", "capture", NOW)
    assert not breakers.is_open("b", "create", NOW)
    assert breakers.admit("a", "create", NOW).wait_us == OPEN_FIRST_US
    assert breakers.refused == {("a", "create"): 1}
    assert breakers.states(NOW) == {("a", "create"): BreakerState.OPEN}
