"""`hub verify`: the books, the log, the states and the chain, checked against each other and against their own facts.

Every check reads; none mends. A check that fails names what differs, and the command ends non-zero.
"""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from hub.domain.orders import PAID_ONCE, ChargeStatus, Order, charge_status
from hub.domain.payments import LIVE, AttemptState, Fact, PaymentAttempt, reassured, reduce
from hub.domain.records import AnchorBatch, RecordedLeaf, SealedSalt
from hub.entry import chain_checks, dispute_checks, refund_checks, task_checks
from hub.entry.checks import PAGE, SHOWN, Check
from hub.flows.anchors import planted
from hub.flows.records import commitment, salt_of
from hub.flows.settled_otherwise import is_as_meant
from hub.ports import ChainRefused, ChainUnavailable, Hub, LeafClaim
from hub.store.transactions import Rx


async def verified(hub: Hub, *, with_chain: bool, progress: Callable[[str], None] = lambda _name: None) -> list[Check]:
    """Every check, in order. Without `with_chain` the contract is not asked."""
    checks = []
    for name, check in (
        ("ledger balances", _balances),
        ("balances equal their postings", _folds),
        ("escrow per order", _escrow),
        ("states follow from facts", _states),
        ("refunds follow from facts", refund_checks.refunds),
        ("promises end once", refund_checks.promises),
        ("disputes follow from facts", dispute_checks.disputes),
        ("what is open has a Task", task_checks.open_ends),
        ("one right per paid order", _rights),
        ("log dense", _log),
        ("one leaf per ended request", _leaves),
        ("every delivered event exists", _deliveries),
    ):
        progress(name)
        async with hub.store.reading() as rx:
            checks.append(await check(hub, rx))
    progress("what was read of the chain")
    checks.append(await chain_checks.index(hub, with_chain=with_chain))
    progress("proofs accepted by the contract")
    checks.append(await _proofs(hub, with_chain=with_chain))
    async with hub.store.reading() as rx:
        checks.append(await _breaks(rx))
    return checks


async def _balances(hub: Hub, rx: Rx) -> Check:
    """I2: the debits and credits of all accounts are equal, per asset."""
    check = Check("ledger balances (debits = credits per asset)")
    sums: dict[str, list[int]] = {}
    for balance in await rx.ledger.balances():
        asset = balance.account_id.rpartition("/")[2]
        sums.setdefault(asset, [0, 0])
        sums[asset][0] += balance.debits
        sums[asset][1] += balance.credits
    for asset, (debits, credits) in sorted(sums.items()):
        check.expect(debits == credits, f"{asset}: debits {debits}, credits {credits}")
    return check


async def _folds(hub: Hub, rx: Rx) -> Check:
    """I4: every balance is the fold of its postings, and no account has postings without a balance."""
    check = Check("balances equal the fold of their postings")
    folded = {balance.account_id: balance for balance in await rx.ledger.folded()}
    for balance in await rx.ledger.balances():
        check.expect(folded.pop(balance.account_id, None) == balance, f"{balance.account_id} differs from its postings")
    for account_id in folded:
        check.expect(False, f"{account_id} has postings and no balance")
    return check


async def _escrow(hub: Hub, rx: Rx) -> Check:
    """I5: an order's escrow holds exactly what it received, less what was given back and what disputes have cost its
    parties; no other escrow exists."""
    check = Check("escrow per order = received")
    held = {
        balance.account_id: balance.credits - balance.debits
        for balance in await rx.ledger.balances()
        if balance.account_id.startswith("order:")
    }
    after = ""
    while page := await rx.orders.page(after, PAGE):
        lost: dict[tuple[str, str], int] = {}  # what came in another currency lies in suspense, and is lost from there
        for dispute in await rx.disputes.of_orders([order.id for order in page]):
            key = (dispute.order_id, dispute.amount.currency)
            lost[key] = lost.get(key, 0) + dispute.deducted_minor
        for order in page:
            escrow = held.pop(f"order:{order.id}:escrow/{order.total.currency}", 0)
            taken = lost.get((order.id, order.total.currency), 0)
            expected = order.received_minor - order.refunded_minor - taken
            words = f"{order.number}: escrow {escrow}, received {order.received_minor}"
            words += f", refunded {order.refunded_minor}, lost {taken}"
            check.expect(escrow == expected, words)
        after = page[-1].id
    for account_id, amount in held.items():
        check.expect(False, f"{account_id} holds {amount} of no order")
    return check


