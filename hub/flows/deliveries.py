"""Events on their way to platforms' endpoints: read off the log into deliveries, sent, and recorded.

The log's reader does nothing remote: it writes one delivery for each endpoint and event, and one task for each endpoint
and subject. That task is the subject's lane: it sends the oldest delivery that is not over, until there is none. What
is sent is committed before it is sent, so whoever dies in between sends the same bytes under the same id again.
"""

from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.domain.webhooks import (
    KEEP_DELIVERIES_US,
    EndpointState,
    Sent,
    SentOutcome,
    WebhookDelivery,
    WebhookEndpoint,
    after_attempt,
    signed_headers,
)
from hub.flows.tasks import SKIP
from hub.flows.webhooks import DELIVER, add_lanes, reader
from hub.ports import DocumentFailed, Hub

if TYPE_CHECKING:
    from hub.domain.events import Logged
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

__all__ = ["DELIVER", "deliver", "gather", "prune"]

READ_AT_ONCE = 100  # events of one endpoint in one unit
SENT_AT_ONCE = 50  # deliveries of one subject before its task lets others of its endpoint go first
PRUNED_AT_ONCE = 1_000


async def gather(hub: Hub) -> int:
    """Turn new events into deliveries. Returns how many endpoints were behind."""
    await hub.store.stamp()
    async with hub.store.reading() as rx:
        head = (await rx.events.head()).position  # read first: nothing up to it can be seen too late
        behind = await rx.webhooks.behind(SKIP)
    for endpoint, position, has_events in behind:
        told: list[Logged] = []
        if has_events:
            async with hub.store.reading() as rx:
                told = await rx.events.read(endpoint.platform_id, position, READ_AT_ONCE)
        await hub.store.write(fan_out, endpoint.id, position, told, head, hub.draw())
    return len(behind)


async def fan_out(tx: "Tx", endpoint_id: str, held: int, told: "list[Logged]", head: int, draw: Draw) -> None:
    """The deliveries, in the unit that moves the endpoint on: to the last event read, or past others' to `head`."""
    endpoint = await tx.webhooks.lock_endpoint(endpoint_id)
    if endpoint is None or endpoint.state is not EndpointState.ACTIVE:
        return
    if await tx.events.position_of(endpoint.consumer, endpoint.platform_id) != held:
        return  # another process has read these, or they are to be read anew
    await tx.events.move(endpoint.consumer, held, told[-1].position if told else head, endpoint.platform_id)
    wanted = [logged for logged in told if endpoint.kinds is None or logged.kind in endpoint.kinds]
    await tx.webhooks.add_deliveries(endpoint, wanted, draw)
    await add_lanes(tx, endpoint, list(dict.fromkeys(logged.subject for logged in wanted)), draw)


# ---- one lane -------------------------------------------------------------------------------------------------------


async def deliver(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one endpoint and subject. Returns when to go on (µs), None when nothing waits."""
    endpoint_id, subject = task.body["endpoint"], task.body["subject"]
    for _ in range(SENT_AT_ONCE):
        async with hub.store.reading() as rx:
            endpoint = await rx.webhooks.endpoint(endpoint_id)
            delivery = await rx.webhooks.next_pending(endpoint_id, subject)
        if endpoint is None or endpoint.state is not EndpointState.ACTIVE or delivery is None:
            return await hub.store.write(leave_lane, task)
        if delivery.next_at_us > hub.clock.now_us():
            return delivery.next_at_us
        sent = await _attempt(hub, endpoint, delivery)
        if not await hub.store.write(record_attempt, task, delivery, sent, hub.draw()):
            return None  # the lease was lost: another goes on
    return hub.clock.now_us()


async def _attempt(hub: Hub, endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> Sent:
    payload = delivery.payload
    if payload is None:
        viewer = reader(endpoint.platform_id, endpoint.scopes)
        try:
            made = await hub.event_documents.body(hub, viewer, endpoint.document, delivery.event)
        except DocumentFailed as failed:
            return Sent(SentOutcome.DOCUMENT_FAILED, 0, answer=str(failed))
        payload = await hub.store.write(keep_payload, delivery.id, made)
    body = payload.encode()
    now_us = hub.clock.now_us()
    secrets = tuple(hub.vault.open(sealed, endpoint.id) for sealed in endpoint.sealed_secrets(now_us))
    return await hub.sender.post(endpoint.url, signed_headers(delivery.event.id, body, secrets, now_us), body)


async def keep_payload(tx: "Tx", delivery_id: str, payload: str) -> str:
    """What is sent from now on: the first that anybody made."""
    return await tx.webhooks.keep_payload(delivery_id, payload)


async def record_attempt(tx: "Tx", task: "LeasedTask", sent_of: WebhookDelivery, sent: Sent, draw: Draw) -> bool:
    """What an attempt came to, for its delivery and its endpoint. False: the task is another's meanwhile."""
    endpoint = await tx.webhooks.lock_endpoint(sent_of.endpoint_id)
    if not await tx.tasks.renew(task, draw):
        return False
    delivery = await tx.webhooks.next_pending(sent_of.endpoint_id, sent_of.event.subject)
    if endpoint is None or delivery is None or delivery.id != sent_of.id:
        return True  # deleted, or an earlier one is to go out again: look anew
    chance = int.from_bytes(draw.bytes("jitter", delivery.id)[:8])
    endpoint_now, delivery_now = after_attempt(endpoint, delivery, sent, now_us=draw.now_us, chance=chance)
    await tx.webhooks.update_delivery(delivery_now)
    await tx.webhooks.add_attempt(delivery_now, sent, draw.now_us)
    await tx.webhooks.update_endpoint(endpoint_now)
    return True


async def leave_lane(tx: "Tx", task: "LeasedTask") -> int | None:
    """End the task, unless something came meanwhile: fanning out holds the same row and adds no second task."""
    endpoint = await tx.webhooks.lock_endpoint(task.body["endpoint"])
    delivery = await tx.webhooks.next_pending(task.body["endpoint"], task.body["subject"])
    if endpoint is not None and endpoint.state is EndpointState.ACTIVE and delivery is not None:
        return delivery.next_at_us
    await tx.tasks.finish(task)
    return None


# ---- the log of deliveries ------------------------------------------------------------------------------------------


async def prune(hub: Hub) -> int:
    """Forget deliveries that are over for a month, some at a time. Returns how many; an idle look writes nothing."""
    before_us = hub.clock.now_us() - KEEP_DELIVERIES_US
    async with hub.store.reading() as rx:
        if not await rx.webhooks.has_old(before_us):
            return 0
    return await hub.store.write(forget_deliveries, before_us)


async def forget_deliveries(tx: "Tx", before_us: int) -> int:
    return await tx.webhooks.prune(before_us, PRUNED_AT_ONCE)
