"""Orders with their payment intents: the table, and the repository that locks, admits and moves them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ForeignKey, Index, Table, Text, bindparam, literal_column, select, update

from hub.domain.events import HUB_STREAM, Audience
from hub.domain.merchants import Admission, MerchantState
from hub.domain.money import Money
from hub.domain.orders import ChainStatus, ChargeStatus, FulfilmentStatus, Order, OrderStatus
from hub.domain.payments import IntentStatus, PaymentAttempt
from hub.domain.people import UserState
from hub.domain.routing import StandingState
from hub.store.catalogue import Sold, course, listing, listing_of, merchant, share_agreement, sold_of
from hub.store.entitlements import entitlement
from hub.store.metadata import inserted, integer, is_one_of, metadata, text
from hub.store.payments import attempt_of, payment_attempt
from hub.store.people import pairwise, user
from hub.store.standings import channel_state

if TYPE_CHECKING:
    from hub.store.transactions import Rx

order = Table(
    "order_",
    metadata,
    text("id", primary_key=True),
    text("number", unique=True),
    text("user_id", ForeignKey("user_.id")),
    text("platform_id", ForeignKey("platform.id")),
    text("merchant_id", ForeignKey("merchant.id")),
    text("agreement_id", ForeignKey("share_agreement.id")),
    text("listing_id", ForeignKey("listing.id")),
    text("course_id", ForeignKey("course.id")),
    integer("total_minor"),
    text("currency"),
    text("status"),
    text("charge_status"),
    text("fulfilment_status"),
    text("chain_status"),
    text("intent_id", unique=True, nullable=True),
    text("intent_status", nullable=True),
    integer("attempts"),
    integer("received_minor"),
    integer("partial_minor"),
    integer("has_exact"),
    integer("has_conflict"),
    integer("deadline_us"),
    integer("paid_at_us", nullable=True),
    integer("closed_at_us", nullable=True),
    integer("version"),
    integer("created_at_us"),
    integer("due_minor", nullable=True),
    integer("refunded_minor", server_default="0"),
    integer("refund_reserved_minor", server_default="0"),
    integer("returned_minor", server_default="0"),
    text("wallet_id", nullable=True),  # no foreign key: a person's wallets go when the person is erased
)
Index("ix_order_user", order.c.user_id, order.c.created_at_us, order.c.id)
Index("ix_order_platform", order.c.platform_id, order.c.created_at_us, order.c.id)
Index("ix_order_created", order.c.created_at_us, order.c.id)
Index("ix_order_overdue", order.c.deadline_us, sqlite_where=order.c.status == "AWAITING_PAYMENT",
      postgresql_where=order.c.status == "AWAITING_PAYMENT")  # fmt: skip


class Orders:
    """`tx.orders`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def admission(self, listing_id: str, user_id: str, channel: str = "") -> Admission | None:
        """All that admitting an order for this listing, to be paid on this channel, looks at; None: there is no such
        listing or user."""
        return await self._rx.one(
            _ADMISSION, _admission, listing_id=listing_id, buyer_id=user_id, admitted_channel=channel
        )

    async def insert(self, order: Order) -> None:
        await self._rx.changed(_INSERT, **_columns(order))

    async def get(self, order_id: str) -> Order | None:
        """The order as it stands, held by nobody."""
        return await self._rx.one(_GET, order_of, order_id=order_id)

    async def sold_by(self, order_id: str) -> Sold | None:
        """What an order sells, at its price, and how it is shared by the agreement that it froze."""
        return await self._rx.one(_SOLD_BY, sold_of, order_id=order_id)

    async def payable(self, now_us: int) -> list[Sold]:
        """What the orders sell that may still be paid, each right at a price with its shares once."""
        return await self._rx.many(_PAYABLE, sold_of, now_us=now_us)

    async def lock(self, order_id: str) -> Order | None:
        """The order, held until the end of the unit: every change of an order or its attempts begins here."""
        return await self._rx.one(_LOCK, order_of, order_id=order_id)

    async def lock_with(self, attempt_id: str) -> tuple[Order, PaymentAttempt] | None:
        """Likewise, found by one of its attempts, which is held with it."""
        return await self._rx.one(_LOCK_WITH, _order_and_attempt, attempt_id=attempt_id)

    async def update(self, order: Order) -> Order:
        """Store a locked order's new state under the next version, which is returned."""
        moved = dict(zip(_MUTABLE, _moved(order), strict=True))
        moved |= {"has_exact": int(order.has_exact), "has_conflict": int(order.has_conflict)}
        await self._rx.changed(_UPDATE, order_id=order.id, held_version=order.version, **moved)
        return replace(order, version=order.version + 1)

    async def lock_all(self, order_ids: Sequence[str]) -> None:
        """Hold many orders, in one order for everybody."""
        await self._rx.many(_LOCK_ALL, str, order_ids=list(order_ids))

    async def recorded(self, order_ids: Sequence[str], chain_status: ChainStatus) -> list[Order]:
        """Move the chain status of many held orders; those that changed are returned."""
        return await self._rx.many(_RECORDED, order_of, order_ids=list(order_ids), chain_status=chain_status)

    async def overdue(self, now_us: int, limit: int) -> list[str]:
        """Orders that nobody is paying any more after their deadline, oldest first. Those with money under way or in
        question are not among them: they would stand in the way of the rest."""
        return await self._rx.many(_OVERDUE, str, now_us=now_us, most=limit)

    async def page(self, after_id: str, limit: int) -> list[Order]:
        """Orders in the order of their ids, for whoever looks at all of them."""
        return await self._rx.many(_PAGE, order_of, after_id=after_id, most=limit)

    async def audiences(self, order: Order) -> list[Audience]:
        """Who is told of an order and its entitlement, each under its own names: the hub, the buyer, the selling
        platform and every platform with an honoured listing of the course."""
        rows = await self._rx.many(
            _AUDIENCES, _AudienceRow, buyer_id=order.user_id, course_id=order.course_id, seller_id=order.platform_id,
            sold_id=order.listing_id,
        )  # fmt: skip
        sold = next(row for row in rows if row.listing_id == order.listing_id)
        told = [
            Audience(HUB_STREAM, order.user_id, sold.external_id, order.listing_id, sees_order=True),
            Audience(order.user_id, order.user_id, sold.external_id, order.listing_id, sees_order=True),
        ]
        for platform_id in dict.fromkeys(row.platform_id for row in rows):
            own = [row for row in rows if row.platform_id == platform_id]
            named = next((row for row in own if row.listing_id == order.listing_id), own[0])
            told.append(
                Audience(
                    platform_id,
                    named.pairwise_id or "",
                    named.external_id,
                    named.listing_id,
                    sees_order=platform_id == order.platform_id,
                )
            )
        return told

    async def parties(self, order_ids: Sequence[str]) -> dict[str, list[Audience]]:
        """Who is told of the orders themselves, for many at once: the hub, the buyer, the selling platform."""
        told: dict[str, list[Audience]] = {}
        for row in await self._rx.many(_PARTIES, _PartyRow, order_ids=list(order_ids)):
            told[row.order_id] = [
                Audience(stream, buyer, row.external_id, row.listing_id, sees_order=True)
                for stream, buyer in (
                    (HUB_STREAM, row.user_id),
                    (row.user_id, row.user_id),
                    (row.platform_id, row.pairwise_id),
                )
            ]
        return told


