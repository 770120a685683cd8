"""Purchases on chain, and refunds of them, that were counted on in a block which goes before the log's reader sees it:
one look finds them when that block must be final."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hub.domain.chain_log import Block
from hub.domain.orders import Order
from hub.domain.records import KnownContract
from hub.flows import anchors, final_looks, indexing
from hub.flows.looks import AFTER_US, LOOK
from hub.store.tasks import LeasedTask
from tests.flows import refunding
from tests.flows.benches import Bench
from tests.flows.scripted import ScriptedChain
from tests.flows.test_late_settlements import KEY, paid_on_chain, read, right_of, settled
from tests.world import START_US, operator

SPLITTER = "0x" + "5b" * 20


@dataclass
class Dated(ScriptedChain):
    """Whose blocks are all of one date."""

    dated_us: int = START_US

    async def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        found = await super().blocks(numbers)
        return [block and replace(block, mined_at_us=self.dated_us) for block in found]


async def paid(bench: Bench) -> Order:
    """An order whose purchase counts, by its channel's word, in a block that goes before anybody reads it."""
    bench.chain = Dated()
    order = await paid_on_chain(bench)
    await read(bench)
    bench.chain.told_by_others("Settled", KEY, {})
    bench.chain.fork()
    await read(bench)
    return order


async def looks(bench: Bench) -> list[str]:
    """The attempts and refunds that are still to be looked at."""
    return [key for (key,) in await bench.rows(f"SELECT key FROM task WHERE kind = '{LOOK}' ORDER BY id")]


async def later(bench: Bench, us: int = AFTER_US) -> None:
    bench.clock.pass_us(us)
    await bench.work()


async def test_a_right_whose_purchase_went_unread_is_held_back_until_the_chain_has_it_again(bench: Bench) -> None:
    order = await paid(bench)
    [attempt] = await bench.attempts(order.id)
    bench.chain.final = len(bench.chain.mined)
    await read(bench)
    await later(bench, AFTER_US - 1)
    assert await right_of(bench, order) == ("ACTIVE", set(), set())
    await later(bench, 1)
    assert await right_of(bench, order) == ("SUSPENDED", {f"chain:{attempt.id}"}, set())
    [found] = await bench.breaks()
    assert (found.kind, found.subject_id, found.order_id) == ("CHAIN", attempt.id, order.id)
    assert found.detail.startswith(f"the chain has taken back purchase {KEY}, which had paid {attempt.key}")
    assert await looks(bench) == []

    await settled(bench)
    assert await right_of(bench, order) == ("ACTIVE", set(), set())


async def test_nothing_is_concluded_before_all_blocks_of_that_time_are_read_as_final(embedded: Bench) -> None:
    bench, order = embedded, await paid(embedded)
    chain = bench.chain
    assert isinstance(chain, Dated)
    since_us = bench.clock.now_us()
    await later(bench)
    chain.final, chain.dated_us = 1, since_us + AFTER_US - 1
    chain.told_by_others("Revoked", "0x" + "22" * 32, {"word": "0", "mask": "1"})
    await read(bench)
    await later(bench)
    assert (await right_of(bench, order))[0] == "ACTIVE"
    chain.dated_us += 1
    await later(bench)
    assert (await right_of(bench, order))[0] == "SUSPENDED"


async def test_a_look_waits_for_the_date_of_the_block_where_this_hubs_clock_is_behind(embedded: Bench) -> None:
    dated_us = embedded.clock.now_us() + 2 * 3_600 * 1_000_000
    await paid_on_chain(embedded, provider_at_us=dated_us)
    [[body]] = await embedded.rows(f"SELECT body FROM task WHERE kind = '{LOOK}'")
    assert json.loads(body)["since_us"] == dated_us


