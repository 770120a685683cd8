"""What becomes of endpoint and delivery after each attempt, and what an attempt carries."""

from dataclasses import replace

import pytest

from hub.domain.events import Logged
from hub.domain.webhooks import (
    KEEP_DELIVERIES_US,
    PAUSE_AFTER_US,
    RETRY_AFTER_S,
    DeliveryState,
    EndpointState,
    PauseReason,
    Sent,
    SentOutcome,
    WebhookDelivery,
    WebhookEndpoint,
    after_attempt,
    signed_headers,
    written_secret,
)

NOW = 1_767_225_600_000_000
SECOND, DAY = 1_000_000, 24 * 3600 * 1_000_000
ENDPOINT = WebhookEndpoint(
    "whe_1", "plt_1", "https://shop.example", "", None, frozenset(), EndpointState.ACTIVE, None, b"new", None, None,
    None, None, 1, NOW,
)  # fmt: skip
DELIVERY = WebhookDelivery(
    "whd_1", "whe_1", "plt_1", Logged("evt_1", "plt_1", 1, "ORDER_PAID", "ord_1", 1, NOW, "{}"), "{}",
    DeliveryState.PENDING, 0, 0, None, NOW, None, NOW,
)  # fmt: skip
OK = Sent(SentOutcome.DELIVERED, 5, 204)
NO = Sent(SentOutcome.REFUSED, 5, 500)
FAILURES = [NO, Sent(SentOutcome.UNREACHABLE, 5), Sent(SentOutcome.FORBIDDEN, 5), Sent(SentOutcome.DOCUMENT_FAILED, 0)]


def test_the_schedule_is_the_published_one() -> None:
    assert RETRY_AFTER_S == (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
    assert sum(RETRY_AFTER_S) < PAUSE_AFTER_US // SECOND < KEEP_DELIVERIES_US // SECOND


def test_a_delivery_that_was_taken_is_over_and_the_endpoint_well_again() -> None:
    endpoint, delivery = after_attempt(replace(ENDPOINT, failing_since_us=NOW - 9), DELIVERY, OK, now_us=NOW, chance=0)
    assert endpoint == replace(ENDPOINT, failing_since_us=None, delivered_at_us=NOW)
    assert delivery == replace(
        DELIVERY, state=DeliveryState.DELIVERED, attempts=1, first_at_us=NOW, delivered_at_us=NOW
    )


@pytest.mark.parametrize("failure", FAILURES, ids=lambda sent: sent.outcome)
def test_waits_grow_by_the_schedule_with_a_tenth_of_jitter_at_most(failure: Sent) -> None:
    endpoint, delivery, now = ENDPOINT, DELIVERY, NOW
    for number, wait_s in enumerate(RETRY_AFTER_S, start=1):
        _, latest = after_attempt(endpoint, delivery, failure, now_us=now, chance=2**64 - 1)
        endpoint, delivery = after_attempt(endpoint, delivery, failure, now_us=now, chance=0)
        assert (delivery.state, delivery.attempts, delivery.failures) == (DeliveryState.PENDING, number, number)
        assert delivery.next_at_us == now + wait_s * SECOND
        assert delivery.next_at_us <= latest.next_at_us <= now + wait_s * SECOND * 11 // 10
        now = delivery.next_at_us
    assert (endpoint.state, endpoint.failing_since_us) == (EndpointState.ACTIVE, NOW)


def test_one_event_that_is_never_taken_dies_while_others_get_through() -> None:
    spent = replace(DELIVERY, attempts=9, failures=9, first_at_us=NOW - 3 * DAY)
    endpoint, delivery = after_attempt(replace(ENDPOINT, delivered_at_us=NOW - DAY), spent, NO, now_us=NOW, chance=0)
    assert (endpoint.state, delivery.state, delivery.attempts) == (EndpointState.ACTIVE, DeliveryState.DEAD, 10)


def test_nothing_dies_while_nothing_gets_through() -> None:
    spent = replace(DELIVERY, attempts=9, failures=9, first_at_us=NOW - 3 * DAY)
    _, delivery = after_attempt(replace(ENDPOINT, delivered_at_us=NOW - 4 * DAY), spent, NO, now_us=NOW, chance=0)
    assert (delivery.state, delivery.next_at_us) == (DeliveryState.PENDING, NOW + DAY)


@pytest.mark.parametrize(
    ("since_us", "state"), [(5 * DAY - 1, EndpointState.ACTIVE), (5 * DAY, EndpointState.PAUSED)]
)  # fmt: skip
def test_five_days_of_failures_pause_the_endpoint_and_keep_the_event(since_us: int, state: EndpointState) -> None:
    failing = replace(ENDPOINT, failing_since_us=NOW - since_us, delivered_at_us=NOW - 9 * DAY)
    spent = replace(DELIVERY, attempts=9, failures=9, first_at_us=NOW - since_us)
    endpoint, delivery = after_attempt(failing, spent, NO, now_us=NOW, chance=0)
    assert (endpoint.state, delivery.state) == (state, DeliveryState.PENDING)
    assert endpoint.pause_reason == (PauseReason.FAILING if state is EndpointState.PAUSED else None)


def test_gone_pauses_at_once_and_a_requested_pause_keeps_its_reason() -> None:
    gone = Sent(SentOutcome.REFUSED, 5, 410)
    endpoint, delivery = after_attempt(ENDPOINT, DELIVERY, gone, now_us=NOW, chance=0)
    assert (endpoint.state, endpoint.pause_reason) == (EndpointState.PAUSED, PauseReason.GONE)
    assert delivery.state is DeliveryState.PENDING
    requested = replace(ENDPOINT, state=EndpointState.PAUSED, pause_reason=PauseReason.REQUESTED)
    endpoint, _ = after_attempt(requested, DELIVERY, gone, now_us=NOW, chance=0)
    assert endpoint.pause_reason is PauseReason.REQUESTED


def test_both_secrets_sign_until_the_former_ends() -> None:
    rotated = replace(ENDPOINT, sealed_previous=b"old", previous_until_us=NOW + 9)
    assert rotated.sealed_secrets(NOW + 8) == (b"new", b"old")
    assert rotated.sealed_secrets(NOW + 9) == (b"new",)


def test_headers_are_those_of_the_standards_own_example() -> None:
    """The values of the specification's reference libraries' tests."""
    secret = b"\x31\xf2\x90\xf7\xa7\x8c\x22\x7c\xd9\xe6\x12\x29\x6f\x3d\xfe\xff"
    assert written_secret(secret) == "whsec_MfKQ96eMInzZ5hIpbz3+/w=="
    headers = signed_headers("msg_1", b'{"test": 2432232314}', (secret, b"other" * 6), NOW + 999_999)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1767225600")
    new, old = headers["webhook-signature"].split(" ")
    assert new.startswith("v1,")
    assert old.startswith("v1,")
    assert new != old
