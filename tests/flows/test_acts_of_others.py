"""What anybody may do on chain, and whoever holds a role: the hub follows, goes back where the chain goes back, and
ends with what the chain says, however that came to be so. Roots and blocks: test_indexing.py."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.domain.anchors import NO_END
from hub.domain.checkout import CHANNEL
from hub.domain.contracts import NOBODY
from hub.domain.entitlements import GrantState
from hub.domain.orders import FulfilmentStatus
from hub.domain.records import AnchorBatch, ChainTransaction, KnownContract, TransactionState
from hub.flows import anchors
from hub.flows.records import renew
from hub.ports import Hub
from hub.store.database import open_store
from tests.flows.benches import Bench
from tests.flows.forks import CONTRACT, Forks, Sent, anchoring, revoking, revoking_root
from tests.flows.scripted import charged
from tests.flows.test_indexing import Reader, batch_of, looked
from tests.world import START_US, World

ROOTS = tuple(bytes([number]) * 32 for number in (1, 2, 3))
HOLDER = "0x" + "b0" * 20
SPLITTER = "0x" + "5b" * 20
KEY = "0x" + "11" * 32  # the order key under which the last of the rights was bought
STRANGE_KEY = "0x" + "22" * 32
OFFER = "0x" + "0f" * 32
LAST = batch_of(ROOTS[2], 2).id
ANOTHER = "0x" + "b1" * 20  # wallet


def claiming(root: bytes) -> Sent:
    args = {"root": f"0x{root.hex()}", "index": "0", "to": HOLDER}
    return Sent(f"0xclaim-{root.hex()[:4]}", "Claimed", f"0x{root.hex()}", args)


def burning(token_id: str) -> Sent:
    args = {"_operator": CONTRACT, "_from": HOLDER, "_to": NOBODY, "_id": token_id, "_value": "1"}
    return Sent(f"0xburn-{token_id[:8]}", "TransferSingle", CONTRACT, args)


def minting(token_id: str) -> Sent:
    return replace(burning(token_id), args={**burning(token_id).args, "_from": NOBODY, "_to": HOLDER})


ORDER_REVOKED = Sent("0xrevoke-order", "OrderRevoked", KEY, {"orderKey": KEY})


class Market(Reader):
    """Three rights for a wallet, each the only leaf of a batch; the last one bought with a stablecoin."""

    async def sell(self) -> "Market":
        self.bench.channel.code = "stablecoin"
        on_chain = {"channel_ref": KEY, "movement_ref": KEY}
        self.bench.channel.then("create", charged, charged, lambda attempt: charged(attempt, **on_chain))
        for number in range(len(ROOTS)):
            await self.bench.buy(
                await self.bench.world.learner(),
                await self.bench.world.listing(),
                f"key-{number}",
                channel="stablecoin",
            )
        await self.change(f"UPDATE leaf SET holder = '{HOLDER}'")
        rows = await self.bench.rows("SELECT id FROM leaf ORDER BY order_id")
        for number, ((leaf_id,), root) in enumerate(zip(rows, ROOTS, strict=True)):
            await self.bench.store.write(put_batch, batch_of(root, number), leaf_id)
        return self

    async def tokens(self) -> dict[bytes, str]:
        """By root: the course's token."""
        rows = await self.bench.rows(
            "SELECT b.root, l.token_id FROM leaf l JOIN anchor_batch b ON b.id = l.batch_id ORDER BY b.root"
        )
        return {bytes(root): token_id for root, token_id in rows}

    async def rights(self) -> list[str]:
        """The states of the three, in the order of their roots."""
        return [
            state
            for (state,) in await self.bench.rows(
                "SELECT g.state FROM grant_ g JOIN leaf l ON l.order_id = g.source_ref AND l.generation = 1"
                " JOIN anchor_batch b ON b.id = l.batch_id ORDER BY b.root"
            )
        ]

    async def claimed(self) -> dict[bytes, tuple[int, int | None]]:
        """By root: when its token was claimed and burned."""
        rows = await self.bench.rows(
            "SELECT b.root, t.claimed_at_us, t.burned_at_us FROM claimed_token t JOIN leaf l ON l.id = t.leaf_id"
            " JOIN anchor_batch b ON b.id = l.batch_id"
        )
        return {bytes(root): (claimed_at, burned_at) for root, claimed_at, burned_at in rows}

    async def told(self) -> list[tuple[str, str]]:
        """What the hub was told of rights and tokens since they were given: kind and state."""
        return await self.bench.rows(
            "SELECT kind, to_state FROM event WHERE stream = 'hub' AND kind LIKE 'ENTITLEMENT%'"
            " AND kind <> 'ENTITLEMENT_GRANTED' ORDER BY seq"
        )


