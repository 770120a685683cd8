"""The first sale on a whole hub, from outside: real processes, HTTP and WebSockets, by every kind of caller."""

import asyncio
import hashlib
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from eth_utils.crypto import keccak

from hub.chain.embedded import EmbeddedNode
from hub.entry.demo_client import Client, pay_by_card
from hub.store.metadata import metadata
from tests.entry.hubs import (
    CANCEL,
    CHECKOUT,
    LINK,
    LIST,
    ORDER,
    VERIFY,
    House,
    Sandbox,
    Serving,
    Sold,
    order_of,
    put_on_sale,
    reached,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLLOW = """subscription($order: ID!) { orderUpdated(orderId: $order, after: "") {
  event { id kind cursor } order { status chargeStatus chainStatus } } }"""
EVENTS = """query { events(first: 100, after: "") { nodes { id kind subject payload { __typename } } } }"""
READER = "reader-1"
OPENED = "double-entry-reader"  # on the honouring platform's own shelf
TOUR = Path(__file__).parents[2] / "hub" / "web" / "graphiql" / "src" / "tour"
COURSES = """course_id,course_title,url,is_paid,price,num_subscribers,num_reviews,num_lectures,level,content_duration,published_timestamp,subject
1,Knots,https://example.org/1,True,20,1,1,1,All Levels,1.5,2017-01-18T20:58:58Z,Crafts
2,Bends,https://example.org/2,False,0,1,1,1,All Levels,1.5,2017-01-18T20:58:58Z,Crafts
3,Hitches,https://example.org/3,True,35,1,1,1,All Levels,1.5,2017-01-18T20:58:58Z,Crafts
"""  # noqa: E501  # one row a line, as it was exported


@dataclass(frozen=True, slots=True)
class Shop:
    """A running hub with two platforms, of which the second honours what the first sells."""

    house: House
    hub: Serving
    sandbox: Sandbox
    learner: Client
    stranger: Client  # another learner
    seller: Client
    honourer: Client
    operator: Client
    sold: Sold
    free: Sold


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    house = House(tmp_path_factory.mktemp("first-sale") / "data")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(house.aclose)
        hub = await house.serve()
        tokens = await asyncio.gather(
            house.token("learner"), house.token("learner", user="stranger"), house.token("partner", platform="lumen"),
            house.token("partner", platform="folio"), house.token("operator"),
        )  # fmt: skip
        clients = [await stack.enter_async_context(Client(hub.origin, token)) for token in tokens]
        learner, stranger, seller, honourer, operator = clients
        sold = await put_on_sale(seller, "double-entry", price_minor=4900)
        await honourer.mutate(LIST, {"externalId": OPENED, "courseId": sold.course_id})
        await honourer.mutate(LINK, {"externalId": READER, "userToken": tokens[0]})
        await house.sandbox().introduce("folio", hub.origin, tokens[3])
        yield Shop(
            house, hub, house.sandbox(), learner, stranger, seller, honourer, operator, sold,
            await put_on_sale(seller, "hello-lumen", price_minor=0),
        )  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sale(shop: Shop) -> tuple[str, list[tuple[str, str, str]]]:
    """The order id of the one sale, paid by card on the hosted page, and (kind, status, chain status) as followed."""
    before = await shop.sandbox.page("folio", OPENED, READER)
    assert before.status_code == 403
    asked = await shop.learner.mutate(CHECKOUT, shop.sold.bought("first", method=None))
    assert asked["paymentAttempt"]["state"] == "ACTION"
    followed = []
    async with asyncio.timeout(60), shop.learner.subscribe(FOLLOW, {"order": asked["order"]["id"]}) as updates:
        await pay_by_card(asked["paymentAttempt"]["nextAction"]["url"], "4242 4242 4242 4242")
        async for update in updates:
            told = update["orderUpdated"]
            followed.append((told["event"]["kind"], told["order"]["status"], told["order"]["chainStatus"]))
            if told["order"]["chainStatus"] == "FINALIZED":
                break
    return asked["order"]["id"], followed


async def test_buyer_follows_the_order_from_its_number_to_its_record_on_chain(
    shop: Shop, sale: tuple[str, list[tuple[str, str, str]]]
) -> None:
    order_id, followed = sale
    kinds = [kind for kind, _, _ in followed]
    assert kinds[:2] == ["ORDER_CREATED", "PAYMENT_ATTEMPT_CHANGED"]
    assert kinds.index("ORDER_PAID") < kinds.index("ORDER_RECORDED")
    assert followed[-1][1:] == ("PAID", "FINALIZED")
    order = await order_of(shop.learner, order_id)
    assert (order["chargeStatus"], order["fulfilmentStatus"]) == ("FULL", "FULFILLED")
    assert [attempt["state"] for attempt in order["paymentIntent"]["attempts"]] == ["CHARGED"]
    assert len(order["entitlement"]["grants"]) == 1
    [movement] = await shop.sandbox.find(f"{order['number']}-1")
    assert (movement["status"], movement["amount_received"]) == ("succeeded", 4900)
    [attempt] = order["paymentIntent"]["attempts"]
    ours = {"order": order["number"], "order_id": order_id, "payment_attempt_id": attempt["id"]}
    assert movement["metadata"] == ours  # the same ids at the provider, and in what partners are sent
    told = (await shop.seller.query(EVENTS, {}))["events"]["nodes"]
    assert order_id in {event["subject"] for event in told if event["kind"] == "ORDER_PAID"}


async def test_bought_on_one_platform_opens_on_the_other(
    shop: Shop, sale: tuple[str, list[tuple[str, str, str]]]
) -> None:
    page = await shop.sandbox.page("folio", OPENED, READER)
    assert page.status_code == 200
    assert (await shop.sandbox.page("folio", OPENED, "somebody-else")).status_code == 403
    asked = {"input": {"member": {"externalId": READER}}, "course": shop.sold.course_id}
    assert (await shop.honourer.query(VERIFY, asked))["verifyEntitlement"]["isEntitled"]

    async def open_there() -> bool:
        accesses = (await order_of(shop.operator, sale[0]))["entitlement"]["accesses"]
        return ("folio", "OPEN") in [(access["platform"]["slug"], access["state"]) for access in accesses]

    await until(open_there, what="folio's own access list")


async def test_contract_accepts_the_proof_of_the_sale(shop: Shop, sale: tuple[str, list[tuple[str, str, str]]]) -> None:
    order = await order_of(shop.learner, sale[0])
    asked = {"input": {"proof": order["proof"]["bundle"]}, "course": shop.sold.course_id}
    assert (await shop.operator.query(VERIFY, asked))["verifyEntitlement"]["isEntitled"]
    asked["course"] = shop.free.course_id
    assert not (await shop.operator.query(VERIFY, asked))["verifyEntitlement"]["isEntitled"]


async def test_the_tour_follows_the_sale_into_its_block_and_explores_the_chain(
    shop: Shop, sale: tuple[str, list[tuple[str, str, str]]]
) -> None:
    order = (await shop.learner.query((TOUR / "5-proof.graphql").read_text(), {"order": sale[0]}))["order"]
    assert [attempt["state"] for attempt in order["paymentIntent"]["attempts"]] == ["CHARGED"]
    mined = order["anchorBatch"]["transaction"]
    assert (mined["status"], order["entitlement"]["token"]["state"]) == ("FINAL", "UNCLAIMED")
    assert int(mined["feeWei"]) >= mined["gasUsed"] > 0
    chain = (await shop.learner.query((TOUR / "7-chain.graphql").read_text(), {"first": 100}))["chain"]
    assert order["anchorBatch"]["root"] in [batch["root"] for batch in chain["batches"]["nodes"]]
    assert mined["hash"] in [event["transactionHash"] for event in chain["events"]["nodes"]]
    assert not chain["isHalted"]


async def test_sale_is_seen_by_its_parties_alone(shop: Shop, sale: tuple[str, list[tuple[str, str, str]]]) -> None:
    order_id, _ = sale
    sees = [
        (await caller.query(ORDER, {"id": order_id}))["order"] is not None
        for caller in (shop.learner, shop.seller, shop.operator, shop.stranger, shop.honourer)
    ]
    assert sees == [True, True, True, False, False]
    seller, honourer = [
        {event["kind"] for event in (await caller.query(EVENTS, {}))["events"]["nodes"]}
        for caller in (shop.seller, shop.honourer)
    ]
    assert {"ORDER_CREATED", "ORDER_PAID", "ENTITLEMENT_GRANTED"} <= seller
    assert "ENTITLEMENT_GRANTED" in honourer
    assert not {"ORDER_CREATED", "ORDER_PAID", "PAYMENT_ATTEMPT_CHANGED"} & honourer


async def test_free_course_is_granted_at_once_and_recorded(shop: Shop) -> None:
    bought = await shop.learner.mutate(CHECKOUT, shop.free.bought("free"))
    assert bought["order"]["status"] == "PAID"
    assert bought["paymentAttempt"] is None
    order = await reached(shop.learner, bought["order"]["id"], chainStatus="FINALIZED")
    assert order["entitlement"]["isOpen"]
    assert await shop.sandbox.find(f"{order['number']}-1") == []


async def test_canceled_order_takes_no_money(shop: Shop) -> None:
    sold = await put_on_sale(shop.seller, "given-up")
    asked = await shop.learner.mutate(CHECKOUT, sold.bought("given up", method=None))
    canceled = await shop.learner.mutate(CANCEL, {"orderId": asked["order"]["id"], "idempotencyKey": "no"})
    assert canceled["order"]["status"] == "CANCELED"
    [movement] = await shop.sandbox.find(f"{asked['order']['number']}-1")
    assert (movement["status"], movement["amount_received"]) == ("canceled", 0)


async def test_second_server_on_the_folder_refuses_and_names_the_first(shop: Shop) -> None:
    code, said = await shop.house.command("serve", "--port", "0")
    assert code == 2
    assert f"process {shop.hub.pid}:" in said
    assert (await shop.learner.query("{ viewer { kind } }", {}))["viewer"]["kind"] == "USER"


async def test_what_is_in_the_data_folder_is_its_accounts_alone(
    shop: Shop, sale: tuple[str, list[tuple[str, str, str]]]
) -> None:
    made = [path for path in shop.house.data.rglob("*") if path.is_file()]
    assert {"hub.sqlite3", "chain.sqlite3", "sandbox.sqlite", "hub.lock", "node.log"} <= {path.name for path in made}
    assert [path for path in made if path.stat().st_mode & 0o077] == []


async def test_commands_beside_the_server_corrupt_nothing_and_reclaim_no_lease(shop: Shop, tmp_path: Path) -> None:
    catalogue = tmp_path / "courses.csv"
    catalogue.write_text(COURSES)
    listings = [await put_on_sale(shop.seller, f"beside-{number}") for number in range(8)]
    await shop.house.change(
        "INSERT INTO task (kind, key, body, attempts, run_at_us, lease_until_us, owner) "
        "VALUES ('nobodys', 'held', '{}', 1, 0, 9000000000000000, 'another process')"
    )
    orders, imported, token, verified = await asyncio.gather(
        asyncio.gather(*(shop.learner.mutate(CHECKOUT, sold.bought(f"beside {sold.listing_id}")) for sold in listings)),
        shop.house.command("import", str(catalogue), "--platform", "udemy", "--format", "udemy"),
        shop.house.token("learner", user="newcomer"),
        shop.house.command("verify"),
    )
    assert [answer["paymentAttempt"]["state"] for answer in orders] == ["CHARGED"] * 8
    assert imported[0] == 0
    assert "3 added, 0 changed" in imported[1]
    assert verified[0] == 0, verified[1]
    async with Client(shop.hub.origin, token) as newcomer:
        assert (await newcomer.query("{ viewer { kind } }", {}))["viewer"]["kind"] == "USER"
    for answer in orders:
        await reached(shop.learner, answer["order"]["id"], chainStatus="FINALIZED")
    await shop.house.verified()
    held = await shop.house.rows("SELECT owner, attempts, lease_until_us FROM task WHERE kind = 'nobodys'")
    assert held == [("another process", 1, 9000000000000000)]


async def test_06_25_nothing_that_the_books_say_in_words_is_on_chain_as_it_is_or_hashed(
    shop: Shop, sale: tuple[str, list[tuple[str, str, str]]]
) -> None:
    words = {word for table in metadata.sorted_tables for row in await shop.house.rows(f"SELECT * FROM {table.name}")
             for value in row for word in words_in(value)}  # fmt: skip
    order = await order_of(shop.learner, sale[0])
    assert {order["id"], order["number"], shop.sold.course_id, READER, OPENED, "folio"} <= words
    on_chain = await everything_said_on_chain(shop.house)
    assert bytes.fromhex(order["anchorBatch"]["root"][2:]) in on_chain
    found = {
        word
        for word in words
        for said in (word.encode(), hashlib.sha256(word.encode()).digest(), keccak(word.encode()))
        if said in on_chain
    }
    assert found == set()


def words_in(value: object) -> Iterator[str]:
    """Every text of four or more characters in a column's value: also in its JSON."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        yield from words_in(json.loads(value))
    elif isinstance(value, str) and len(value) >= 4:
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from words_in(part)


async def everything_said_on_chain(house: House) -> bytes:
    """What every transaction brought, but for the contracts' own code, and what every log tells."""
    url = EmbeddedNode(house.data).url()
    async with httpx.AsyncClient(trust_env=False) as node:

        async def asked(method: str, *words: object) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": words}
            return (await node.post(url, json=body)).json()["result"]

        head = int(await asked("eth_blockNumber"), 16)
        blocks = [await asked("eth_getBlockByNumber", hex(number), True) for number in range(head + 1)]
        logs = await asked("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(head)})
    said = [sent["input"] for block in blocks for sent in block["transactions"] if sent["to"] is not None]
    said += [part for log in logs for part in (*log["topics"], log["data"])]
    assert len(said) > len(logs) > 0
    return b"|".join(bytes.fromhex(part[2:]) for part in said)


@pytest.mark.chaos
async def test_sigterm_under_load_fails_no_request_and_loses_no_task(tmp_path: Path) -> None:
    """Readiness says 503 first; what was taken is answered; what was begun is finished after the next start."""
    house = House(tmp_path / "data")
    try:
        hub = await house.serve()
        learner, partner = await asyncio.gather(house.token("learner"), house.token("partner", platform="lumen"))
        async with Client(hub.origin, partner) as seller:
            listings = [await put_on_sale(seller, f"late-{number}") for number in range(24)]
        await house.sandbox().arm("create", "latency_ms", value=600, times=0)
        async with Client(hub.origin, learner) as buyer, httpx.AsyncClient(trust_env=False, verify=False) as probe:
            ready = await probe.get(f"{hub.origin}/readyz")
            paying = [asyncio.create_task(buyer.mutate(CHECKOUT, sold.bought(sold.listing_id))) for sold in listings]
            await until(lambda: _under_way(house), what="24 attempts at the channel")
            hub.send(signal.SIGTERM)

            async def draining() -> bool:
                return (await probe.get(f"{hub.origin}/readyz")).status_code == 503

            await until(draining, within_s=5, what="/readyz 503")
            answers = await asyncio.gather(*paying)
        assert ready.status_code == 200
        assert [answer["paymentAttempt"]["state"] for answer in answers] == ["CHARGED"] * 24
        assert await hub.ended(within_s=45) == 0
        again = await house.serve()
        async with Client(again.origin, learner) as buyer:
            for answer in answers:
                await reached(buyer, answer["order"]["id"], status="PAID", chainStatus="FINALIZED")
        await house.verified()
    finally:
        await house.aclose()


async def _under_way(house: House) -> bool:
    return len(house.movements()) == 24
