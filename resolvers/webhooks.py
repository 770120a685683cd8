"""Outgoing webhooks from the outside: a platform's endpoints, what was delivered to them, and how they are kept."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.requests import Answer
from hub.domain.webhooks import DeliveryState
from hub.flows import webhooks
from hub.flows.webhooks import IssuedEndpoint
from hub.ports import Hub
from resolvers.context import Info
from resolvers.events import position_of
from resolvers.inputs import chosen, id_of, storable
from resolvers.lookahead import nested_list
from resolvers.paging import After, Before, First, Last, Page
from resolvers.payloads import Payload, told
from resolvers.reading import listed_page, one, told_of

if TYPE_CHECKING:
    from hub.domain.people import Viewer
    from hub.store.reads import Row
    from hub.store.reads.webhooks import WebhookDeliveryRow, WebhookEndpointRow

MAX_DOCUMENT = 32 * 1024  # characters; its limits are those of every document

EndpointId = Annotated[strawberry.ID, strawberry.argument(description="The endpoint's id.")]
Url = Annotated[
    str,
    strawberry.argument(
        description="https://host/path, at most 2,000 characters, without user or password; must lead to a public"
        " address."
    ),
]
Document = Annotated[
    str,
    strawberry.argument(
        description="One `subscription { events(kinds: [...]) { ... } }` without variables: its result is the body of"
        " each request. At most 32768 characters, and within the limits of every document."
    ),
]


@strawberry.input(description="Which endpoint.")
class WebhookEndpointFilter:
    eq: strawberry.ID | None = strawberry.field(default=None, description="This one.")
    one_of: list[strawberry.ID] | None = strawberry.field(default=None, description="One of these, at most 50.")


@strawberry.input(description="What a delivery's state is to be. Give one of the two.")
class WebhookDeliveryStateFilter:
    eq: DeliveryState | None = strawberry.field(default=None, description="Exactly this.")
    one_of: list[DeliveryState] | None = strawberry.field(default=None, description="One of these, at most 50.")


@strawberry.input(description="Which deliveries: all that are given must hold.")
class WebhookDeliveryFilter:
    endpoint: WebhookEndpointFilter | None = strawberry.field(default=None, description="For which endpoint.")
    state: WebhookDeliveryStateFilter | None = strawberry.field(default=None, description="How far they are.")


# ---- reading --------------------------------------------------------------------------------------------------------


async def endpoint(
    info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The endpoint's id.")]
) -> "Row | None":
    """One endpoint; null alike for unknown, deleted and not yours."""
    return await one(info, "WebhookEndpoint", "webhook_endpoint", id)


async def endpoints(
    info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
) -> Page:
    """The endpoints that you may see, the newest first."""
    listed = nested_list("webhook_endpoints", info.context.viewer)
    return await listed_page(info, "webhook_endpoint", listed, first, after, last, before)


async def deliveries(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    where: Annotated[WebhookDeliveryFilter | None, strawberry.argument(description="Which deliveries.")] = None,
) -> Page:
    """The deliveries that you may see, the newest first."""
    filters = {}
    if where is not None and where.endpoint is not None:
        filters["endpoint"] = chosen(where.endpoint, "endpoint")
    if where is not None and where.state is not None:
        filters["state"] = chosen(where.state, "state")
    listed = nested_list("webhook_deliveries", info.context.viewer)
    return await listed_page(info, "webhook_delivery", listed, first, after, last, before, filters)


def endpoint_cursor(info: Info, root: "strawberry.Parent[WebhookEndpointRow]") -> str:
    return info.context.hub.cursors.seal(root.platform_id, root.position)


def delivery_cursor(info: Info, root: "strawberry.Parent[WebhookDeliveryRow]") -> str:
    return info.context.hub.cursors.seal(root.platform_id, root.position)


def next_at_us(root: "strawberry.Parent[WebhookDeliveryRow]") -> int | None:
    return root.next_at_us if root.state == DeliveryState.PENDING else None


# ---- mutations ------------------------------------------------------------------------------------------------------


async def webhook_endpoint_create(
    info: Info,
    url: Url,
    document: Document,
    platform_id: Annotated[
        strawberry.ID | None,
        strawberry.argument(description="Whose it is: for operators; a key implies its own."),
    ] = None,
) -> Payload:
    """Have the events from now on sent to an address."""

    async def flow() -> Answer[IssuedEndpoint]:
        return await webhooks.create_endpoint(
            info.context.hub,
            info.context.viewer,
            url=storable(url, "url"),
            document=storable(document, "document", MAX_DOCUMENT),
            platform_id=None if platform_id is None else id_of("Platform", platform_id, "platformId"),
        )

    return await _payload(info, await told(flow))


async def webhook_endpoint_update(
    info: Info,
    webhook_endpoint_id: EndpointId,
    url: Annotated[str | None, strawberry.argument(description="Another URL, at most 2,000; absent: as it is.")] = None,
    document: Annotated[
        str | None, strawberry.argument(description="Another document, at most 32768; absent: as it is.")
    ] = None,
) -> Payload:
    """Send elsewhere, or in another shape."""

    async def flow() -> Answer[IssuedEndpoint]:
        return await webhooks.update_endpoint(
            info.context.hub,
            info.context.viewer,
            _id(webhook_endpoint_id),
            url=None if url is None else storable(url, "url"),
            document=None if document is None else storable(document, "document", MAX_DOCUMENT),
        )

    return await _payload(info, await told(flow))


async def webhook_endpoint_delete(info: Info, webhook_endpoint_id: EndpointId) -> Payload:
    """Send nothing more, for good."""
    hub, viewer = _of(info)
    answer = await told(lambda: webhooks.delete_endpoint(hub, viewer, _id(webhook_endpoint_id)))
    deleted = None if answer.value is None else answer.value.id
    return Payload({"deleted_id": deleted}, answer.refusal)


async def webhook_endpoint_pause(info: Info, webhook_endpoint_id: EndpointId) -> Payload:
    """Send nothing until it is resumed."""
    hub, viewer = _of(info)
    return await _payload(info, await told(lambda: webhooks.pause_endpoint(hub, viewer, _id(webhook_endpoint_id))))


async def webhook_endpoint_resume(info: Info, webhook_endpoint_id: EndpointId) -> Payload:
    """Go on where it stopped."""
    hub, viewer = _of(info)
    return await _payload(info, await told(lambda: webhooks.resume_endpoint(hub, viewer, _id(webhook_endpoint_id))))


async def webhook_endpoint_rotate_secret(
    info: Info,
    webhook_endpoint_id: EndpointId,
    ends_former_now: Annotated[
        bool, strawberry.argument(description="True for one that leaked: the former secret signs nothing more.")
    ] = False,
) -> Payload:
    """Sign with a new secret; for 24 hours with the former as well."""
    hub, viewer = _of(info)

    async def flow() -> Answer[IssuedEndpoint]:
        return await webhooks.rotate_secret(hub, viewer, _id(webhook_endpoint_id), ends_former_now=ends_former_now)

    return await _payload(info, await told(flow))


async def webhook_redeliver(
    info: Info,
    webhook_endpoint_id: EndpointId,
    after: Annotated[
        str, strawberry.argument(description="Cursor of the event after which to begin; empty: the oldest kept.")
    ],
) -> Payload:
    """Send again everything after an event."""
    hub, viewer = _of(info)

    async def flow() -> Answer[IssuedEndpoint]:
        async with hub.store.reading() as rx:
            held = await rx.webhooks.endpoint(_id(webhook_endpoint_id))
        stream = viewer.platform_id or (held.platform_id if held else "")  # another's endpoint is an unknown one
        position = await position_of(hub, stream, after)
        return await webhooks.redeliver(hub, viewer, webhook_endpoint_id, after=position)

    return await _payload(info, await told(flow))


def _of(info: Info) -> "tuple[Hub, Viewer]":
    return info.context.hub, info.context.viewer


def _id(id_: str) -> str:
    return id_of("WebhookEndpoint", id_, "webhookEndpointId")


async def _payload(info: Info, answer: Answer[IssuedEndpoint]) -> Payload:
    secret = None if answer.value is None else answer.value.secret
    shown = await told_of(info, "webhook_endpoint", answer)
    return Payload({"webhook_endpoint": shown, "secret": secret}, answer.refusal, answer.is_replay)