async def put_batch(tx: Any, batch: AnchorBatch, *leaf_ids: str) -> None:
    assert await tx.anchors.add_batch(batch, leaf_ids)


async def market(bench: Bench, chain: Forks | None = None) -> Market:
    reader = await Market(bench, chain or Forks()).begin()
    assert isinstance(reader, Market)
    return await reader.sell()


@pytest.fixture(scope="module")
def market_sqlite(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the three rights, to copy."""
    path = tmp_path_factory.mktemp("market") / "hub.sqlite3"
    shutil.copyfile(migrated_sqlite, path)

    async def sell(bench: Bench) -> None:
        await market(bench)

    asyncio.run(on_file(path, sell))
    return path


async def on_file(path: Path, act: Callable[[Bench], Awaitable[None]]) -> None:
    store = await open_store(f"sqlite:///{path}")
    try:
        await act(Bench(store, World(store)))
    finally:
        await store.aclose()


@pytest.fixture
async def ready(market_sqlite: Path, tmp_path: Path) -> AsyncIterator[Market]:
    """The three rights on a chain whose newest block counts as confirmed, for what needs one engine only."""
    store = await open_store(f"sqlite:///{shutil.copy(market_sqlite, tmp_path)}")
    yield Market(Bench(store, World(store)), Forks(confirmations=1))
    await store.aclose()


async def test_claim_is_told_once_confirmed_and_again_where_the_chain_takes_it_back(bench: Bench) -> None:
    reader = await market(bench)
    chain, token = reader.chain, (await reader.tokens())[ROOTS[0]]
    chain.mine(anchoring(ROOTS[0]), minting(token), claiming(ROOTS[0]))
    await reader.read()
    assert await reader.claimed() == {}
    chain.mine(blocks=2)
    await reader.read()
    assert await reader.claimed() == {ROOTS[0]: (1, None)}
    gone = chain.reorg(3, (), (), (), ())
    await reader.read()
    assert await reader.claimed() == {}
    chain.mine(*gone)
    chain.mine(blocks=2)
    await reader.read()
    assert await reader.claimed() == {ROOTS[0]: (5, None)}
    states = [state for kind, state in await reader.told() if kind == "ENTITLEMENT_TOKEN_CHANGED"]
    assert states == ["CLAIMED", "UNCLAIMED", "CLAIMED"]
    streams = await bench.rows("SELECT DISTINCT stream FROM event WHERE kind = 'ENTITLEMENT_TOKEN_CHANGED'")
    assert not [stream for (stream,) in streams if stream.startswith("plt_")], "it would know whose wallet that is"
    assert len(streams) == 2
    assert await bench.rows("SELECT DISTINCT version FROM entitlement ORDER BY version") == [(1,), (4,)]


async def test_burned_token_is_that_of_the_newest_claim(ready: Market) -> None:
    reader, chain = ready, ready.chain
    await reader.change(f"UPDATE leaf SET token_id = '7' WHERE holder = '{HOLDER}'")
    chain.mine(claiming(ROOTS[1]))
    chain.mine(claiming(ROOTS[0]))
    chain.mine(burning("7"))
    await reader.read()
    assert await reader.claimed() == {ROOTS[1]: (1, None), ROOTS[0]: (2, 3)}
    chain.reorg(1, (), ())
    await reader.read()
    assert await reader.claimed() == {ROOTS[1]: (1, None), ROOTS[0]: (2, None)}
    assert [state for _, state in await reader.told()] == ["CLAIMED", "CLAIMED", "BURNED", "CLAIMED"]


async def test_claim_again_is_the_newer_one_and_leaves_the_older_where_the_chain_takes_it_back(ready: Market) -> None:
    reader, chain = ready, ready.chain
    chain.mine(claiming(ROOTS[0]), blocks=2)
    chain.mine(replace(claiming(ROOTS[0]), hash="0xagain"))
    await reader.read()
    assert await reader.claimed() == {ROOTS[0]: (3, None)}
    chain.reorg(1, (), ())
    await reader.read()
    assert await reader.claimed() == {ROOTS[0]: (1, None)}
    assert [state for _, state in await reader.told()] == ["CLAIMED"]


async def test_wallet_that_refuses_its_token_has_the_right_and_not_a_burned_one(ready: Market) -> None:
    """The contract tells of the claim, the mint and the burn in one transaction; of a mint again once it does not."""
    reader, chain = ready, ready.chain
    token = (await reader.tokens())[ROOTS[0]]
    claim = claiming(ROOTS[0])
    refused = [replace(act, hash=claim.hash) for act in (minting(token), burning(token))]
    chain.mine(anchoring(ROOTS[0]), claim, *refused)
    await reader.read()
    assert await reader.claimed() == {ROOTS[0]: (1, None)}
    chain.mine(replace(minting(token), hash="0xmint"))
    await reader.read()
    assert await reader.claimed() == {ROOTS[0]: (1, None)}
    chain.mine(burning(token))
    await reader.read()
    assert await reader.claimed() == {ROOTS[0]: (1, 3)}
    chain.reorg(1, (), ())
    await reader.read()
    assert await reader.claimed() == {ROOTS[0]: (1, None)}
    chain.reorg(4, (), (), (), (), ())
    await reader.read()
    assert await reader.claimed() == {}
    assert [state for _, state in await reader.told()] == ["CLAIMED", "BURNED", "CLAIMED", "UNCLAIMED"]


async def test_token_that_is_claimed_after_its_burn_is_there_again_until_that_is_taken_back(ready: Market) -> None:
    reader, chain = ready, ready.chain
    token = (await reader.tokens())[ROOTS[0]]
    chain.mine(claiming(ROOTS[0]))
    chain.mine(burning(token))
    chain.mine(replace(claiming(ROOTS[0]), hash="0xagain"))
    await reader.read()
    assert await reader.claimed() == {ROOTS[0]: (3, 2)}
    chain.reorg(1, (), ())
    await reader.read()
    assert await reader.claimed() == {ROOTS[0]: (1, 2)}
    assert [state for _, state in await reader.told()] == ["CLAIMED", "BURNED", "CLAIMED", "BURNED"]


async def test_right_whose_purchase_others_revoke_ends_and_stands_again_on_a_new_leaf(bench: Bench) -> None:
    reader = await market(bench, Forks(confirmations=1))
    chain = reader.chain
    chain.mine(ORDER_REVOKED)
    await reader.read()
    assert await reader.rights() == ["ACTIVE", "ACTIVE", "REVOKED"]
    [leaf_id] = [row[0] for row in await bench.rows("SELECT key FROM task WHERE kind = 'revoke_leaf'")]
    assert await reader.told() == [("ENTITLEMENT_REVOKED", "REVOKED")]
    chain.reorg(1, (), ())
    await reader.read()
    assert await reader.rights() == ["ACTIVE", "ACTIVE", "ACTIVE"]
    assert await bench.one(f"SELECT is_superseded FROM leaf WHERE id = '{leaf_id}'") == 1, "it may be revoked by now"
    assert await bench.one("SELECT count(*) FROM leaf WHERE generation = 2 AND is_superseded = 0") == 1
    chain.mine(ORDER_REVOKED, blocks=20)
    await reader.read()
    assert await reader.rights() == ["ACTIVE", "ACTIVE", "REVOKED"]
    [found] = await bench.breaks()
    assert found.detail.startswith("the right of ord_")


async def test_root_that_others_revoke_ends_all_its_rights_and_they_stand_again_where_that_is_taken_back(
    bench: Bench,
) -> None:
    reader = await market(bench, Forks(confirmations=1))
    chain, both = reader.chain, [batch_of(root, number).id for number, root in enumerate(ROOTS[:2])]
    await reader.change(f"UPDATE leaf SET batch_id = '{both[0]}', index_ = 1 WHERE batch_id = '{both[1]}'")
    chain.mine(anchoring(ROOTS[0]))
    chain.mine(revoking_root(ROOTS[0]))
    await reader.read()
    assert await reader.rights() == ["REVOKED", "REVOKED", "ACTIVE"]
    assert await reader.told() == [("ENTITLEMENT_REVOKED", "REVOKED")] * 2
    gone = chain.reorg(1, (), ())
    await reader.read()
    assert await reader.rights() == ["ACTIVE", "ACTIVE", "ACTIVE"]
    assert await bench.one("SELECT count(*) FROM leaf WHERE is_superseded = 0") == 3, "each on the leaf that it had"
    assert await bench.one("SELECT count(*) FROM task WHERE kind = 'revoke_leaf'") == 0
    chain.mine(*gone)
    await reader.read()
    assert await reader.rights() == ["REVOKED", "REVOKED", "ACTIVE"]


async def test_purchase_of_a_stranger_is_listed_and_what_nobody_bought_is_shown_to_staff(ready: Market) -> None:
    """One transaction tells of both: the hub that the order is settled, then the splitter that it was paid."""
    reader, bench, chain = ready, ready.bench, ready.chain
    known = KnownContract(chain.chain_id, SPLITTER, "checkout_splitter", "c0de", 0, START_US)
    await anchors.keep_contract(reader.hub, known)
    await bench.store.write(put_signed, "0xoffer", chain.chain_id)
    chain.mine(offering("0xoffer"))
    settled = Sent("0xbought", "Settled", STRANGE_KEY, {"to": HOLDER, "tokenId": "7", "expiry": "9"})
    bought = Sent("0xbought", "Purchased", STRANGE_KEY, {"offerId": OFFER, "price": "1"}, SPLITTER)
    chain.mine(settled, bought, blocks=20)
    await reader.read()
    assert await bench.break_kinds() == []
    assert await bench.rows("SELECT name FROM chain_event WHERE block_number = 2 ORDER BY log_index") == [
        ("Settled",), ("Purchased",),
    ]  # fmt: skip
    chain.mine(replace(settled, hash="0xsigned", subject="0x" + "33" * 32), blocks=20)
    await reader.read()
    [found] = await bench.breaks()
    assert found.detail.startswith("an order was settled by a transaction that is not ours: Settled of 0x3333")


async def test_purchase_at_an_offer_that_others_have_opened_is_shown_to_staff(bench: Bench) -> None:
    """As with the seller's key, at any price; also where we had the offer open before."""
    reader = await Reader(bench, Forks()).begin()
    chain = reader.chain
    known = KnownContract(chain.chain_id, SPLITTER, "checkout_splitter", "c0de", 0, START_US)
    await anchors.keep_contract(reader.hub, known)
    await bench.store.write(put_signed, "0xoffer", chain.chain_id)
    settled = Sent("0xbought", "Settled", STRANGE_KEY, {"to": HOLDER, "tokenId": "7", "expiry": "9"})
    bought = Sent("0xbought", "Purchased", STRANGE_KEY, {"offerId": OFFER, "price": "1"}, SPLITTER)
    chain.mine(offering("0xoffer"))
    chain.mine(offering("0xstolen"))
    chain.mine(settled, bought, blocks=10)
    await reader.read()
    assert await bench.breaks() == [], "not before it is final"
    chain.mine(offering("0xoffer"), blocks=10)
    await reader.read()
    [found] = await bench.breaks()
    assert (found.kind, found.subject_id) == ("CHAIN", "0xbought:Settled")


def offering(hash_: str) -> Sent:
    return Sent(hash_, "OfferSet", OFFER, {"offerId": OFFER}, SPLITTER)


async def put_signed(tx: Any, hash_: str, chain_id: int) -> None:
    """Our own transaction."""
    signed = ChainTransaction("offer:1", chain_id, "0xseller", 0, "raw", hash_, TransactionState.CONFIRMED, START_US)
    assert await tx.chain_transactions.add(signed)


async def test_settlement_of_a_key_of_ours_on_another_contract_is_shown_to_staff(ready: Market) -> None:
    reader, chain = ready, ready.chain
    former = KnownContract(chain.chain_id, "0x" + "0d" * 20, "entitlement_hub", "c0de", 0, START_US)
    await anchors.keep_contract(reader.hub, former)
    await reader.bench.store.write(put_batch, replace(batch_of(b"\x44" * 32, 9), is_settlement=True))
    args = {"to": HOLDER, "tokenId": "7", "expiry": "9"}
    chain.mine(Sent("0xstolen", "Settled", "0x" + "44" * 32, args, former.address), blocks=20)
    await reader.read()
    assert (await reader.states())[-1] == "SUBMITTED"
    [found] = await reader.bench.breaks()
    assert found.detail.endswith(f"Settled of 0x{'44' * 32} by contract {former.address}")


async def test_settlement_that_somebody_else_brings_is_ours_all_the_same(ready: Market) -> None:
    reader, chain = ready, ready.chain
    key = b"\x44" * 32
    settlement = replace(batch_of(key, 9), is_settlement=True)
    await reader.bench.store.write(put_batch, settlement)
    chain.mine(Sent("0xrelayed", "Settled", f"0x{key.hex()}", {"to": HOLDER, "tokenId": "7", "expiry": "9"}))
    await reader.read()
    assert (await reader.states())[-1] == "CONFIRMED"
    gone = chain.reorg(1, (), ())
    await reader.read()
    assert (await reader.states())[-1] == "REORGED"
    chain.mine(*gone, blocks=20)
    await reader.read()
    assert (await reader.states())[-1] == "FINALIZED"
    assert await reader.bench.break_kinds() == []


async def test_what_had_ended_before_others_revoked_it_is_revoked_again_where_that_is_taken_back(ready: Market) -> None:
    reader, bench, chain = ready, ready.bench, ready.chain
    chain.mine(anchoring(ROOTS[0]))
    chain.mine(revoking(ROOTS[0], 0, 1))
    await reader.read()
    await reader.change("UPDATE grant_ SET revoked_by = '[\"chain:x\",\"refund\"]' WHERE state = 'REVOKED'")
    chain.reorg(1, (), ())
    await reader.read()
    assert (await reader.rights())[0] == "REVOKED"
    assert await bench.rows("SELECT count(*) FROM task WHERE kind = 'revoke_leaf'") == [(1,)]


# ---- any history -----------------------------------------------------------------------------------------------------

ACTS = 12  # see `acts`
BLOCK = st.lists(st.integers(0, ACTS - 1), max_size=3, unique=True)
BRANCH = st.lists(BLOCK, min_size=1, max_size=8)
MOVE = st.one_of(
    st.sampled_from([("close",), ("claim",)]),
    st.tuples(st.just("mine"), BRANCH),
    st.tuples(st.just("reorg"), st.integers(1, 12), BRANCH),
    st.tuples(st.just("look"), st.integers(1, 3)),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(MOVE, min_size=1, max_size=10))
def test_after_any_forks_rights_and_tokens_are_those_of_the_chain_read_afresh(
    market_sqlite: Path, moves: list[tuple[Any, ...]]
) -> None:
    async def act(bench: Bench) -> None:
        await forked(Market(bench.rival(), Forks()), moves)  # whose ids are others than those that are there

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(on_file(Path(shutil.copy(market_sqlite, folder)), act))


def acts(tokens: dict[bytes, str]) -> list[Sent]:
    """What may happen, in an order in which the contract would take it."""
    first = [act for root in ROOTS[:2] for act in (anchoring(root), claiming(root), revoking(root, 0, 1))]
    bought = {"to": HOLDER, "tokenId": tokens[ROOTS[2]], "expiry": str(NO_END)}
    settling = Sent("0xsettle", "Settled", KEY, bought)
    burns, whole = [burning(tokens[root]) for root in ROOTS[:2]], [revoking_root(root) for root in ROOTS[:2]]
    return [*first, *burns, settling, ORDER_REVOKED, *whole]


async def forked(reader: Market, moves: list[tuple[Any, ...]]) -> None:
    chain, every = reader.chain, acts(await reader.tokens())
    await reader.change(f"UPDATE leaf SET batch_id = NULL, index_ = NULL WHERE batch_id = '{LAST}'")
    await reader.change(f"DELETE FROM anchor_batch WHERE id = '{LAST}'")
    books = await reader.bench.rows("SELECT * FROM posting ORDER BY 1")

    def grow(branch: list[list[int]]) -> None:
        for block in branch:
            there = {sent.hash for _, sent in chain.sent}
            chain.mine(*(every[place] for place in sorted(block) if every[place].hash not in there))

    for move in moves:
        match move:
            case ("mine", branch):
                grow(branch)
            case ("reorg", depth, branch):
                chain.reorg(max(min(depth, len(chain.chain) - 1 - chain._final), 0))
                grow(branch)
            case ("look", times):
                for _ in range(times):
                    await looked(reader)
            case ("close",):
                await reader.bench.store.stamp()
                await anchors.gather(reader.hub)
            case ("claim",):
                await reader.bench.store.write(move_on, reader.hub)
    if every[8] not in [sent for _, sent in chain.sent]:
        chain.mine(every[8])  # what was bought is in a block in the end
    chain.mine(blocks=13)
    await reader.bench.store.stamp()
    await anchors.gather(reader.hub)
    await reader.read()
    found = await everything(reader)
    assert (found["rights"], found["claimed"]) == expected(chain, every)
    await reader.change("DELETE FROM claimed_token")
    await reader.afresh()
    assert await everything(reader) == found
    assert await reader.bench.rows("SELECT * FROM posting ORDER BY 1") == books


async def move_on(tx: Any, hub: Hub) -> None:
    """The last of the rights is for another wallet from now on, if it stands."""
    attempt = await tx.payments.of_purchase(CHANNEL, KEY, 0)
    order, leaf = await tx.orders.lock(attempt.order_id), await tx.anchors.right_of_grant(attempt.order_id)
    if order.fulfilment_status is FulfilmentStatus.FULFILLED:
        await renew(tx, leaf, order.user_id, ANOTHER, hub.draw(), hub.vault)


async def everything(reader: Market) -> dict[str, Any]:
    return await reader.rows() | {"rights": await reader.rights(), "claimed": await reader.claimed()}


def expected(chain: Forks, every: list[Sent]) -> tuple[list[str], dict[bytes, tuple[int, int | None]]]:
    confirmed = len(chain.chain) - chain.confirmations
    told = [(number, sent) for number, sent in chain.sent if number <= confirmed]
    hashes = {sent.hash for _, sent in told}
    ends = [*({revoking(root, 0, 1).hash, revoking_root(root).hash} for root in ROOTS[:2]), {ORDER_REVOKED.hash}]
    rights: list[str] = [GrantState.REVOKED if some & hashes else GrantState.ACTIVE for some in ends]
    tokens: dict[bytes, tuple[int, int | None]] = {}
    for number, sent in told:
        if sent == every[8]:
            tokens[bytes.fromhex(KEY[2:])] = (number, None)
        for root, burn in zip(ROOTS[:2], every[6:8], strict=True):
            if sent == claiming(root):
                tokens[root] = (number, None)
            elif sent == burn and root in tokens:
                tokens[root] = (tokens[root][0], number)
    return rights, tokens
