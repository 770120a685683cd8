"""Outgoing webhooks: endpoints, deliveries, attempts."""

import strawberry

from hub.domain import webhooks as domain
from resolvers import webhooks
from resolvers.events import EventKind
from resolvers.scalars import Instant
from schema.catalogue import Platform
from schema.connections import Connection, Node
from schema.fields import changed_by, described, plain, relation, represents, resolved_by
from schema.payloads import Payload

described(
    domain.EndpointState,
    "Whether an endpoint is sent to.",
    {
        "ACTIVE": "Events are sent.",
        "PAUSED": "Nothing is sent and nothing skipped: webhookEndpointResume goes on where it stopped.",
        "DELETED": "Never shown.",
    },
    name="WebhookEndpointState",
)
described(
    domain.PauseReason,
    "Who paused an endpoint.",
    {
        "REQUESTED": "webhookEndpointPause.",
        "GONE": "The receiver answered 410.",
        "FAILING": "The receiver took nothing for five days.",
    },
    name="WebhookPauseReason",
)
described(
    domain.DeliveryState,
    "What became of one event for one endpoint.",
    {
        "PENDING": "Not taken yet; the events of its subject behind it wait.",
        "DELIVERED": "The receiver answered 2xx.",
        "DEAD": "Ten attempts failed while the endpoint took other events; webhookRedeliver sends it again.",
        "CANCELED": "Its endpoint was deleted.",
    },
    name="WebhookDeliveryState",
)
described(
    domain.SentOutcome,
    "What came of one attempt.",
    {
        "DELIVERED": "The receiver answered 2xx.",
        "REFUSED": "The receiver answered anything else; redirects are not followed.",
        "UNREACHABLE": "No whole answer within 10 seconds, no connection, no TLS, or no such name.",
        "FORBIDDEN": "The URL leads to an address that is not public: nothing was sent.",
        "DOCUMENT_FAILED": "The stored document ended with an error: nothing was sent.",
    },
    name="WebhookAttemptOutcome",
)


@represents("WebhookEndpointRow")
@strawberry.type(description="Where a platform has its events sent, and in which shape.")
class WebhookEndpoint(Node):
    url: str = plain("Where it is.")
    document: str = plain("The stored document; its result over each event is the body of the request.")
    state: domain.EndpointState = plain("Whether it is sent to.")
    pause_reason: domain.PauseReason | None = plain("Who paused it; null while it is ACTIVE.")
    failing_since_us: Instant | None = plain("Since when it has taken nothing; null if it took the last.",
                                             name="failingSince")  # fmt: skip
    delivered_at_us: Instant | None = plain("When it last took an event.", name="lastDeliveredAt")
    previous_until_us: Instant | None = plain("Until when the former secret signs as well.", name="formerSecretEndsAt")
    created_at_us: Instant = plain("When it was made.", name="createdAt")
    cursor: str = resolved_by(webhooks.endpoint_cursor, "How far it has read the stream: events up to here are"
                                                        " deliveries, those behind it are to come.")  # fmt: skip
    platform: Platform = relation("platform", "Whose it is.")


@represents("WebhookAttemptRow")
@strawberry.type(description="One try to deliver an event.")
class WebhookAttempt:
    number: int = plain("1 is the first.")
    at_us: Instant = plain("When it ended.", name="at")
    outcome: domain.SentOutcome = plain("What came of it.")
    status: int | None = plain("The HTTP status, where there was an answer.")
    latency_ms: int = plain("How long it took, in milliseconds; at most 10,000.")
    answer: str = plain("The first 1,024 bytes of the answer as text, or why there was none.")


@represents("WebhookDeliveryRow")
@strawberry.type(description="One event for one endpoint. Kept for 30 days after it was read, and until it is over.")
class WebhookDelivery(Node):
    event_id: strawberry.ID = plain("The event: `webhook-id` of every request.")
    kind: EventKind = plain("What happened.")
    subject: strawberry.ID = plain("What it happened to; events of one subject are delivered in order.")
    cursor: str = resolved_by(webhooks.delivery_cursor, "For webhookRedeliver, to begin after this event.")
    state: domain.DeliveryState = plain("How far it is.")
    attempts: int = plain("How often it was tried.")
    next_at_us: Instant | None = resolved_by(webhooks.next_at_us, "When it is tried next; null when it is over.",
                                             name="nextAttemptAt")  # fmt: skip
    delivered_at_us: Instant | None = plain("When it was taken.", name="deliveredAt")
    created_at_us: Instant = plain("When it was read off the stream.", name="createdAt")
    webhook_endpoint: WebhookEndpoint | None = relation("webhook_endpoint", "For which; null once that is deleted.")
    tries: list[WebhookAttempt] = relation("tries", "Its attempts, the first first; at most 100 are shown.")


