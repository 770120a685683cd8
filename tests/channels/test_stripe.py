"""The Stripe adapter's own rules: what is sent, how a payment is found, what each answer means, amounts, statement."""

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.channels.exchange import RATE_LIMITED_MS, Answer, Silence
from hub.channels.stripe import CAPABILITIES, StripeChannel, asked
from hub.channels.stripe_lists import PAGE
from hub.channels.stripe_tables import HARD_DECLINES, MINIMUM_MINOR, OUTCOMES, Flow
from hub.channels.stripe_words import bare, intent_answer
from hub.domain.disputes import Dispute, DisputeState, Warned
from hub.domain.money import CURRENCIES, Money
from hub.domain.payments import CaptureMethod, Outcome, Result, Stage
from hub.domain.statements import LineKind, StatementLine
from hub.ports import AnswersDisputes, DisputeReply, StatementRefused
from tests.channels.bench_stripe import stripe_channel
from tests.channels.benches import NOW_US, Clock, attempt, refund_of
from tests.channels.stripe_peer import SECRET_KEY, THREE_DS, StripePeer, nested, stripe_listening
from tests.channels.test_stripe_notices import DISPUTE
from tests.sandbox.conftest import NOON

ASKED = attempt(channel="stripe")
PAYS = replace(ASKED, method="pm_card_visa")
CONTESTED = Dispute(
    id="dsp_1", order_id="ord_1", attempt_id="att_1", channel="stripe", channel_ref="du_1",
    state=DisputeState.NEEDS_RESPONSE, amount=Money(1250, "USD"), reason="fraudulent", evidence_due_at_us=None,
    fee=None, held_minor=1250, deducted_minor=0, excess_minor=0, reservation=None, warned=Warned.NO, answer=None,
    answers=1, version=1, created_at_us=NOW_US,
)  # fmt: skip


@pytest.fixture
async def peer() -> AsyncIterator[StripePeer]:
    async with stripe_listening(lambda: NOON) as standing:
        yield standing


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def channel(peer: StripePeer, clock: Clock) -> AsyncIterator[StripeChannel]:
    made = stripe_channel(peer.url, clock=clock)
    yield made
    await made.aclose()


def said(result: Result) -> tuple[Outcome, Stage]:
    return result.outcome, result.stage


# ---- what is sent ----------------------------------------------------------------------------------------------------


async def test_create_sends_our_key_and_marks_and_nothing_that_depends_on_now(
    channel: StripeChannel, peer: StripePeer, clock: Clock
) -> None:
    await channel.create(PAYS)
    clock.at_us += 5_000_000
    await channel.create(replace(PAYS, calls=2))

    (_, path, headers, body), again = peer.seen
    told = nested(body.decode())
    assert path == "/v1/payment_intents"
    assert headers["idempotency-key"] == "TB-7-1"
    assert headers["authorization"] == f"Bearer {SECRET_KEY}"
    assert headers["stripe-version"] == "2026-10-28.endive"
    assert told["metadata"] == {"tongbao_attempt": "TB-7-1", "tongbao_order": "TB-7", "tongbao_order_id": "ord_1"}
    assert (told["amount"], told["currency"], told["confirm"]) == ("1250", "usd", "true")
    assert again[3] == body


def test_money_that_is_to_be_held_is_asked_for_so() -> None:
    assert asked(PAYS)["capture_method"] == "automatic"
    assert asked(replace(PAYS, capture_method=CaptureMethod.MANUAL))["capture_method"] == "manual"


async def test_nothing_of_this_machine_is_told(channel: StripeChannel, peer: StripePeer) -> None:
    await channel.create(PAYS)
    await channel.query(PAYS)

    for _, _, headers, _ in peer.seen:
        assert "x-stripe-client-telemetry" not in headers
        told = json.loads(headers["x-stripe-client-user-agent"])
        assert {"telemetry_id", "platform", "uname", "hostname"}.isdisjoint(told)


async def test_no_secret_is_logged_however_much_is(
    channel: StripeChannel, peer: StripePeer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        created = await channel.create(ASKED)
    told = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith(("stripe", "hub")))

    assert created.next_action is not None
    assert created.next_action.data not in told
    assert SECRET_KEY not in told
    assert peer.seen


async def test_connected_account_is_named_in_each_call(peer: StripePeer) -> None:
    channel = stripe_channel(peer.url, account="acct_1")
    await channel.create(PAYS)
    await channel.query(PAYS)
    await channel.aclose()

    assert [headers["stripe-account"] for _, _, headers, _ in peer.seen] == ["acct_1"] * 2


