"""Merchants' rules for choosing a channel, how channels have done of late, and which of them are stopped."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import BigInteger, ForeignKey, Table, UniqueConstraint, bindparam, delete, func, literal_column, select

from hub.domain.money import Money
from hub.domain.payments import LIVE, AttemptState
from hub.domain.routing import FAILED, SUCCEEDED, WINDOW, Choice, Done, RoutingRule, Standing, StandingState
from hub.store.catalogue import listing
from hub.store.metadata import inserted, integer, metadata, text
from hub.store.orders import order
from hub.store.payments import payment_attempt
from hub.store.standings import channel_state

if TYPE_CHECKING:
    from hub.store.transactions import Rx

routing_rule = Table(
    "routing_rule",
    metadata,
    text("id", primary_key=True),
    text("merchant_id", ForeignKey("merchant.id")),
    text("platform_id", ForeignKey("platform.id")),
    text("name"),
    integer("priority"),
    text("currency", nullable=True),
    integer("minimum_minor", nullable=True),
    integer("maximum_minor", nullable=True),
    text("choices"),  # JSON
    integer("version"),
    integer("created_at_us"),
    integer("changed_at_us"),
    UniqueConstraint("merchant_id", "name"),
)


@dataclass(frozen=True, slots=True)
class Payable:
    """What is to be paid, as choosing a channel looks at it. `price` None: nobody knows it."""

    merchant_id: str
    platform_id: str
    user_id: str | None  # None: a listing, which is nobody's
    price: Money | None


class Routing:
    """`tx.routing`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def of_order(self, order_id: str) -> Payable | None:
        return await self._rx.one(_OF_ORDER, _payable, order_id=order_id)

    async def of_listing(self, listing_id: str) -> Payable | None:
        return await self._rx.one(_OF_LISTING, _listed, listing_id=listing_id)

    async def rules(self, merchant_id: str) -> list[RoutingRule]:
        """All rules of a merchant."""
        return await self._rx.many(_RULES, rule_of, merchant_id=merchant_id)

    async def put(self, rule: RoutingRule) -> RoutingRule:
        """The merchant's rule of that name, as it is now; one that was there keeps its id and counts its version."""
        columns = {name: getattr(rule, name) for name in _PLAIN}
        stored = await self._rx.one(_PUT, rule_of, **columns, choices=choices_text(rule))
        assert stored is not None
        return stored

    async def by_id(self, rule_id: str) -> RoutingRule | None:
        return await self._rx.one(_RULE, rule_of, rule_id=rule_id)

    async def remove(self, rule_id: str) -> None:
        await self._rx.changed(_REMOVE, rule_id=rule_id)

    async def done(self, channel: str, since_us: int) -> Done:
        """How the newest attempts on a channel have ended, none older than that."""
        ends = await self._rx.many(_DONE, _end_of, channel_=channel, since=since_us, most=WINDOW)
        succeeded = sum(end in SUCCEEDED for end in ends)
        return Done(succeeded + sum(end in FAILED for end in ends), succeeded)

    async def open_count(self, channel: str) -> int:
        """How many attempts on a channel may still take money."""
        return await self._rx.one(_OPEN, int, channel_=channel) or 0

    async def standings(self) -> dict[str, Standing]:
        """Every channel whose state was ever set, by code."""
        return {found.code: found for found in await self._rx.many(_STANDINGS, _standing)}

    async def stand(self, standing: Standing) -> None:
        await self._rx.run(
            _STAND, code=standing.code, state=standing.state, reason=standing.reason,
            changed_at_us=standing.changed_at_us,
        )  # fmt: skip


def rule_of(
    id_: str, merchant_id: str, platform_id: str, name: str, priority: int, currency: str | None,
    minimum_minor: int | None, maximum_minor: int | None, choices: str, version: int, created_at_us: int,
    changed_at_us: int,
) -> RoutingRule:  # fmt: skip
    """The domain's RoutingRule from a row, in the order of the table's columns."""
    told = tuple(Choice(**choice) for choice in orjson.loads(choices))
    return RoutingRule(
        id_, merchant_id, platform_id, name, priority, currency, minimum_minor, maximum_minor, told, version,
        created_at_us, changed_at_us,
    )  # fmt: skip


def choices_text(rule: RoutingRule) -> str:
    return orjson.dumps([asdict(choice) for choice in rule.choices]).decode()


def _payable(
    merchant_id: str, platform_id: str, user_id: str | None, price_minor: int | None, currency: str | None
) -> Payable:
    price = None if price_minor is None or currency is None else Money(price_minor, currency)
    return Payable(merchant_id, platform_id, user_id, price)


def _listed(merchant_id: str, platform_id: str, price_minor: int | None, currency: str | None) -> Payable:
    return _payable(merchant_id, platform_id, None, price_minor, currency)


def _standing(code: str, state: str, reason: str, changed_at_us: int) -> Standing:
    return Standing(code, StandingState(state), reason, changed_at_us)


_r, _s, _a, _o, _l = routing_rule.c, channel_state.c, payment_attempt.c, order.c, listing.c
_PLAIN = tuple(c.name for c in _r if c.name != "choices")
_OF_ORDER = select(_o.merchant_id, _o.platform_id, _o.user_id, _o.total_minor, _o.currency).where(
    _o.id == bindparam("order_id")
)
_OF_LISTING = select(_l.merchant_id, _l.platform_id, _l.price_minor, _l.currency).where(
    _l.id == bindparam("listing_id")
)
_RULES = select(routing_rule).where(_r.merchant_id == bindparam("merchant_id")).order_by(_r.priority, _r.name)
_RULE = select(routing_rule).where(_r.id == bindparam("rule_id")).with_for_update(of=routing_rule)
_put = inserted(routing_rule)
_CHANGES = ("priority", "currency", "minimum_minor", "maximum_minor", "choices", "changed_at_us")
_PUT = _put.on_conflict_do_update(
    index_elements=[_r.merchant_id, _r.name],
    set_={**{name: _put.excluded[name] for name in _CHANGES}, "version": _r.version + literal_column("1")},
).returning(*_r)
_REMOVE = delete(routing_rule).where(_r.id == bindparam("rule_id"))


def _end_of(state: str, decline: str | None) -> AttemptState:
    """What was declined and then voided counts as declined."""
    is_declined = decline is not None and state == AttemptState.VOIDED
    return AttemptState.DECLINED if is_declined else AttemptState(state)


_DONE = (
    select(_a.state, _a.decline)
    .where((_a.channel == bindparam("channel_")) & (_a.created_at_us >= bindparam("since")))
    .order_by(_a.created_at_us.desc())
    .limit(bindparam("most", type_=BigInteger()))
)
_OPEN = select(func.count()).where(
    (_a.channel == bindparam("channel_")) & _a.state.in_([literal_column(f"'{state}'") for state in sorted(LIVE)])
)
_STANDINGS = select(channel_state).order_by(_s.code)
_stand = inserted(channel_state)
_STAND = _stand.on_conflict_do_update(
    index_elements=[_s.code],
    set_={name: _stand.excluded[name] for name in ("state", "reason", "changed_at_us")},
)
