"""Rights handed on, with tokens in wallets: the contract itself gives access to whoever the books say has it, and to
nobody else, there and back again."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts import abi
from hub.chain.client import JsonRpcChain
from hub.chain.deployment import deploy
from hub.chain.rpc import Question
from hub.domain.catalogue import Listing
from hub.domain.contracts import ENTITLEMENT_HUB
from hub.domain.people import Viewer
from hub.domain.records import KnownContract
from hub.flows import claims, indexing
from hub.flows.anchors import planted
from hub.ports import LeafClaim
from hub.store.database import open_store
from tests.chain import nodes
from tests.entry.test_generations import KEYS, RealBench
from tests.flows.test_transfers import handed, holders, right_of, sold
from tests.wallets import account
from tests.world import SECOND_US, World


@dataclass
class Course:
    """One right on sale between two people with the wallets 1 and 2, on a chain with the present contract."""

    bench: RealBench
    chain: JsonRpcChain
    listing: Listing
    people: tuple[Viewer, Viewer]

    async def settle_down(self) -> None:
        """All batches, revocations and what the chain then tells."""
        for _ in range(4):
            await self.bench.record()
            while await indexing.look(self.bench.hub):
                pass
            self.bench.clock.pass_us(2 * SECOND_US)

    async def claim_token(self, number: int) -> str:
        """Anybody sends the claim of the one leaf that stands for this wallet; the token's id."""
        async with self.bench.store.reading() as rx:
            batches = await rx.anchors.batches("", 20)
            leaves = [(one, await rx.anchors.leaves_of_batch(one.id)) for one in batches]
        holder = account(number).address
        [(batch, every, leaf)] = [
            (batch, every, leaf)
            for batch, every in leaves
            for leaf in every
            if leaf.holder == holder and not leaf.is_superseded
        ]
        proof = planted(every, self.bench.vault).proof(leaf.index or 0)
        claim = LeafClaim(
            batch.root, proof.index, leaf.order_key, leaf.holder, int(leaf.token_id), leaf.expiry, leaf.commitment,
            proof.proof, batch.contract,
        )  # fmt: skip
        call = self.chain.claim_call(claim)
        assert call is not None
        nonce = await self.chain.mined_nonce(self.chain.sender)
        sent = await self.chain.sign_call(batch.contract, bytes.fromhex(call[2:]), nonce)
        await self.chain.send(sent)
        return leaf.token_id

    async def access(self, token_id: str) -> list[Any]:
        """Whether the contract gives access to wallet 1, and to 2."""
        asked = [abi.call(ENTITLEMENT_HUB, "hasAccess", account(number).address, int(token_id)) for number in (1, 2)]
        questions = [
            Question("eth_call", ({"to": self.chain.contract, "data": "0x" + call.hex()}, "latest")) for call in asked
        ]
        answers = await self.chain.look_up(*questions)
        return [abi.answer(ENTITLEMENT_HUB, "hasAccess", bytes.fromhex(str(answer)[2:])) for answer in answers]

    async def agree(self, token_id: str, *, has: list[bool], tokens: list[tuple[int, bool]], ought: str = "") -> None:
        """The contract gives access to those, the books too unless `ought`, and the hub has seen these claims."""
        await self.settle_down()
        assert await self.access(token_id) == has
        assert await holders(self.bench, self.listing, *self.people) == ([False, True] if ought else has)
        assert await self.tokens() == [(account(number).address, stands) for number, stands in tokens]

    async def tokens(self) -> list[tuple[str, bool]]:
        """Wallets whose token the hub has seen, oldest claim first, and whether the leaf still carries the right."""
        rows = await self.bench.rows(
            "SELECT l.holder, l.is_superseded FROM claimed_token t JOIN leaf l ON l.id = t.leaf_id"
            " ORDER BY t.claimed_at_us"
        )
        return [(holder, not superseded) for holder, superseded in rows]


@pytest.fixture
async def course(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Course]:
    store = await open_store(sqlite_url)
    with nodes.running(tmp_path) as node:
        chain = JsonRpcChain(lambda: node.url, KEYS)
        bench = RealBench(store, World(store), chain=chain)  # type: ignore[arg-type]  # a chain, where a scripted one is usual
        made = await deploy(chain, KEYS, ())
        chain.known = KnownContract(  # type: ignore[attr-defined]  # what the bench records with a batch
            made.chain_id, made.address, made.name, made.code_hash.hex(), made.from_block, 1
        )
        listing, *people = await sold(bench)
        yield Course(bench, chain, listing, (people[0], people[1]))
        await chain.aclose()
    await store.aclose()


@pytest.mark.chaos
@pytest.mark.timeout(120)  # a node of its own and five batches
async def test_02_21_tokens_and_database_agree_there_and_back_again(course: Course) -> None:
    bench, listing, (mine, theirs) = course.bench, course.listing, course.people
    await course.settle_down()
    wallets = {address: id_ for id_, address in await bench.rows("SELECT id, address FROM wallet")}
    right = await right_of(bench, mine, listing)
    assert right is not None
    given = await claims.claim(
        bench.hub, mine, entitlement_id=right, wallet_id=wallets[account(1).address], idempotency_key="claim-1"
    )
    assert given.refusal is None
    await course.settle_down()
    token = await course.claim_token(1)
    await course.agree(token, has=[True, False], tokens=[(1, True)])

    assert (await handed(bench, mine, listing, 2, "there")).refusal is None
    await course.settle_down()
    await course.agree(token, has=[False, False], tokens=[(1, False)], ought="the taker has not claimed yet")
    assert await course.claim_token(2) == token
    await course.agree(token, has=[False, True], tokens=[(1, False), (2, True)])

    assert (await handed(bench, theirs, listing, 1, "back")).refusal is None
    await course.settle_down()
    assert await course.claim_token(1) == token
    await course.agree(token, has=[True, False], tokens=[(1, False), (2, False), (1, True)])
    assert await bench.rows("SELECT kind FROM task") == []
    assert await bench.break_kinds() == []
