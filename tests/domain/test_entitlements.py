"""Access is the OR of live grants, each inside its time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.entitlements import (
    GRANT_TRANSITIONS,
    LIVE_GRANTS,
    EntitlementState,
    Grant,
    GrantSource,
    GrantState,
    has_access,
    state_of,
)


def grant(state: GrantState = GrantState.ACTIVE, starts_at_us: int = 10, ends_at_us: int | None = None) -> Grant:
    return Grant("grt_1", "ent_1", GrantSource.PURCHASE, "ord_1", state, starts_at_us, ends_at_us, 1, 0)


@pytest.mark.parametrize(
    ("made", "now_us", "is_open"),
    [
        (grant(), 9, False),
        (grant(), 10, True),
        (grant(), 10**18, True),
        (grant(ends_at_us=20), 19, True),
        (grant(ends_at_us=20), 20, False),
        (grant(ends_at_us=10), 10, False),
    ],
)
def test_a_grant_opens_from_its_start_until_just_before_its_end(made: Grant, now_us: int, is_open: bool) -> None:
    assert made.is_open(now_us) is is_open


@pytest.mark.parametrize("state", sorted(frozenset(GrantState) - {GrantState.ACTIVE}))
def test_only_an_active_grant_opens(state: GrantState) -> None:
    assert not grant(state).is_open(15)


def test_losing_one_of_two_grants_keeps_access_and_losing_the_last_ends_it() -> None:
    assert has_access([grant(GrantState.REVOKED), grant()], 15)
    assert not has_access([grant(GrantState.REVOKED), grant(ends_at_us=15)], 15)
    assert not has_access([], 15)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((), EntitlementState.ENDED),
        ((GrantState.ACTIVE, GrantState.REVOKED), EntitlementState.ACTIVE),
        ((GrantState.ACTIVE, GrantState.SUSPENDED), EntitlementState.ACTIVE),
        ((GrantState.SUSPENDED, GrantState.REVOKED), EntitlementState.SUSPENDED),
        ((GrantState.PENDING,), EntitlementState.SUSPENDED),
        ((GrantState.REVOKED, GrantState.EXPIRED, GrantState.TRANSFERRED), EntitlementState.ENDED),
    ],
)
def test_the_entitlement_is_the_projection_of_its_grants(
    states: tuple[GrantState, ...], expected: EntitlementState
) -> None:
    assert state_of(grant(state) for state in states) is expected
    assert state_of(grant(state) for state in reversed(states)) is expected


@given(st.lists(st.builds(grant, st.sampled_from(GrantState), st.integers(0, 3), st.none() | st.integers(0, 6))))
@settings(max_examples=100, deadline=None)
def test_access_needs_an_active_entitlement(grants: list[Grant]) -> None:
    if has_access(grants, 3):
        assert state_of(grants) is EntitlementState.ACTIVE
    assert (state_of(grants) is EntitlementState.ENDED) == (not any(made.state in LIVE_GRANTS for made in grants))


def test_what_is_handed_on_never_comes_back_and_what_is_revoked_by_a_restoration_alone() -> None:
    left = {from_ for from_, event, _ in GRANT_TRANSITIONS if event != "restore"}
    assert left == LIVE_GRANTS
    assert {from_ for from_, event, _ in GRANT_TRANSITIONS if event == "restore"} == {GrantState.REVOKED}
    assert {(from_, to) for from_, event, to in GRANT_TRANSITIONS if event == "revoke"} == {
        (state, GrantState.REVOKED) for state in LIVE_GRANTS
    }
