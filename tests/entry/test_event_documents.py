"""Stored documents: which are taken, and which events they ask for. What is sent of them: tests/resolvers."""

import pytest

from hub.domain.people import PARTNER_SCOPES, Viewer, ViewerKind
from hub.entry.event_documents import PartnerDocuments
from hub.ports import DocumentRefused

READER = Viewer(ViewerKind.PLATFORM, platform_id="plt_1", scopes=PARTNER_SCOPES)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "Syntax Error"),
        ("subscription {", "Syntax Error"),
        ("{ events(first: 1) { nodes { id } } }", "is one `subscription"),
        ('mutation { orderCancel(input: {orderId: "x", idempotencyKey: "k"}) { replayed } }', "is one `"),
        ('subscription { orderUpdated(orderId: "ord_1") { order { id } } }', "is one `subscription"),
        ("subscription { events { id } } subscription B { events { id } }", ""),
        ("subscription { events { id } also: events { id } }", ""),
        ("subscription { ...All } fragment All on Subscription { events { id } }", "is one `subscription"),
        ("subscription($k: [EventKind!]) { events(kinds: $k) { id } }", "no variables"),
        ('subscription { events(after: "") { id } }', "only argument"),
        ('subscription { events(platform: "plt_1") { id } }', "only argument"),
        ("subscription { events @skip(if: true) { id } }", ""),
        ("subscription { events(kinds: []) { id } }", "names no kind"),
        ("subscription { events(kinds: [NOTHING]) { id } }", "NOTHING"),
        ("subscription { events { secret } }", "Cannot query field"),
        ("subscription { events { id " + "x" * 33_000 + " } }", "bytes"),
        ("subscription { events { id " + "id " * 2_100 + "} }", ""),
    ],
)  # fmt: skip
def test_what_is_no_limited_subscription_of_events_is_refused(document: str, reason: str) -> None:
    with pytest.raises(DocumentRefused) as refused:
        PartnerDocuments().kinds(document, READER)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("document", "kinds"),
    [
        ("subscription { events { id } }", None),
        ("subscription Named { it: events(kinds: null) { ...On } } fragment On on EventEnvelope { id }", None),
        ("subscription { events(kinds: ORDER_PAID) { id } }", ("ORDER_PAID",)),
        (
            "subscription { events(kinds: [ORDER_PAID, LISTING_CHANGED, ORDER_PAID]) { id } }",
            ("LISTING_CHANGED", "ORDER_PAID"),
        ),
    ],
)
def test_a_document_says_which_kinds_it_asks_for(document: str, kinds: tuple[str, ...] | None) -> None:
    assert PartnerDocuments().kinds(document, READER) == kinds


def test_a_reader_without_the_scope_is_refused() -> None:
    poor = Viewer(ViewerKind.PLATFORM, platform_id="plt_1", scopes=PARTNER_SCOPES - {"events:read"})
    with pytest.raises(DocumentRefused, match="events:read"):
        PartnerDocuments().kinds("subscription { events { id } }", poor)
