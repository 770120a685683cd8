"""Webhook endpoints as their platforms keep them: made, changed, paused, resumed, replayed, rotated, deleted.

Every change holds the endpoint's row, as delivering does, so no event falls between two of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.domain.people import PARTNER_SCOPES, Viewer, ViewerKind
from hub.domain.refusals import InvalidInput, NotFound, Refusal
from hub.domain.requests import Answer
from hub.domain.webhooks import (
    MAX_ENDPOINTS,
    ROTATION_US,
    EndpointState,
    PauseReason,
    WebhookEndpoint,
    written_secret,
)
from hub.flows import audit
from hub.flows.keys import key_ended
from hub.ports import DocumentRefused, Hub

if TYPE_CHECKING:
    from hub.store.transactions import Tx

# The kind of the tasks that deliver: one for each endpoint and subject with something to deliver.
DELIVER = "webhook"

Change = Callable[[WebhookEndpoint], WebhookEndpoint | Refusal]


@dataclass(frozen=True, slots=True)
class IssuedEndpoint:
    """An endpoint, and its new secret where it got one: shown this once."""

    id: str
    secret: str | None = field(default=None, repr=False)


async def create_endpoint(
    hub: Hub, viewer: Viewer, *, url: str, document: str, platform_id: str | None = None
) -> Answer[IssuedEndpoint]:
    """An ACTIVE endpoint: what happens from now on goes there. An operator names the platform."""
    owner = viewer.acting_for(platform_id)
    if owner is None:
        return Answer(refusal=NotFound("platformId"))
    scopes = _scopes(viewer)
    kinds = _kinds(hub, document, owner, scopes)
    if isinstance(kinds, InvalidInput):
        return Answer(refusal=kinds)
    if reason := await hub.sender.refuses(url):
        return Answer(refusal=InvalidInput("url", reason))
    draw = hub.draw()
    id_ = draw.id("whe")
    secret = draw.bytes("webhook secret", id_)
    new = WebhookEndpoint(
        id=id_, platform_id=owner, url=url, document=document, kinds=kinds, scopes=scopes, state=EndpointState.ACTIVE,
        pause_reason=None, sealed_secret=hub.vault.seal(secret, id_), sealed_previous=None, previous_until_us=None,
        failing_since_us=None, delivered_at_us=None, version=1, created_at_us=draw.now_us,
    )  # fmt: skip
    await hub.store.stamp()
    refusal = await hub.store.write(put_endpoint, viewer, new, draw)
    return Answer(refusal=refusal) if refusal else Answer(IssuedEndpoint(id_, written_secret(secret)))


async def put_endpoint(tx: "Tx", viewer: Viewer, new: WebhookEndpoint, draw: Draw) -> Refusal | None:
    """None: it is there, and begins after the newest event of now."""
    if refusal := await key_ended(tx, viewer, "making an endpoint", draw.now_us):
        return refusal
    count = await tx.webhooks.count_endpoints(new.platform_id)
    if count is None:
        return NotFound("platformId")
    if count >= MAX_ENDPOINTS:
        return InvalidInput("url", f"a platform has at most {MAX_ENDPOINTS} endpoints: delete one first")
    await tx.webhooks.add_endpoint(new, (await tx.events.head()).position)
    await audit.note(
        tx, viewer, "webhookEndpointCreate", new.id, draw, platform_id=new.platform_id, url=_shown(new.url)
    )  # fmt: skip
    return None


async def update_endpoint(
    hub: Hub, viewer: Viewer, endpoint_id: str, *, url: str | None = None, document: str | None = None
) -> Answer[IssuedEndpoint]:
    """Another URL, at which what waits is tried at once, another document, or both. What has been tried already keeps
    its body.

    Not by a key that may see less than the document: what was made by it could be had at a URL of theirs.
    """
    async with hub.store.reading() as rx:
        held = await rx.webhooks.endpoint(endpoint_id)
    if held is None or not _is_theirs(held, viewer):
        return Answer(refusal=NotFound("webhookEndpointId"))
    scopes = _scopes(viewer)
    kinds = None if document is None else _kinds(hub, document, held.platform_id, scopes)
    if isinstance(kinds, InvalidInput):
        return Answer(refusal=kinds)
    if url is not None and (reason := await hub.sender.refuses(url)):
        return Answer(refusal=InvalidInput("url", reason))

    def change(endpoint: WebhookEndpoint) -> WebhookEndpoint | Refusal:
        if refusal := _too_weak(endpoint, viewer):
            return refusal
        moved = endpoint if url is None else replace(endpoint, url=url)
        return moved if document is None else replace(moved, document=document, kinds=kinds, scopes=scopes)

    return await _changed(hub, viewer, endpoint_id, "webhookEndpointUpdate", change)


async def pause_endpoint(hub: Hub, viewer: Viewer, endpoint_id: str) -> Answer[IssuedEndpoint]:
    """Nothing is sent, and nothing skipped, until it is resumed."""

    def change(endpoint: WebhookEndpoint) -> WebhookEndpoint:
        if endpoint.state is EndpointState.PAUSED:
            return endpoint
        return replace(endpoint, state=EndpointState.PAUSED, pause_reason=PauseReason.REQUESTED)

    return await _changed(hub, viewer, endpoint_id, "webhookEndpointPause", change)


async def resume_endpoint(hub: Hub, viewer: Viewer, endpoint_id: str) -> Answer[IssuedEndpoint]:
    """It goes on where it stopped; what waits is tried at once."""

    def change(endpoint: WebhookEndpoint) -> WebhookEndpoint:
        if endpoint.state is EndpointState.ACTIVE:
            return endpoint
        return replace(endpoint, state=EndpointState.ACTIVE, pause_reason=None, failing_since_us=None)

    return await _changed(hub, viewer, endpoint_id, "webhookEndpointResume", change)


async def delete_endpoint(hub: Hub, viewer: Viewer, endpoint_id: str) -> Answer[IssuedEndpoint]:
    """For good: its secrets go, what waits is canceled, the log of its deliveries stays for its time."""

    def change(endpoint: WebhookEndpoint) -> WebhookEndpoint:
        return replace(
            endpoint, state=EndpointState.DELETED, pause_reason=None, sealed_secret=b"", sealed_previous=None,
            previous_until_us=None,
        )  # fmt: skip

    return await _changed(hub, viewer, endpoint_id, "webhookEndpointDelete", change)


async def rotate_secret(
    hub: Hub, viewer: Viewer, endpoint_id: str, *, ends_former_now: bool = False
) -> Answer[IssuedEndpoint]:
    """A new secret; for a day the former one signs as well, unless it is to end now. Two are live at most.

    Not for a key that may see less than the document: whoever has the secret can write what the receiver believes.
    """
    draw = hub.draw()
    secret = draw.bytes("webhook secret", endpoint_id)
    sealed = hub.vault.seal(secret, endpoint_id)

    def change(endpoint: WebhookEndpoint) -> WebhookEndpoint | Refusal:
        if refusal := _too_weak(endpoint, viewer):
            return refusal
        former = None if ends_former_now else endpoint.sealed_secret
        until_us = None if ends_former_now else draw.now_us + ROTATION_US
        return replace(endpoint, sealed_secret=sealed, sealed_previous=former, previous_until_us=until_us)

    answer = await _changed(hub, viewer, endpoint_id, "webhookEndpointRotateSecret", change)
    return answer if answer.value is None else Answer(IssuedEndpoint(endpoint_id, written_secret(secret)))


async def redeliver(hub: Hub, viewer: Viewer, endpoint_id: str, *, after: int) -> Answer[IssuedEndpoint]:
    """Everything after the position goes out again, in order, under the ids and with the bytes that it had."""
    refusal = await hub.store.write(replay, viewer, endpoint_id, after, hub.draw())
    return Answer(refusal=refusal) if refusal else Answer(IssuedEndpoint(endpoint_id))


async def replay(tx: "Tx", viewer: Viewer, endpoint_id: str, after: int, draw: Draw) -> Refusal | None:
    if refusal := await key_ended(tx, viewer, "sending again", draw.now_us):
        return refusal
    held = await tx.webhooks.lock_endpoint(endpoint_id)
    if held is None or not _is_theirs(held, viewer):
        return NotFound("webhookEndpointId")
    position = await tx.events.position_of(held.consumer, held.platform_id)
    if after < position:  # what lies ahead of it is read in any case
        await tx.events.move(held.consumer, position, after, held.platform_id)
    await tx.webhooks.reopen(endpoint_id, after, draw.now_us)
    if held.state is EndpointState.ACTIVE:
        await _wake(tx, held, draw)
    await audit.note(tx, viewer, "webhookRedeliver", endpoint_id, draw, platform_id=held.platform_id, after=after)
    return None


# ---- one change -----------------------------------------------------------------------------------------------------


async def _changed(hub: Hub, viewer: Viewer, endpoint_id: str, action: str, change: Change) -> Answer[IssuedEndpoint]:
    refusal = await hub.store.write(change_endpoint, viewer, endpoint_id, action, change, hub.draw())
    return Answer(refusal=refusal) if refusal else Answer(IssuedEndpoint(endpoint_id))


async def change_endpoint(
    tx: "Tx", viewer: Viewer, endpoint_id: str, action: str, change: Change, draw: Draw
) -> Refusal | None:
    """The change, and what follows from the endpoint's new state. None: it is as it should be."""
    if refusal := await key_ended(tx, viewer, "changing an endpoint", draw.now_us):
        return refusal
    held = await tx.webhooks.lock_endpoint(endpoint_id)
    if held is None or not _is_theirs(held, viewer):
        return NotFound("webhookEndpointId")
    changed = change(held)
    if isinstance(changed, Refusal):
        return changed
    if changed == held:
        return None
    await tx.webhooks.update_endpoint(changed)
    if changed.state is EndpointState.DELETED:
        await tx.webhooks.cancel_pending(endpoint_id)
        await tx.events.drop_consumer(held.consumer, held.platform_id)
    if changed.state is not EndpointState.ACTIVE:
        await tx.tasks.hurry(endpoint_id, draw.now_us)  # they find that nothing is to be sent, and end
    elif held.state is EndpointState.PAUSED or changed.url != held.url:
        await tx.webhooks.begin_anew(endpoint_id, draw.now_us)
        await _wake(tx, changed, draw)
    await audit.note(tx, viewer, action, endpoint_id, draw, platform_id=held.platform_id, url=_shown(changed.url))
    return None