async def test_adapter_sends_once_whatever_comes_back(channel: StripeChannel, peer: StripePeer) -> None:
    peer.faults += [("create", "drop_after")]

    lost = await channel.create(PAYS)

    assert said(lost) == (Outcome.UNKNOWN, Stage.NONE)
    assert len(peer.seen) == 1


async def test_bank_that_wants_a_second_look_is_a_redirect_or_the_browsers_to_solve(channel: StripeChannel) -> None:
    by_page = await channel.create(attempt("TB-8-1", method=THREE_DS, return_url="https://shop.test/back"))
    in_page = await channel.create(attempt("TB-9-1", method=THREE_DS))

    assert said(by_page) == said(in_page) == (Outcome.ACTION, Stage.NONE)
    assert by_page.next_action is not None
    assert in_page.next_action is not None
    assert (by_page.next_action.kind, by_page.next_action.url) == ("redirect", "https://hooks.stripe.test/3ds")
    assert (in_page.next_action.kind, in_page.next_action.data) == ("client_secret", "pi_2_secret_x")


# ---- finding by our own key ------------------------------------------------------------------------------------------


async def test_payment_is_found_by_our_key_on_a_later_page(channel: StripeChannel, peer: StripePeer) -> None:
    first = await channel.create(PAYS)
    for n in range(PAGE):
        peer.intents[f"pi_of_others_{n}"] = peer.intents[first.channel_ref or ""] | {"id": f"pi_of_others_{n}",
                                                                                    "metadata": {}}  # fmt: skip
    found = await channel.query(ASKED)

    assert (said(found), found.channel_ref) == ((Outcome.DONE, Stage.CHARGED), first.channel_ref)
    lists = [path for method, path, _, _ in peer.seen if method == "GET"]
    assert len(lists) == 2
    assert f"created[gte]={NOON - 300}&created[lte]={NOON + 300}" in lists[0]


async def test_payment_of_another_time_is_not_looked_at(channel: StripeChannel) -> None:
    await channel.create(PAYS)

    days_later = replace(ASKED, created_at_us=NOW_US + 10**12, sent_at_us=NOW_US + 10**12)

    assert said(await channel.query(days_later)) == (Outcome.DONE, Stage.NONE)


async def test_too_many_payments_of_one_moment_are_for_a_person(
    channel: StripeChannel, peer: StripePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.channels.stripe_lists.MAX_PAGES_SOUGHT", 2)
    for n in range(3 * PAGE):
        peer.intents[f"pi_{n}"] = {"id": f"pi_{n}", "created": NOON, "metadata": {}, "latest_charge": None}

    result = await channel.query(ASKED)

    assert (said(result), result.code) == ((Outcome.UNKNOWN, Stage.NONE), "too_many_to_look_through")


@pytest.mark.parametrize(
    "content",
    [{}, [], {"object": "list"}, {"object": "list", "data": [1], "has_more": False},
     {"object": "list", "data": [{"id": 1}], "has_more": False},
     {"object": "list", "data": [{"id": "pi_1", "metadata": [1]}], "has_more": False},
     {"object": "search_result", "data": [], "has_more": False}],
)  # fmt: skip
async def test_list_that_makes_no_sense_is_not_taken_for_an_empty_one(content: Any) -> None:
    answer = httpx.Response(200, json=content)
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))

    result = await stripe_channel("https://stripe.test", client=client).query(ASKED)

    assert said(result) == (Outcome.UNKNOWN, Stage.NONE)


@pytest.mark.parametrize("call", ["void", "capture", "refund"])
async def test_write_whose_payment_could_not_be_looked_up_was_not_sent(
    channel: StripeChannel, peer: StripePeer, call: str
) -> None:
    await channel.create(PAYS)
    peer.faults += [("query", "drop_before")]
    calls = {
        "void": channel.void(ASKED),
        "capture": channel.capture(ASKED, ASKED.amount),
        "refund": channel.refund(ASKED, refund_of(ASKED, 30)),
    }

    result = await calls.pop(call)

    for other in calls.values():
        other.close()
    assert said(result) == (Outcome.NOT_SENT, Stage.NONE)
    assert [method for method, _, _, _ in peer.seen] == ["POST", "GET"]


async def test_refund_of_a_payment_that_stripe_never_saw_is_ours_to_fix(channel: StripeChannel) -> None:
    result = await channel.refund(ASKED, refund_of(ASKED, 30))

    assert (said(result), result.code) == ((Outcome.REJECTED, Stage.NONE), "resource_missing")


