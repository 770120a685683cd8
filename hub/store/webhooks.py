"""Webhook endpoints, the deliveries that wait for them or are over, and their attempts: tables and repository."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    null,
    select,
    update,
)

from hub.domain.events import Logged
from hub.domain.ids import Draw
from hub.domain.webhooks import (
    DeliveryState,
    EndpointState,
    PauseReason,
    Sent,
    WebhookDelivery,
    WebhookEndpoint,
)
from hub.store.catalogue import platform
from hub.store.events import consumer, event, log_head
from hub.store.metadata import blob, inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

webhook_endpoint = Table(
    "webhook_endpoint",
    metadata,
    text("id", primary_key=True),
    text("platform_id", ForeignKey("platform.id"), index=True),
    text("url"),
    text("document"),
    text("kinds", nullable=True),  # blank-separated; NULL is every kind
    text("scopes"),  # blank-separated
    text("state"),
    text("pause_reason", nullable=True),
    blob("sealed_secret"),
    blob("sealed_previous", nullable=True),
    integer("previous_until_us", nullable=True),
    integer("failing_since_us", nullable=True),
    integer("delivered_at_us", nullable=True),
    integer("version"),
    integer("created_at_us"),
)
webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    text("id", primary_key=True),
    text("endpoint_id", ForeignKey("webhook_endpoint.id")),
    text("platform_id"),
    text("event_id"),
    integer("position"),
    text("kind"),
    text("subject"),
    integer("subject_version"),
    integer("occurred_at_us"),
    text("event_body"),
    text("payload", nullable=True),  # what is sent, from the first attempt on
    text("state"),
    integer("attempts"),
    integer("failures"),
    integer("first_at_us", nullable=True),
    integer("next_at_us"),
    integer("delivered_at_us", nullable=True),
    integer("created_at_us"),
    UniqueConstraint("endpoint_id", "position"),
)
_is_pending = webhook_delivery.c.state == literal_column("'PENDING'")
Index(
    "webhook_delivery_pending",
    webhook_delivery.c.endpoint_id,
    webhook_delivery.c.subject,
    webhook_delivery.c.position,
    sqlite_where=_is_pending,
    postgresql_where=_is_pending,
)
Index("webhook_delivery_listed", webhook_delivery.c.platform_id, webhook_delivery.c.created_at_us)
Index("webhook_delivery_age", webhook_delivery.c.created_at_us)
webhook_attempt = Table(
    "webhook_attempt",
    metadata,
    text("delivery_id", ForeignKey("webhook_delivery.id", ondelete="CASCADE"), primary_key=True),
    integer("number", primary_key=True),
    integer("at_us"),
    text("outcome"),
    integer("status", nullable=True),
    integer("latency_ms"),
    text("answer"),
)


class Webhooks:
    """`tx.webhooks`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    # ---- endpoints -----------------------------------------------------------------------------------------------

    async def count_endpoints(self, platform_id: str) -> int | None:
        """How many endpoints the platform has, its row held so that no other is added meanwhile; None: no platform."""
        if await self._rx.one(_LOCK_PLATFORM, str, platform_id_=platform_id) is None:
            return None
        return await self._rx.one(_COUNT, int, platform_id_=platform_id) or 0

    async def add_endpoint(self, new: WebhookEndpoint, position: int) -> None:
        """Its first event is the one after `position` of its platform's stream."""
        await self._rx.changed(_ADD_ENDPOINT, **_columns(new))
        await self._rx.changed(_ADD_CONSUMER, name=new.consumer, stream=new.platform_id, position=position)

    async def lock_endpoint(self, endpoint_id: str) -> WebhookEndpoint | None:
        """Held: whoever changes an endpoint, its position or its deliveries does it one after the other."""
        return await self._rx.one(_LOCK, _endpoint, endpoint_id_=endpoint_id)

    async def endpoint(self, endpoint_id: str) -> WebhookEndpoint | None:
        return await self._rx.one(_GET, _endpoint, endpoint_id_=endpoint_id)

    async def update_endpoint(self, changed: WebhookEndpoint) -> None:
        """All columns but id, platform and date; LostRow if it is not held."""
        columns = {f"{name}_": value for name, value in _columns(changed).items() if name not in _FIXED}
        await self._rx.changed(_UPDATE, endpoint_id_=changed.id, held_version=changed.version, **columns)

    async def behind(self, skip: int) -> list[tuple[WebhookEndpoint, int, bool]]:
        """ACTIVE endpoints with their positions, where events wait (the third) or `skip` positions were others'."""
        return await self._rx.many(
            _BEHIND, lambda position, waits, *columns: (_endpoint(*columns), position, bool(waits)), skip=skip
        )

    # ---- deliveries ----------------------------------------------------------------------------------------------

    async def add_deliveries(self, endpoint: WebhookEndpoint, told: Sequence[Logged], draw: Draw) -> None:
        """PENDING, in the order of their positions. One that is there already stays as it is."""
        await self._rx.run_many(_ADD_DELIVERY, [_delivery_columns(endpoint, logged, draw) for logged in told])

    async def next_pending(self, endpoint_id: str, subject: str) -> WebhookDelivery | None:
        """The oldest delivery of the subject that is not over."""
        return await self._rx.one(_NEXT, _delivery, endpoint_id_=endpoint_id, subject_=subject)

    async def keep_payload(self, delivery_id: str, payload: str) -> str:
        """The bytes of every attempt: those given, unless some are kept already. '' if it is no longer there."""
        return await self._rx.one(_KEEP, str, delivery_id_=delivery_id, payload_=payload) or ""

    async def update_delivery(self, changed: WebhookDelivery) -> None:
        values = {f"{name}_": getattr(changed, name) for name in _PROGRESS}
        await self._rx.changed(_MOVE, delivery_id_=changed.id, **values)

    async def add_attempt(self, delivery: WebhookDelivery, sent: Sent, now_us: int) -> None:
        """The delivery's newest attempt, under its number."""
        await self._rx.changed(
            _ADD_ATTEMPT, delivery_id=delivery.id, number=delivery.attempts, at_us=now_us, outcome=sent.outcome,
            status=sent.status, latency_ms=sent.latency_ms, answer=sent.answer,
        )  # fmt: skip

    async def pending_subjects(self, endpoint_id: str) -> list[str]:
        return await self._rx.many(_SUBJECTS, str, endpoint_id_=endpoint_id)

    async def begin_anew(self, endpoint_id: str, now_us: int) -> None:
        """Every pending delivery has its whole schedule before it, from now on."""
        await self._rx.run(_ANEW, endpoint_id_=endpoint_id, now=now_us)

    async def reopen(self, endpoint_id: str, after: int, now_us: int) -> None:
        """Whatever came after the position is pending again, under its id and with its bytes."""
        await self._rx.run(_REOPEN, endpoint_id_=endpoint_id, after=after, now=now_us)

    async def cancel_pending(self, endpoint_id: str) -> None:
        await self._rx.run(_CANCEL, endpoint_id_=endpoint_id)

    async def has_old(self, before_us: int) -> bool:
        """Whether `prune` would find anything."""
        return await self._rx.one(_ANY_OLD, str, before=before_us) is not None

    async def prune(self, before_us: int, limit: int) -> int:
        """Forget deliveries that are over and older than that; how many went."""
        return await self._rx.run(_PRUNE, before=before_us, most=limit)

    # ---- figures -------------------------------------------------------------------------------------------------

    async def waiting(self) -> list[tuple[str, int, int]]:
        """Endpoint, how many deliveries wait for it, and since when the oldest does."""
        return await self._rx.many(_WAITING, lambda endpoint_id, count, since: (endpoint_id, count, since))

    async def count_deliveries(self) -> int:
        return await self._rx.one(_DELIVERIES, int) or 0

    async def strays(self, limit: int) -> list[str]:
        """Deliveries of events that the log should hold and does not."""
        return await self._rx.many(_STRAYS, str, most=limit)