@strawberry.type(description="What webhookEndpointCreate came to.")
class WebhookEndpointCreatePayload(Payload):
    webhook_endpoint: WebhookEndpoint | None = relation("webhook_endpoint", "The endpoint; null if it was refused.")
    secret: str | None = relation("secret", "`whsec_…`, with which requests are signed: shown this once.")


@strawberry.type(description="What webhookEndpointUpdate came to.")
class WebhookEndpointUpdatePayload(Payload):
    webhook_endpoint: WebhookEndpoint | None = relation("webhook_endpoint", "The endpoint; null if it was refused.")


@strawberry.type(description="What webhookEndpointDelete came to.")
class WebhookEndpointDeletePayload(Payload):
    deleted_id: strawberry.ID | None = relation("deleted_id", "The id that was the endpoint's; null if it was refused.")


@strawberry.type(description="What webhookEndpointPause came to.")
class WebhookEndpointPausePayload(Payload):
    webhook_endpoint: WebhookEndpoint | None = relation("webhook_endpoint", "The endpoint; null if it was refused.")


@strawberry.type(description="What webhookEndpointResume came to.")
class WebhookEndpointResumePayload(Payload):
    webhook_endpoint: WebhookEndpoint | None = relation("webhook_endpoint", "The endpoint; null if it was refused.")


@strawberry.type(description="What webhookEndpointRotateSecret came to.")
class WebhookEndpointRotateSecretPayload(Payload):
    webhook_endpoint: WebhookEndpoint | None = relation("webhook_endpoint", "The endpoint; null if it was refused.")
    secret: str | None = relation("secret", "The new `whsec_…`: shown this once.")


@strawberry.type(description="What webhookRedeliver came to.")
class WebhookRedeliverPayload(Payload):
    webhook_endpoint: WebhookEndpoint | None = relation("webhook_endpoint", "The endpoint; null if it was refused.")


@strawberry.type
class WebhookQueries:
    webhook_endpoint: WebhookEndpoint | None = resolved_by(
        webhooks.endpoint, "One endpoint; null alike for unknown, deleted and not yours."
    )
    webhook_endpoints: Connection[WebhookEndpoint] = resolved_by(
        webhooks.endpoints, "The endpoints that you may see, the newest first."
    )
    webhook_deliveries: Connection[WebhookDelivery] = resolved_by(
        webhooks.deliveries, "The deliveries that you may see, the newest first."
    )


@strawberry.type
class WebhookMutations:
    webhook_endpoint_create: WebhookEndpointCreatePayload = changed_by(
        webhooks.webhook_endpoint_create, "Have the events from now on sent to an address, shaped by a document."
    )
    webhook_endpoint_update: WebhookEndpointUpdatePayload = changed_by(
        webhooks.webhook_endpoint_update,
        "Another URL, at which what waits is tried at once, another document, or both. What was tried keeps its body.",
    )
    webhook_endpoint_delete: WebhookEndpointDeletePayload = changed_by(
        webhooks.webhook_endpoint_delete, "Send nothing more, for good; what waits is canceled."
    )
    webhook_endpoint_pause: WebhookEndpointPausePayload = changed_by(
        webhooks.webhook_endpoint_pause, "Send nothing until it is resumed; nothing is skipped."
    )
    webhook_endpoint_resume: WebhookEndpointResumePayload = changed_by(
        webhooks.webhook_endpoint_resume, "Go on where it stopped; what waits is tried at once."
    )
    webhook_endpoint_rotate_secret: WebhookEndpointRotateSecretPayload = changed_by(
        webhooks.webhook_endpoint_rotate_secret, "Sign with a new secret; for 24 hours with the former as well."
    )
    webhook_redeliver: WebhookRedeliverPayload = changed_by(
        webhooks.webhook_redeliver,
        "Send everything after an event again, in order, under the same ids and with the same bytes.",
    )
