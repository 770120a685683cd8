"""A full disk under the public API: a clear answer, nothing half-done, and the same key works once there is room."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from hub.domain.payments import AttemptState, PaymentAttempt, Result
from hub.domain.people import LEARNER_SCOPES, Viewer
from hub.entry.app import create_app
from hub.entry.verification import verified
from hub.store.metadata import metadata
from hub.store.sqlite import SqliteStore
from hub.store.transactions import Store
from schema import schema
from tests.entry.toys import client_of, settings_of
from tests.flows.benches import Bench
from tests.flows.scripted import charged
from tests.world import SECOND_US, World

CHECKOUT = """
mutation($input: CheckoutInput!) { checkout(input: $input) {
  replayed userErrors { code } order { status } paymentAttempt { state } } }
"""
BEFORE = 12  # sales that fill the pages, so that another one needs more of them
AFTER_LEASES_US = 75 * SECOND_US


@dataclass(frozen=True, slots=True)
class Till:
    """A bench whose hub is asked over HTTP, and whose disk has room or none."""

    bench: Bench
    hub: httpx.AsyncClient

    async def checkout(self, viewer: Viewer, listing_id: str, key: str) -> Any:
        """The whole answer."""
        assert viewer.user_id is not None
        token = self.bench.tokens.issue_user_token(viewer.user_id, self.bench.clock.now_us(), 3600, LEARNER_SCOPES)
        asked = {
            "listingId": listing_id, "channel": "sandbox", "idempotencyKey": key,
            "expectedAmount": {"amountMinor": "9900", "currency": "CNY"},
        }  # fmt: skip
        answer = await self.hub.post(
            "/graphql",
            json={"query": CHECKOUT, "variables": {"input": asked}},
            headers={"authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 200
        return answer.json()

    async def fill(self) -> None:
        """No room for anything more: on SQLite really, on PostgreSQL by the server's own code for it."""
        store = self.bench.store
        if isinstance(store, SqliteStore):
            raw = store._writer.raw
            raw.execute("VACUUM")
            raw.execute(f"PRAGMA max_page_count={raw.execute('PRAGMA page_count').fetchone()[0]}")
        else:
            await store.write(_run, "CREATE TRIGGER full_ BEFORE INSERT ON event EXECUTE FUNCTION no_room()")

    async def empty(self) -> None:
        store = self.bench.store
        if isinstance(store, SqliteStore):
            store._writer.raw.execute("PRAGMA max_page_count=1073741823")
        else:
            await store.write(_run, "DROP TRIGGER full_ ON event")

    async def everything(self) -> dict[str, int]:
        """How many rows each table has."""
        return {name: await self.bench.one(f"SELECT count(*) FROM {name}") for name in metadata.tables}


NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$
"""


async def _run(tx: Any, statement: str) -> None:
    await tx._connection.raw.execute(statement)


@pytest.fixture
async def till(store: Store, world: World) -> AsyncIterator[Till]:
    bench = Bench(store, world)
    if not bench.is_embedded:
        await store.write(_run, NO_ROOM)
    listing = await world.listing()
    for n in range(BEFORE):
        await bench.buy(await world.learner(), listing, f"before-{n}")
    async with client_of(create_app(bench.hub, settings_of(), schema=schema)) as hub:
        yield Till(bench, hub)


async def test_checkout_on_a_full_disk_does_nothing_and_its_key_works_when_there_is_room(till: Till) -> None:
    viewer, listing = await till.bench.world.learner(), await till.bench.world.listing()
    before, calls = await till.everything(), len(till.bench.channel.calls)
    await till.fill()
    for _ in range(2):
        answer = await till.checkout(viewer, listing.id, "key")
        assert answer["data"] is None
        [error] = answer["errors"]
        assert (error["message"], error["path"]) == ("the database has no room: nothing was done", ["checkout"])
        assert error["extensions"]["code"] == "UNAVAILABLE"
    assert await till.everything() == before
    assert len(till.bench.channel.calls) == calls
    await till.empty()
    answer = await till.checkout(viewer, listing.id, "key")
    paid = {"replayed": False, "userErrors": [], "order": {"status": "PAID"}, "paymentAttempt": {"state": "CHARGED"}}
    assert answer == {"data": {"checkout": paid}}
    assert len(till.bench.channel.calls) == calls + 1


async def test_disk_that_fills_while_the_channel_takes_the_money_loses_and_doubles_nothing(till: Till) -> None:
    viewer, listing = await till.bench.world.learner(), await till.bench.world.listing()

    async def take(attempt: PaymentAttempt) -> Result:
        await till.fill()
        return charged(attempt)

    till.bench.channel.then("create", take)
    calls = till.bench.channel.count("create")
    answer = await till.checkout(viewer, listing.id, "key")
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAVAILABLE"]
    [(order_id, status)] = await till.bench.rows(f"SELECT id, status FROM order_ WHERE user_id = '{viewer.user_id}'")
    assert (status, await till.bench.states(order_id)) == ("AWAITING_PAYMENT", [AttemptState.SUBMITTED])
    assert await till.bench.rows(f"SELECT id FROM journal_entry WHERE order_id = '{order_id}'") == []
    await till.empty()
    till.bench.clock.pass_us(AFTER_LEASES_US)
    answer = await till.checkout(viewer, listing.id, "key")
    assert answer["data"]["checkout"]["order"] == {"status": "PAID"}
    await till.bench.work()
    assert await till.bench.states(order_id) == [AttemptState.CHARGED]
    assert till.bench.channel.count("create") == calls + 1
    assert len(await till.bench.grants(str(viewer.user_id), listing.course_id)) == 1
    for check in await verified(till.bench.hub, with_chain=False):
        assert check.is_fine, (check.name, check.wrong)
