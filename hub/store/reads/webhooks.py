"""Webhook endpoints, deliveries and attempts as they are read: each platform's own, everything for an operator."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, false, literal_column, select, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.people import ViewerKind
from hub.store.events import consumer
from hub.store.metadata import is_one_of
from hub.store.reads.plans import Noun, Sorting, ToMany, ToOne, known
from hub.store.webhooks import webhook_attempt, webhook_delivery, webhook_endpoint


@dataclass(frozen=True, slots=True)
class WebhookEndpointRow:
    """An endpoint without its secrets, and how far it has read its platform's stream."""

    id: str
    platform_id: str
    url: str
    document: str
    state: str
    pause_reason: str | None
    previous_until_us: int | None
    failing_since_us: int | None
    delivered_at_us: int | None
    position: int
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebhookDeliveryRow:
    """One event for one endpoint."""

    id: str
    endpoint_id: str
    platform_id: str
    event_id: str
    position: int
    kind: str
    subject: str
    state: str
    attempts: int
    next_at_us: int
    delivered_at_us: int | None
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebhookAttemptRow:
    """One try."""

    delivery_id: str
    number: int
    at_us: int
    outcome: str
    status: int | None
    latency_ms: int
    answer: str
    joined: dict[str, Any] = field(default_factory=dict)


def is_own(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """Its platform's business, and the operator's."""
    if kind is ViewerKind.OPERATOR:
        return true()
    if kind is ViewerKind.PLATFORM:
        return alias.c.platform_id == bindparam("viewer_platform")
    return false()


def visible(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """One that was deleted is gone for everybody."""
    return is_own(alias, kind) & (alias.c.state != literal_column("'DELETED'"))


def visible_attempt(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """With its delivery."""
    its = webhook_delivery.alias()
    return select(its.c.id).where((its.c.id == alias.c.delivery_id) & is_own(its, kind)).exists()


def _position(alias: FromClause, _kind: ViewerKind) -> ColumnElement[Any]:
    its = consumer.alias()
    name = literal_column("'webhook:'").concat(alias.c.id)
    return (
        select(its.c.position)
        .where((its.c.name == name) & (its.c.stream == alias.c.platform_id))
        .correlate(alias)
        .scalar_subquery()
    )


_platform = ToOne("platform", lambda row, platform: row.c.platform_id == platform.c.id)
known(
    Noun(
        "webhook_endpoint",
        webhook_endpoint,
        WebhookEndpointRow,
        visible,
        ones={"platform": _platform},
        computed={"position": _position},
        filters={"platform": lambda alias, _kind: is_one_of(alias.c.platform_id, "platform")},
    )
)
known(
    Noun(
        "webhook_delivery",
        webhook_delivery,
        WebhookDeliveryRow,
        is_own,
        ones={"webhook_endpoint": ToOne("webhook_endpoint", lambda row, endpoint: row.c.endpoint_id == endpoint.c.id)},
        manys={
            "tries": ToMany(
                "webhook_attempt", "delivery_id", lambda row: row.id, Sorting(("number",), is_descending=False)
            )
        },
        filters={
            "endpoint": lambda alias, _kind: is_one_of(alias.c.endpoint_id, "endpoint"),
            "state": lambda alias, _kind: is_one_of(alias.c.state, "state"),
        },
    )
)
known(Noun("webhook_attempt", webhook_attempt, WebhookAttemptRow, visible_attempt))
