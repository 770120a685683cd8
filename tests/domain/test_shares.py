"""Who gets what: agreements that add up, releases that lose nothing."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.ledger import HUB_FEES, AccountType, JournalEntry, Posting, account_type, movements
from hub.domain.money import Money
from hub.domain.shares import MAX_SHARES, Share, ShareAgreement, release


def agreement(*shares: tuple[str | None, int]) -> ShareAgreement:
    return ShareAgreement("sha_1", "mer_1", 1, tuple(Share(payee, bps) for payee, bps in shares))


@st.composite
def agreements(draw: st.DrawFn) -> ShareAgreement:
    cuts = sorted(draw(st.lists(st.integers(0, 10_000), max_size=MAX_SHARES - 1)))
    bps = [high - low for low, high in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    payees = draw(st.lists(st.sampled_from([None, "mer_1", "mer_2", "plt_1"]), min_size=len(bps), max_size=len(bps)))
    return agreement(*zip(payees, bps, strict=True))


def test_a_platform_and_a_creator_are_owed_and_the_hub_earns_its_fee() -> None:
    shared = agreement(("mer_1", 8_500), ("plt_1", 1_000), (None, 500))
    assert release("ord_1", Money(990, "CNY"), shared) == (
        Posting("order:ord_1:escrow", "payee:mer_1:pending", "CNY", 842),  # of 841.5 and 49.5: at a tie the unit left
        Posting("order:ord_1:escrow", "payee:plt_1:pending", "CNY", 99),  # over goes to the earlier party
        Posting("order:ord_1:escrow", "hub:fees", "CNY", 49),
    )


@given(st.integers(1, 2**53), agreements())
@settings(max_examples=150, deadline=None)
def test_a_release_empties_the_escrow_exactly(amount_minor: int, shared: ShareAgreement) -> None:
    postings = release("ord_1", Money(amount_minor, "CNY"), shared)
    entry = JournalEntry("jen_1", "release:ord_1", "release", "ord_1", postings, 0, 0)
    assert sum(posting.amount_minor for posting in postings) == amount_minor
    assert {posting.debit for posting in postings} == {"order:ord_1:escrow"}
    sums = {movement.address: (movement.debits, movement.credits) for movement in movements(entry)}
    assert sums.pop("order:ord_1:escrow") == (amount_minor, 0)
    assert all(debits == 0 for debits, _ in sums.values())


@given(st.integers(1, 10**6), agreements())
@settings(max_examples=100, deadline=None)
def test_only_the_hub_s_own_fee_is_income(amount_minor: int, shared: ShareAgreement) -> None:
    credited: Counter[str] = Counter()
    for posting in release("ord_1", Money(amount_minor, "CNY"), shared):
        credited[posting.credit] += posting.amount_minor
    hub_bps = sum(share.bps for share in shared.shares if share.payee is None)
    hub_shares = sum(share.payee is None for share in shared.shares)
    assert abs(credited[HUB_FEES] - amount_minor * hub_bps / 10_000) <= hub_shares
    assert {address for address in credited if account_type(address) is AccountType.INCOME} <= {HUB_FEES}
    assert {account_type(address) for address in credited if address != HUB_FEES} <= {AccountType.LIABILITY}


def test_a_share_of_nothing_gets_no_posting() -> None:
    postings = release("ord_1", Money(1, "CNY"), agreement(("mer_1", 0), ("plt_1", 10_000)))
    assert [posting.credit for posting in postings] == ["payee:plt_1:pending"]


def test_one_unit_among_seven_goes_to_the_first() -> None:
    shared = agreement(*((f"mer_{i}", 1_428) for i in range(6)), ("mer_6", 1_432))
    postings = release("ord_1", Money(1, "JPY"), shared)
    assert [posting.credit for posting in postings] == ["payee:mer_6:pending"]  # the largest remainder
    equal = agreement(*((f"mer_{i}", 1_250) for i in range(8)))
    assert [posting.credit for posting in release("ord_1", Money(1, "JPY"), equal)] == ["payee:mer_0:pending"]


def test_nothing_is_released_of_nothing() -> None:
    assert release("ord_1", Money(0, "CNY"), agreement((None, 10_000))) == ()


@pytest.mark.parametrize(
    "shares",
    [
        (),
        (("a", 9_999),),
        (("a", 10_001),),
        (("a", 10_001), ("b", -1)),
        (("a", 0),),
        (*((f"p{i}", 0) for i in range(MAX_SHARES)), (None, 10_000)),
    ],
)
def test_an_agreement_that_does_not_add_up_is_never_made(shares: tuple[tuple[str | None, int], ...]) -> None:
    with pytest.raises(ValueError, match="shares"):
        agreement(*shares)
