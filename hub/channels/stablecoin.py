"""A stablecoin (稳定币) as a payment channel: the buyer's own wallet pays CheckoutSplitter, which splits and grants.

Asking for money is no call: `create` only works out what the wallet has to sign and send, so it may be repeated at
will. What became of it is read from the contracts under the order key, which commits to offer, price, payer, holder
and deadline. `method` names way and wallet: `permit:0x…`, `authorization:0x…` or `approve:0x…`.
"""

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import httpx
from eth_utils.address import is_address
from eth_utils.crypto import keccak

from hub.channels import stablecoin_words as words
from hub.channels.connecting import ChannelSettingRefused, OnChain, Surroundings, demand_known
from hub.channels.stablecoin_offers import Shelf
from hub.channels.stablecoin_refunds import Refunds
from hub.channels.stablecoin_results import LOOK_AGAIN_MS, Answers, as_text
from hub.channels.stablecoin_statement import statement_lines
from hub.channels.stablecoin_whereabouts import whereabouts
from hub.domain.checkout import Purchase, Sale, money_of, offer_id, order_key, order_key_in, wallet_of
from hub.domain.money import CURRENCIES, MAX_PRICE_MINOR, Money
from hub.domain.payments import CaptureMethod, Notice, Outcome, PaymentAttempt, Result, Stage
from hub.domain.refunds import Refund
from hub.domain.statements import StatementLine
from hub.ports import (
    Ack,
    AmountRange,
    Capabilities,
    ChainUnavailable,
    Checkout,
    Clock,
    Finding,
    NoticeRefused,
    Obstacle,
    PurchaseStanding,
    RawNotice,
    SplitterCall,
)

CODE = "stablecoin"
TEST_TOKEN = "test"  # the setting that stands for TestUSD: money of nobody
# On the embedded chain, which makes no blocks while nothing happens: what was not bought in a block so long after the
# deadline is not bought before it.
DRIFT_S = 15 * 60
MAX_PAYEES_FILE = 1_000_000  # bytes: some ten thousand payees
CAPABILITIES = Capabilities(
    currencies={"USD": AmountRange(1, MAX_PRICE_MINOR)},
    # A shown order stays payable until its deadline, and only the chain's own time ends it.
    not_found_after_ms=None,
    is_dated=False,
    can_refund=True,
    has_statement=True,
    methods=("permit", "authorization", "approve"),
)