@dataclass(frozen=True, slots=True)
class _PartyRow:
    order_id: str
    user_id: str
    platform_id: str
    listing_id: str
    external_id: str
    pairwise_id: str


@dataclass(frozen=True, slots=True)
class _AudienceRow:
    platform_id: str
    listing_id: str
    external_id: str
    pairwise_id: str | None


def order_of(
    id_: str, number: str, user_id: str, platform_id: str, merchant_id: str, agreement_id: str, listing_id: str,
    course_id: str, total_minor: int, currency: str, status: str, charge_status: str, fulfilment_status: str,
    chain_status: str, intent_id: str | None, intent_status: str | None, attempts: int, received_minor: int,
    partial_minor: int, has_exact: int, has_conflict: int, deadline_us: int, paid_at_us: int | None,
    closed_at_us: int | None, version: int, created_at_us: int, due_minor: int | None,
    refunded_minor: int, refund_reserved_minor: int, returned_minor: int, wallet_id: str | None,
) -> Order:  # fmt: skip
    """The domain's Order from a row, in the order of the table's columns."""
    return Order(
        id=id_, number=number, user_id=user_id, platform_id=platform_id, merchant_id=merchant_id,
        agreement_id=agreement_id, listing_id=listing_id, course_id=course_id, total=Money(total_minor, currency),
        status=OrderStatus(status), charge_status=ChargeStatus(charge_status),
        fulfilment_status=FulfilmentStatus(fulfilment_status), chain_status=ChainStatus(chain_status),
        intent_id=intent_id, intent_status=None if intent_status is None else IntentStatus(intent_status),
        attempts=attempts, received_minor=received_minor, partial_minor=partial_minor, has_exact=bool(has_exact),
        has_conflict=bool(has_conflict), deadline_us=deadline_us, paid_at_us=paid_at_us, closed_at_us=closed_at_us,
        version=version, created_at_us=created_at_us, due_minor=due_minor,
        refunded_minor=refunded_minor, refund_reserved_minor=refund_reserved_minor, returned_minor=returned_minor,
        wallet_id=wallet_id,
    )  # fmt: skip


