"""Anvil takes back the block in which rights were settled, claimed and revoked: each ends as it was meant, and once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from contracts import abi
from hub.domain.contracts import ENTITLEMENT_HUB
from hub.domain.orders import Order
from hub.flows import entitlements
from hub.ports import LeafClaim
from tests.chain.nodes import signed
from tests.chain.on_chain import BEYOND_FINALITY, GATEWAY, STRANGER, OnChain, on_anvil
from tests.flows.test_claims import right_of
from tests.flows.test_wallets import linked
from tests.world import operator


@pytest.fixture
async def bench(sqlite_url: str) -> AsyncIterator[OnChain]:
    async with on_anvil(sqlite_url) as bench:
        yield bench


async def bought(bench: OnChain, number: int, *, has_wallet: bool) -> Order:
    """A paid order, for a wallet of its own or for none; its record is on its way."""
    viewer = await bench.world.learner()
    chosen = {"wallet_id": (await linked(bench, viewer, number)).id} if has_wallet else {}
    answer = await bench.buy(viewer, await bench.world.listing(), f"key-{number}", **chosen)
    assert answer.refusal is None
    await bench.record()
    return await bench.order_now(await bench.one(f"SELECT id FROM order_ WHERE user_id = '{viewer.user_id}'"))


@dataclass
class Rights:
    """One that is claimed for its holder, one that is settled at once, one that the hub ends: all in one block."""

    bench: OnChain
    claimed: Order
    settled: Order
    ended: Order

    async def leaf(self, order: Order) -> LeafClaim:
        columns = "b.root, l.index_, l.order_key, l.holder, l.token_id, l.expiry, l.commitment"
        [[root, index, key, holder, token_id, expiry, commitment]] = await self.bench.rows(
            f"SELECT {columns} FROM leaf l JOIN anchor_batch b ON b.id = l.batch_id WHERE l.order_id = '{order.id}'"
        )
        return LeafClaim(bytes(root), index, bytes(key), holder, int(token_id), expiry, bytes(commitment), ())

    async def send_claim(self) -> str:
        """Sent by somebody for the holder, as it is in the pool."""
        call = self.bench.client.claim_call(await self.leaf(self.claimed))
        nonce = self.bench.node.nonce(STRANGER)
        raw = signed(STRANGER, nonce, to=self.bench.client.contract, data=call, gas=200_000)
        self.bench.node.rpc("eth_sendRawTransaction", raw)
        return raw

    async def at_the_contract(self) -> tuple[int, bool, bool]:
        """(the holder's tokens, is settled, is ended)."""
        claimed, ended = await self.leaf(self.claimed), await self.leaf(self.ended)
        balance = abi.call(ENTITLEMENT_HUB, "balanceOf", claimed.to, claimed.token_id)
        call = {"to": self.bench.client.contract, "data": f"0x{balance.hex()}"}
        return (
            int(self.bench.node.rpc("eth_call", call, "latest"), 16),
            (await self.bench.client.settlement((await self.leaf(self.settled)).order_key)).at > 0,
            await self.bench.client.is_revoked(ended.root, ended.index),
        )

    async def told(self) -> tuple[int, int, int]:
        """How often the hub has read of the claim, the settlement, the end."""
        read = [
            await self.bench.one(
                "SELECT count(*) FROM chain_event e JOIN chain_transaction t ON t.hash = e.transaction_hash "
                f"WHERE e.name = '{name}' AND t.purpose LIKE '%{subject}%'"
            )
            for name, subject in (
                ("Settled", (await self.leaf(self.settled)).order_key.hex()),
                ("Revoked", (await self.leaf(self.ended)).root.hex()),
            )
        ]
        root = (await self.leaf(self.claimed)).root.hex()
        claimed = await self.bench.one(
            f"SELECT count(*) FROM chain_event WHERE name = 'Claimed' AND subject = '0x{root}'"
        )
        return claimed, read[0], read[1]


async def in_one_block(bench: OnChain, depth: int) -> tuple[Rights, list[str]]:
    """The three, and the raw transactions of the head that did it."""
    bench.settles_at_once = False
    claimed = await bought(bench, 10 * depth, has_wallet=True)
    ended = await bought(bench, 10 * depth + 1, has_wallet=False)
    await bench.finished()
    bench.node.rpc("evm_setAutomine", False)
    bench.settles_at_once = True
    made = Rights(bench, claimed, await bought(bench, 10 * depth + 2, has_wallet=True), ended)
    answer = await entitlements.revoke(
        bench.hub, operator(), entitlement_id=await right_of(bench, ended), reason="a test", idempotency_key=ended.id
    )
    assert answer.refusal is None
    await bench.work()
    claim = await made.send_claim()
    bench.mine(1)
    bench.node.rpc("evm_setAutomine", True)
    head = bench.node.rpc("eth_getBlockByNumber", "latest", False)
    ours = dict(await bench.rows("SELECT hash, raw FROM chain_transaction"))
    raws = [ours.get(sent, claim) for sent in head["transactions"]]
    assert len(raws) == 3
    return made, raws


@pytest.mark.browser
@pytest.mark.timeout(600)
@pytest.mark.parametrize("branch", ["same", "other", "none"])
async def test_reorgs_of_one_to_twelve_blocks_settle_claim_and_end_each_right_once(bench: OnChain, branch: str) -> None:
    node = bench.node
    bench.mine(BEYOND_FINALITY)
    for depth in range(12, 0, -1):  # the deepest first: of a chain of 500 blocks and more anvil keeps ten states whole
        made, raws = await in_one_block(bench, depth)
        bench.mine(depth - 1)
        await bench.read()
        books = await bench.rows("SELECT * FROM posting")
        assert (await made.told(), await made.at_the_contract()) == ((1, 1, 1), (1, True, True))
        last, claims = node.nonce(GATEWAY) - 1, node.nonce(STRANGER) - 1
        pairs = {
            "same": [[raw, depth - 1] for raw in raws],
            "other": [[signed(GATEWAY, last - 1), 0], [signed(GATEWAY, last), 0], [signed(STRANGER, claims), 0]],
            "none": [],
        }[branch]
        await bench.take_back(depth, pairs)
        is_same = branch == "same"
        assert await made.told() == ((1, 1, 1) if is_same else (0, 0, 0)), f"depth {depth}"
        if not is_same:
            await made.send_claim()
        await bench.finished()
        assert (await made.told(), await made.at_the_contract()) == ((1, 1, 1), (1, True, True)), f"depth {depth}"
        assert [await bench.status(order.id) for order in (made.claimed, made.settled)] == ["FINALIZED"] * 2
        await bench.assert_is_that_of_the_node()
        assert await bench.rows("SELECT * FROM posting") == books
    assert await bench.break_kinds() == []
    assert await bench.rows("SELECT kind FROM task") == []