async def test_void_is_repeated_under_a_key_of_its_own_and_says_the_same(
    channel: StripeChannel, peer: StripePeer, clock: Clock
) -> None:
    created = await channel.create(ASKED)
    open_ = replace(ASKED, channel_ref=created.channel_ref)
    results = []
    for _ in range(2):
        results.append(await channel.void(open_))
        clock.at_us += 1_000_000

    assert [said(result) for result in results] == [(Outcome.DONE, Stage.VOIDED)] * 2
    keys = [headers["idempotency-key"] for method, path, headers, _ in peer.seen if path.endswith("/cancel")]
    assert keys == [f"TB-7-1/void/{NOW_US}", f"TB-7-1/void/{NOW_US + 1_000_000}"]


async def test_refund_is_found_by_our_key_alone(channel: StripeChannel, peer: StripePeer) -> None:
    created = await channel.create(PAYS)
    charged = replace(ASKED, channel_ref=created.channel_ref)
    one, other = refund_of(charged, 30), refund_of(charged, 30, 2)
    first = await channel.refund(charged, one)
    second = await channel.refund(charged, other)

    assert first.movement_ref != second.movement_ref
    assert (await channel.query_refund(ASKED, other)).movement_ref == second.movement_ref
    by_id = await channel.query_refund(charged, replace(one, channel_ref=first.channel_ref))
    assert (said(by_id), by_id.movement_ref) == ((Outcome.DONE, Stage.REFUNDED), first.movement_ref)


# ---- what answers mean -----------------------------------------------------------------------------------------------

ROWS = [(flow, status, word, outcome) for flow, rows in OUTCOMES.items() for (status, word), outcome in rows.items()]


@pytest.mark.parametrize(("flow", "status", "word", "outcome"), ROWS)
async def test_each_row_of_the_table_is_what_an_answer_means(
    peer: StripePeer, flow: Flow, status: int, word: str, outcome: Outcome
) -> None:
    error: dict[str, Any] = {"type": word or "invalid_request_error", "message": ""}
    if word and word != "idempotency_error":
        error |= {"code": word, "type": "invalid_request_error"}
    result = await heard(peer, flow, status, {"error": error})

    assert said(result) == (outcome, Stage.NONE)
    assert result.code == (word or "invalid_request_error")
    assert (result.retry_after_ms is not None) == (outcome is Outcome.NOT_SENT)
    assert (result.decline is not None) == (outcome is Outcome.DECLINED)


@pytest.mark.parametrize("flow", sorted(OUTCOMES))
@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b""), (200, b"null"), (200, b"[]"), (200, b"{}"), (200, b'"x"'), (200, b"<html>"), (200, b"\xff\xfe"),
        (200, b'{"object": "payment_intent"'), (201, b"{}"), (204, b""), (302, b""), (400, b""), (400, b"{}"),
        (400, b'{"error": "invalid_client"}'), (400, b'{"error": {}}'), (409, {"error": {"type": "x"}}),
        (424, {"error": {"type": "api_error"}}), (418, {"error": {"type": "tea"}}), (500, {"error": {"type": "x"}}),
        (502, b"<html>"), (503, b""), (504, {"error": {"type": "api_error"}}),
    ],
)  # fmt: skip
async def test_everything_else_is_unknown(peer: StripePeer, flow: Flow, status: int, content: Any) -> None:
    result = await heard(peer, flow, status, content)

    assert said(result) == (Outcome.UNKNOWN, Stage.NONE)
    assert result.amount is None


@pytest.mark.parametrize("limit", [1_000, 100_000])  # libraries raise it
@pytest.mark.parametrize(("status", "depth"), [(200, 900), (200, 100_000), (400, 900), (400, 100_000)])
async def test_however_deep_an_answer_is_it_is_unknown(peer: StripePeer, status: int, depth: int, limit: int) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, limit))
    try:
        result = await heard(peer, "create", status, b'{"error":' * depth + b"1" + b"}" * depth)
    finally:
        sys.setrecursionlimit(before)

    assert said(result) == (Outcome.UNKNOWN, Stage.NONE)