def _order_and_attempt(*columns: Any) -> tuple[Order, PaymentAttempt]:
    width = len(order.c)
    return order_of(*columns[:width]), attempt_of(*columns[width:])


def _columns(order: Order) -> dict[str, Any]:
    columns = dict(zip(_PLAIN, _plain(order), strict=True))
    columns |= {
        "total_minor": order.total.amount_minor,
        "currency": order.total.currency,
        "has_exact": int(order.has_exact),
        "has_conflict": int(order.has_conflict),
    }
    return columns


def _admission(
    id_: str, platform_id: str, course_id: str, merchant_id: str, external_id: str, title: str, url: str,
    price_minor: int | None, currency: str | None, price_text: str, is_honoured: int, state: str, digest: str,
    version: int, created_at_us: int, merchant_state: str, agreement_id: str, course_kind: str, user_state: str,
    owned_entitlement_id: str | None, standing: str | None,
) -> Admission:  # fmt: skip
    return Admission(
        listing=listing_of(
            id_, platform_id, course_id, merchant_id, external_id, title, url, price_minor, currency, price_text,
            is_honoured, state, digest, version, created_at_us,
        ),
        merchant_state=MerchantState(merchant_state),
        agreement_id=agreement_id,
        course_kind=course_kind,
        user_state=UserState(user_state),
        owned_entitlement_id=owned_entitlement_id,
        standing=StandingState(standing or StandingState.RUNNING),
    )  # fmt: skip


_c = order.c
_PLAIN = [c.name for c in _c if c.name not in ("total_minor", "currency", "has_exact", "has_conflict")]
_MUTABLE = (
    "status", "charge_status", "fulfilment_status", "chain_status", "intent_status", "attempts", "received_minor",
    "partial_minor", "has_exact", "has_conflict", "paid_at_us", "closed_at_us", "due_minor",
    "refunded_minor", "refund_reserved_minor", "returned_minor",
)  # fmt: skip
_plain, _moved = attrgetter(*_PLAIN), attrgetter(*_MUTABLE)