async def test_nothing_is_concluded_while_the_log_is_read_in_part_or_not_at_all(embedded: Bench) -> None:
    bench, order = embedded, await paid(embedded)
    bench.chain.final = len(bench.chain.mined)
    await read(bench)
    async with bench.store.reading() as rx:
        cursor = await rx.chain_log.cursor(bench.chain.chain_id)
    assert cursor is not None
    await bench.store.write(indexing.halt_reading, cursor, "a test", bench.hub.draw())
    await later(bench)
    assert (await right_of(bench, order))[0] == "ACTIVE", "reading has halted"
    assert await indexing.resume(bench.hub, accepts=False) is None
    another = KnownContract(bench.chain.chain_id, SPLITTER, "checkout_splitter", "c0de", 0, START_US)
    await anchors.keep_contract(bench.hub, another)
    await later(bench)
    assert (await right_of(bench, order))[0] == "ACTIVE", "a contract is not read yet"
    await read(bench)
    await later(bench)
    assert (await right_of(bench, order))[0] == "SUSPENDED"


async def test_a_purchase_that_the_log_tells_of_is_left_to_its_reader(embedded: Bench) -> None:
    bench, order = embedded, await paid_on_chain(embedded)
    await settled(bench)
    assert len(await looks(bench)) == 1
    await later(bench)
    assert await looks(bench) == []
    assert (await right_of(bench, order), await bench.breaks()) == (("ACTIVE", set(), set()), [])


async def test_a_purchase_that_is_read_at_the_moment_of_the_look_has_not_gone(embedded: Bench) -> None:
    bench, order = embedded, await paid_on_chain(embedded)
    [attempt] = await bench.attempts(order.id)
    await settled(bench)
    body = {"attempt": attempt.id, "refund": None, "since_us": 0}
    task = LeasedTask(1, LOOK, attempt.id, body, 1, bench.owner)
    await bench.store.write(final_looks.find_gone, task, KEY, bench.hub.draw(), bench.vault)
    assert (await right_of(bench, order))[0] == "ACTIVE"


async def given_back(bench: Bench) -> Order:
    """An order whose purchase was given back, as its channel says and the chain's log does not yet."""
    bench.channel.capabilities = replace(bench.channel.capabilities, can_refund=True)
    order = await paid_on_chain(bench)
    splitter = KnownContract(bench.chain.chain_id, SPLITTER, "checkout_splitter", "c0de", 0, START_US)
    await anchors.keep_contract(bench.hub, splitter)
    await settled(bench)
    assert (await refunding.given(bench, operator(), order)).state == "SUCCEEDED"
    return order


async def test_a_refund_that_went_unread_is_shown_to_a_person(bench: Bench) -> None:
    order = await given_back(bench)
    await read(bench)
    bench.chain.final = len(bench.chain.mined)
    await read(bench)
    await later(bench)
    assert_is_shown(await bench.rows("SELECT kind, subject_id, detail FROM break_"), await refund_of(bench))
    assert await right_of(bench, order) == ("REVOKED", set(), {"refund"})
    assert await looks(bench) == []


async def test_a_refund_that_the_chain_takes_back_is_shown_to_a_person(embedded: Bench) -> None:
    bench = embedded
    await given_back(bench)
    bench.chain.told_by_others("Refunded", KEY, {})
    newest = list(bench.chain.mined)[-1]
    bench.chain.telling[newest] = replace(bench.chain.telling[newest], contract=SPLITTER)
    await read(bench)
    await later(bench)
    assert (await looks(bench), await bench.breaks()) == ([], [])
    bench.chain.fork()
    await read(bench)
    assert_is_shown(await bench.rows("SELECT kind, subject_id, detail FROM break_"), await refund_of(bench))


async def refund_of(bench: Bench) -> tuple[str, str]:
    [(id_, key)] = await bench.rows("SELECT id, key FROM refund")
    return id_, key


def assert_is_shown(breaks: list[tuple[str, str, str]], refund: tuple[str, str]) -> None:
    id_, key = refund
    detail = f"the chain has taken back refund {key} of purchase {KEY}: its right has ended all the same"
    assert breaks == [("CHAIN", id_, detail)]
