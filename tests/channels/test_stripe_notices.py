"""Stripe's events: whose signature, date, mode and account count, and what each kind of event says."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hub.channels.stripe import StripeChannel
from hub.channels.stripe_tables import DISPUTES
from hub.domain.disputes import DisputeState
from hub.domain.money import Money
from hub.domain.payments import Notice, Outcome, Source, Stage, fact_of
from hub.ports import NoticeIgnored, NoticeRefused, RawNotice
from tests.channels.bench_stripe import stripe_channel
from tests.channels.benches import NOW_US, attempt
from tests.channels.stripe_peer import NEXT_WEBHOOK_SECRET, WEBHOOK_SECRET, event_of, signed
from tests.sandbox.conftest import NOON

MARKS = {"tongbao_attempt": "TB-7-1", "tongbao_order": "TB-7", "tongbao_order_id": "ord_1"}
INTENT: dict[str, Any] = {
    "id": "pi_1", "object": "payment_intent", "amount": 1250, "amount_capturable": 0, "amount_received": 1250,
    "canceled_at": None, "cancellation_reason": None, "client_secret": "pi_1_secret_x", "created": NOON - 60,
    "currency": "usd", "last_payment_error": None, "latest_charge": "ch_1", "livemode": False, "metadata": MARKS,
    "next_action": None, "status": "succeeded",
}  # fmt: skip
REFUND: dict[str, Any] = {
    "id": "re_1", "object": "refund", "amount": 30, "charge": "ch_1", "created": NOON - 10, "currency": "usd",
    "failure_reason": None, "metadata": MARKS | {"tongbao_refund": "TB-7-1-R1"}, "payment_intent": "pi_1",
    "status": "succeeded",
}  # fmt: skip
DISPUTE: dict[str, Any] = {
    "id": "du_1", "object": "dispute", "amount": 1250, "charge": "ch_1", "created": NOON - 5, "currency": "usd",
    "balance_transactions": [{"id": "txn_1", "amount": -1250, "fee": 1500, "net": -2750, "currency": "usd"}],
    "evidence_details": {"due_by": NOON + 86400, "has_evidence": False}, "livemode": False, "metadata": {},
    "payment_intent": "pi_1", "reason": "fraudulent", "status": "needs_response",
}  # fmt: skip
WARNING: dict[str, Any] = {
    "id": "issfr_1", "object": "radar.early_fraud_warning", "actionable": True, "charge": "ch_1", "created": NOON,
    "fraud_type": "made_with_stolen_card", "livemode": False, "payment_intent": "pi_1",
}  # fmt: skip


@pytest.fixture
async def channel() -> AsyncIterator[StripeChannel]:
    made = stripe_channel("http://127.0.0.1:9")
    yield made
    await made.aclose()


def raw(
    kind: str, told: dict[str, Any], *, secret: str = WEBHOOK_SECRET, signed_at: int = NOON, **other: Any
) -> RawNotice:
    body = json.dumps(event_of(kind, told, NOON, **other)).encode()
    return RawNotice({"stripe-signature": signed(body, secret, signed_at)}, body)


def heard(channel: StripeChannel, kind: str, told: dict[str, Any], **other: Any) -> Notice:
    return channel.verify_notice(raw(kind, told, **other), NOW_US)


# ---- whose events ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("off_s", "is_taken"), [(-301, False), (-299, True), (0, True), (299, True), (301, False)])
def test_event_is_taken_within_five_minutes_of_our_clock_both_ways(
    channel: StripeChannel, off_s: int, is_taken: bool
) -> None:
    dated = raw("payment_intent.succeeded", INTENT, signed_at=NOON + off_s)

    if is_taken:
        assert channel.verify_notice(dated, NOW_US).attempt_key == "TB-7-1"
    else:
        with pytest.raises(NoticeRefused, match="window"):
            channel.verify_notice(dated, NOW_US)


def test_sdks_own_clock_does_not_count(channel: StripeChannel) -> None:
    """Its check of old dates asks the process: this one lies years from that."""
    at_s = int(datetime(2031, 1, 1, tzinfo=UTC).timestamp())

    taken = channel.verify_notice(raw("payment_intent.succeeded", INTENT, signed_at=at_s), at_s * 1_000_000)

    assert taken.attempt_key == "TB-7-1"


def test_two_v1_with_one_right_are_taken(channel: StripeChannel) -> None:
    good = raw("payment_intent.succeeded", INTENT)
    right = good.headers["stripe-signature"].partition(",")[2]
    for header in (f"t={NOON},v1={'0' * 64},{right}", f"t={NOON},{right},v1={'0' * 64}", f"t={NOON},{right},v0=x"):
        assert channel.verify_notice(RawNotice({"stripe-signature": header}, good.body), NOW_US).event_id == "evt_1"


@pytest.mark.parametrize("secret", [WEBHOOK_SECRET, NEXT_WEBHOOK_SECRET])
def test_either_secret_verifies_while_one_replaces_the_other(channel: StripeChannel, secret: str) -> None:
    assert heard(channel, "payment_intent.succeeded", INTENT, secret=secret).attempt_key == "TB-7-1"


async def test_after_the_rotation_the_old_secret_is_a_strangers() -> None:
    channel = stripe_channel("http://127.0.0.1:9", webhook_secret=NEXT_WEBHOOK_SECRET)
    with pytest.raises(NoticeRefused):
        heard(channel, "payment_intent.succeeded", INTENT, secret=WEBHOOK_SECRET)
    assert heard(channel, "payment_intent.succeeded", INTENT, secret=NEXT_WEBHOOK_SECRET).event_id == "evt_1"
    await channel.aclose()


def test_an_old_event_is_not_made_new_by_a_second_date(channel: StripeChannel) -> None:
    old = raw("payment_intent.succeeded", INTENT, signed_at=NOON - 86400)
    signature = old.headers["stripe-signature"].partition(",")[2]
    stamp = str(NOON - 86400)
    for first in (f"{stamp[0]}_{stamp[1:]}", f" {stamp}", f"+{stamp}", f"{stamp}=", f"0{stamp}="):
        for header in (f"t={first},t={NOON},{signature}", f"t={NOON},t={first},{signature}"):
            with pytest.raises(NoticeRefused):
                channel.verify_notice(RawNotice({"stripe-signature": header}, old.body), NOW_US)


def test_forged_events_are_refused(channel: StripeChannel) -> None:
    good = raw("payment_intent.succeeded", INTENT)
    stamp, _, value = good.headers["stripe-signature"].partition(",v1=")
    headers = [
        "", "t=", "v1=", f",v1={value}", f"{stamp}", f"{stamp},v0={value}", f"{stamp},v1=", f"{stamp},v1={value[:-1]}",
        f"{stamp},v1={value.upper()}", f"t={NOON + 1},v1={value}", f"{stamp},{stamp},v1={value}",
        f"t=-1,v1={value}", f"t= {NOON},v1={value}", f"t={'9' * 40},v1={value}", f"t=1e9,v1={value}", "garbage", "=,=",
        f"{stamp},v1={value}é",
    ]  # fmt: skip
    for header in headers:
        with pytest.raises(NoticeRefused):
            channel.verify_notice(RawNotice({"stripe-signature": header}, good.body), NOW_US)
    for body in (good.body + b" ", good.body[:-1], json.dumps(json.loads(good.body), indent=1).encode(), b"", b"\xff"):
        with pytest.raises(NoticeRefused):
            channel.verify_notice(RawNotice(good.headers, body), NOW_US)
    with pytest.raises(NoticeRefused):
        heard(channel, "payment_intent.succeeded", INTENT, secret="whsec_of_a_stranger")


def test_event_signed_for_another_channel_is_refused(channel: StripeChannel) -> None:
    """The sandbox signs by the same scheme: neither its header nor its secret opens this endpoint."""
    theirs = raw("payment_intent.succeeded", INTENT, secret="whsec_of_the_sandbox")
    for headers in (theirs.headers, {"sandbox-signature": theirs.headers["stripe-signature"]}):
        with pytest.raises(NoticeRefused):
            channel.verify_notice(RawNotice(headers, theirs.body), NOW_US)


def test_events_of_the_other_mode_or_account_are_refused(channel: StripeChannel) -> None:
    for other in ({"livemode": True}, {"livemode": None}, {"account": "acct_2"}):
        with pytest.raises(NoticeRefused, match="other"):
            heard(channel, "payment_intent.succeeded", INTENT, **other)


async def test_connected_account_hears_its_own_events_alone() -> None:
    channel = stripe_channel("http://127.0.0.1:9", account="acct_1")
    assert heard(channel, "payment_intent.succeeded", INTENT, account="acct_1").attempt_key == "TB-7-1"
    for other in ({}, {"account": "acct_2"}):
        with pytest.raises(NoticeRefused, match="another account"):
            heard(channel, "payment_intent.succeeded", INTENT, **other)
    await channel.aclose()


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b"null", b'"event"', b"[" * 10_000, b'{"object": "v2.core.event", "id": "evt_1"}',
     b'{"object": "event"}', b"1e400"],
)  # fmt: skip
def test_rightly_signed_nonsense_is_refused(channel: StripeChannel, body: bytes) -> None:
    header = signed(body, WEBHOOK_SECRET, NOON)
    with pytest.raises(NoticeRefused):
        channel.verify_notice(RawNotice({"stripe-signature": header}, body), NOW_US)


def test_what_makes_no_sense_in_an_event_is_refused(channel: StripeChannel) -> None:
    for told in (
        INTENT | {"status": "astonished"}, INTENT | {"amount_received": "1250"}, INTENT | {"amount_received": -1},
        INTENT | {"currency": "XXX"}, INTENT | {"latest_charge": None}, REFUND | {"status": "odd"},
        DISPUTE | {"status": "odd"}, DISPUTE | {"charge": None}, WARNING | {"fraud_type": None},
    ):  # fmt: skip
        with pytest.raises(NoticeRefused, match="not one that Stripe sends"):
            heard(channel, "any.kind", told)
    for other in ({"event_id": ""}, {"event_id": "e" * 256}):
        with pytest.raises(NoticeRefused, match="no id"):
            heard(channel, "payment_intent.succeeded", INTENT, **other)


def test_events_about_nothing_of_ours_are_ignored(channel: StripeChannel) -> None:
    for kind, told in (
        ("customer.created", {"id": "cus_1", "object": "customer"}),
        ("payment_intent.created", INTENT),
        ("payment_intent.succeeded", INTENT | {"metadata": {}}),
        ("refund.created", REFUND | {"metadata": {}, "charge": None}),
        ("charge.succeeded", {"id": "ch_1", "object": "charge", "metadata": MARKS}),
        ("charge.dispute.created", DISPUTE | {"payment_intent": None}),
    ):
        with pytest.raises(NoticeIgnored):
            heard(channel, kind, told)


@pytest.mark.parametrize("marks", [{}, MARKS], ids=["of nobody", "without our refund"])
def test_a_refund_that_we_never_asked_for_goes_by_its_own_name_and_its_charge(
    channel: StripeChannel, marks: dict[str, str]
) -> None:
    notice = heard(channel, "refund.created", REFUND | {"metadata": marks})
    assert (notice.attempt_key, notice.refund_key, notice.result.movement_ref) == ("", "re_1", "ch_1")
    assert notice.result.amount == Money(30, "USD")


def test_redelivery_has_the_same_digest_and_other_content_another(channel: StripeChannel) -> None:
    first = heard(channel, "payment_intent.succeeded", INTENT, pending_webhooks=2)
    again = heard(channel, "payment_intent.succeeded", dict(reversed(INTENT.items())), pending_webhooks=1, request=None)
    other = heard(channel, "payment_intent.succeeded", INTENT | {"amount_received": 1251})

    assert (again.event_id, again.digest) == (first.event_id, first.digest)
    assert other.digest != first.digest


def test_event_is_acknowledged_with_200(channel: StripeChannel) -> None:
    assert (channel.ack(True).status, channel.ack(False).status) == (200, 503)


# ---- what they say ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "told", "outcome", "stage"),
    [
        ("payment_intent.succeeded", {}, Outcome.DONE, Stage.CHARGED),
        ("payment_intent.processing", {"status": "processing"}, Outcome.PENDING, Stage.NONE),
        ("payment_intent.requires_action", {"status": "requires_action"}, Outcome.ACTION, Stage.NONE),
        ("payment_intent.canceled", {"status": "canceled"}, Outcome.DONE, Stage.VOIDED),
        ("payment_intent.canceled", {"status": "canceled", "cancellation_reason": "automatic"}, Outcome.DONE,
         Stage.EXPIRED),
        ("payment_intent.amount_capturable_updated", {"status": "requires_capture", "amount_capturable": 1250},
         Outcome.DONE, Stage.AUTHORIZED),
        ("payment_intent.payment_failed", {"status": "requires_payment_method",
         "last_payment_error": {"type": "card_error", "code": "expired_card"}}, Outcome.DECLINED, Stage.NONE),
    ],
)  # fmt: skip
def test_payments_events_are_dated_by_the_event(
    channel: StripeChannel, kind: str, told: dict[str, Any], outcome: Outcome, stage: Stage
) -> None:
    notice = heard(channel, kind, INTENT | told)

    assert (notice.attempt_key, notice.kind, notice.refund_key, notice.dispute) == ("TB-7-1", kind, None, None)
    assert (notice.result.outcome, notice.result.stage) == (outcome, stage)
    assert notice.result.provider_at_us == NOW_US
    assert notice.result.movement_ref == ("ch_1" if stage is Stage.CHARGED else None)
    assert notice.result.amount == Money(1250, "USD")


@pytest.mark.parametrize(
    ("kind", "status", "outcome", "stage"),
    [
        ("refund.created", "pending", Outcome.PENDING, Stage.NONE),
        ("refund.updated", "succeeded", Outcome.DONE, Stage.REFUNDED),
        ("charge.refund.updated", "requires_action", Outcome.PENDING, Stage.NONE),
        ("refund.failed", "failed", Outcome.DECLINED, Stage.NONE),
        ("refund.updated", "canceled", Outcome.DECLINED, Stage.NONE),
    ],
)
def test_refunds_events_name_the_refund(
    channel: StripeChannel, kind: str, status: str, outcome: Outcome, stage: Stage
) -> None:
    notice = heard(channel, kind, REFUND | {"status": status})

    assert (notice.attempt_key, notice.refund_key) == ("TB-7-1", "TB-7-1-R1")
    assert (notice.result.outcome, notice.result.stage, notice.result.amount) == (outcome, stage, Money(30, "USD"))
    assert notice.result.movement_ref == "re_1"


def test_charge_that_was_refunded_is_the_charge_that_we_know(channel: StripeChannel) -> None:
    charge = {"id": "ch_1", "object": "charge", "amount": 1250, "amount_captured": 1250, "amount_refunded": 30,
              "currency": "usd", "metadata": MARKS, "payment_intent": "pi_1"}  # fmt: skip
    refunded = heard(channel, "charge.refunded", charge)
    paid = heard(channel, "payment_intent.succeeded", INTENT)

    facts = [fact_of(attempt(channel="stripe"), notice.result, Source.NOTICE) for notice in (refunded, paid)]
    assert [(fact.key, fact.amount) for fact in facts if fact] == [("CAPTURED/ch_1", Money(1250, "USD"))] * 2


@pytest.mark.parametrize(("status", "state"), sorted(DISPUTES.items()))
def test_disputes_events_say_where_it_stands(channel: StripeChannel, status: str, state: DisputeState) -> None:
    notice = heard(channel, "charge.dispute.updated", DISPUTE | {"status": status})

    assert notice.dispute is not None
    assert (notice.dispute.channel_ref, notice.dispute.state) == ("du_1", state)
    assert (notice.dispute.amount, notice.dispute.fee) == (Money(1250, "USD"), Money(1500, "USD"))
    assert (notice.dispute.reason, notice.dispute.evidence_due_at_us) == ("fraudulent", NOW_US + 86400 * 1_000_000)
    assert (notice.attempt_key, notice.result.channel_ref, notice.result.movement_ref) == ("", "pi_1", "ch_1")
    assert fact_of(attempt(channel="stripe"), notice.result, Source.NOTICE) is None


@pytest.mark.parametrize(
    ("lines", "fee"),
    [
        ([], None),
        ([{"fee": 0, "currency": "usd"}], None),
        ([{"fee": 1500, "currency": "usd"}, {"fee": 0, "currency": "usd"}], Money(1500, "USD")),
        ([{"fee": 1500, "currency": "usd"}, {"fee": -1500, "currency": "usd"}], None),  # given back with the money
        ([{"fee": 1500, "currency": "usd"}, {"fee": 1, "currency": "eur"}], None),
    ],
)
def test_fee_of_a_dispute_is_what_stripe_took_for_it(
    channel: StripeChannel, lines: list[dict[str, Any]], fee: Money | None
) -> None:
    notice = heard(channel, "charge.dispute.closed", DISPUTE | {"balance_transactions": lines})

    assert notice.dispute is not None
    assert notice.dispute.fee == fee


def test_early_warning_takes_nothing(channel: StripeChannel) -> None:
    notice = heard(channel, "radar.early_fraud_warning.created", WARNING)

    assert notice.dispute is not None
    assert (notice.dispute.channel_ref, notice.dispute.state) == ("issfr_1", DisputeState.EARLY_WARNING)
    assert (notice.dispute.amount.amount_minor, notice.dispute.reason) == (0, "made_with_stolen_card")
    assert (notice.attempt_key, notice.result.movement_ref) == ("", "ch_1")
