"""The books balance by their form; what cannot be booked is a fault with a name."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain import ledger
from hub.domain.ledger import AccountType, JournalEntry, LedgerFault, Movement, Posting
from hub.domain.money import Money

ADDRESSES = ("channel:sandbox:clearing", "order:ord_1:escrow", "payee:mer_1:pending", "hub:fees", "suspense:sandbox")

pairs = st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(ADDRESSES)).filter(lambda pair: pair[0] != pair[1])
postings = st.builds(
    lambda pair, asset, amount: Posting(*pair, asset, amount),
    pairs,
    st.sampled_from(("CNY", "USD")),
    st.integers(1, 2**53),
)
entries = st.lists(postings, min_size=1, max_size=8).map(lambda lines: entry(*lines))


def entry(*lines: Posting) -> JournalEntry:
    return JournalEntry("jen_1", "charge:1", "charge", "ord_1", lines, 0, 0)


def line(
    debit: str = ADDRESSES[0], credit: str = ADDRESSES[1], asset: str = "CNY", amount_minor: object = 1
) -> Posting:
    return Posting(debit, credit, asset, amount_minor)  # type: ignore[arg-type]  # wrong amounts are what is tried


@given(entries)
@settings(max_examples=100, deadline=None)
def test_every_entry_balances_in_every_asset(made: JournalEntry) -> None:
    balance: Counter[str] = Counter()
    for movement in ledger.movements(made):
        balance[movement.asset] += movement.debits - movement.credits
    assert set(balance.values()) == {0}


@given(entries)
@settings(max_examples=100, deadline=None)
def test_the_movements_of_an_entry_are_the_fold_of_its_postings_in_the_order_of_locks(made: JournalEntry) -> None:
    movements = ledger.movements(made)
    assert {(m.address, m.asset): (m.debits, m.credits) for m in movements} == ledger.fold(made.postings)
    assert [(m.address, m.asset) for m in movements] == sorted({(m.address, m.asset) for m in movements})


@given(st.lists(entries, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_balances_kept_entry_by_entry_equal_the_fold_of_all_postings(made: list[JournalEntry], random: object) -> None:
    kept: dict[tuple[str, str], tuple[int, int]] = {}
    for each in made:
        for m in ledger.movements(each):
            debits, credits = kept.get((m.address, m.asset), (0, 0))
            kept[m.address, m.asset] = (debits + m.debits, credits + m.credits)
    everything = [posting for each in made for posting in each.postings]
    random.shuffle(everything)  # type: ignore[attr-defined]  # hypothesis's Random has the method of random's
    assert ledger.fold(everything) == kept


def test_a_charge_moves_what_was_really_received_to_the_order() -> None:
    assert ledger.charge("ord_1", "sandbox", Money(989, "CNY"), "CNY") == (
        Posting("channel:sandbox:clearing", "order:ord_1:escrow", "CNY", 989),
    )


def test_a_charge_in_another_currency_waits_in_suspense() -> None:
    assert ledger.charge("ord_1", "sandbox", Money(990, "USD"), "CNY") == (
        Posting("channel:sandbox:clearing", "suspense:sandbox", "USD", 990),
    )


def test_a_charge_of_nothing_is_no_posting() -> None:
    assert ledger.charge("ord_1", "sandbox", Money(0, "CNY"), "CNY") == ()


def test_a_movement_sums_both_sides_of_an_account() -> None:
    made = entry(
        line(amount_minor=5), line(amount_minor=7), line(debit=ADDRESSES[1], credit="hub:fees", amount_minor=2)
    )
    assert ledger.movements(made) == (
        Movement("channel:sandbox:clearing", "CNY", AccountType.ASSET, 12, 0),
        Movement("hub:fees", "CNY", AccountType.INCOME, 0, 2),
        Movement("order:ord_1:escrow", "CNY", AccountType.LIABILITY, 2, 12),
    )


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        (ledger.EntryIsEmpty, ()),
        (ledger.AmountMustBePositive, (line(amount_minor=0),)),
        (ledger.AmountMustBePositive, (line(amount_minor=-1),)),
        (ledger.AmountMustBePositive, (line(amount_minor=0.5),)),
        (ledger.AmountMustBePositive, (line(amount_minor=float("nan")),)),
        (ledger.AmountMustBePositive, (line(amount_minor=True),)),
        (ledger.AmountMustBePositive, (line(debit="hub:fees", credit="hub:fees", asset="XXX", amount_minor=0),)),
        (ledger.SameAccount, (line(debit="hub:fees", credit="hub:fees"),)),
        (ledger.SameAccount, (line(debit="nowhere", credit="nowhere", asset="XXX"),)),
        (ledger.UnknownAccount, (line(asset="XXX"),)),
        (ledger.UnknownAccount, (line(debit="nowhere"),)),
        (ledger.UnknownAccount, (line(credit="nowhere"),)),
        (ledger.SameAccount, (line(), line(debit="hub:fees", credit="hub:fees"))),
    ],
)
def test_what_cannot_be_booked_is_the_first_fault_in_order(fault: type[LedgerFault], lines: tuple[Posting]) -> None:
    with pytest.raises(fault):
        entry(*lines)


@pytest.mark.parametrize(
    ("address", "type_"),
    [
        (ledger.clearing("sandbox"), AccountType.ASSET),
        ("channel:sandbox:settled", AccountType.ASSET),
        (ledger.escrow("ord_1"), AccountType.LIABILITY),
        (ledger.payee_pending("plt_1"), AccountType.LIABILITY),
        (ledger.suspense("sandbox"), AccountType.LIABILITY),
        (ledger.HUB_FEES, AccountType.INCOME),
        (ledger.ROUNDING, AccountType.EQUITY),
    ],
)
def test_the_chart_knows_the_type_of_each_account(address: str, type_: AccountType) -> None:
    assert ledger.account_type(address) is type_


@pytest.mark.parametrize(
    "address",
    ["", "hub:fees2", "hub:", "roundings", "order:escrow", "order::escrow", "channel::clearing", "suspense:",
     "payee:mer_1:available", "order:ord_1", "xorder:ord_1:escrow"],
)  # fmt: skip
def test_an_address_outside_the_chart_is_a_fault(address: str) -> None:
    with pytest.raises(ledger.UnknownAccount):
        ledger.account_type(address)
