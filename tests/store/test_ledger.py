"""The books: a reference once, entries for ever, balances that are the fold of their postings."""

import asyncio
import random
from typing import Any

import pytest
from sqlalchemy import text

from hub.domain.ledger import Posting, ReferenceTaken, escrow, fold, payee_pending
from hub.domain.orders import Order
from hub.store.transactions import Store, Tx
from tests.world import World


async def post(tx: Tx, *entries: Any) -> None:
    for entry in entries:
        await tx.ledger.post(entry)


async def balances(store: Store) -> dict[str, tuple[int, int]]:
    async with store.reading() as rx:
        kept, folded = await rx.ledger.balances(), await rx.ledger.folded()
    assert kept == folded
    return {balance.account_id: (balance.debits, balance.credits) for balance in kept}


async def test_a_reference_is_used_once_and_the_second_unit_writes_nothing(store: Store, world: World) -> None:
    order = await world.order()
    await store.write(post, world.entry(order, "charge:1"))

    async def twice(tx: Tx) -> None:
        tx.tasks.add("anchor", "1-9", {}, 0)
        await tx.ledger.post(world.entry(order, "charge:1"))

    with pytest.raises(ReferenceTaken, match="charge:1"):
        await store.write(twice)
    assert await balances(store) == {
        "channel:sandbox:clearing/CNY": (9900, 0), f"order:{order.id}:escrow/CNY": (0, 9900),
    }  # fmt: skip
    async with store.reading() as rx:
        assert await rx.tasks.listed() == []


async def test_of_20_at_once_with_one_reference_one_is_booked(store: Store, world: World) -> None:
    order = await world.order()
    answers = await asyncio.gather(
        *(store.write(post, world.entry(order, "charge:1")) for _ in range(20)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["NoneType"] + ["ReferenceTaken"] * 19
    assert (await balances(store))["channel:sandbox:clearing/CNY"] == (9900, 0)


async def test_balances_are_the_fold_of_200_entries_written_at_once(store: Store, world: World) -> None:
    order = await world.order()
    chance = random.Random(7)
    entries = [world.entry(order, f"entry:{i}", walk(order, chance)) for i in range(200)]
    await asyncio.gather(*(store.write(post, entry) for entry in entries))
    expected = fold(posting for entry in entries for posting in entry.postings)
    kept = await balances(store)
    assert kept == {f"{address}/{asset}": sums for (address, asset), sums in expected.items()}
    assert sum(debits for debits, _ in kept.values()) == sum(credits for _, credits in kept.values())


def walk(order: Order, chance: random.Random) -> tuple[Posting, ...]:
    """One to four postings among few accounts, in both directions, so that units meet on the same rows."""
    accounts = (
        "channel:sandbox:clearing",
        escrow(order.id),
        payee_pending("mer_1"),
        payee_pending("mer_2"),
        "hub:fees",
    )
    return tuple(
        Posting(*chance.sample(accounts, 2), chance.choice(("CNY", "USD")), chance.randint(1, 10**12))
        for _ in range(chance.randint(1, 4))
    )


@pytest.mark.parametrize("table", ["journal_entry", "posting"])
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
async def test_nothing_booked_is_ever_changed(store: Store, world: World, table: str, change: str) -> None:
    await store.write(post, world.entry(await world.order()))
    column = {"journal_entry": "kind", "posting": "asset"}[table]

    async def tamper(tx: Tx) -> None:
        await tx.run(text(change.format(table, column, column)))

    with pytest.raises(Exception, match=f"{table} is append-only"):
        await store.write(tamper)
    assert len(await balances(store)) == 2


@pytest.mark.parametrize("amount_minor", [0, -1])
async def test_the_database_itself_takes_positive_amounts_alone(store: Store, world: World, amount_minor: int) -> None:
    entry = world.entry(await world.order())
    await store.write(post, entry)

    async def forge(tx: Tx) -> None:
        columns = f"entry_id, 9, debit_account, credit_account, asset, {amount_minor}"
        await tx.run(text(f"INSERT INTO posting SELECT {columns} FROM posting"))

    with pytest.raises(Exception, match="ck_posting_positive"):
        await store.write(forge)
    assert len(await balances(store)) == 2
