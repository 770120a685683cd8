"""hub/docs/gas.md says what a fresh run says, and no figure of ours is beyond its goal."""

import pytest

from tests.bench import gas

pytestmark = pytest.mark.bench


def test_the_tables_of_the_gas_page_are_those_of_a_fresh_run() -> None:
    text = gas.PAGE.read_text(encoding="utf-8")
    assert gas.page(text) == text


def test_06_24_every_goal_is_kept_in_the_same_run() -> None:
    batches, rows = gas.measured(gas.SIZES)
    assert [one.size for one in batches] == [1, 16, 64, 256, 1_024]
    assert max(one.ours for one in batches) <= gas.ANCHOR_GOAL
    for one in batches:
        assert one.ours / one.size <= gas.ORDER_GOALS.get(one.size, gas.ANCHOR_GOAL)
    goals = {row.name: (row.ours, row.goal) for row in rows if row.goal is not None}
    assert {name for name, (ours, goal) in goals.items() if ours > goal} == set()
    assert len(goals) == 8


def test_a_page_without_its_markers_is_not_written() -> None:
    with pytest.raises(AssertionError, match="is missing"):
        gas.page("# Gas\n")