_INSERT = inserted(order)
_GET = select(order).where(_c.id == bindparam("order_id"))
_LOCK = select(order).where(_c.id == bindparam("order_id")).with_for_update(of=order)
_LOCK_ALL = select(_c.id).where(is_one_of(_c.id, "order_ids")).order_by(_c.id).with_for_update(of=order)
_LOCK_WITH = (
    select(*_c, *payment_attempt.c)
    .join_from(order, payment_attempt, payment_attempt.c.order_id == _c.id)
    .where(payment_attempt.c.id == bindparam("attempt_id"))
    .with_for_update(of=[order, payment_attempt])
)
_UPDATE = (
    update(order)
    .where((_c.id == bindparam("order_id")) & (_c.version == bindparam("held_version")))
    .values(
        {
            **{name: bindparam(name, type_=_c[name].type) for name in _MUTABLE},
            "version": _c.version + literal_column("1"),
        }
    )
)
_RECORDED = (
    update(order)
    .where(is_one_of(_c.id, "order_ids") & (_c.chain_status != bindparam("chain_status", type_=Text())))
    .values(chain_status=bindparam("chain_status", type_=Text()), version=_c.version + literal_column("1"))
    .returning(*_c)
)
_OVERDUE = (
    select(_c.id)
    .where(
        (_c.status == literal_column("'AWAITING_PAYMENT'"))
        & _c.intent_status.in_([literal_column("'REQUIRES_PAYMENT_METHOD'"), literal_column("'FAILED'")])
        & (_c.deadline_us <= bindparam("now_us"))
    )
    .order_by(_c.deadline_us, _c.id)
    .limit(bindparam("most", type_=BigInteger()))
)
_PAGE = select(order).where(_c.id > bindparam("after_id")).order_by(_c.id).limit(bindparam("most", type_=BigInteger()))
_owned = (
    select(entitlement.c.id)
    .where(
        (entitlement.c.user_id == user.c.id)
        & (entitlement.c.course_id == listing.c.course_id)
        & (entitlement.c.state == literal_column("'ACTIVE'"))
    )
    .scalar_subquery()
)
_standing = (
    select(channel_state.c.state).where(channel_state.c.code == bindparam("admitted_channel")).scalar_subquery()
)
_ADMISSION = (
    select(*listing.c, merchant.c.state, merchant.c.agreement_id, course.c.kind, user.c.state, _owned, _standing)
    .join_from(listing, merchant, merchant.c.id == listing.c.merchant_id)
    .join(course, course.c.id == listing.c.course_id)
    .join(user, user.c.id == bindparam("buyer_id"))
    .where(listing.c.id == bindparam("listing_id"))
)
_AUDIENCES = (
    select(listing.c.platform_id, listing.c.id, listing.c.external_id, pairwise.c.pairwise_id)
    .join_from(
        listing,
        pairwise,
        (pairwise.c.platform_id == listing.c.platform_id) & (pairwise.c.user_id == bindparam("buyer_id")),
        isouter=True,
    )
    .where(
        (listing.c.course_id == bindparam("course_id"))
        & (
            (listing.c.is_honoured == literal_column("1"))
            | (listing.c.platform_id == bindparam("seller_id"))
            | (listing.c.id == bindparam("sold_id"))
        )
    )
    .order_by(listing.c.platform_id, listing.c.id)
)
_PARTIES = (
    select(_c.id, _c.user_id, _c.platform_id, _c.listing_id, listing.c.external_id, pairwise.c.pairwise_id)
    .join_from(order, listing, listing.c.id == _c.listing_id)
    .join(pairwise, (pairwise.c.platform_id == _c.platform_id) & (pairwise.c.user_id == _c.user_id))
    .where(is_one_of(_c.id, "order_ids"))
)
_SELLING = select(_c.course_id, _c.total_minor, _c.currency, share_agreement.c.shares).join_from(
    order, share_agreement, share_agreement.c.id == _c.agreement_id
)
_SOLD_BY = _SELLING.where(_c.id == bindparam("order_id"))
_PAYABLE = _SELLING.where(
    (_c.status == literal_column("'AWAITING_PAYMENT'")) & (_c.deadline_us > bindparam("now_us"))
).distinct()
