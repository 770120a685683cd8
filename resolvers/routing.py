"""Choosing a channel from the outside: what would be asked and why, the merchant's rules, and channels' notices."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.payments import CaptureMethod
from hub.domain.refusals import InvalidInput, Refused
from hub.domain.requests import Answer
from hub.domain.routing import (
    BPS,
    MAX_CHOICES,
    MAX_PRIORITY,
    MAX_RULE_NAME,
    MAX_WEIGHT,
    Candidate,
    Choice,
    RoutingRule,
)
from hub.flows import notices, routing
from resolvers.context import Info
from resolvers.errors import bad_input
from resolvers.inputs import id_of, storable
from resolvers.payloads import Payload, told
from resolvers.reading import reading
from resolvers.scalars import BigInt, CurrencyCode

if TYPE_CHECKING:
    from hub.store.notices import KeptNotice

MAX_NOTICES = 100

ForOrder = Annotated[strawberry.ID | None, strawberry.argument(description="For this order. Give it or `listingId`.")]
ForListing = Annotated[strawberry.ID | None, strawberry.argument(description="For this listing, at its price of now.")]
OfPlatform = Annotated[
    strawberry.ID | None, strawberry.argument(description="Whose; an operator names it, a platform has its own.")
]


@strawberry.input(description="One channel of a rule.")
class RoutingChoiceInput:
    channel: str = strawberry.field(description="Code of the channel, at most 64 characters.")
    weight: int = strawberry.field(default=1, description="How much it is preferred, 1 to 100.")
    cost_bps: int = strawberry.field(default=0, description="What it costs, in parts of ten thousand; 0 to 10000.")


@dataclass(frozen=True, slots=True)
class PreviewView:
    """A choice as it would be made now."""

    rule: RoutingRule | None
    chosen: str | None
    candidates: list[Candidate]


async def routing_preview(
    info: Info,
    order_id: ForOrder = None,
    listing_id: ForListing = None,
    method: Annotated[
        str | None, strawberry.argument(description="A method of a channel, if one is wished; at most 64 characters.")
    ] = None,
    capture_method: Annotated[
        CaptureMethod, strawberry.argument(description="How the money is to be taken.")
    ] = CaptureMethod.AUTOMATIC,
) -> PreviewView | None:
    """What would be asked now, and why; null for what is not yours, or has no known price."""
    if (order_id is None) == (listing_id is None):
        raise bad_input("give either orderId or listingId")
    async with reading(info) as rx:
        payable = await routing.payable_of(rx, order_id=order_id, listing_id=listing_id)
    if payable is None or not routing.is_ones(info.context.viewer, payable.platform_id):
        return None
    wish = routing.Wish(method, capture_method)
    plan = await routing.plan(info.context.hub, wish, order_id=order_id, listing_id=listing_id)
    return None if plan is None else PreviewView(plan.rule, plan.chosen, list(plan.candidates))


def reasons(root: strawberry.Parent[Candidate]) -> list[str]:
    return list(root.reasons)


def success_bps(root: strawberry.Parent[Candidate]) -> int:
    return root.done.success_bps


def tried(root: strawberry.Parent[Candidate]) -> int:
    return root.done.tried


def choices(root: strawberry.Parent[RoutingRule]) -> list[Choice]:
    return list(root.choices)


async def routing_rules(info: Info, platform_id: OfPlatform = None) -> list[RoutingRule]:
    """The rules of one merchant, in the order in which they are tried."""
    return await routing.rules_of(info.context.hub, info.context.viewer, platform_id)


async def routing_rule_upsert(
    info: Info,
    name: Annotated[str, strawberry.argument(description="What it is called, at most 64 characters: one rule a name.")],
    choices: Annotated[list[RoutingChoiceInput], strawberry.argument(description="1 to 20 channels.")],
    priority: Annotated[int, strawberry.argument(description="The fitting rule of the least counts; 0 to 1000.")] = 100,
    currency: Annotated[CurrencyCode | None, strawberry.argument(description="Only for this currency.")] = None,
    minimum_minor: Annotated[
        BigInt | None, strawberry.argument(description="At least this many minor units, at most 2^53.")
    ] = None,
    maximum_minor: Annotated[
        BigInt | None, strawberry.argument(description="At most this many minor units, 2^53 being the most.")
    ] = None,
    platform_id: OfPlatform = None,
) -> Payload:
    """Make or change the rule of that name."""

    async def flow() -> Answer[RoutingRule]:
        rule = RoutingRule(
            id="", merchant_id="", platform_id="", name=_named(name),
            priority=_within(priority, 0, MAX_PRIORITY, "priority"), currency=currency, minimum_minor=minimum_minor,
            maximum_minor=maximum_minor, choices=_chosen(choices), version=0, created_at_us=0, changed_at_us=0,
        )  # fmt: skip
        owner = None if platform_id is None else id_of("Platform", platform_id, "platformId")
        return await routing.put_rule(info.context.hub, info.context.viewer, rule, platform_id=owner)

    answer = await told(flow)
    return Payload({"routing_rule": answer.value}, answer.refusal, answer.is_replay)


async def routing_rule_delete(
    info: Info, routing_rule_id: Annotated[strawberry.ID, strawberry.argument(description="The rule.")]
) -> Payload:
    """Delete a rule."""

    async def flow() -> Answer[str]:
        id_ = id_of("RoutingRule", routing_rule_id, "routingRuleId")
        return await routing.delete_rule(info.context.hub, info.context.viewer, id_)

    answer = await told(flow)
    return Payload({"deleted_id": answer.value}, answer.refusal, answer.is_replay)


def _named(name: str) -> str:
    if not name.strip():
        raise Refused(InvalidInput("name", "a rule has a name"))
    return storable(name, "name", MAX_RULE_NAME)


def _chosen(given: list[RoutingChoiceInput]) -> tuple[Choice, ...]:
    if not 1 <= len(given) <= MAX_CHOICES:
        raise Refused(InvalidInput("choices", f"a rule names 1 to {MAX_CHOICES} channels"))
    if len({choice.channel for choice in given}) != len(given):
        raise Refused(InvalidInput("choices", "a rule names each channel once"))
    return tuple(
        Choice(
            choice.channel,
            _within(choice.weight, 1, MAX_WEIGHT, "choices.weight"),
            _within(choice.cost_bps, 0, BPS, "choices.costBps"),
        )
        for choice in given
    )


def _within(number: int, lowest: int, highest: int, field: str) -> int:
    if not lowest <= number <= highest:
        raise Refused(InvalidInput(field, f"{field} is from {lowest} to {highest}"))
    return number


# ---- notices --------------------------------------------------------------------------------------------------------


async def all_notices(
    info: Info, order_id: Annotated[strawberry.ID | None, strawberry.argument(description="Of this order.")] = None
) -> "list[KeptNotice]":
    """The newest notices that channels sent, of one order or of all."""
    async with reading(info) as rx:
        return await rx.notices.listed(order_id, MAX_NOTICES)


async def notice_replay(
    info: Info, notice_id: Annotated[strawberry.ID, strawberry.argument(description="The kept notice.")]
) -> Payload:
    """Apply a kept notice (again)."""

    async def flow() -> Answer[str]:
        id_ = id_of("Notice", notice_id, "noticeId")
        return await notices.replay(info.context.hub, info.context.viewer, id_)

    answer = await told(flow)
    kept = None
    if answer.value is not None:
        async with reading(info) as rx:
            kept = await rx.notices.kept(answer.value)
    return Payload({"notice": kept}, answer.refusal, answer.is_replay)
