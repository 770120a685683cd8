"""Cards (银行卡) by Stripe: PaymentIntents, refunds, disputes and balance transactions, over the official SDK.

Our keys are its idempotency keys and stand in its metadata. It forgets the former after a day and has no look-up by
the latter that is up to date (its search lags by a minute, in bad times by an hour). So a payment whose id we do not
know is looked for in the list of those created about the time when we asked: that list is read after write.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from hub.channels.connecting import ChannelSettingRefused, Surroundings, demand_known
from hub.channels.exchange import Answer, Silence
from hub.channels.stripe_checks import CLOCKS_APART_S, clock_in, credentials_in, demand_url, endpoint_in, is_live_by
from hub.channels.stripe_events import notice_of, reply_of
from hub.channels.stripe_lists import MAX_PAGES_OF_DAY, PAGE, listed, pages
from hub.channels.stripe_tables import AMOUNTS, ATTEMPT, CODE, ORDER, ORDER_ID, REFUND, Flow, is_exact
from hub.channels.stripe_words import Json, bare, intent_answer, line_of, refund_answer
from hub.domain.disputes import Dispute
from hub.domain.money import Money
from hub.domain.payments import CaptureMethod, Notice, Outcome, PaymentAttempt, Result
from hub.domain.refunds import Refund
from hub.domain.statements import StatementLine
from hub.ports import Ack, Capabilities, Clock, DisputeReply, Finding, NoticeRefused, RawNotice, StatementRefused

if TYPE_CHECKING:
    from hub.channels.stripe_wire import Wire

SIGNATURE_HEADER = "stripe-signature"
TOLERANCE_US = CLOCKS_APART_S * 1_000_000  # how far a signed time may lie from ours, both ways
CAPABILITIES = Capabilities(
    currencies=AMOUNTS,
    not_found_after_ms=65_000,  # a slow first call may still land before
    is_dated=True,
    declined_stays_payable=True,  # by whoever has the client secret
    can_authorize=True,
    can_capture_partly=True,
    can_refund=True,
    can_refund_partly=True,
    has_disputes=True,
    has_statement=True,
)
TEST_CAPABILITIES = replace(CAPABILITIES, is_test_only=True)


class StripeChannel:
    """The port `Channel` over Stripe's API, for one account in one mode: that of the secret key."""

    code = CODE
    capabilities = CAPABILITIES

    def __init__(
        self,
        *,
        wire: "Wire",
        webhook_secrets: Sequence[str],
        is_live: bool,
        account: str | None,
        surroundings: Surroundings,
    ) -> None:
        """Any of `webhook_secrets` verifies an event, so that they can be rotated. `account`: events are its alone."""
        if not is_live:
            self.capabilities = TEST_CAPABILITIES
        self._wire = wire
        self._webhook_secrets = tuple(webhook_secrets)
        self._is_live = is_live
        self._account = account
        self._client = surroundings.client
        self._clock: Clock = surroundings.clock
        self._notice_url = surroundings.notice_url

    @classmethod
    def connected(cls, settings: Mapping[str, str], surroundings: Surroundings) -> "StripeChannel":
        """The adapter of these settings; `webhook_secret` may be two, parted by a comma, while one replaces another."""
        optional = ("publishable_key", "api_url", "account")
        demand_known(settings, required=("secret_key", "webhook_secret"), optional=optional)
        is_live = is_live_by(settings)
        demand_url(settings.get("api_url"), is_live=is_live)
        secrets = [secret.strip() for secret in settings["webhook_secret"].split(",")]
        if not all(secrets):
            raise ChannelSettingRefused("webhook_secret", "there is no unverified mode: one secret, or two and a comma")
        try:
            from hub.channels.stripe_wire import Wire
        except ModuleNotFoundError as missing:
            text = f"Stripe's SDK is not installed ({missing.name}): pip install 'tongbao[stripe]'"
            raise ChannelSettingRefused("secret_key", text) from None
        account = settings.get("account")
        wire = Wire(
            secret_key=settings["secret_key"],
            api_url=settings.get("api_url"),
            account=account,
            client=surroundings.client,
        )
        return cls(wire=wire, webhook_secrets=secrets, is_live=is_live, account=account, surroundings=surroundings)

    async def create(self, attempt: PaymentAttempt) -> Result:
        """A PaymentIntent: confirmed at once with the buyer's method, else left for the browser to confirm."""
        if not self.capabilities.takes(attempt.amount):
            return self._refused()
        answer = await self._wire.create(asked(attempt), attempt.key)
        return intent_answer("create", attempt, answer, self._clock.now_us())

    async def capture(self, attempt: PaymentAttempt, amount: Money) -> Result:
        """Take what is held, or part of it; Stripe lets go of the rest by itself."""
        if not is_exact(amount):
            return self._refused()
        ref = await self._ref(attempt)
        if not isinstance(ref, str):
            return self._unplaced("capture", attempt, ref)
        body = {"amount_to_capture": amount.amount_minor, "expand": ["latest_charge"]}
        answer = await self._wire.capture(ref, body, f"{attempt.key}/capture/{amount.amount_minor}")
        return intent_answer("capture", attempt, answer, self._clock.now_us())

    async def void(self, attempt: PaymentAttempt) -> Result:
        """Cancel what is unpaid. Paid first: CHARGED. Never seen there: DONE with NONE."""
        ref = await self._ref(attempt)
        if not isinstance(ref, str):
            return self._unplaced("void", attempt, ref)
        # Canceling twice is canceling. A key of each call's own: a saved 500 would come back for a day.
        key = f"{attempt.key}/void/{self._clock.now_us()}"
        answer = await self._wire.cancel(ref, {"expand": ["latest_charge"]}, key)
        return intent_answer("void", attempt, answer, self._clock.now_us())

    async def query(self, attempt: PaymentAttempt) -> Result:
        """By Stripe's id where we have it, else by our key in the list of the payments of that time."""
        if attempt.channel_ref is None:
            found = await self._sought(attempt)
        else:
            found = await self._wire.retrieve(attempt.channel_ref, {"expand": ["latest_charge"]})
        if found is None:
            return self._unplaced("query", attempt, None)
        return intent_answer("query", attempt, found, self._clock.now_us())

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """Give part of it back; the refund's key is the idempotency key, and stands in the metadata."""
        if not is_exact(refund.amount):
            return self._refused()
        ref = await self._ref(attempt)
        if not isinstance(ref, str):
            return self._unplaced("refund", attempt, ref)
        marks = {**marks_of(attempt), REFUND: refund.key}
        body = {"payment_intent": ref, "amount": refund.amount.amount_minor, "metadata": marks}
        answer = await self._wire.refund(body, refund.key)
        return refund_answer("refund", refund.key, answer, self._clock.now_us())

    async def query_refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """By Stripe's id where we have it, else by our key among the refunds of the payment."""
        found: Answer | Silence | None
        if refund.channel_ref is not None:
            found = await self._wire.retrieve_refund(refund.channel_ref)
        else:
            ref = await self._ref(attempt)
            if not isinstance(ref, str):
                return self._unplaced("query_refund", attempt, ref)
            found = await listed(self._wire.refunds, {"payment_intent": ref}, REFUND, refund.key)
        if found is None:
            return self._unplaced("query_refund", attempt, None)
        return refund_answer("query_refund", refund.key, found, self._clock.now_us())

    async def submit_evidence(self, attempt: PaymentAttempt, dispute: Dispute, evidence: str) -> DisputeReply:
        """The merchant's words, submitted to the bank at once: Stripe takes them one time."""
        body = {"evidence": {"uncategorized_text": evidence}, "submit": True, "metadata": marks_of(attempt)}
        answer = await self._wire.answer_dispute(dispute.channel_ref, body, dispute.answer_key)
        return reply_of(answer, dispute.channel_ref, self._clock.now_us())

    async def accept_dispute(self, attempt: PaymentAttempt, dispute: Dispute) -> DisputeReply:
        """Close it: the money stays with the payer, and there is no way back."""
        answer = await self._wire.close_dispute(dispute.channel_ref, dispute.answer_key)
        return reply_of(answer, dispute.channel_ref, self._clock.now_us())

    async def statement(self, day: date) -> AsyncIterator[StatementLine]:
        """The balance transactions created on a day in UTC, the newest first; of the account's own balance, so in the
        currency that it settles in. Raises StatementRefused."""
        starts = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        query = {"created": {"gte": starts, "lt": starts + 24 * 3600}, "expand": ["data.source"]}
        async for line in pages(self._wire.movements, query, MAX_PAGES_OF_DAY):
            if isinstance(line, Answer | Silence):
                told = line.code if isinstance(line, Silence) else line.status
                raise StatementRefused(f"Stripe did not give the day ({told}): ask again")
            yield line_of(line)

    async def check(self) -> Sequence[Finding]:
        """One look at the balance; and whether an endpoint is registered that posts to us."""
        answer = await self._wire.balance()
        if isinstance(answer, Silence):
            return [Finding("reach", False, f"Stripe does not answer: {answer.code}")]
        found = [Finding("reach", True, "Stripe answers"), credentials_in(answer, self._is_live)]
        if "date" in answer.headers:
            found.append(clock_in(answer, self._clock.now_us()))
        return [*found, await self._endpoint()]

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        """Check signature, date, mode and account of an event over its raw bytes. Raises NoticeRefused, NoticeIgnored.

        The date is looked at here, both ways: the SDK takes any from the future, and asks the process's own clock.
        """
        from hub.channels.stripe_wire import is_signed

        header = raw.headers.get(SIGNATURE_HEADER, "")
        # Parted as the SDK does, which takes the first `t`, and any number that int() takes: a second could be newer.
        parts = [part.partition("=") for part in header.split(",")]
        stamps = [value for name, _, value in parts if name == "t"]
        is_dated = len(stamps) == 1 and re.fullmatch(r"[0-9]{1,12}", stamps[0]) is not None
        if not is_dated or not any(is_signed(raw.body, header, secret) for secret in self._webhook_secrets):
            raise NoticeRefused("the signature is missing or wrong")
        if abs(now_us - int(stamps[0]) * 1_000_000) > TOLERANCE_US:
            raise NoticeRefused("the signature's date lies outside the window")
        return notice_of(raw.body, now_us, is_live=self._is_live, account=self._account)

    def ack(self, accepted: bool) -> Ack:
        """Any 2xx is a yes; everything else brings the event back, for three days."""
        return Ack(200) if accepted else Ack(503)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _ref(self, attempt: PaymentAttempt) -> str | Answer | Silence | None:
        """Stripe's id of the payment; else what came instead of it, None where it was never seen."""
        if attempt.channel_ref is not None:
            return attempt.channel_ref
        found = await self._sought(attempt)
        if isinstance(found, Answer) and found.status == 200:
            ref = intent_answer("query", attempt, found, self._clock.now_us()).channel_ref
            return found if ref is None else ref
        return found

    async def _sought(self, attempt: PaymentAttempt) -> Answer | Silence | None:
        """The payment with our key among those of the time in which it was sent; None: Stripe never saw it."""
        created = {
            "gte": attempt.created_at_us // 1_000_000 - CLOCKS_APART_S,
            "lte": attempt.sent_at_us // 1_000_000 + CLOCKS_APART_S,
        }
        query = {"created": created, "expand": ["data.latest_charge"]}
        return await listed(self._wire.intents, query, ATTEMPT, attempt.key)

    def _unplaced(self, flow: Flow, attempt: PaymentAttempt, instead: Answer | Silence | None) -> Result:
        """The result of a call for a payment that could not be found: nothing but the look for it was sent."""
        now_us = self._clock.now_us()
        if instead is None:
            never_seen = Outcome.REJECTED if flow in ("capture", "refund") else Outcome.DONE
            return bare(never_seen, now_us, code="resource_missing")
        result = intent_answer("query", attempt, instead, now_us)
        is_write = flow in ("capture", "void", "refund")
        is_lost = result.outcome is Outcome.UNKNOWN
        return replace(result, outcome=Outcome.NOT_SENT) if is_write and is_lost else result

    def _refused(self) -> Result:
        return bare(Outcome.REJECTED, self._clock.now_us(), code="amount_not_taken")

    async def _endpoint(self) -> Finding:
        if self._notice_url is None:
            return Finding("notices", False, "Stripe cannot reach us (HUB_PUBLIC_URL is not set): the hub asks instead")
        answer = await self._wire.endpoints({"limit": PAGE})
        if isinstance(answer, Silence) or answer.status != 200:
            told = answer.code if isinstance(answer, Silence) else answer.status
            return Finding("notices", False, f"the registered endpoints could not be read ({told})")
        return endpoint_in(answer, self._notice_url)


def asked(attempt: PaymentAttempt) -> Json:
    """The same for the same attempt, however often it is sent: nothing in it depends on now."""
    body: Json = {
        "amount": attempt.amount.amount_minor,
        "currency": attempt.amount.currency.lower(),
        "payment_method_types": ["card"],
        "capture_method": "manual" if attempt.capture_method is CaptureMethod.MANUAL else "automatic",
        "metadata": marks_of(attempt),
        "expand": ["latest_charge"],
    }
    if attempt.method is not None:
        body |= {"payment_method": attempt.method, "confirm": True}
        if attempt.return_url is not None:
            body["return_url"] = attempt.return_url
    return body


def marks_of(attempt: PaymentAttempt) -> dict[str, str]:
    """By these a payment of ours is found in the provider's records, and from them in ours."""
    return {
        ATTEMPT: attempt.key,
        ORDER: attempt.key.removesuffix(f"-{attempt.number}"),
        ORDER_ID: attempt.order_id,
    }