async def _states(hub: Hub, rx: Rx) -> Check:
    """Dropping every attempt's state and reducing its facts anew gives it again, and the order's sums with it."""
    check = Check("states follow from facts")
    async for order in _orders(rx):
        attempts = await rx.payments.of_order(order.id)
        told = await rx.payments.facts_of([attempt.id for attempt in attempts])
        for attempt in attempts:
            facts = [fact for attempt_id, fact, _ in told if attempt_id == attempt.id]
            rebuilt = _rebuilt(attempt, facts).state
            is_kept_down = rebuilt in LIVE and attempt.state not in LIVE and len(attempts) > 1
            is_in_doubt = attempt.is_instructed and rebuilt is reassured(attempt).state
            check.expect(
                rebuilt is attempt.state or is_kept_down or is_in_doubt,
                f"{attempt.key} is {attempt.state}, its facts say {rebuilt}",
            )
        check.expect(
            charge_status(order) is order.charge_status, f"{order.number} shows the charge {order.charge_status}"
        )
    return check


def _rebuilt(attempt: PaymentAttempt, facts: list[Fact]) -> PaymentAttempt:
    blank = replace(attempt, state=AttemptState.SUBMITTED, heard_rank=0, heard_at_us=None, heard_key="")
    for fact in facts:
        blank = reduce(blank, fact)
    return blank


async def _rights(hub: Hub, rx: Rx) -> Check:
    """A paid order has given exactly one right; an unpaid one none."""
    check = Check("one right per paid order, none without")
    granted = await rx.entitlements.grants_per_order()
    async for order in _orders(rx):
        expected = 1 if order.status in PAID_ONCE else 0
        count = granted.pop(order.id, 0)
        check.expect(count == expected, f"{order.number} is {order.status} and has given {count} rights")
        if order.status in PAID_ONCE:
            is_covered = order.charge_status in (ChargeStatus.FULL, ChargeStatus.OVERCHARGED)
            check.expect(is_covered, f"{order.number} is PAID with charge {order.charge_status}")
    for order_id, count in granted.items():
        check.expect(False, f"{count} rights of order {order_id}, which is not there")
    return check


async def _log(hub: Hub, rx: Rx) -> Check:
    """Positions are dense from the oldest kept to the head, and what has left the log lies before that."""
    check = Check("log dense")
    head, count = await rx.events.head(), await rx.events.count_stamped()
    expected = head.position - head.oldest + 1
    check.looked_at = count
    if count != expected:
        check.wrong.append(f"{count} events where positions {head.oldest} to {head.position} need {expected}")
    archived = await rx.archive.newest()
    if archived >= head.oldest:
        check.wrong.append(f"event {archived} is in the archive, and the log begins at {head.oldest}")
    return check


async def _deliveries(hub: Hub, rx: Rx) -> Check:
    """What was, or is to be, sent to partners' endpoints stands in the log, as far back as that is kept."""
    check = Check("every delivered event exists")
    check.looked_at, strays = await rx.webhooks.count_deliveries(), await rx.webhooks.strays(SHOWN)
    check.wrong += [f"delivery {id_} is of an event that the log does not hold" for id_ in strays]
    return check


async def _leaves(hub: Hub, rx: Rx) -> Check:
    """Every request with an end has one standing leaf, and its commitment opens with what we hold."""
    check = Check("one standing leaf per ended request, commitments open")
    async for ended in rx.anchors.ended_requests(PAGE):
        check.expect(ended.standing == 1, f"{ended.name} has {ended.standing} standing leaves")
    async for leaf in rx.anchors.all_leaves(PAGE):
        sealed = (await rx.salts.of_leaves([leaf.id])).get(leaf.id)
        check.expect(_opens(hub, leaf, sealed), f"leaf {leaf.id} does not open")
    return check