def _columns(endpoint: WebhookEndpoint) -> dict[str, Any]:
    columns = {name: getattr(endpoint, name) for name in _ENDPOINT}
    kinds = None if endpoint.kinds is None else " ".join(endpoint.kinds)
    return columns | {"kinds": kinds, "scopes": " ".join(sorted(endpoint.scopes))}


def _endpoint(
    id_: str, platform_id: str, url: str, document: str, kinds: str | None, scopes: str, state: str,
    pause_reason: str | None, *rest: Any,
) -> WebhookEndpoint:  # fmt: skip
    return WebhookEndpoint(
        id_, platform_id, url, document, None if kinds is None else tuple(kinds.split()), frozenset(scopes.split()),
        EndpointState(state), None if pause_reason is None else PauseReason(pause_reason), *rest,
    )  # fmt: skip


def _delivery_columns(endpoint: WebhookEndpoint, logged: Logged, draw: Draw) -> dict[str, Any]:
    return {
        "id": draw.id("whd", endpoint.id, logged.position),
        "endpoint_id": endpoint.id,
        "platform_id": endpoint.platform_id,
        "event_id": logged.id,
        "position": logged.position,
        "kind": logged.kind,
        "subject": logged.subject,
        "subject_version": logged.subject_version,
        "occurred_at_us": logged.occurred_at_us,
        "event_body": logged.text,
        "payload": None,
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "failures": 0,
        "first_at_us": None,
        "next_at_us": draw.now_us,
        "delivered_at_us": None,
        "created_at_us": draw.now_us,
    }


def _delivery(
    id_: str, endpoint_id: str, platform_id: str, event_id: str, position: int, kind: str, subject: str,
    subject_version: int, occurred_at_us: int, event_body: str, payload: str | None, state: str, *rest: Any,
) -> WebhookDelivery:  # fmt: skip
    logged = Logged(event_id, platform_id, position, kind, subject, subject_version, occurred_at_us, event_body)
    return WebhookDelivery(id_, endpoint_id, platform_id, logged, payload, DeliveryState(state), *rest)


