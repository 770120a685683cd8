"""Outgoing webhooks: where a platform wants its events sent, in which shape, and what becomes of each one.

    WebhookEndpoint   an address with its stored GraphQL document and one or two live secrets
    WebhookDelivery   one event for one endpoint: the bytes that are sent, kept from the first attempt on
    Sent              what came of one attempt

Events of one subject go out in order, so one that fails holds up those behind it, and nothing else.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, replace
from enum import StrEnum

from hub.domain.events import Logged

SECOND_US = 1_000_000
# Between attempts: a hiccup, a deployment, an outage over a weekend. Each wait is up to a tenth longer.
RETRY_AFTER_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
JITTER_PARTS = 10
# An endpoint that has taken nothing for so long is paused: whoever runs it does not know, or does not care.
PAUSE_AFTER_US = 5 * 24 * 3600 * SECOND_US
GONE = 410  # the one answer that says "never again"
# How long the former secret still signs after a rotation: receivers of several machines change one by one.
ROTATION_US = 24 * 3600 * SECOND_US
# How long the log of deliveries is kept once they are over.
KEEP_DELIVERIES_US = 30 * 24 * 3600 * SECOND_US
MAX_ENDPOINTS = 20  # of a platform: each one costs a reader and a request per event
MAX_URL = 2_000  # characters
EXCERPT = 1024  # bytes of an answer that are kept

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32  # Standard Webhooks takes 24 to 64


class EndpointState(StrEnum):
    """Whether an endpoint is sent to."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"  # its position is kept, nothing is skipped
    DELETED = "DELETED"  # shown to nobody


class PauseReason(StrEnum):
    """Who stopped it."""

    REQUESTED = "REQUESTED"
    GONE = "GONE"
    FAILING = "FAILING"


class DeliveryState(StrEnum):
    """What became of one event for one endpoint."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"  # out of attempts while others got through; redelivered on request
    CANCELED = "CANCELED"  # its endpoint was deleted


class SentOutcome(StrEnum):
    """What came of one attempt."""

    DELIVERED = "DELIVERED"
    REFUSED = "REFUSED"
    UNREACHABLE = "UNREACHABLE"
    FORBIDDEN = "FORBIDDEN"
    DOCUMENT_FAILED = "DOCUMENT_FAILED"


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt's end. `answer` is the beginning of what was answered, or why nothing was."""

    outcome: SentOutcome
    latency_ms: int
    status: int | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """`kinds` None is every kind. `scopes` are those of whoever stored the document: it sees no more than they did."""

    id: str
    platform_id: str
    url: str
    document: str
    kinds: tuple[str, ...] | None
    scopes: frozenset[str]
    state: EndpointState
    pause_reason: PauseReason | None
    sealed_secret: bytes
    sealed_previous: bytes | None
    previous_until_us: int | None
    failing_since_us: int | None
    delivered_at_us: int | None
    version: int
    created_at_us: int

    @property
    def consumer(self) -> str:
        """The name under which its position in the platform's stream is kept."""
        return f"webhook:{self.id}"

    def sealed_secrets(self, now_us: int) -> tuple[bytes, ...]:
        """The secrets that sign now, the newest first."""
        if self.sealed_previous is None or self.previous_until_us is None or now_us >= self.previous_until_us:
            return (self.sealed_secret,)
        return (self.sealed_secret, self.sealed_previous)


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """It holds its event, so that pruning the log takes nothing from an endpoint that waits. `failures` counts since
    the schedule last began anew, `attempts` counts all."""

    id: str
    endpoint_id: str
    platform_id: str
    event: Logged
    payload: str | None
    state: DeliveryState
    attempts: int
    failures: int
    first_at_us: int | None
    next_at_us: int
    delivered_at_us: int | None
    created_at_us: int


def after_attempt(
    endpoint: WebhookEndpoint, delivery: WebhookDelivery, sent: Sent, *, now_us: int, chance: int
) -> tuple[WebhookEndpoint, WebhookDelivery]:
    """Both as they are after an attempt; `chance` is any number, for the jitter.

    A delivery is given up only if the endpoint took something else since its first attempt: while nothing gets
    through, the endpoint is what fails, and it is paused in time with everything kept.
    """
    tried = replace(delivery, attempts=delivery.attempts + 1, first_at_us=delivery.first_at_us or now_us)
    if sent.outcome is SentOutcome.DELIVERED:
        took = replace(endpoint, failing_since_us=None, delivered_at_us=now_us)
        return took, replace(tried, state=DeliveryState.DELIVERED, delivered_at_us=now_us)
    failing = replace(endpoint, failing_since_us=endpoint.failing_since_us or now_us)
    if endpoint.state is EndpointState.ACTIVE and (reason := _pause_reason(failing, sent, now_us)):
        failing = replace(failing, state=EndpointState.PAUSED, pause_reason=reason)
    failures = delivery.failures + 1
    assert tried.first_at_us is not None
    takes_others = (endpoint.delivered_at_us or 0) >= tried.first_at_us
    if failures > len(RETRY_AFTER_S) and takes_others and failing.state is EndpointState.ACTIVE:
        return failing, replace(tried, failures=failures, state=DeliveryState.DEAD)
    wait_us = RETRY_AFTER_S[min(failures, len(RETRY_AFTER_S)) - 1] * SECOND_US
    return failing, replace(
        tried, failures=failures, next_at_us=now_us + wait_us + chance % (wait_us // JITTER_PARTS + 1)
    )


def _pause_reason(endpoint: WebhookEndpoint, sent: Sent, now_us: int) -> PauseReason | None:
    if sent.status == GONE:
        return PauseReason.GONE
    assert endpoint.failing_since_us is not None
    return PauseReason.FAILING if now_us - endpoint.failing_since_us >= PAUSE_AFTER_US else None


# ---- Standard Webhooks ----------------------------------------------------------------------------------------------


def written_secret(secret: bytes) -> str:
    """A secret as receivers' libraries take it: shown once."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signed_headers(event_id: str, body: bytes, secrets: tuple[bytes, ...], now_us: int) -> dict[str, str]:
    """The three headers of Standard Webhooks: the same id over all retries, the attempt's time, one signature for each
    live secret."""
    timestamp = str(now_us // SECOND_US)
    content = f"{event_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode() for secret in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
