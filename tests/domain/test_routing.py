"""Choosing a channel: the same numbers, the same choice, and why."""

from dataclasses import replace

import pytest

from hub.domain.money import Money
from hub.domain.payments import AttemptState
from hub.domain.routing import Choice, Done, Offer, RoutingRule, planned, why_no_failover
from tests.domain.samples import attempt

CNY = Money(9_900, "CNY")
S = AttemptState


def rule(name: str = "r", priority: int = 1, *choices: Choice, **more: object) -> RoutingRule:
    made = RoutingRule("rul_1", "mer_1", "plt_1", name, priority, None, None, None, choices, 1, 0, 0)
    return replace(made, **more)  # type: ignore[arg-type]  # fields by name


def offers(*codes: str) -> list[Offer]:
    return [Offer(code, None, Done()) for code in codes]


def test_without_a_rule_all_count_alike_and_the_first_by_code_is_asked() -> None:
    plan = planned(CNY, offers("b", "a"), [], {})
    assert (plan.rule, plan.chosen, [one.channel for one in plan.candidates]) == (None, "a", ["a", "b"])
    assert [one.score for one in plan.candidates] == [9_000, 9_000]


def test_weight_times_success_less_cost_decides() -> None:
    made = rule("r", 1, Choice("a", 2, 100), Choice("b", 3, 2_500), Choice("c", 1))
    told = [Offer("a", None, Done(10, 5)), Offer("b", None, Done(10, 10)), Offer("c", None, Done(190, 190))]
    plan = planned(CNY, told, [made], {})
    assert [(one.channel, one.score) for one in plan.candidates] == [("b", 21_000), ("a", 13_800), ("c", 9_950)]


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({"currency": "CNY"}, True), ({"currency": "USD"}, False), ({"minimum_minor": 9_900}, True),
        ({"minimum_minor": 9_901}, False), ({"maximum_minor": 9_900}, True), ({"maximum_minor": 9_899}, False),
    ],
)  # fmt: skip
def test_a_rule_fits_by_currency_and_amount_both_ends_included(given: dict[str, object], fits: bool) -> None:
    assert rule("r", 1, Choice("a", 1), **given).fits(CNY) is fits


def test_the_fitting_rule_of_the_least_priority_counts_and_names_who_is_in() -> None:
    rules = [rule("late", 2, Choice("b", 1)), rule("early", 1, Choice("a", 1)), rule("no", 0, currency="USD")]
    plan = planned(CNY, offers("a", "b"), rules, {})
    assert plan.rule is not None
    assert (plan.rule.name, plan.chosen) == ("early", "a")
    assert plan.candidates[1].reasons == ("the merchant's rule does not name it",)


def test_one_that_cannot_take_it_is_out_with_its_reason_and_none_may_be_left() -> None:
    plan = planned(CNY, [Offer("a", "it is stopped", Done())], [], {})
    assert (plan.chosen, plan.candidates[0].reasons, plan.candidates[0].score) == (None, ("it is stopped",), 0)


def test_one_that_was_tried_in_vain_is_out_and_one_that_declined_comes_last() -> None:
    plan = planned(CNY, offers("a", "b", "c"), [], {"a": S.NOT_SENT, "b": S.DECLINED})
    assert [(one.channel, one.is_in) for one in plan.candidates] == [("c", True), ("b", True), ("a", False)]


@pytest.mark.parametrize("state", AttemptState)
def test_the_hub_goes_on_only_with_proof_that_no_money_can_move(state: AttemptState) -> None:
    former = replace(attempt(), state=state, decline="soft")
    is_free = state in {S.NOT_SENT, S.REJECTED, S.VOIDED, S.EXPIRED, S.DECLINED}
    assert (why_no_failover([former]) is None) is is_free


def test_a_hard_decline_or_a_spent_budget_is_the_payers_to_look_at() -> None:
    assert why_no_failover([replace(attempt(), state=S.DECLINED, decline="hard")]) is not None
    assert why_no_failover([replace(attempt(), state=S.DECLINED, decline=None)]) is not None
    assert why_no_failover([replace(attempt(), state=S.NOT_SENT)] * 2) is None
    assert why_no_failover([replace(attempt(), state=S.NOT_SENT)] * 3) == (
        "the hub has tried 3 times: name a channel to go on"
    )
