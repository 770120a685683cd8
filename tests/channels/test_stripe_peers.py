"""Two Stripes that others wrote, each a process of its own on loopback: localstripe (PaymentIntents, signed events) and
stripe-stateful-mock (idempotency keys, refusals). What they lack, tests/channels/test_stripe.py asks of ours."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.channels.stripe import StripeChannel
from hub.channels.stripe_wire import Wire, told
from hub.channels.stripe_words import intent_answer, refund_answer
from hub.domain.money import Money
from hub.domain.payments import CaptureMethod, Outcome, PaymentAttempt, Result, Stage
from hub.domain.statements import LineKind
from hub.ports import RawNotice
from tests.channels.bench_stripe import stripe_channel
from tests.channels.benches import NOW_US, Clock, attempt, refund_of
from tests.channels.stripe_peer import SECRET_KEY, WEBHOOK_SECRET
from tests.channels.venvs import python_with
from tests.entry.npm import installed
from tests.sandbox.conftest import merchant_listening

pytestmark = pytest.mark.browser
PEER = Path(__file__).parents[1] / "peers" / "stripe"
START_WITHIN_S = 30.0
NEVER, VOIDED = (Outcome.DONE, Stage.NONE), (Outcome.DONE, Stage.VOIDED)
WAITS, HELD = (Outcome.ACTION, Stage.NONE), (Outcome.DONE, Stage.AUTHORIZED)
CHARGED, REFUNDED = (Outcome.DONE, Stage.CHARGED), (Outcome.DONE, Stage.REFUNDED)


@asynccontextmanager
async def serving(*command: str | Path) -> AsyncIterator[str]:
    """The URL of a peer that prints its port."""
    peer = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert peer.stdout is not None
    try:
        async with asyncio.timeout(START_WITHIN_S):
            yield f"http://127.0.0.1:{int(await peer.stdout.readline())}"
    finally:
        peer.kill()
        await peer.wait()


def said(result: Result) -> tuple[Outcome, Stage]:
    return result.outcome, result.stage


# ---- localstripe -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def localstripe() -> AsyncIterator[str]:
    async with serving(python_with(PEER / "requirements.txt"), PEER / "launch.py") as url:
        yield url


@pytest.fixture
async def channel(localstripe: str) -> AsyncIterator[StripeChannel]:
    made = stripe_channel(localstripe, clock=now())
    yield made
    await made.aclose()


def now() -> Clock:
    return Clock(int(time.time()) * 1_000_000)


def asking(key: str = "TB-7-1", **fields: Any) -> PaymentAttempt:
    at = now().at_us
    return attempt(key, channel="stripe", created_at_us=at, sent_at_us=at, expires_at_us=at + 1_800_000_000, **fields)


async def test_payments_of_localstripe_are_made_found_held_taken_and_closed(channel: StripeChannel) -> None:
    waits, pays, holds = asking(), asking("TB-8-1", method="pm_card_visa"), asking("TB-9-1", method="pm_card_visa")
    holds = replace(holds, capture_method=CaptureMethod.MANUAL)

    assert said(await channel.query(waits)) == NEVER
    assert [said(await channel.create(one)) for one in (waits, pays, holds)] == [WAITS, CHARGED, HELD]
    assert [said(await channel.query(one)) for one in (waits, pays, holds)] == [WAITS, CHARGED, HELD]
    assert said(await channel.void(waits)) == VOIDED
    assert said(await channel.query(waits)) == VOIDED
    taken = await channel.capture(holds, Money(1000, "USD"))
    assert (said(taken), taken.amount) == (CHARGED, Money(1000, "USD"))
    found = await channel.query(replace(holds, channel_ref=taken.channel_ref))
    assert (said(found), found.amount, found.movement_ref) == (CHARGED, Money(1000, "USD"), taken.movement_ref)


async def test_refunds_and_movements_of_localstripe_are_those_that_were_asked_for(channel: StripeChannel) -> None:
    pays = asking(method="pm_card_visa")
    charged = replace(pays, channel_ref=(await channel.create(pays)).channel_ref)
    back = refund_of(charged, 30)

    assert said(await channel.query_refund(charged, back)) == NEVER
    made = await channel.refund(charged, back)
    assert (said(made), made.amount) == (REFUNDED, Money(30, "USD"))
    assert (await channel.query_refund(pays, back)).movement_ref == made.movement_ref

    lines = [line async for line in channel.statement(datetime.fromtimestamp(time.time(), UTC).date())]
    assert sorted((line.kind, line.gross_minor, line.refund_ref, line.channel_ref) for line in lines) == [
        (LineKind.PAYMENT, 1250, None, charged.channel_ref),
        (LineKind.REFUND, -30, back.key, charged.channel_ref),
    ]


async def test_declines_and_3ds_of_localstripe(channel: StripeChannel, localstripe: str) -> None:
    declined = await channel.create(asking(method="pm_card_chargeCustomerFail"))
    assert (said(declined), declined.decline) == ((Outcome.DECLINED, Stage.NONE), "soft")

    async with httpx.AsyncClient(base_url=localstripe, trust_env=False, auth=(SECRET_KEY, "")) as browser:
        card = {"number": "4000002500003155", "exp_month": "12", "exp_year": "2030", "cvc": "123"}
        form = {"type": "card", **{f"card[{name}]": value for name, value in card.items()}}
        method = (await browser.post("/v1/payment_methods", data=form)).json()["id"]
        asked = asking("TB-8-1", method=method)
        created = await channel.create(asked)
        assert created.next_action is not None
        assert (said(created), created.next_action.kind) == (WAITS, "client_secret")
        shown = {"client_secret": created.next_action.data, "success": "true"}
        answer = await browser.post(f"/v1/payment_intents/{created.channel_ref}/_authenticate", data=shown)
        assert answer.status_code == 200
    assert said(await channel.query(asked)) == CHARGED


async def test_events_that_localstripe_signs_are_believed(localstripe: str) -> None:
    async with merchant_listening() as merchant:
        async with httpx.AsyncClient(base_url=localstripe, trust_env=False) as operator:
            hook = {"url": merchant.url, "secret": WEBHOOK_SECRET}
            assert (await operator.post("/_config/webhooks/hub", json=hook)).status_code == 200
        channel = stripe_channel(localstripe, clock=now())
        created = await channel.create(asking(method="pm_card_visa"))
        [(headers, body)] = await merchant.got(1)
        notice = channel.verify_notice(RawNotice(headers, body), now().at_us)
        await channel.aclose()

    assert (notice.attempt_key, notice.kind) == ("TB-7-1", "payment_intent.succeeded")
    assert (said(notice.result), notice.result.amount) == (CHARGED, Money(1250, "USD"))
    assert notice.result.movement_ref == created.movement_ref


async def test_check_of_localstripe_is_good_but_for_the_endpoint(channel: StripeChannel) -> None:
    found = {finding.name: finding.is_good for finding in await channel.check()}

    assert found == {"reach": True, "credentials": True, "clock": True, "notices": False}


# ---- stripe-stateful-mock --------------------------------------------------------------------------------------------
# It has charges and no payments: the SDK on our wire asks for those, and our tables say what came of it.


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    folder = installed(PEER)
    async with serving("node", folder / "launch.mjs") as url, httpx.AsyncClient(trust_env=False) as client:
        yield Wire(secret_key=SECRET_KEY, api_url=url, account=None, client=client)


ASKED = attempt(channel="stripe")


async def charging(wire: Wire, source: str, *, amount: int = 1250, key: str | None = None) -> Result:
    charges: Any = wire.v1.charges
    call = charges.create_async({"amount": amount, "currency": "usd", "source": source}, {"idempotency_key": key})
    return intent_answer("create", ASKED, await told(call), NOW_US)


@pytest.mark.parametrize(
    ("source", "outcome", "decline", "code"),
    [
        ("tok_chargeDeclined", Outcome.DECLINED, "soft", "generic_decline"),
        ("tok_chargeDeclinedInsufficientFunds", Outcome.DECLINED, "soft", "insufficient_funds"),
        ("tok_chargeDeclinedFraudulent", Outcome.DECLINED, "hard", "fraudulent"),
        ("tok_chargeDeclinedIncorrectCvc", Outcome.DECLINED, "hard", "incorrect_cvc"),
        ("tok_chargeDeclinedExpiredCard", Outcome.DECLINED, "hard", "expired_card"),
        ("tok_chargeDeclinedProcessingError", Outcome.DECLINED, "soft", "processing_error"),
        ("tok_429", Outcome.NOT_SENT, None, "rate_limit"),
        ("tok_500", Outcome.UNKNOWN, None, "api_error"),
    ],
)
async def test_what_the_mock_refuses_is_what_our_table_says(
    wire: Wire, source: str, outcome: Outcome, decline: str | None, code: str
) -> None:
    result = await charging(wire, source)

    assert (result.outcome, result.decline, result.code) == (outcome, decline, code)


async def test_amounts_below_and_above_are_rejected_by_the_mock(wire: Wire) -> None:
    small, large = await charging(wire, "tok_visa", amount=49), await charging(wire, "tok_visa", amount=10**8)

    assert [(one.outcome, one.code) for one in (small, large)] == [
        (Outcome.REJECTED, "amount_too_small"),
        (Outcome.REJECTED, "amount_too_large"),
    ]


async def test_key_used_with_other_parameters_is_unknown_by_the_mock(wire: Wire) -> None:
    await charging(wire, "tok_visa", key="TB-7-1")
    otherwise = await charging(wire, "tok_visa", key="TB-7-1", amount=1251)

    assert (otherwise.outcome, otherwise.code) == (Outcome.UNKNOWN, "idempotency_error")


async def test_saved_500_of_the_mock_comes_back_under_its_key(wire: Wire) -> None:
    results = [await charging(wire, "tok_500", key="TB-7-1") for _ in range(2)]

    assert [result.outcome for result in results] == [Outcome.UNKNOWN] * 2


async def test_refunds_of_the_mock_repeat_by_their_key_and_never_exceed_the_charge(wire: Wire) -> None:
    charges: Any = wire.v1.charges
    charge = await charges.create_async({"amount": 1250, "currency": "usd", "source": "tok_visa"})
    back, over = refund_of(ASKED, 1000), refund_of(ASKED, 251, 2)

    async def refunding(one: Any) -> Result:
        marks = {"tongbao_refund": one.key}
        body = {"charge": charge.id, "amount": one.amount.amount_minor, "metadata": marks}
        return refund_answer("refund", one.key, await wire.refund(body, one.key), NOW_US)

    first, again, beyond = await refunding(back), await refunding(back), await refunding(over)

    assert (said(first), first.amount) == (REFUNDED, Money(1000, "USD"))
    assert again.movement_ref == first.movement_ref
    assert said(beyond) == (Outcome.REJECTED, Stage.NONE)


async def test_wrong_key_is_rejected_by_the_mock(wire: Wire) -> None:
    folder = installed(PEER)
    async with serving("node", folder / "launch.mjs") as url, httpx.AsyncClient(trust_env=False) as client:
        stranger = Wire(secret_key="sk_live_1", api_url=url, account=None, client=client)
        result = await charging(stranger, "tok_visa")

    assert said(result) == (Outcome.REJECTED, Stage.NONE)