class StablecoinChannel:
    """The port `Channel` over CheckoutSplitter, for one token that stands for one currency."""

    code = CODE
    capabilities = CAPABILITIES

    def __init__(
        self,
        *,
        currency: str,
        is_test_only: bool,
        treasury: bytes | None,
        payees: Mapping[str, bytes],
        on_chain: OnChain,
        client: httpx.AsyncClient,
        clock: Clock,
    ) -> None:
        """`treasury` gets the hub's fee, and the parts of payees without an address of their own: these the hub owes,
        as on any other channel. None: such orders cannot be paid here."""
        currencies = {currency: AmountRange(1, MAX_PRICE_MINOR)}
        self.capabilities = replace(CAPABILITIES, currencies=currencies, is_test_only=is_test_only)
        self._currency = currency
        self._on_chain = on_chain
        self.checkout = on_chain.checkout
        self._shelf = Shelf(self.capabilities.takes, treasury, payees)
        self._answers = Answers(clock)
        self._refunds = Refunds(self.checkout, self._answers, self._purchase)
        self._client = client
        self._clock = clock

    @classmethod
    def connected(cls, settings: Mapping[str, str], surroundings: Surroundings) -> "StablecoinChannel":
        """The adapter of these settings; `token` and `confirmations` are for whoever deploys and reads the chain."""
        demand_known(settings, required=("token",), optional=("currency", "treasury", "payees", "confirmations"))
        if surroundings.on_chain is None:
            raise ChannelSettingRefused("token", "this hub has no chain to sell on")
        currency = settings.get("currency", "USD")
        if currency not in CURRENCIES:
            raise ChannelSettingRefused("currency", "no such currency: an ISO 4217 code, such as USD")
        treasury = settings.get("treasury")
        return cls(
            currency=currency,
            is_test_only=settings["token"] == TEST_TOKEN,
            treasury=None if treasury is None else _address("treasury", treasury),
            payees=_payees(settings["payees"]) if "payees" in settings else {},
            on_chain=surroundings.on_chain,
            client=surroundings.client,
            clock=surroundings.clock,
        )

    # ---- asking for money --------------------------------------------------------------------------------------------

    async def create(self, attempt: PaymentAttempt) -> Result:
        """What the wallet has to sign and send. Nothing is sent from here, so whatever fails was not sent."""
        if attempt.capture_method is CaptureMethod.MANUAL:
            return self._answers.said(Outcome.REJECTED, code="hold_unsupported")
        if not self.capabilities.takes(attempt.amount):
            return self._answers.said(Outcome.REJECTED, code="amount_not_taken")
        if wallet_of(attempt.method) is None:
            return self._answers.said(Outcome.REJECTED, code="wallet_needed")
        try:
            return await self._asked(attempt)
        except ChainUnavailable:
            return self._answers.away()

    async def _asked(self, attempt: PaymentAttempt) -> Result:
        place = await self.checkout.place()
        wallet = wallet_of(attempt.method)
        assert wallet is not None
        if wallet.way != "approve" and not place.has_signatures:
            return self._answers.said(Outcome.REJECTED, code="token_takes_approvals_only")
        sale = await self._on_chain.sale_of(attempt.order_id)
        offered = self._shelf.terms_of(place, sale, attempt.amount) if sale is not None else "unknown_order"
        if isinstance(offered, str):
            return self._answers.said(Outcome.REJECTED, code=offered)
        terms, _ = offered
        offer, purchase = offer_id(terms, keccak), self._purchase(attempt, wallet.address)
        key = order_key(place.chain_id, place.splitter, offer, purchase, keccak)
        if (obstacle := await self.checkout.obstacle(offer, key)) is not None:
            return await self._hindered(attempt, key, obstacle)
        nonce = await self.checkout.permit_nonce(wallet.address) if wallet.way == "permit" else None
        action = words.next_action(
            place,
            terms,
            purchase,
            key,
            way=wallet.way,
            permit_nonce=nonce,
            expires_at_us=purchase.deadline * 1_000_000,
        )
        return self._answers.said(Outcome.ACTION, key=key, next_action=action)

    async def _hindered(self, attempt: PaymentAttempt, key: bytes, obstacle: Obstacle) -> Result:
        """The contract would refuse it: said before the buyer signs. What passes by itself was not sent."""
        if obstacle in (Obstacle.PAUSED, Obstacle.OFFER):
            return self._answers.said(Outcome.NOT_SENT, code=obstacle, retry_after_ms=LOOK_AGAIN_MS)
        done = await self._looked_at(attempt, key) if obstacle is Obstacle.ORDER else None
        return done or self._answers.said(Outcome.REJECTED, code=obstacle)

    def _purchase(self, attempt: PaymentAttempt, payer: bytes) -> Purchase:
        reference = self._on_chain.reference_of(attempt.key)
        return Purchase(reference, payer, attempt.expires_at_us // 1_000_000, payer)

    # ---- what became of it -------------------------------------------------------------------------------------------

    async def query(self, attempt: PaymentAttempt) -> Result:
        """What the contracts hold under the order key: what was shown is the order key in `channel_ref`. An order that
        is not paid and not too late is still to be paid: what to do is said again."""
        try:
            key = order_key_in(attempt.channel_ref)
            if key is None:
                return await self._unseen(attempt)
            result = await self._looked_at(attempt, key)
            if result is not None:
                return result
            again = await self.create(attempt)
            if again.outcome is Outcome.ACTION and again.channel_ref == attempt.channel_ref:
                return again
            return self._answers.said(Outcome.ACTION, key=key)
        except ChainUnavailable:
            return self._answers.away()

    async def _unseen(self, attempt: PaymentAttempt) -> Result:
        """The answer to `create` was lost before it was kept: as nobody was told what to sign, it is said now."""
        if wallet_of(attempt.method) is None:
            return self._answers.said(Outcome.DONE)
        said = await self.create(attempt)
        return self._answers.said(Outcome.DONE) if said.outcome is Outcome.REJECTED else said

    async def _looked_at(self, attempt: PaymentAttempt, key: bytes) -> Result | None:
        """Paid, on its way, or too late; None: it can still be paid."""
        seller, standing = await whereabouts(self.checkout, key)
        if standing.bought_at is not None:
            return await self._bought(seller, key, standing)
        deadline = attempt.expires_at_us // 1_000_000
        is_late = standing.confirmed_at > deadline or self._is_over_here(deadline)
        return self._answers.said(Outcome.DONE, Stage.VOIDED, key=key) if is_late else None

    def _is_over_here(self, deadline: int) -> bool:
        """By our clock, on a chain of our own. Elsewhere a node that lags may not show yet what was bought in time."""
        return self._on_chain.is_embedded and self._clock.now_us() // 1_000_000 > deadline + DRIFT_S

    async def _bought(self, seller: Checkout, key: bytes, standing: PurchaseStanding) -> Result:
        assert standing.bought_at is not None
        at_us = standing.bought_at * 1_000_000
        if not standing.is_confirmed:
            return self._answers.later(key, at_us)
        paid = await seller.paid(key)
        place = await seller.place()
        amount = None
        if paid is not None and paid.token == place.token:
            amount = money_of(paid.price, self._currency, place.decimals)
        if amount is None:  # bought, but not with what we take: a person has to look
            return self._answers.said(Outcome.UNKNOWN, key=key, code="paid_otherwise")
        return self._answers.said(
            Outcome.DONE, Stage.CHARGED, key=key, amount=amount, movement_ref=as_text(key), provider_at_us=at_us
        )

    async def void(self, attempt: PaymentAttempt) -> Result:
        """A shown order cannot be taken back; past its deadline the contract refuses it, and that ends it."""
        key = order_key_in(attempt.channel_ref)
        if key is None:
            return self._answers.said(Outcome.DONE)
        try:
            result = await self._looked_at(attempt, key)
        except ChainUnavailable:
            return self._answers.away()
        return result or self._answers.later(key)

    async def capture(self, attempt: PaymentAttempt, amount: Money) -> Result:
        """Nothing is held here, so there is nothing to take."""
        return self._answers.said(Outcome.REJECTED, code="capture_unsupported")

    # ---- giving back -------------------------------------------------------------------------------------------------

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        return await self._refunds.refund(attempt, refund)

    async def query_refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        return await self._refunds.query_refund(attempt, refund)

    # ---- what is on sale ---------------------------------------------------------------------------------------------

    async def differences(
        self,
        counter: Checkout,
        sales: Sequence[Sale],
        told_open: Collection[bytes],
        attempts: Sequence[PaymentAttempt],
    ) -> Sequence[Sequence[SplitterCall]]:
        """See `hub.ports.SellsOnChain`."""
        place = await counter.place()

        def is_waited_for(offer: bytes) -> bool:
            return any(
                order_key(place.chain_id, place.splitter, offer, purchase, keccak) == key for key, purchase in shown
            )

        shown = [
            (key, self._purchase(attempt, wallet.address))
            for attempt in attempts
            if (key := order_key_in(attempt.channel_ref)) and (wallet := wallet_of(attempt.method))
        ]
        return await self._shelf.differences(counter, sales, told_open, is_waited_for)

    # ---- the rest of the port ----------------------------------------------------------------------------------------

    async def check(self) -> Sequence[Finding]:
        """Whether the chain answers, and what the token can."""
        try:
            place = await self.checkout.place()
            await self.checkout.standing(bytes(32))  # what a node cannot tell of confirmed blocks shows here
        except ChainUnavailable as unavailable:
            return [Finding("reach", False, str(unavailable))]
        token = f"{place.token_name} (0x{place.token.hex()}), {place.decimals} decimals"
        fits = place.decimals >= CURRENCIES[self._currency]
        kinds = "permits and authorizations can be tried" if place.has_signatures else "it takes approvals only"
        return [
            Finding("reach", True, f"chain {place.chain_id}, splitter 0x{place.splitter.hex()}"),
            Finding("token", fits, token),
            Finding("signatures", True, kinds),
            Finding("payees", self._shelf.has_payees, f"{self._shelf.payees} addresses known"),
        ]

    def statement(self, day: date) -> AsyncIterator[StatementLine]:
        """A day by UTC, once all its blocks are final. What is not ours in it has no `our_ref`."""
        return statement_lines(self._on_chain, self.code, self._currency, day, self._clock.now_us())

    def verify_notice(self, raw: RawNotice, now_us: int) -> Notice:
        """Nobody sends any: the chain is asked."""
        raise NoticeRefused("the stablecoin channel has no notices")

    def ack(self, accepted: bool) -> Ack:
        return Ack(204) if accepted else Ack(503)

    async def aclose(self) -> None:
        """The connections to the chain are the hub's own; ours was never used."""
        await self._client.aclose()


def _address(setting: str, text: str) -> bytes:
    if not text.startswith("0x") or not is_address(text):
        raise ChannelSettingRefused(setting, "this is no address: 0x and 40 hexadecimal digits, their checksum right")
    return bytes.fromhex(text[2:])


def _payees(path: str) -> dict[str, bytes]:
    """A JSON file of addresses by payee id."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8")[:MAX_PAYEES_FILE])
    except (OSError, ValueError):
        raise ChannelSettingRefused("payees", "no JSON file of addresses by payee is there") from None
    if not isinstance(content, dict):
        raise ChannelSettingRefused("payees", "the file holds no JSON object of addresses by payee")
    return {str(payee): _address("payees", str(address)) for payee, address in content.items()}
