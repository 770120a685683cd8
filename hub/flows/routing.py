"""Which channel is asked (路由): what each could do for a payment now, its merchant's rules, the choice, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from hub.domain.ids import Draw
from hub.domain.money import Money
from hub.domain.payments import AttemptState, CaptureMethod, PaymentAttempt
from hub.domain.people import Viewer, ViewerKind
from hub.domain.refusals import InvalidInput, NotFound, Refusal
from hub.domain.requests import Answer
from hub.domain.routing import (
    MAX_RULES,
    NOTHING_NEW,
    PROVEN_UNTAKEN,
    WINDOW_US,
    Offer,
    Plan,
    RoutingRule,
    Standing,
    StandingState,
    planned,
)
from hub.flows import audit
from hub.flows.keys import key_ended
from hub.ports import Capabilities, Hub

if TYPE_CHECKING:
    from hub.store.routing import Payable
    from hub.store.transactions import Rx, Tx


@dataclass(frozen=True, slots=True)
class Wish:
    """How somebody wants to pay, the channel apart."""

    method: str | None = None
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC


def cannot_take(
    capabilities: Capabilities | None, money: Money | None, wish: Wish, standing: Standing | None
) -> str | None:
    """Why a channel could not take this payment (None: of any amount), known without asking it; None: it could."""
    if capabilities is None:
        return "it is not configured here"
    if standing is not None and standing.state is not StandingState.RUNNING:
        return NOTHING_NEW
    if money is not None and not capabilities.takes(money):
        return f"it does not take {money.amount_minor} minor units of {money.currency}"
    if wish.method is not None and capabilities.methods and wish.method.partition(":")[0] not in capabilities.methods:
        return f"it has no such method: {', '.join(capabilities.methods)}"
    if wish.capture_method is CaptureMethod.MANUAL and not capabilities.can_authorize:
        return "it cannot hold money for its merchant to take later"
    return None


# ---- the choice ------------------------------------------------------------------------------------------------------


async def plan(hub: Hub, wish: Wish, *, order_id: str | None = None, listing_id: str | None = None) -> Plan | None:
    """The choice for an order or a listing as things stand; None: there is no such, or nobody knows its price."""
    async with hub.store.reading() as rx:
        payable = await payable_of(rx, order_id=order_id, listing_id=listing_id)
        if payable is None or payable.price is None:
            return None
        made = await rx.payments.of_order(order_id) if order_id is not None else []
        return await _plan(hub, rx, payable.merchant_id, payable.price, wish, made)


async def fitting(
    hub: Hub, viewer: Viewer, wish: Wish, *, order_id: str | None = None, listing_id: str | None = None
) -> list[str]:
    """The codes of the channels that can take it now: of an order for its buyer, its merchant and operators."""
    async with hub.store.reading() as rx:
        payable = await payable_of(rx, order_id=order_id, listing_id=listing_id)
        standings = await rx.routing.standings()
    price = None
    if order_id is not None or listing_id is not None:
        if payable is None or payable.price is None:
            return []
        if payable.user_id not in (None, viewer.user_id) and not is_ones(viewer, payable.platform_id):
            return []
        price = payable.price
    return [
        code
        for code in sorted(hub.channels)
        if cannot_take(hub.channels[code].capabilities, price, wish, standings.get(code)) is None
    ]


async def payable_of(rx: "Rx", *, order_id: str | None, listing_id: str | None) -> "Payable | None":
    """What is to be paid, by the one id that is given."""
    if order_id is not None:
        return await rx.routing.of_order(order_id)
    return None if listing_id is None else await rx.routing.of_listing(listing_id)


async def _plan(hub: Hub, rx: "Rx", merchant_id: str, money: Money, wish: Wish, made: Sequence[PaymentAttempt]) -> Plan:
    since_us = hub.clock.now_us() - WINDOW_US
    standings = await rx.routing.standings()
    offers = []
    for code in sorted(hub.channels):
        refusal = cannot_take(hub.channels[code].capabilities, money, wish, standings.get(code))
        if refusal is None and hub.breakers.is_open(code, "create", hub.clock.now_us()):
            refusal = "it does not answer: its breaker is open"
        offers.append(Offer(code, refusal, await rx.routing.done(code, since_us)))
    return planned(money, offers, await rx.routing.rules(merchant_id), _spent(made))


def _spent(made: Sequence[PaymentAttempt]) -> Mapping[str, AttemptState]:
    """Channels that this order was tried on in vain; one that a buyer left, or whose time ran out, is none of them."""
    told = PROVEN_UNTAKEN | {AttemptState.DECLINED}
    ends = {attempt.channel: attempt.state for attempt in made if attempt.state in told}
    # One that was declined, and voided before another attempt was opened.
    voided = (one for one in made if one.state is AttemptState.VOIDED and one.decline is not None)
    return {one.channel: AttemptState.DECLINED for one in voided} | ends


def explained(made: Plan, channel: str) -> str:
    """Why this channel, as it is kept with the attempt."""
    return orjson.dumps({
        "rule": made.rule and {"name": made.rule.name, "version": made.rule.version},
        "chosen": channel,
        "candidates": [
            {
                "channel": one.channel,
                "score": one.score,
                "weight": one.weight,
                "costBps": one.cost_bps,
                "successBps": one.done.success_bps,
                "tried": one.done.tried,
                "reasons": one.reasons,
            }
            for one in made.candidates
        ],
    }).decode()  # fmt: skip


# ---- the rules -------------------------------------------------------------------------------------------------------


async def put_rule(
    hub: Hub, viewer: Viewer, rule: RoutingRule, *, platform_id: str | None = None
) -> Answer[RoutingRule]:
    """The merchant's rule of that name, new or changed. `rule` comes without id, owner and version. An operator names
    the platform."""
    unknown = [choice.channel for choice in rule.choices if choice.channel not in hub.channels]
    if unknown:
        return Answer(refusal=InvalidInput("choices", f"there is no channel {unknown[0]!r} on this hub"))
    owner = viewer.acting_for(platform_id)
    if owner is None:
        return Answer(refusal=NotFound("platformId"))
    told = await hub.store.write(keep_rule, viewer, replace(rule, platform_id=owner), hub.draw())
    return Answer(refusal=told) if isinstance(told, Refusal) else Answer(told)


async def keep_rule(tx: "Tx", viewer: Viewer, rule: RoutingRule, draw: Draw) -> RoutingRule | Refusal:
    if refusal := await key_ended(tx, viewer, "routingRuleUpsert", draw.now_us):
        return refusal
    merchant = await tx.catalogue.merchant_of(rule.platform_id)
    if merchant is None:
        return NotFound("platformId")
    known = await tx.routing.rules(merchant.id)
    if len(known) >= MAX_RULES and rule.name not in {one.name for one in known}:
        return InvalidInput("name", f"a merchant has at most {MAX_RULES} rules: delete one first")
    stored = await tx.routing.put(
        replace(
            rule, id=draw.id("rul"), merchant_id=merchant.id, version=1, created_at_us=draw.now_us,
            changed_at_us=draw.now_us,
        )
    )  # fmt: skip
    await audit.note(
        tx, viewer, "routingRuleUpsert", stored.id, draw, platform_id=rule.platform_id, name=rule.name,
        version=stored.version, choices=[f"{one.channel}={one.weight}-{one.cost_bps}" for one in rule.choices],
    )  # fmt: skip
    return stored


async def delete_rule(hub: Hub, viewer: Viewer, rule_id: str) -> Answer[str]:
    """It chooses nothing any more. What it chose keeps its explanation."""
    refusal = await hub.store.write(drop_rule, viewer, rule_id, hub.draw())
    return Answer(refusal=refusal) if refusal else Answer(rule_id)


async def drop_rule(tx: "Tx", viewer: Viewer, rule_id: str, draw: Draw) -> Refusal | None:
    if refusal := await key_ended(tx, viewer, "routingRuleDelete", draw.now_us):
        return refusal
    rule = await tx.routing.by_id(rule_id)
    if rule is None or not is_ones(viewer, rule.platform_id):
        return NotFound("routingRuleId")
    await tx.routing.remove(rule_id)
    await audit.note(
        tx, viewer, "routingRuleDelete", rule_id, draw, platform_id=rule.platform_id, name=rule.name
    )  # fmt: skip
    return None


async def rules_of(hub: Hub, viewer: Viewer, platform_id: str | None) -> list[RoutingRule]:
    """The rules of the viewer's own merchant, or of the platform that an operator names, as they are tried."""
    owner = viewer.acting_for(platform_id)
    if owner is None:
        return []
    async with hub.store.reading() as rx:
        merchant = await rx.catalogue.merchant_of(owner)
        return [] if merchant is None else await rx.routing.rules(merchant.id)


def is_ones(viewer: Viewer, platform_id: str) -> bool:
    """Whether the viewer keeps this platform's rules: its own machines, and operators."""
    return viewer.kind is ViewerKind.OPERATOR or viewer.platform_id == platform_id