async def heard(peer: StripePeer, flow: Flow, status: int, content: Any) -> Result:
    """What the adapter makes of one answer to `flow`, by the SDK's whole path."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = httpx.Response(status, content=body)
    channel = stripe_channel(peer.url, client=httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)))
    known = replace(ASKED, channel_ref="pi_1")
    back = replace(refund_of(known, 30), channel_ref="re_1")
    if flow == "answer_dispute":
        return (await channel.submit_evidence(known, CONTESTED, "she took it")).result
    calls = {
        "create": channel.create, "void": channel.void, "query": channel.query,
        "capture": lambda one: channel.capture(one, one.amount), "refund": lambda one: channel.refund(one, back),
        "query_refund": lambda one: channel.query_refund(one, back),
    }  # fmt: skip
    return await calls[flow](known)


@pytest.mark.parametrize("code", sorted(HARD_DECLINES))
async def test_hard_declines_are_hard(peer: StripePeer, code: str) -> None:
    error = {"type": "card_error", "code": "card_declined", "decline_code": code, "message": ""}
    result = await heard(peer, "create", 402, {"error": error})

    assert (said(result), result.decline, result.code) == ((Outcome.DECLINED, Stage.NONE), "hard", code)


@pytest.mark.parametrize("code", ["insufficient_funds", "do_not_honor", "generic_decline", "processing_error", "new"])
async def test_other_declines_are_soft(peer: StripePeer, code: str) -> None:
    error = {"type": "card_error", "code": "card_declined", "decline_code": code, "message": ""}

    assert (await heard(peer, "create", 402, {"error": error})).decline == "soft"


@pytest.mark.parametrize(("told", "waited_ms"), [("3", 3000), (None, RATE_LIMITED_MS), ("soon", RATE_LIMITED_MS)])
async def test_rate_limit_says_when_to_come_again(told: str | None, waited_ms: int) -> None:
    headers = {} if told is None else {"retry-after": told}
    body = json.dumps({"error": {"type": "invalid_request_error", "code": "rate_limit"}}).encode()

    result = intent_answer("create", ASKED, Answer(429, headers, body), NOW_US)

    assert (said(result), result.retry_after_ms) == ((Outcome.NOT_SENT, Stage.NONE), waited_ms)


def test_charge_without_its_reference_is_not_booked() -> None:
    intent = {"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 1250, "amount_received": 1250,
              "currency": "usd", "metadata": {"tongbao_attempt": "TB-7-1"}, "latest_charge": None}  # fmt: skip

    result = intent_answer("query", ASKED, Answer(200, {}, json.dumps(intent).encode()), NOW_US)

    assert said(result) == (Outcome.UNKNOWN, Stage.NONE)


def test_silence_keeps_its_meaning() -> None:
    silence = Silence(Outcome.NOT_SENT, "ConnectError")

    assert intent_answer("create", ASKED, silence, NOW_US) == bare(Outcome.NOT_SENT, NOW_US, code="ConnectError")


# ---- amounts ---------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(CURRENCIES)), st.integers(0, 10**9))
def test_amount_goes_out_and_comes_back_as_it_is_or_is_refused_before_any_call(currency: str, minor: int) -> None:
    money = Money(minor, currency)
    sent = replace(ASKED, amount=money)
    is_taken = CAPABILITIES.takes(money)
    least = MINIMUM_MINOR.get(currency, 1)
    assert is_taken == (least <= minor <= 99_999_999 and (CURRENCIES[currency] < 3 or (minor % 10 == 0 and minor > 0)))
    if is_taken:
        assert (asked(sent)["amount"], asked(sent)["currency"]) == (minor, currency.lower())
        intent = {"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": minor,
                  "amount_received": minor, "currency": currency.lower(), "latest_charge": "ch_1",
                  "metadata": {"tongbao_attempt": "TB-7-1"}}  # fmt: skip
        back = intent_answer("create", sent, Answer(200, {}, json.dumps(intent).encode()), NOW_US)
        assert back.amount == money


@pytest.mark.parametrize("amount", [Money(49, "USD"), Money(49, "JPY"), Money(1234, "KWD"), Money(10**8, "USD")])
async def test_amount_that_stripe_cannot_take_is_refused_before_any_call(
    channel: StripeChannel, peer: StripePeer, amount: Money
) -> None:
    result = await channel.create(replace(PAYS, amount=amount))

    assert (said(result), result.code) == ((Outcome.REJECTED, Stage.NONE), "amount_not_taken")
    assert peer.seen == []


async def test_part_with_a_third_decimal_is_neither_taken_nor_given_back(
    channel: StripeChannel, peer: StripePeer
) -> None:
    dinars = replace(ASKED, amount=Money(12340, "KWD"), channel_ref="pi_1")

    results = [
        await channel.capture(dinars, Money(1234, "KWD")),
        await channel.refund(dinars, replace(refund_of(dinars, 1), amount=Money(1234, "KWD"))),
    ]

    assert [said(result) for result in results] == [(Outcome.REJECTED, Stage.NONE)] * 2
    assert peer.seen == []


@pytest.mark.parametrize("minor", [12.5, "1250", True, None, -1, 1e3])
def test_amount_in_another_notation_says_nothing(minor: Any) -> None:
    intent = {"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 1250,
              "amount_received": minor, "currency": "usd", "latest_charge": "ch_1",
              "metadata": {"tongbao_attempt": "TB-7-1"}}  # fmt: skip

    result = intent_answer("query", ASKED, Answer(200, {}, json.dumps(intent).encode()), NOW_US)

    assert (said(result), result.amount) == ((Outcome.UNKNOWN, Stage.NONE), None)


# ---- the statement ---------------------------------------------------------------------------------------------------


async def test_statement_has_a_line_for_each_movement_of_the_day(channel: StripeChannel, peer: StripePeer) -> None:
    created = await channel.create(PAYS)
    charged = replace(ASKED, channel_ref=created.channel_ref)
    back = refund_of(charged, 30)
    await channel.refund(charged, back)

    refunded, paid = await movements(channel)

    assert (paid.kind, paid.our_ref, paid.refund_ref, paid.channel_ref) == (
        LineKind.PAYMENT, "TB-7-1", None, created.channel_ref,
    )  # fmt: skip
    assert (paid.gross_minor, paid.fee_minor, paid.net_minor, paid.currency) == (1250, -66, 1184, "USD")
    assert (refunded.kind, refunded.our_ref, refunded.refund_ref) == (LineKind.REFUND, "TB-7-1", back.key)
    assert (refunded.gross_minor, refunded.fee_minor, refunded.net_minor) == (-30, 0, -30)
    assert "Jenny" not in paid.raw + refunded.raw
    starts = NOON - NOON % 86400
    assert f"created[gte]={starts}&created[lt]={starts + 86400}" in peer.seen[-1][1]


async def test_statement_that_does_not_add_up_or_come_is_refused(channel: StripeChannel, peer: StripePeer) -> None:
    await channel.create(PAYS)
    peer.movements[0]["net"] += 1
    with pytest.raises(StatementRefused, match="is not 1185"):
        await movements(channel)
    for status, body in ((500, b"<html>"), (200, b"[]"), (401, b'{"error": {"type": "x"}}')):
        answer = httpx.Response(status, content=body)
        client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _, answer=answer: answer))
        with pytest.raises(StatementRefused, match="ask again"):
            await movements(stripe_channel(peer.url, client=client))


async def movements(channel: StripeChannel) -> list[StatementLine]:
    return [line async for line in channel.statement(datetime.fromtimestamp(NOON, UTC).date())]


# ---- answering a dispute ---------------------------------------------------------------------------------------------


async def answered(content: Any, *, gives_in: bool) -> tuple[DisputeReply, httpx.Request]:
    """What the adapter makes of a dispute in Stripe's answer, and what it had asked."""
    seen: list[httpx.Request] = []

    def provider(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=content)

    channel = stripe_channel("https://stripe.test", client=httpx.AsyncClient(transport=httpx.MockTransport(provider)))
    assert isinstance(channel, AnswersDisputes)
    if gives_in:
        return await channel.accept_dispute(ASKED, CONTESTED), seen[0]
    return await channel.submit_evidence(ASKED, CONTESTED, "she took it"), seen[0]


