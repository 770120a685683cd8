"""Reading a chain that forks: what is stored, and what follows from it, is that of the chain as it is, however it came
to be so. Anvil's forks are in tests/chain/test_reorgs.py."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from hub.domain.chain_log import BEFORE_FIRST
from hub.domain.orders import ChainStatus
from hub.domain.records import AnchorBatch, BatchState, KnownContract
from hub.entry import chain_checks
from hub.flows import anchors, indexing, tasks
from hub.ports import ChainUnavailable, Hub
from hub.store.database import open_store
from tests.flows.benches import Bench
from tests.flows.forks import CONTRACT, GAS, GAS_PRICE_WEI, Forks, anchoring
from tests.flows.scripted import ScriptedChain
from tests.world import START_US, World

ROOTS = tuple(bytes([number]) * 32 for number in range(1, 5))
STRANGE = b"\xff" * 32  # a root that is none of ours
INDEX = ("chain_event", "chain_block", "chain_watch", "chain_cursor")


class Reader:
    """One hub that reads a forking chain, with a batch for each root, all of them sent."""

    def __init__(self, bench: Bench, chain: Forks) -> None:
        self.bench, self.chain = bench, chain
        chain_id = chain.chain_id
        self.hub: Hub = replace(bench.hub, chain=ScriptedChain(chain_id=chain_id, contract=CONTRACT), chain_log=chain)

    async def begin(self, *roots: bytes, from_block: int = 0) -> "Reader":
        known = KnownContract(self.chain.chain_id, CONTRACT, "entitlement_hub", "c0de", from_block, START_US)
        await anchors.keep_contract(self.hub, known)
        for number, root in enumerate(roots):
            await self.bench.store.write(put_batch, batch_of(root, number))
        return self

    async def read(self, most: int = 50) -> None:
        """Until there is nothing more to do."""
        for _ in range(most):
            if not await indexing.look(self.hub):
                return
        raise AssertionError("reading does not come to rest")

    async def rows(self) -> dict[str, Any]:
        """Everything that was read: tables whole, and of the cursor what follows from the chain."""
        found = {name: await self.bench.rows(f"SELECT * FROM {name} ORDER BY 1, 2, 3") for name in INDEX[:2]}
        columns = "number, hash, head_number, confirmed_number, final_number, final_hash, halt_reason"
        return found | {"cursor": await self.bench.rows(f"SELECT {columns} FROM chain_cursor")}

    async def batches(self) -> list[tuple[Any, ...]]:
        return await self.bench.rows(
            "SELECT root, state, block_number, gas_used, gas_price_wei FROM anchor_batch ORDER BY root"
        )

    async def afresh(self) -> None:
        """Forget all that was read, and what followed from it; then read from the first block."""
        for name in INDEX:
            await self.change(f"DELETE FROM {name}")
        await self.change("UPDATE anchor_batch SET state = 'SUBMITTED', block_number = NULL, gas_used = NULL, "
                          "gas_price_wei = NULL, confirmed_at_us = NULL")  # fmt: skip
        await self.read()

    async def change(self, sql: str) -> None:
        async def unit(tx: Any) -> None:
            await tx.run(text(sql))

        await self.bench.store.write(unit)

    async def states(self) -> list[str]:
        return [state for _, state, *_ in await self.batches()]


def batch_of(root: bytes, number: int) -> AnchorBatch:
    return AnchorBatch(
        f"anb_{root.hex()[:8]}", 1000 + number, 1000 + number, 1, root, b"d" * 32, 0, CONTRACT, BatchState.SUBMITTED,
        "0xsent", None, None, None, 1, START_US, None,
    )  # fmt: skip


async def put_batch(tx: Any, batch: AnchorBatch) -> None:
    assert await tx.anchors.add_batch(batch, [])


async def test_record_is_submitted_then_confirmed_then_final_as_blocks_come_on_top(bench: Bench) -> None:
    reader = await Reader(bench, Forks()).begin(ROOTS[0])
    chain = reader.chain
    chain.mine(anchoring(ROOTS[0]))
    seen = []
    for _ in range(16):
        await reader.read()
        seen.append((await reader.states())[0])
        chain.mine()
    assert seen == ["SUBMITTED"] * 2 + ["CONFIRMED"] * 12 + ["FINALIZED"] * 2
    assert (await reader.batches())[0][2:] == (1, GAS, GAS_PRICE_WEI)
    assert await bench.break_kinds() == []


async def test_embedded_chain_is_final_at_once_and_is_read_by_ranges(bench: Bench) -> None:
    chain = Forks(final_depth=0)
    reader = await Reader(bench, chain).begin(ROOTS[0])
    chain.mine(blocks=5)
    chain.mine(anchoring(ROOTS[0]))
    await reader.read()
    assert await reader.states() == ["FINALIZED"]
    assert await bench.rows("SELECT number FROM chain_block") == [(6,)]
    assert "logs_of" not in chain.asked


async def test_blocks_without_events_are_kept_only_while_they_can_be_taken_back(bench: Bench) -> None:
    chain = Forks(final_depth=4)
    reader = await Reader(bench, chain).begin(ROOTS[0])
    chain.mine(anchoring(ROOTS[0]))
    for _ in range(9):
        chain.mine()
        await reader.read()
    assert await bench.rows("SELECT number FROM chain_block ORDER BY number") == [(1,), (7,), (8,), (9,), (10,)]


async def test_event_of_a_block_that_is_taken_back_is_gone_with_its_effects_and_the_same_elsewhere_counts(
    bench: Bench,
) -> None:
    reader = await Reader(bench, Forks()).begin(ROOTS[0])
    chain = reader.chain
    chain.mine(anchoring(ROOTS[0]), blocks=4)
    await reader.read()
    assert await reader.states() == ["CONFIRMED"]
    gone = chain.reorg(4, (), (), (), (), ())
    await reader.read()
    assert await reader.batches() == [(ROOTS[0], "REORGED", None, None, None)]
    assert await bench.rows("SELECT count(*) FROM chain_event") == [(0,)]
    assert await bench.rows("SELECT kind, key FROM task") == [("anchor_batch", "1000-1000")]
    chain.mine(*gone)
    await reader.read()
    assert await reader.batches() == [(ROOTS[0], "SUBMITTED", 6, GAS, GAS_PRICE_WEI)]
    chain.mine(blocks=14)
    await reader.read()
    assert await reader.states() == ["FINALIZED"]


async def test_going_back_and_its_effects_are_one_unit(bench: Bench) -> None:
    reader = await Reader(bench, Forks()).begin(ROOTS[0])
    chain = reader.chain
    chain.mine(anchoring(ROOTS[0]), blocks=4)
    await reader.read()
    chain.reorg(4, (), (), (), (), ())
    units: list[str] = []
    reader.hub = replace(reader.hub, store=Named(bench.store, units))
    await indexing.look(reader.hub)
    assert units == ["step_back"]
    assert await reader.states() == ["REORGED"]
    assert await bench.rows("SELECT number FROM chain_cursor") == [(0,)]


class Named:
    """A store that writes down the units it runs."""

    def __init__(self, store: Any, units: list[str]) -> None:
        self._store, self._units = store, units

    async def write(self, unit: Any, *args: Any) -> Any:
        self._units.append(unit.__name__)
        return await self._store.write(unit, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_orders_and_their_followers_go_back_with_the_batch(bench: Bench) -> None:
    """As a sale tells it: through the real tasks, over the scripted chain, whose block is then taken back."""
    answer = await bench.buy(await bench.world.learner(), await bench.world.listing())
    assert answer.value is not None
    [order_id] = [row[0] for row in await bench.rows("SELECT id FROM order_")]
    await bench.record()
    assert (await bench.order_now(order_id)).chain_status is ChainStatus.CONFIRMED
    before = await bench.rows("SELECT * FROM posting")
    [(hash_, receipt)] = bench.chain.mined.items()
    bench.chain.fork()
    assert await indexing.look(bench.hub)
    assert (await bench.order_now(order_id)).chain_status is ChainStatus.REORGED
    await bench.work()
    assert (await bench.order_now(order_id)).chain_status is ChainStatus.CONFIRMED
    assert bench.chain.sent == [hash_, hash_]
    told = await bench.rows("SELECT to_state FROM event WHERE stream = 'hub' AND kind = 'ORDER_RECORDED' ORDER BY seq")
    assert [state for (state,) in told] == ["SUBMITTED", "CONFIRMED", "REORGED", "CONFIRMED"]
    assert await bench.rows("SELECT * FROM posting") == before
    assert receipt.is_ok


async def test_below_what_is_final_reading_halts_with_one_alarm_and_nothing_is_undone(bench: Bench) -> None:
    chain = Forks(final_depth=2)
    reader = await Reader(bench, chain).begin(ROOTS[0])
    chain.mine(anchoring(ROOTS[0]), blocks=6)
    await reader.read()
    assert await reader.states() == ["FINALIZED"]
    chain.reorg(5, *[()] * 6)
    before = await reader.rows()
    for _ in range(3):
        assert not await indexing.look(reader.hub)
    after = await reader.rows()
    assert after["chain_event"] == before["chain_event"]
    assert await reader.states() == ["FINALIZED"]
    [(reason, halted_at)] = await bench.rows("SELECT halt_reason, halted_at_us FROM chain_cursor")
    assert reason.startswith("block 4 was final as ")
    assert halted_at == bench.clock.now_us()
    [found] = await bench.breaks()
    assert (found.kind, found.subject_id) == ("CHAIN", "chain:7")
    answer = await bench.buy(await bench.world.learner(), await bench.world.listing())
    assert answer.refusal is None


async def test_node_that_lags_is_waited_for(bench: Bench) -> None:
    reader = await Reader(bench, Forks()).begin(ROOTS[0])
    chain = reader.chain
    chain.mine(anchoring(ROOTS[0]), blocks=9)
    await reader.read()
    before = await reader.rows()
    chain.hidden = 5
    assert not await indexing.look(reader.hub)
    assert await reader.rows() == before
    chain.hidden = 0
    chain.mine()
    await reader.read()
    assert await bench.rows("SELECT number FROM chain_cursor") == [(10,)]


async def test_contract_that_became_known_late_is_read_from_its_first_block(bench: Bench) -> None:
    older = "0x" + "0d" * 20
    chain = Forks(final_depth=6)
    reader = await Reader(bench, chain).begin(ROOTS[0])
    for root in (STRANGE, b"\xfe" * 32):
        chain.mine(anchoring(root, address=older), blocks=5)
    await reader.read()
    assert await bench.rows("SELECT count(*) FROM chain_event") == [(0,)]
    known = KnownContract(chain.chain_id, older, "entitlement_hub", "c0de", 1, START_US)
    await anchors.keep_contract(reader.hub, known)
    await reader.read()
    before = await reader.rows()
    assert [row[2] for row in before["chain_event"]] == [1, 6]
    await reader.afresh()
    assert await reader.rows() == before


async def test_first_pass_begins_before_the_oldest_contract(bench: Bench) -> None:
    chain = Forks(final_depth=2)
    chain.mine(blocks=20)
    reader = await Reader(bench, chain).begin(from_block=9)
    assert await indexing.look(reader.hub)
    assert await bench.rows("SELECT number, hash FROM chain_cursor") == [(8, chain.chain[8][0].hash)]
    fresh = await Reader(Bench(bench.store, bench.world), Forks(chain_id=8)).begin()
    assert await indexing.look(fresh.hub)
    assert await bench.rows("SELECT number, hash FROM chain_cursor WHERE chain_id = 8") == [(-1, BEFORE_FIRST)]


async def test_two_readers_at_once_store_everything_once(bench: Bench) -> None:
    reader = await Reader(bench, Forks()).begin(*ROOTS)
    rival = Reader(bench.rival(), reader.chain)
    for root in ROOTS:
        reader.chain.mine(anchoring(root), blocks=3)
        await asyncio.gather(reader.read(), rival.read(), reader.read())
    assert await bench.rows("SELECT count(*) FROM chain_event") == [(len(ROOTS),)]
    assert await bench.rows("SELECT number FROM chain_cursor") == [(12,)]
    before = await reader.rows()
    await reader.afresh()
    assert await reader.rows() == before


async def test_root_of_somebody_else_is_told_to_staff_once_it_is_final(bench: Bench) -> None:
    chain = Forks(final_depth=3)
    reader = await Reader(bench, chain).begin()
    chain.mine(anchoring(STRANGE), blocks=3)
    await reader.read()
    assert await bench.break_kinds() == []
    chain.mine()
    await reader.read()
    [found] = await bench.breaks()
    assert found.detail.startswith(f"a root was anchored that is none of ours: Anchored of 0x{STRANGE.hex()}")


async def test_right_whose_leaf_others_revoke_ends_and_stands_again_if_the_chain_takes_that_back(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    await bench.buy(viewer, listing)
    await bench.record()
    async with bench.store.reading() as rx:
        [batch] = await rx.anchors.batches("", 10)
    bench.chain.told_by_others("Revoked", f"0x{batch.root.hex()}", {"word": "0", "mask": "1"})
    await indexing.look(bench.hub)
    [grant] = await bench.grants(str(viewer.user_id), listing.course_id)
    assert grant.state == "REVOKED"
    assert [cause.partition(":")[0] for cause in grant.revoked_by] == ["chain"]
    assert await bench.rows("SELECT fulfilment_status FROM order_") == [("REVOKED",)]
    assert await bench.rows("SELECT kind FROM task") == []
    bench.chain.fork()
    await indexing.look(bench.hub)
    [grant] = await bench.grants(str(viewer.user_id), listing.course_id)
    assert (grant.state, grant.revoked_by) == ("ACTIVE", frozenset())
    assert await bench.one("SELECT count(*) FROM leaf") == 1
    assert (await bench.events())[-2:] == ["ENTITLEMENT_REVOKED", "ENTITLEMENT_RESUMED"]


async def test_right_that_was_revoked_twice_stays_ended_while_one_of_them_stands(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    await bench.buy(viewer, listing)
    await bench.record()
    async with bench.store.reading() as rx:
        [batch] = await rx.anchors.batches("", 10)
    for _ in range(2):
        bench.chain.told_by_others("Revoked", f"0x{batch.root.hex()}", {"word": "0", "mask": "1"})
    while await indexing.look(bench.hub):
        pass
    bench.chain.fork()
    while await indexing.look(bench.hub):
        pass
    [grant] = await bench.grants(str(viewer.user_id), listing.course_id)
    assert grant.state == "REVOKED", "the older one holds"


async def test_batch_that_is_taken_back_while_its_task_ends_is_anchored_again(bench: Bench) -> None:
    """The worker has heard that the task is done, and has not yet said so to the database."""
    await bench.buy(await bench.world.learner(), await bench.world.listing())
    await bench.store.stamp()
    await anchors.gather(bench.hub)
    await anchors.keep_contract(bench.hub, bench.chain.known)
    [task] = [task for task in await bench.claimed() if task.kind == "anchor_batch"]
    assert await anchors.anchor(bench.hub, task) is None
    bench.chain.fork()
    while await indexing.look(bench.hub):
        pass
    assert not await tasks.finish_task(bench.hub, task), "what it has seen is no longer so"
    assert await bench.rows("SELECT state FROM anchor_batch") == [("REORGED",)]
    await bench.work()
    assert await bench.rows("SELECT state FROM anchor_batch") == [("CONFIRMED",)]
    assert len(bench.chain.roots) == 1


# ---- any history -----------------------------------------------------------------------------------------------------

BRANCH = st.lists(st.integers(0, 7), min_size=1, max_size=16)  # blocks, each with the transactions of a bit pattern
MOVE = st.one_of(
    st.tuples(st.just("mine"), BRANCH),
    st.tuples(st.just("reorg"), st.integers(1, 12), BRANCH),
    st.tuples(st.just("look"), st.integers(1, 3)),
    st.tuples(st.just("later"), st.integers(1, 6), st.integers(1, 12), BRANCH),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(MOVE, min_size=1, max_size=12))
def test_after_any_forks_tables_and_effects_are_those_of_the_chain_read_afresh(
    migrated_sqlite: Path, moves: list[tuple[Any, ...]]
) -> None:
    asyncio.run(with_reader(migrated_sqlite, lambda reader: forked(reader, moves)))


async def with_reader(migrated: Path, act: Callable[[Reader], Awaitable[None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(migrated, Path(folder) / "hub.sqlite3")
        store = await open_store(f"sqlite:///{folder}/hub.sqlite3")
        try:
            await act(await Reader(Bench(store, World(store)), Forks()).begin(*ROOTS[:3]))
        finally:
            await store.aclose()


async def forked(reader: Reader, moves: list[tuple[Any, ...]]) -> None:
    chain = reader.chain

    def grow(branch: list[int]) -> None:
        for bits in branch:
            there = {sent.subject for _, sent in chain.sent}
            every = [anchoring(root) for place, root in enumerate(ROOTS[:3]) if bits >> place & 1]
            chain.mine(*(sent for sent in every if sent.subject not in there))

    def reorg(depth: int, branch: list[int]) -> None:
        longest = len(chain.chain) - 1 - chain._final
        if (depth := min(depth, longest)) > 0:
            chain.reorg(depth)
        grow(branch)

    for move in moves:
        match move:
            case ("mine", branch):
                grow(branch)
            case ("reorg", depth, branch):
                reorg(depth, branch)
            case ("later", calls, depth, branch):
                chain.then.extend([None] * calls)
                chain.then.append(lambda depth=depth, branch=branch: reorg(depth, branch))
            case ("look", times):
                for _ in range(times):
                    await looked(reader)
    chain.then.clear()
    chain.mine(blocks=13)  # longer than whatever was read: the node no longer seems to lag
    await reader.read()
    rows, batches = await reader.rows(), await reader.batches()
    assert batches_of(batches) == expected(chain)
    await reader.afresh()
    assert await reader.rows() == rows
    assert batches_of(await reader.batches()) == expected(chain)
    assert await reader.bench.rows("SELECT count(*) FROM posting") == [(0,)]


async def looked(reader: Reader) -> None:
    try:
        await indexing.look(reader.hub)
    except ChainUnavailable:
        pass


def batches_of(rows: list[tuple[Any, ...]]) -> dict[bytes, tuple[str, int | None]]:
    """By root; taken back and not sent again is as good as sent."""
    return {root: ("SUBMITTED" if state == "REORGED" else state, number) for root, state, number, *_ in rows}


def expected(chain: Forks) -> dict[bytes, tuple[str, int | None]]:
    head = len(chain.chain) - 1
    places = {sent.subject: number for number, sent in chain.sent}

    def state(number: int | None) -> str:
        if number is None or number > head - chain.confirmations + 1:
            return "SUBMITTED"
        return "FINALIZED" if number <= chain._final else "CONFIRMED"

    return {
        root: (state(places.get(f"0x{root.hex()}")), places.get(f"0x{root.hex()}")) for root in ROOTS[:3]
    }  # fmt: skip


# ---- an operator's word ----------------------------------------------------------------------------------------------


async def halted(bench: Bench) -> Reader:
    """Reading has halted at a root that was final and is in no block any more."""
    chain = Forks(final_depth=2)
    reader = await Reader(bench, chain).begin(*ROOTS[:2])
    chain.mine(anchoring(ROOTS[0]), blocks=3)
    chain.mine(anchoring(ROOTS[1]), blocks=4)
    await reader.read()
    assert await reader.states() == ["FINALIZED", "FINALIZED"]
    chain.reorg(5, *[()] * 6)
    await reader.read()
    assert await bench.break_kinds() == ["CHAIN"]
    return reader


async def test_after_a_halt_reading_goes_on_once_the_node_has_what_was_final(bench: Bench) -> None:
    chain = Forks(final_depth=2)
    reader = await Reader(bench, chain).begin(ROOTS[0])
    assert await indexing.resume(reader.hub, accepts=False) == "reading has not halted"
    chain.mine(anchoring(ROOTS[0]), blocks=6)
    await reader.read()
    right = list(chain.chain)
    chain.reorg(4, *[()] * 4)
    await reader.read()
    refusal = await indexing.resume(reader.hub, accepts=False)
    assert refusal is not None
    assert refusal.startswith("the node still differs: block 4 was final as ")
    chain.chain = right
    assert await indexing.resume(reader.hub, accepts=False) is None
    chain.mine()
    await reader.read()
    assert await bench.rows("SELECT number FROM chain_cursor") == [(7,)]


async def test_accepted_reorg_undoes_what_was_final_and_reads_the_nodes_chain(bench: Bench) -> None:
    reader = await halted(bench)
    assert await indexing.resume(reader.hub, accepts=True) is None
    await reader.read()
    assert await reader.states() == ["FINALIZED", "REORGED"]
    before = await reader.rows()
    await reader.afresh()
    assert await reader.rows() == before


async def test_verify_tells_missing_added_and_altered_events_and_a_halt(bench: Bench) -> None:
    chain = Forks(final_depth=4)
    reader = await Reader(bench, chain).begin(*ROOTS)
    for root in ROOTS:
        chain.mine(anchoring(root), blocks=2)
    await reader.read()
    assert (await chain_checks.index(reader.hub, with_chain=True)).wrong == []
    await reader.change("DELETE FROM chain_event WHERE block_number = 1")
    await reader.change("UPDATE chain_event SET args = '{}' WHERE block_number = 7")
    copied = "chain_id, block_number, block_hash, 9, transaction_hash, address, name, subject, args FROM chain_event"
    await reader.change(f"INSERT INTO chain_event SELECT 'more', {copied} WHERE block_number = 3")
    found = (await chain_checks.index(reader.hub, with_chain=True)).wrong
    assert len(found) == 3
    await reader.change("UPDATE chain_cursor SET halt_reason = 'block 1'")
    assert len((await chain_checks.index(reader.hub, with_chain=True)).wrong) == 4