async def _wake(tx: "Tx", endpoint: WebhookEndpoint, draw: Draw) -> None:
    """Have everything that waits for the endpoint tried at once."""
    await tx.tasks.hurry(endpoint.id, draw.now_us)
    await add_lanes(tx, endpoint, await tx.webhooks.pending_subjects(endpoint.id), draw)


async def add_lanes(tx: "Tx", endpoint: WebhookEndpoint, subjects: list[str], draw: Draw) -> None:
    """A task for each subject. One task at a time delivers a subject's events, so they go out in order."""
    for subject in subjects:
        body = {"endpoint": endpoint.id, "subject": subject}
        tx.tasks.add(DELIVER, f"{endpoint.id}:{subject}", body, draw.now_us, pool=endpoint.id)


def _is_theirs(endpoint: WebhookEndpoint, viewer: Viewer) -> bool:
    return viewer.acting_for(endpoint.platform_id) == endpoint.platform_id


def _scopes(viewer: Viewer) -> frozenset[str]:
    """What the document may see: no more than whoever stores it."""
    return PARTNER_SCOPES & viewer.scopes


def _too_weak(endpoint: WebhookEndpoint, viewer: Viewer) -> InvalidInput | None:
    if endpoint.scopes <= _scopes(viewer):
        return None
    reason = "its document may see more than your key: a stronger key has to change it"
    return InvalidInput("webhookEndpointId", reason)


def _kinds(
    hub: Hub, document: str, platform_id: str, scopes: frozenset[str]
) -> "tuple[str, ...] | InvalidInput | None":
    try:
        return hub.event_documents.kinds(document, reader(platform_id, scopes))
    except DocumentRefused as refused:
        return InvalidInput("document", str(refused))


def reader(platform_id: str, scopes: frozenset[str]) -> Viewer:
    """As whom a stored document is executed."""
    return Viewer(ViewerKind.PLATFORM, platform_id=platform_id, scopes=scopes)


def _shown(url: str) -> str:
    """For the audit log: without the query, where some keep a secret."""
    return url.partition("?")[0]
