"""退款 from the outside: asked for by who sold, called off, and followed by whose money it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.ledger import HUB_FEES, Posting
from hub.domain.money import Money
from hub.domain.refunds import MAX_REASON, LateMoney, Refund
from hub.domain.requests import Answer
from hub.flows import late, refunds
from hub.flows.refund_plans import Asked
from hub.flows.refunds import RefundRequest
from resolvers.context import Info
from resolvers.inputs import MoneyInput, id_of, key, money, storable
from resolvers.lookahead import wanted
from resolvers.orders import IdempotencyKey, OrderId
from resolvers.payloads import Payload, told
from resolvers.reading import again, one

if TYPE_CHECKING:
    from hub.store.reads import Row
    from hub.store.reads.orders import OrderRow


class RefundHolder(StrEnum):
    """Who gives a part of a refund back."""

    ESCROW = "ESCROW"
    SUSPENSE = "SUSPENSE"
    PAYEE = "PAYEE"
    HUB = "HUB"


@dataclass(frozen=True, slots=True)
class RefundPart:
    """What one party gives."""

    holder: RefundHolder
    payee_id: str | None
    amount: Money


@dataclass(frozen=True, slots=True)
class RefundPlan:
    """What a refund takes from whom."""

    parts: list[RefundPart]


async def refund(
    info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The refund's id.")]
) -> "Row | None":
    """One refund; null alike for unknown and not yours."""
    return await one(info, "Refund", "refund", id)


# ---- mutations -------------------------------------------------------------------------------------------------------

RefundId = Annotated[strawberry.ID, strawberry.argument(description="The refund's id.")]


async def refund_create(
    info: Info,
    order_id: OrderId,
    idempotency_key: IdempotencyKey,
    amount: Annotated[
        MoneyInput | None,
        strawberry.argument(description="How much, of one charge; absent: all that is left of the latest one."),
    ] = None,
    reason: Annotated[
        str | None, strawberry.argument(description="For your own books, at most 80 characters; the buyer sees it.")
    ] = None,
    dry_run: Annotated[
        bool, strawberry.argument(description="Show who would give back how much, and do nothing.")
    ] = False,
) -> Payload:
    """Give money of an order back."""

    async def flow() -> Answer[Refund]:
        asked = RefundRequest(
            order_id=id_of("Order", order_id, "orderId"),
            amount=None if amount is None else money(amount, "amount"),
            reason=None if reason is None else storable(reason, "reason", MAX_REASON),
            idempotency_key=key(idempotency_key),
        )
        hub, viewer = info.context.hub, info.context.viewer
        if not dry_run:
            return await refunds.request(hub, viewer, asked)
        preview = await refunds.preview(hub, viewer, asked)
        planned.extend(preview.value.postings if preview.value else ())
        return Answer(refusal=preview.refusal)

    planned: list[Posting] = []
    answer = await told(flow)
    if answer.value is not None and "plan" in wanted(info):
        planned.extend(await refunds.promised(info.context.hub, answer.value))
    return await _payload(info, answer, plan_of(planned) if answer.refusal is None else None)


async def refund_cancel(info: Info, refund_id: RefundId, idempotency_key: IdempotencyKey) -> Payload:
    """Call a refund off."""

    async def flow() -> Answer[Refund]:
        return await refunds.cancel(
            info.context.hub,
            info.context.viewer,
            refund_id=id_of("Refund", refund_id, "refundId"),
            idempotency_key=key(idempotency_key),
        )

    return await _payload(info, await told(flow), None)


async def _payload(info: Info, answer: Answer[Refund], plan: RefundPlan | None) -> Payload:
    shown = None
    if answer.value is not None and "refund" in wanted(info):
        shown = await again(info, "refund", "refund", answer.value.id)
    return Payload({"refund": shown, "plan": plan}, answer.refusal, answer.is_replay)


async def merchant_policy_set(
    info: Info,
    merchant_id: Annotated[strawberry.ID, strawberry.argument(description="The merchant's id.")],
    late_money: Annotated[LateMoney, strawberry.argument(description="What becomes of money for a closed order.")],
) -> Payload:
    """Say what becomes of late money."""

    async def flow() -> Answer[LateMoney]:
        id_ = id_of("Merchant", merchant_id, "merchantId")
        return await late.set_policy(info.context.hub, info.context.viewer, id_, late_money)

    answer = await told(flow)
    return Payload({"late_money": answer.value}, answer.refusal)


# ---- fields ----------------------------------------------------------------------------------------------------------


def plan_of(postings: Sequence[Posting]) -> RefundPlan:
    return RefundPlan([_part(one) for one in postings])


def _part(posting: Posting) -> RefundPart:
    amount = Money(posting.amount_minor, posting.asset)
    if posting.debit == HUB_FEES:
        return RefundPart(RefundHolder.HUB, None, amount)
    kind, name, *_ = posting.debit.split(":")
    if kind == "payee":
        return RefundPart(RefundHolder.PAYEE, name, amount)
    return RefundPart(RefundHolder.ESCROW if kind == "order" else RefundHolder.SUSPENSE, None, amount)


def refunded_amount(root: "strawberry.Parent[OrderRow]") -> Money:
    return Money(root.refunded_minor, root.total.currency)


async def refundable(info: Info, root: "strawberry.Parent[OrderRow]") -> Money:
    kept = root.received_minor - root.refunded_minor - root.refund_reserved_minor
    if kept <= 0:  # nothing to look for
        return Money(0, root.total.currency)
    return Money(await info.context.refundables.load(Asked(root.id, root.total.currency, kept)), root.total.currency)
