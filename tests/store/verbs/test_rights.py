"""Rights and their records on chain."""

from dataclasses import replace

from sqlalchemy import delete, select

from hub.domain.chain_log import BEFORE_FIRST, Block, ChainEvent, Cursor
from hub.domain.entitlements import (
    AccessState,
    ClaimedToken,
    EntitlementState,
    GrantState,
    PlatformAccessState,
    revoked,
    suspended,
)
from hub.domain.payments import AttemptState
from hub.domain.purses import Fees
from hub.domain.records import AnchorBatch, BatchState, ChainTransaction, KnownContract, RecordedLeaf, TransactionState
from hub.ports import SignedTransaction
from hub.store.anchors import Anchors, EndedRequest
from hub.store.anchors import leaf as leaf_table
from hub.store.chain_log import ChainLog, moved
from hub.store.chain_transactions import ChainTransactions
from hub.store.entitlements import Entitlements, platform_access
from hub.store.tasks import OpenEnd
from hub.store.tokens import Tokens
from hub.store.transactions import Store, Tx
from tests.store.verbs.calls import left_out
from tests.world import START_US, World


async def test_entitlements(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    right = world.right(order.user_id, order.course_id)
    grant = world.grant(right, order.id)
    opened = AccessState(right.id, order.platform_id, PlatformAccessState.OPEN)

    async def unit(tx: Tx) -> None:
        assert await tx.entitlements.of(order.user_id, order.course_id) is None
        assert await tx.entitlements.touch(right) == right
        assert await tx.entitlements.touch(replace(right, id="ent_2")) == replace(right, version=2)
        assert await tx.entitlements.add_grant(grant)
        assert not await tx.entitlements.add_grant(replace(grant, id="grt_2"))
        assert await tx.entitlements.grants(right.id) == [grant]
        assert await tx.entitlements.grants_per_order() == {order.id: 1}
        assert await tx.entitlements.get("ent_none") is None
        assert await tx.entitlements.get(right.id) == replace(right, version=2)
        [target] = await tx.entitlements.targets(right.id)
        assert (target.platform_id, target.platform_slug, target.member_external_id) == (order.platform_id, "xue", None)
        held = await tx.entitlements.lock(right.id)
        assert held == await tx.entitlements.of(order.user_id, order.course_id) == replace(right, version=2)
        gone = await tx.entitlements.update_grant(revoked(suspended(grant, "dsp_1"), "refund"))
        assert await tx.entitlements.grants(right.id) == [gone]
        assert (gone.state, gone.version) == (GrantState.REVOKED, 2)
        ended = await tx.entitlements.update(replace(held, state=EntitlementState.ENDED))
        assert await tx.entitlements.lock(right.id) == ended
        await tx.entitlements.set_access(opened, "by the platform", START_US)
        await tx.entitlements.set_access(replace(opened, state="CLOSED"), "by the platform", START_US)
        assert await tx.many(select(platform_access.c.state), str) == ["CLOSED"]

    await store.write(unit)
    sold = await world.order()

    async def given(tx: Tx) -> None:
        assert await tx.entitlements.given_by(sold.id) == []
        right = await tx.entitlements.touch(world.right(sold.user_id, sold.course_id))
        assert await tx.entitlements.add_grant(world.grant(right, sold.id))
        assert await tx.entitlements.given_by(sold.id) == [right.id]
        assert await tx.entitlements.held_by(sold.user_id) == [right.id]

    await store.write(given)
    assert left_out(Entitlements, called) == set()


async def test_anchors(store: Store, world: World, called: set[str]) -> None:
    order = await world.order()
    attempt = world.attempt(order)
    first = RecordedLeaf(
        "lef_1", order.id, attempt.id, 1, b"k" * 32, "0x" + "00" * 20, "77", 0, "{}", "{}", b"c" * 32, b"s", False,
        None, None, START_US,
    )  # fmt: skip
    second = replace(first, id="lef_2", generation=2)
    batch = AnchorBatch(
        "anb_1", 1, 9, 1, b"r" * 32, b"d" * 32, 0, "", BatchState.QUEUED, None, None, None, None, 1, START_US, None
    )
    signed = ChainTransaction("anchor:0x72", 1337, "0xgate", 0, "0xraw", "0xhash", TransactionState.SIGNED, START_US)
    contract = KnownContract(1337, "0xhub", "EntitlementHub", "0xcode", 5, START_US)

    async def unit(tx: Tx) -> None:
        assert await tx.payments.insert(attempt)
        await tx.anchors.add_leaf(first)
        assert await tx.anchors.leaf_of_grant("grt_1") is None
        given = replace(first, id="lef_0", generation=2, grant_id="grt_1", owner_id=order.user_id)
        await tx.anchors.add_leaf(given)
        assert await tx.anchors.leaf_of_grant("grt_1") == given
        await tx.anchors.give_up(given.id)
        assert await tx.anchors.leaf_of_grant("grt_1") is None
        assert await tx.anchors.rights_of(order.id) == [first, replace(given, is_superseded=True)]
        await tx.run(delete(leaf_table).where(leaf_table.c.id == "lef_0"))
        assert await tx.anchors.right_of_grant(order.id) == first
        await tx.anchors.add_leaf(second)
        assert await tx.anchors.supersede(attempt.id, second.id) == [replace(first, is_superseded=True)]
        assert await tx.anchors.right_of_grant(order.id) == second
        assert await tx.anchors.leaves([second.id, "lef_none"]) == [second]
        stored = [replace(first, is_superseded=True), second]
        assert [leaf async for leaf in tx.anchors.all_leaves(page=1)] == stored
        assert [ended async for ended in tx.anchors.ended_requests(page=1)] == []
        await tx.payments.update(replace(attempt, state=AttemptState.CHARGED))
        ended = [ended async for ended in tx.anchors.ended_requests(page=1)]
        assert ended == [EndedRequest(attempt.id, attempt.key, 1)]
        assert await tx.anchors.add_batch(batch, [second.id])
        assert not await tx.anchors.add_batch(replace(batch, id="anb_2"), [first.id])
        assert await tx.tokens.leaf_at("", batch.root, 0) == replace(second, batch_id=batch.id, index=0)
        assert await tx.tokens.leaf_at("0xhub", batch.root, 0) is None
        assert await tx.tokens.of(second.id) is None
        for token in (ClaimedToken(second.id, START_US, None), ClaimedToken(second.id, START_US, START_US + 1)):
            await tx.tokens.put(token)
            assert await tx.tokens.of(second.id) == token
            assert await tx.tokens.held("", second.holder, second.token_id) == [token]
        await tx.tokens.drop(second.id)
        assert await tx.tokens.held("", second.holder, second.token_id) == []
        assert await tx.anchors.leaves_of_batch(batch.id) == [replace(second, batch_id=batch.id, index=0)]
        assert await tx.anchors.shown_by(batch.id) == [order.id]
        assert await tx.anchors.sold([second.id, "lef_none"]) == [order.total]
        assert await tx.anchors.waiting_for_revocation(batch.id, 0) == []
        tx.tasks.add("revoke_leaf", second.id, {}, START_US)
        assert not await tx.anchors.is_ending_before(second)
        assert await tx.anchors.waits_for(second.holder)
        assert not await tx.anchors.waits_for("0x" + "11" * 20)
        assert await tx.anchors.batch("anb_none") is None
        held = await tx.anchors.lock_batch(batch.id)
        assert held == batch
        sent = await tx.anchors.update_batch(replace(held, state=BatchState.SUBMITTED, chain_id=1337))
        assert await tx.anchors.batch(batch.id) == sent
        assert await tx.anchors.batches("", 10) == [sent]
        assert await tx.anchors.open_ends(["anchor_batch"]) == [OpenEnd(sent.id, "SUBMITTED", False)]
        tx.tasks.add("anchor_batch", f"{sent.first_position}-{sent.last_position}", {}, START_US)
        await tx.flush()
        assert await tx.anchors.open_ends(["anchor_batch"]) == [OpenEnd(sent.id, "SUBMITTED", True)]
        assert await tx.anchors.batches_at("0xelsewhere") == ([sent] if sent.contract == "" else [])
        assert await tx.anchors.batches_at(sent.contract) == [sent]
        assert await tx.chain_transactions.next_nonce(1337, "0xgate") == 0
        assert await tx.chain_transactions.add(signed)
        assert not await tx.chain_transactions.add(signed)
        assert await tx.chain_transactions.next_nonce(1337, "0xgate") == 1
        assert await tx.chain_transactions.unsettled(1337) == [signed]
        dearer = SignedTransaction("0xdear", "0xraw2", 0, "0xgate")
        assert await tx.chain_transactions.replace(signed, dearer, START_US + 1)
        assert not await tx.chain_transactions.replace(signed, dearer, START_US + 1)
        assert await tx.chain_transactions.replaced_hashes(signed, signed.purpose) == ["0xhash"]
        signed_again = replace(signed, hash="0xdear", raw="0xraw2", signed_at_us=START_US + 1)
        assert await tx.chain_transactions.unsettled(1337) == [signed_again]
        assert await tx.chain_transactions.from_nonce(1337, "0xgate", 0, 0) == [signed_again]
        assert await tx.chain_transactions.from_nonce(1337, "0xgate", 1, 9) == []
        assert not await tx.chain_transactions.move(signed.purpose, "0xother", TransactionState.FAILED)
        for followed in ("0xhash", "0xdear"):
            assert await tx.chain_transactions.move(signed.purpose, followed, TransactionState.CONFIRMED)
        assert await tx.chain_transactions.unsettled(1337) == []
        confirmed = replace(signed_again, state=TransactionState.CONFIRMED)
        assert await tx.chain_transactions.of_purpose(signed.purpose) == confirmed
        assert await tx.anchors.add_contract(contract)
        assert not await tx.anchors.add_contract(contract)
        assert await tx.anchors.contracts(1337) == [contract]
        assert (await tx.anchors.fees(), await tx.anchors.newest_paid(1337, False, 9)) == ([], []), "in no block yet"
        for hash_ in ("0xhash", "0xdear"):  # what was replaced may be what gets into a block
            sent = await tx.anchors.update_batch(
                replace(sent, transaction_hash=hash_, block_number=7, gas_used=49_079, gas_price_wei=2**60)
            )
            assert await tx.anchors.fees() == [Fees(False, 1, 49_079.0 * 2**60)]
            assert await tx.anchors.newest_paid(1337, False, 9) == [sent]
        assert await tx.anchors.newest_paid(1337, True, 9) == await tx.anchors.newest_paid(7, False, 9) == []
        await tx.anchors.update_batch(replace(sent, transaction_hash="0xbuyers"))
        assert (await tx.anchors.fees(), await tx.anchors.newest_paid(1337, False, 9)) == ([], []), "others have paid"

    async def look(tx: Tx) -> None:
        assert await tx.anchors.waiting_for_revocation(batch.id, 0) == [0]
        assert await tx.anchors.waiting_for_revocation(batch.id, 1) == []

    await store.write(unit)
    await store.write(look)
    assert left_out(Anchors, called) | left_out(Tokens, called) | left_out(ChainTransactions, called) == set()


async def test_chain_log(store: Store, world: World, called: set[str]) -> None:
    blocks = [Block(7, number, f"0xb{number}", f"0xb{number - 1}", START_US) for number in (1, 2, 3)]
    [first, second] = [
        ChainEvent(7, number, f"0xb{number}", 0, f"0xt{number}", "0xhub", "Anchored", f"0xr{number}", {"count": "1"})
        for number in (1, 3)
    ]
    cursor = Cursor(7, 0, BEFORE_FIRST, 3, 0, 0, BEFORE_FIRST, None, None, 1, START_US)
    batch = AnchorBatch(
        "anb_1", 1, 9, 1, b"r" * 32, b"d" * 32, 0, "", BatchState.QUEUED, None, None, None, None, 1, START_US, None
    )
    signed = ChainTransaction("anchor:0x72", 7, "0xgate", 0, "0xraw", "0xhash", TransactionState.SIGNED, START_US)

    async def unit(tx: Tx) -> None:
        log = tx.chain_log
        assert await log.begin(cursor)
        assert not await log.begin(cursor)
        assert await log.move(cursor, ahead := moved(cursor, number=3, hash="0xb3"))
        assert not await log.move(cursor, ahead)
        assert await log.cursor(7) == ahead
        assert await log.cursor(8) is None
        assert await log.cursors() == [ahead]
        for _ in range(2):
            await log.add_blocks(blocks)
        assert await log.add_events([first]) == [first]
        assert await log.add_events([first, second]) == [second]
        assert await log.add_events([]) == []
        assert await log.blocks(7, 1) == blocks[1:]
        assert await log.block_at(7, 2) == blocks[1]
        assert await log.events(7, 0, 3) == [first, second]
        assert await log.events(7, 1, 2) == []
        assert await log.about("0xr3", "Anchored") == [second]
        assert await log.told(7, ["Anchored", "Paused"]) == [first, second]
        assert await log.told(7, ["Paused"]) == []
        assert await log.hold() == await log.cursors()
        await log.drop_empty(7, 2)
        assert await log.blocks(7, 0) == [blocks[0], blocks[2]]
        await log.drop_after(7, 2)
        assert await log.blocks(7, 0) == [blocks[0]]
        assert await log.events(7, 0, 3) == [first]
        await log.watch(7, "0xhub", None)
        await log.watch(7, "0xold", 2)
        await log.watch(7, "0xold", 9)
        await log.step_back(7, 4)
        assert await log.watched(7) == {"0xhub": None, "0xold": 5}
        assert await tx.anchors.add_batch(batch, [])
        assert await log.batch_of(batch.root) == batch.id
        assert await log.batch_of(b"x" * 32) is None
        assert await tx.chain_transactions.add(signed)
        assert await log.is_ours("0xhash")
        assert not await log.is_ours("0xother")
        await log.settle(signed.purpose, TransactionState.CONFIRMED)
        assert await tx.chain_transactions.unsettled(7) == []

    async def put_on_sale(tx: Tx) -> None:
        await tx.chain_log.add_blocks(blocks)
        offers = [
            ChainEvent(7, number, f"0xb{number}", index, "0xt", "0xshop", name, subject, {})
            for number, index, name, subject in (
                (1, 5, "OfferSet", "0xA"), (1, 6, "OfferSet", "0xB"), (2, 5, "OfferClosed", "0xA"),
                (2, 6, "OfferClosed", "0xB"), (2, 7, "OfferSet", "0xB"), (3, 5, "OfferSet", "0xC"),
            )
        ]  # fmt: skip
        for offer in offers:
            assert await tx.chain_log.add_events([offer]) == [offer]
        assert await tx.chain_log.open_offers(7, "0xshop") == ["0xB", "0xC"]
        assert await tx.chain_log.open_offers(8, "0xshop") == []
        assert await tx.chain_log.open_offers(7, "0xother") == []

    await store.write(unit)
    await store.write(put_on_sale)
    assert left_out(ChainLog, called) == set()