async def test_evidence_is_submitted_once_and_the_dispute_is_under_review() -> None:
    reply, request = await answered(DISPUTE | {"status": "under_review"}, gives_in=False)

    assert (request.url.path, request.headers["idempotency-key"]) == ("/v1/disputes/du_1", "dsp_1-1")
    told = nested(request.content.decode())
    assert (told["evidence"], told["submit"]) == ({"uncategorized_text": "she took it"}, "true")
    assert told["metadata"]["tongbao_attempt"] == "TB-7-1"
    assert reply.word is not None
    assert (said(reply.result), reply.word.state) == ((Outcome.DONE, Stage.NONE), DisputeState.UNDER_REVIEW)


async def test_giving_in_closes_the_dispute_and_it_is_lost() -> None:
    reply, request = await answered(DISPUTE | {"status": "lost"}, gives_in=True)

    assert (request.url.path, request.headers["idempotency-key"]) == ("/v1/disputes/du_1/close", "dsp_1-1")
    assert reply.word is not None
    assert (said(reply.result), reply.word.state) == ((Outcome.DONE, Stage.NONE), DisputeState.LOST)


@pytest.mark.parametrize("content", [DISPUTE | {"id": "du_2"}, DISPUTE | {"status": "odd"}, {"object": "dispute"}, []])
async def test_reply_about_another_dispute_or_none_says_nothing(content: Any) -> None:
    reply, _ = await answered(content, gives_in=False)

    assert (said(reply.result), reply.word) == ((Outcome.UNKNOWN, Stage.NONE), None)
