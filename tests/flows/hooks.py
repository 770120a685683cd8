"""Endpoints, and what was delivered to them."""

from collections import defaultdict

from hub.domain.catalogue import Listing, Platform
from hub.domain.orders import Order
from hub.domain.webhooks import WebhookEndpoint
from hub.flows import deliveries, tasks, webhooks
from hub.flows.orders import cancel_order
from hub.flows.webhooks import IssuedEndpoint
from tests.flows.benches import Bench
from tests.world import partner

URL = "https://shop.example/hook"
DOCUMENT = "all"


async def made(bench: Bench, platform: Platform, document: str = DOCUMENT, url: str = URL) -> IssuedEndpoint:
    answer = await webhooks.create_endpoint(bench.hub, partner(platform), url=url, document=document)
    assert answer.value is not None, answer.refusal
    return answer.value


async def sold(bench: Bench, listing: Listing, key: str) -> Order:
    """An order that is made and given up: ORDER_CREATED and ORDER_CANCELED of one subject, in the seller's stream."""
    buyer = await bench.world.learner()
    order = await bench.order(buyer, listing, key=key)
    await cancel_order(bench.hub, buyer, order_id=order.id, idempotency_key=key)
    return order


async def delivered(bench: Bench, rounds: int = 50) -> None:
    """Fan out and work until nothing is due now."""
    for _ in range(rounds):
        behind = await deliveries.gather(bench.hub)
        claimed = await tasks.claim_due(bench.hub, 100, is_pooled=True)
        for task in claimed:
            await bench.run(task)
        if not behind and not claimed:
            return
    raise AssertionError("the deliveries do not come to rest")


async def endpoint_now(bench: Bench, endpoint_id: str) -> WebhookEndpoint:
    async with bench.store.reading() as rx:
        endpoint = await rx.webhooks.endpoint(endpoint_id)
    assert endpoint is not None
    return endpoint


async def stream(bench: Bench, platform: Platform) -> list[tuple[str, str, str]]:
    """(subject, kind, id) of each event of the platform's stream."""
    await bench.store.stamp()
    async with bench.store.reading() as rx:
        told = await rx.events.read(platform.id, 0, 10_000)
    return [(logged.subject, logged.kind, logged.id) for logged in told]


async def states(bench: Bench) -> list[tuple[str, str, int]]:
    """(subject, state, attempts) of each delivery, in the order of the log."""
    rows = await bench.rows("SELECT subject, state, attempts FROM webhook_delivery ORDER BY position")
    return [(subject, state, attempts) for subject, state, attempts in rows]


def per_subject(bench: Bench, told: list[tuple[str, str, str]]) -> dict[str, list[str]]:
    """The ids that were posted, in the order of their arrival, by the subject of their event."""
    subject_of = {id_: subject for subject, _, id_ in told}
    posted: dict[str, list[str]] = defaultdict(list)
    for post in bench.sender.posts:
        posted[subject_of[post.id]].append(post.id)
    return posted


def in_order(told: list[tuple[str, str, str]]) -> dict[str, list[str]]:
    ids: dict[str, list[str]] = defaultdict(list)
    for subject, _, id_ in told:
        ids[subject].append(id_)
    return ids
