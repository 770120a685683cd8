"""Giving a stablecoin purchase back: one call of the splitter, carried out until it is given back or refused."""

import logging
from collections.abc import Callable
from dataclasses import replace

from hub.channels import stablecoin_words as words
from hub.channels.stablecoin_results import AWAY, Answers, as_text
from hub.channels.stablecoin_whereabouts import whereabouts
from hub.domain.checkout import Purchase, order_key_in
from hub.domain.payments import Outcome, PaymentAttempt, Result, Stage
from hub.domain.records import KeyRole
from hub.domain.refunds import Refund
from hub.ports import (
    ChainReceipt,
    ChainRefused,
    ChainUnavailable,
    Checkout,
    PurchaseStanding,
    SigningRefused,
    SplitterCall,
)

log = logging.getLogger(__name__)

NOT_CHARGED = "not_charged"
NOT_SIGNED = "not_signed"  # a signing service's own words are the operator's, and partners read codes


class Refunds:
    """`purchase_of` gives what an attempt has bought, by its payer."""

    def __init__(
        self, checkout: Checkout, answers: Answers, purchase_of: Callable[[PaymentAttempt, bytes], Purchase]
    ) -> None:
        self._checkout = checkout
        self._answers = answers
        self._purchase_of = purchase_of

    async def refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """The whole price, by the hub's revoker, once: under one key it is one transaction however often it is asked.
        What payees were paid already the revoker's account tops up, and must have approved to the splitter."""
        if refund.amount != attempt.amount:
            return self._answers.said(Outcome.REJECTED, code="whole_only")
        key = order_key_in(attempt.channel_ref)
        if key is None:
            return self._answers.said(Outcome.REJECTED, code=NOT_CHARGED)
        try:
            seller, standing = await whereabouts(self._checkout, key)
            if (done := self._given_back(key, standing, refund)) is not None:
                return done
            if (call := await self._refund_call(seller, attempt, key)) is None:
                return self._answers.said(Outcome.REJECTED, code=NOT_CHARGED)
        except ChainUnavailable:
            return self._answers.away()
        return await self._sent(seller, call, key, refund)

    async def _sent(self, seller: Checkout, call: SplitterCall, key: bytes, refund: Refund) -> Result:
        try:
            no = await self._carried_out(seller, call)
            # First: what is given back is given back, whatever was refused.
            done = self._given_back(key, await seller.standing(key), refund)
        except ChainUnavailable:
            return self._answers.said(Outcome.UNKNOWN, key=key, code=AWAY)
        if done is None and no is not None:
            return self._answers.said(Outcome.REJECTED, key=key, code=no[:200])
        return done or self._answers.later(key)

    async def _carried_out(self, seller: Checkout, call: SplitterCall) -> str | None:
        """Why the contract does not do it, if it does not: then nothing of it can get into a block any more."""
        try:
            receipt: ChainReceipt | None = await seller.carry_out(call)
        except SigningRefused as refused:
            log.warning("%s is not signed: %s", call.purpose, refused)
            return NOT_SIGNED
        except ChainRefused as refused:
            return f"refused: {refused}"
        return "reverted" if receipt is not None and not receipt.is_ok else None

    async def query_refund(self, attempt: PaymentAttempt, refund: Refund) -> Result:
        """What the splitter says of the purchase. What is not given back is carried out again: nobody else does, and
        under one purpose it is one transaction, of which the contract lets one alone take effect."""
        told = await self.refund(attempt, refund)
        if told.code == NOT_CHARGED:  # a node that lags: its word is none on what was charged
            return self._answers.said(Outcome.DONE)
        # That a call was refused is for its own answer to say; that it has come to nothing is a query's word.
        return replace(told, outcome=Outcome.DECLINED) if told.outcome is Outcome.REJECTED else told

    def _given_back(self, key: bytes, standing: PurchaseStanding, refund: Refund) -> Result | None:
        if not standing.is_refunded:
            return None
        if not standing.is_refund_confirmed:
            return self._answers.later(key)
        return self._answers.said(
            Outcome.DONE, Stage.REFUNDED, key=key, amount=refund.amount, movement_ref=f"{as_text(key)}/refund"
        )

    async def _refund_call(self, seller: Checkout, attempt: PaymentAttempt, key: bytes) -> SplitterCall | None:
        """Terms and split are those that were bought, as the chain tells them: our settings may be others by now."""
        paid = await seller.paid(key)
        known = None if paid is None else await seller.terms(paid.offer_id)
        if paid is None or known is None:
            return None
        terms, parts = known
        purchase = self._purchase_of(attempt, paid.payer)
        return SplitterCall(f"refund:{key.hex()}", words.refund_call(terms, purchase, parts), KeyRole.REVOKER)
