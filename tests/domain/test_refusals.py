"""Every expected no has a code of its own, says what to do, and survives being stored."""

import inspect

import pytest

from hub.domain import refusals
from hub.domain.refusals import Refusal, Refused
from hub.domain.requests import refusal_body, refusal_from

EVERY = [
    refusals.InvalidInput("price.amountMinor", "an amount is not negative"),
    refusals.NotFound("orderId"),
    refusals.NotPurchasable("its merchant is suspended"),
    refusals.PriceChanged(990, "CNY"),
    refusals.AlreadyEntitled("ent_1"),
    refusals.StateConflict("PAID", "paymentCreate"),
    refusals.AttemptIsLive("pat_1"),
    refusals.ChannelUnavailable("sandbox", "it takes no JPY"),
    refusals.NotRefundable("nothing was charged for it"),
    refusals.RefundExceeds(3, "CNY"),
    refusals.DisputeOpen("dsp_1"),
    refusals.DisputeElsewhere("alipay", "2026112200"),
    refusals.AnswerRefused("sandbox", "evidence_too_long"),
    refusals.ProvisionalUser(),
    refusals.IdentityTaken(),
]
REFUSALS = pytest.mark.parametrize("refusal", EVERY, ids=lambda refusal: type(refusal).__name__)


def types() -> set[type[Refusal]]:
    return {
        type_
        for _, type_ in inspect.getmembers(refusals, inspect.isclass)
        if issubclass(type_, Refusal) and type_ is not Refusal
    }


def test_this_file_knows_every_refusal_and_so_does_the_tree_on_top() -> None:
    assert {type(refusal) for refusal in EVERY} == types()
    assert all(f"── {type_.__name__} " in (refusals.__doc__ or "") for type_ in types())


def test_each_refusal_has_a_code_and_a_message_of_its_own() -> None:
    codes = {type_.code for type_ in types()}
    assert len(codes) == len(types())
    assert Refusal.code not in codes
    assert all(code == code.upper() and code.replace("_", "").isalpha() for code in codes)
    assert len({refusal.message for refusal in EVERY}) == len(EVERY)


@REFUSALS
def test_a_refusal_is_stored_and_told_again_the_same(refusal: Refusal) -> None:
    assert refusal_from(refusal_body(refusal)) == refusal


@REFUSALS
def test_a_refusal_is_a_value_and_carried_by_one_that_is_not(refusal: Refusal) -> None:
    assert not isinstance(refusal, Exception)
    assert Refused(refusal).refusal is refusal
    assert str(Refused(refusal)) == refusal.message


@pytest.mark.parametrize(
    ("refusal", "path"),
    [
        (EVERY[0], ("input", "price", "amountMinor")),
        (EVERY[1], ("input", "orderId")),
        (EVERY[3], ("input", "expectedAmount")),
        (EVERY[5], ()),
    ],
)
def test_the_path_names_the_input_s_field_outermost_first(refusal: Refusal, path: tuple[str, ...]) -> None:
    assert refusal.path == path
