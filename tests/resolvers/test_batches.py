"""The read path: a page's price does not grow with its length, and batches say what single reads say."""

import asyncio
from typing import Any

import pytest

from hub.domain.people import Viewer
from hub.store.reads import plans
from resolvers.paging import Window
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import buy, market
from tests.world import learner, operator

PAGE = """
query ($n: Int!) {
  orders(first: $n) {
    totalCount
    nodes {
      number total { amount } chainStatus
      listing { price { amount } merchant { name } platform { slug merchant { name platform { slug } } } }
      course { title listings { externalId platform { slug } } }
      buyer { id members { externalId } orders(first: 2) { totalCount nodes { number course { title } } } }
      paymentIntent { status allowedActions attempts { state lastError { code } } }
      entitlement { isOpen grants { source } accesses { state platform { slug } } order { number } proof { root } }
      proof { root } receipt { jws } anchorBatch { root orders(first: 1) { nodes { id } } }
    }
  }
}
"""


async def test_statements_and_tasks_do_not_depend_on_the_number_of_objects(api: Api) -> None:
    scene = await market(api)
    for number in range(6):
        user = scene.me if number % 2 else await api.world.user()
        listing = await api.world.listing(platform=scene.seller)
        await buy(api, user, listing, f"key {number}")
    counts = []
    for size in (1, 8):
        before = len(api.statements)
        tasks = CountedTasks()
        with tasks:
            data = await api.data(operator(), PAGE, n=size)
        assert len(data["orders"]["nodes"]) == size
        counts.append((len(api.statements) - before, tasks.made))
    assert counts[0] == counts[1]
    assert counts[0][0] <= 12, counts


class CountedTasks:
    """How many tasks the loop makes meanwhile: a coroutine per object would be one each."""

    def __init__(self) -> None:
        self.made = 0

    def __enter__(self) -> None:
        def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> "asyncio.Task[Any]":
            self.made += 1
            return asyncio.Task(coroutine, loop=loop, **more)

        asyncio.get_running_loop().set_task_factory(make)

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().set_task_factory(None)


async def test_a_plain_read_is_one_statement(api: Api) -> None:
    scene = await market(api)
    for document, most in (
        ("query($id: ID!) { order(id: $id) { id total { amount } } }", 1),
        ("query($id: ID!) { order(id: $id) { listing { platform { merchant { name } } } course { title } } }", 1),
        ("query($id: ID!) { node(id: $id) { ... on Order { number buyer { id } } } }", 1),
        ("query($id: ID!) { a: node(id: $id) { id } b: node(id: $id) { id } nodes(ids: [$id]) { id } }", 1),
        ("query($id: ID!) { order(id: $id) { buyer { orders(first: 5) { nodes { id } } } } }", 2),
    ):
        before = len(api.statements)
        await api.data(scene.viewers["buyer"], document, id=scene.mine["id"])
        assert len(api.statements) - before == most, document


async def test_a_mutation_reads_nothing_again_for_plain_fields(api: Api) -> None:
    """What a paid checkout costs in all is the flow's; the answer adds nothing to it."""
    listing = await api.world.listing()
    plain = (
        "mutation($l: ID!, $k: String!) { orderCreate(input: {listingId: $l, idempotencyKey: $k}) { replayed"
        " userErrors { code } order { id number status total { amount } createdAt paymentIntent { id status"
        " allowedActions } } } }"
    )
    more = plain.replace("createdAt", "createdAt course { title }")
    counts = []
    for document in (plain, more):
        user = await api.world.user()
        before = len(api.statements)
        await api.data(learner(user), document, l=listing.id, k="k")
        counts.append(len(api.statements) - before)
    assert counts[1] == counts[0] + 1


# ---- batches beside a naive executor ----------------------------------------------------------------------------

WANTS = {
    "user": ["orders@orders.nodes.course", "entitlements@entitlements", "members.platform", "wallets"],
    "member": ["user", "platform"],
    "platform": ["merchant.platform"],
    "merchant": ["platform"],
    "course": ["listings.platform"],
    "listing": ["platform", "course.listings", "merchant"],
    "order": ["listing", "course", "platform", "buyer", "entitlement.grants", "payment_intent.attempts",
              "anchor_batch", "proof", "receipt", "refunds", "disputes"],
    "payment_attempt": ["order.course"],
    "refund": ["order.course"],
    "dispute": ["order.course"],
    "entitlement": ["course", "user", "order", "grants", "accesses.platform", "proof"],
    "anchor_batch": [],
    "break": ["order"],
    "api_key": ["platform"],
    "trusted_issuer": ["platform"],
    "audit_entry": ["platform"],
    "webhook_endpoint": ["platform"],
    "webhook_delivery": ["webhook_endpoint.platform", "tries"],
}  # fmt: skip
ALL = Window(100, is_forward=True, edge=None)


PAGED = frozenset({"chain_block", "chain_event"})  # never read by an id


# No lists of their own.
HANGING = frozenset({"leaf", "proof", "claimed_token", "receipt", "grant", "access", "webhook_attempt", "wallet"})


def test_every_noun_with_an_id_is_walked() -> None:
    assert set(WANTS) == set(plans.NOUNS) - HANGING - PAGED


def told(value: Any) -> Any:
    """A row and all that hangs on it, as plain values."""
    if isinstance(value, plans.Slice):
        return [told(row) for row in value.rows]
    if isinstance(value, list):
        return [told(row) for row in value]
    if hasattr(value, "joined"):
        columns = {name: getattr(value, name) for name in value.__slots__ if name != "joined"}
        return columns | {name: told(row) for name, row in value.joined.items()}
    return value


async def naive(rx: Any, noun: str, id_: str, viewer: Viewer, want: frozenset[str]) -> Any:
    """One object, and each of its relations by a read of its own."""
    (row,) = await rx.reads.load(noun, [id_], viewer)
    if row is None:
        return None
    for path in want:
        (alone,) = await rx.reads.load(noun, [id_], viewer, frozenset({path}))
        row.joined.update(alone.joined)
    return told(row)


@pytest.mark.parametrize("who", ["buyer", "other", "seller", "honouring", "stranger", "operator", "anonymous"])
async def test_batches_and_a_naive_executor_answer_alike(api: Api, who: str) -> None:
    scene = await market(api)
    viewer = scene.viewers[who]
    everything = scene.viewers["operator"]
    async with api.hub.store.reading() as rx:
        for noun, paths in WANTS.items():
            want = frozenset(paths)
            of = viewer if noun == "user" else everything  # a platform knows users by other ids
            ids = [row.id for row in (await rx.reads.page(noun, of, ALL)).rows]
            together = [told(row) for row in await rx.reads.load(noun, ids, viewer, want)]
            alone = [await naive(rx, noun, id_, viewer, want) for id_ in ids]
            assert together == alone, noun
            listed = await rx.reads.page(noun, viewer, ALL, frozenset(f"nodes.{path}" for path in want))
            visible = {row["id"]: row for row in together if row is not None}
            assert {row.id: told(row) for row in listed.rows} == visible, noun


async def test_no_more_than_the_limit_hangs_on_one_parent(api: Api) -> None:
    course = await api.world.course()
    first = await api.world.platform()
    for number in range(plans.MAX_LIST + 3):
        await api.world.listing(platform=first, course=course, external_id=f"x{number}")
    async with api.hub.store.reading() as rx:
        (row,) = await rx.reads.load("course", [course.id], operator(), frozenset({"listings"}))
    assert len(row.joined["listings"]) == plans.MAX_LIST
