"""What `hub verify` looks at of disputes: each as its facts say, its money where that has it, and the right with it."""

from hub.domain import disputes as books
from hub.domain.disputes import OPEN, TAKEN, Dispute, Told, told_by
from hub.domain.entitlements import REFUND, STAFF, Grant, GrantSource, GrantState, state_under
from hub.domain.orders import Order, OrderStatus
from hub.entry.checks import PAGE, Check
from hub.ports import Hub
from hub.store.transactions import Rx


async def disputes(hub: Hub, rx: Rx) -> Check:
    """Dropping every dispute's figures, and the causes against a right, and making them of the facts gives them
    again; a dispute's account holds exactly what the channel holds."""
    check = Check("disputes and the rights they touch follow from facts")
    held = {
        balance.account_id: balance.debits - balance.credits
        for balance in await rx.ledger.balances()
        if balance.account_id.startswith("dispute:")
    }
    after = ""
    while page := await rx.orders.page(after, PAGE):
        contested: dict[str, list[Dispute]] = {}
        for one in await rx.disputes.of_orders([order.id for order in page]):
            contested.setdefault(one.order_id, []).append(one)
        for order in page:
            found = contested.get(order.id, [])
            for one in found:
                balance = held.pop(f"{books.account(one.id)}/{one.amount.currency}", 0)
                await _one(rx, one, balance, check)
            if found or order.refunded_minor:
                await _right(rx, order, found, check)
        after = page[-1].id
    for account_id, amount in held.items():
        check.expect(amount == 0, f"{account_id} holds {amount} of no dispute")
    return check


async def _one(rx: Rx, one: Dispute, balance: int, check: Check) -> None:
    told = told_by([fact for _, fact in await rx.disputes.facts_of([one.id])])
    shown = Told(one.state, one.amount, one.reason, one.evidence_due_at_us, one.fee, told.is_contradicted)
    check.expect(shown == told, f"{one.channel_ref} is {_words(shown)}, its facts say {_words(told)}")
    amount = told.amount.amount_minor
    expected = (amount if told.state in OPEN else 0, amount if told.state in TAKEN else 0)
    figures = (one.held_minor, one.deducted_minor + one.excess_minor)
    check.expect(figures == expected, f"{one.channel_ref} is {told.state} and shows {figures} held and lost")
    check.expect(balance == expected[0], f"{one.channel_ref}: its account holds {balance} of {expected[0]}")
    lost = books.given_back(one.id, await rx.ledger.postings_of(one.order_id))
    booked = sum(posting.amount_minor for posting in lost)
    check.expect(booked == expected[1], f"{one.channel_ref}: the books show {booked} lost of {expected[1]}")
    check.expect(one.reservation is None or one.is_open, f"{one.channel_ref} is {one.state} and holds a promise")


def _words(told: Told) -> str:
    return f"{told.state} over {told.amount.amount_minor} {told.amount.currency}"


async def _right(rx: Rx, order: Order, found: list[Dispute], check: Check) -> None:
    """What is against the grants of an order: its open and lost disputes, its refund, and staff."""
    right = await rx.entitlements.of(order.user_id, order.course_id)
    grants = [] if right is None else await rx.entitlements.grants(right.id)
    holding = frozenset(one.id for one in found if one.state in OPEN)
    ending = books.ending(order, found)
    ending |= {REFUND} if order.status is OrderStatus.REFUNDED else frozenset()
    for grant in [one for one in grants if _is_of(one, order)]:
        against = (_of_disputes(grant.suspended_by), _of_disputes(grant.revoked_by))
        check.expect(against == (holding, ending), f"{order.number}: other causes are against its right than there are")
        follows = state_under(GrantState.ACTIVE, grant.suspended_by, grant.revoked_by)
        check.expect(grant.state is follows, f"{order.number}: its grant is {grant.state}, its causes say {follows}")


def _of_disputes(causes: frozenset[str]) -> frozenset[str]:
    """Without those that are staff's, or the chain's."""
    return frozenset(cause for cause in causes if cause != STAFF and not cause.startswith("chain:"))


def _is_of(grant: Grant, order: Order) -> bool:
    return grant.source is GrantSource.PURCHASE and grant.source_ref == order.id