def _opens(hub: Hub, leaf: RecordedLeaf, sealed: SealedSalt | None) -> bool:
    """What an erased person's leaf binds, nobody can tell any more: its words are gone, and its salt."""
    try:
        salt = salt_of(leaf, sealed, hub.vault)
    except ValueError:
        return False
    if salt is None:
        return leaf.request == leaf.result == ""
    return commitment(json.loads(leaf.request), json.loads(leaf.result), salt, hub.vault) == leaf.commitment


async def _proofs(hub: Hub, *, with_chain: bool) -> Check:
    """Every CONFIRMED batch's root is its leaves', and the contract accepts every standing right under it."""
    check = Check("every anchored order's proof accepted by the contract")
    if not with_chain:
        check.note = "not asked: --no-chain"
    waiting, after = 0, ""
    try:
        while batches := await _batches(hub, after):
            for batch in batches:
                waiting += not batch.state.is_proven
                await _prove(hub, batch, check, with_chain=with_chain)
            after = batches[-1].id
    except (ChainUnavailable, ChainRefused) as error:
        check.wrong.append(f"the chain does not answer: {error}")
    if waiting:
        check.note = f"{waiting} batches wait for the chain"
    return check


async def _batches(hub: Hub, after: str) -> list[AnchorBatch]:
    async with hub.store.reading() as rx:
        return await rx.anchors.batches(after, PAGE)


async def _prove(hub: Hub, batch: AnchorBatch, check: Check, *, with_chain: bool) -> None:
    async with hub.store.reading() as rx:
        leaves = await rx.anchors.leaves_of_batch(batch.id)
    if batch.is_settlement:
        await _settled(hub, batch, leaves, check, with_chain=with_chain)
        return
    tree = planted(leaves, hub.vault)
    check.expect(tree.root == batch.root, f"batch {batch.id}: its leaves have another root")
    if not batch.state.is_proven or not with_chain:
        return
    anchored = await hub.chain.anchored(batch.root, batch.contract)  # which may be an older generation
    check.expect(anchored.count == batch.count, f"batch {batch.id}: the contract holds {anchored.count} orders")
    claims, expected = [], []
    for leaf in leaves:
        assert leaf.index is not None
        if int(leaf.token_id) == 0:
            continue
        proof = tree.proof(leaf.index)
        claims.append(
            LeafClaim(
                proof.root, proof.index, proof.order_key, leaf.holder, proof.token_id, proof.expiry, proof.commitment,
                proof.proof, batch.contract,
            )
        )  # fmt: skip
        expected.append(leaf)
    for leaf, is_valid in zip(expected, await hub.chain.verify_many(tuple(claims)), strict=True):
        assert leaf.index is not None
        is_revoked = not is_valid and await hub.chain.is_revoked(batch.root, leaf.index, batch.contract)
        check.expect(is_valid or is_revoked, f"leaf {leaf.id}: the contract refuses its proof")


async def _settled(
    hub: Hub, batch: AnchorBatch, leaves: list[RecordedLeaf], check: Check, *, with_chain: bool
) -> None:  # fmt: skip
    """What is on chain by itself is settled there, as the right of the leaf that stands by it."""
    if not batch.state.is_proven:
        return
    async with hub.store.reading() as rx:
        told = await rx.chain_log.about(f"0x{batch.root.hex()}", "Settled")
        for event in [one for one in told if one.address == batch.contract]:
            for leaf in [one for one in leaves if not one.is_superseded]:
                is_meant = await is_as_meant(rx, event, batch, leaf)
                check.expect(is_meant, f"settlement {batch.id}: the contract holds another right than its leaf")
    if not with_chain:
        return
    held = await hub.chain.settlement(batch.root, batch.contract)
    check.expect(held.at > 0, f"settlement {batch.id}: the contract does not know it")


async def _breaks(rx: Rx) -> Check:
    """Not a failure: differences that wait for a person."""
    listed = await rx.breaks.listed()
    check = Check("open Breaks (listed, for a person to settle)", looked_at=len(listed))
    check.note = "; ".join(f"{one.kind} {one.subject_id}: {one.detail}" for one in listed[:SHOWN])
    return check


async def _orders(rx: Rx) -> AsyncIterator[Order]:
    """Every order, by pages in the order of their ids."""
    after = ""
    while page := await rx.orders.page(after, PAGE):
        for order in page:
            yield order
        after = page[-1].id