_e, _d = webhook_endpoint.c, webhook_delivery.c
_ENDPOINT = tuple(column.name for column in webhook_endpoint.c)
_FIXED = frozenset({"id", "platform_id", "created_at_us", "version"})
_PROGRESS = ("state", "attempts", "failures", "first_at_us", "next_at_us", "delivered_at_us")
_is_this = _e.id == bindparam("endpoint_id_")
_is_of_this = _d.endpoint_id == bindparam("endpoint_id_")
_is_there = _e.state != literal_column("'DELETED'")

_LOCK_PLATFORM = select(platform.c.id).where(platform.c.id == bindparam("platform_id_")).with_for_update()
_COUNT = (
    select(func.count()).select_from(webhook_endpoint).where((_e.platform_id == bindparam("platform_id_")) & _is_there)
)
_ADD_ENDPOINT = inserted(webhook_endpoint)
_ADD_CONSUMER = inserted(consumer)
_GET = select(webhook_endpoint).where(_is_this & _is_there)
_LOCK = _GET.with_for_update()
_UPDATE = (
    update(webhook_endpoint)
    .where(_is_this & (_e.version == bindparam("held_version")))
    .values(
        {column: bindparam(f"{column.name}_", type_=column.type) for column in _e if column.name not in _FIXED}
        | {_e.version: _e.version + literal_column("1")}
    )
)
# With the stream's events behind the position looked for by its index: one probe for each endpoint.
_waits = exists(
    select(literal_column("1"))
    .select_from(event)
    .where((event.c.stream == consumer.c.stream) & (event.c.position > consumer.c.position))
    .correlate(consumer)
)
_BEHIND = (
    select(consumer.c.position, case((_waits, literal_column("1")), else_=literal_column("0")), *_e)
    .select_from(webhook_endpoint)
    .join(
        consumer,
        and_(
            consumer.c.name == literal_column("'webhook:'").concat(_e.id),
            consumer.c.stream == _e.platform_id,
        ),
    )
    .join(log_head, log_head.c.position > consumer.c.position)
    .where(
        (_e.state == literal_column("'ACTIVE'"))
        & (_waits | (log_head.c.position - consumer.c.position >= bindparam("skip", type_=BigInteger())))
    )
    .order_by(_e.id)
)
_ADD_DELIVERY = inserted(webhook_delivery).on_conflict_do_nothing()
_NEXT = (
    select(webhook_delivery)
    .where(_is_of_this & (_d.subject == bindparam("subject_")) & _is_pending)
    .order_by(_d.position)
    .limit(literal_column("1"))
)
_is_delivery = _d.id == bindparam("delivery_id_")
_KEEP = (
    update(webhook_delivery)
    .where(_is_delivery)
    .values({_d.payload: func.coalesce(_d.payload, bindparam("payload_", type_=_d.payload.type))})
    .returning(_d.payload)
)
_MOVE = (
    update(webhook_delivery)
    .where(_is_delivery)
    .values({_d[name]: bindparam(f"{name}_", type_=_d[name].type) for name in _PROGRESS})
)
_ADD_ATTEMPT = inserted(webhook_attempt)
_SUBJECTS = select(_d.subject).where(_is_of_this & _is_pending).distinct().order_by(_d.subject)
_now = bindparam("now", type_=BigInteger())
_ANEW = (
    update(webhook_delivery)
    .where(_is_of_this & _is_pending)
    .values({_d.failures: literal_column("0"), _d.next_at_us: _now, _d.first_at_us: null()})
)
_REOPEN = (
    update(webhook_delivery)
    .where(_is_of_this & (_d.position > bindparam("after")))
    .values(
        {
            _d.state: literal_column("'PENDING'"), _d.failures: literal_column("0"), _d.next_at_us: _now,
            _d.first_at_us: null(), _d.delivered_at_us: null(),
        }
    )
)  # fmt: skip
_CANCEL = update(webhook_delivery).where(_is_of_this & _is_pending).values({_d.state: literal_column("'CANCELED'")})
_old = select(_d.id).where((_d.created_at_us < bindparam("before")) & (_d.state != literal_column("'PENDING'")))
_ANY_OLD = _old.limit(literal_column("1"))
_PRUNE = delete(webhook_delivery).where(_d.id.in_(_old.limit(bindparam("most", type_=BigInteger()))))
_WAITING = select(_d.endpoint_id, func.count(), func.min(_d.created_at_us)).where(_is_pending).group_by(_d.endpoint_id)
_DELIVERIES = select(func.count()).select_from(webhook_delivery)
_STRAYS = (
    select(_d.id)
    .select_from(webhook_delivery)
    .join(log_head, _d.position >= log_head.c.oldest)
    .outerjoin(event, event.c.id == _d.event_id)
    .where(event.c.id.is_(None))
    .limit(bindparam("most", type_=BigInteger()))
)
