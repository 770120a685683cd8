"""Payment attempts as they are read: the buyer's and the hub's business alone."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import bindparam, exists, false, literal_column, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.money import Money
from hub.domain.payments import NextAction
from hub.domain.people import ViewerKind
from hub.store.orders import order
from hub.store.payments import payment_attempt
from hub.store.reads.plans import Noun, ToOne, known


@dataclass(frozen=True, slots=True)
class PaymentAttemptRow:
    id: str
    order_id: str
    number: int
    channel: str
    amount_minor: int
    currency: str
    state: str
    sent_at_us: int
    expires_at_us: int
    code: str | None
    decline: str | None
    action: str | None
    unknown_since_us: int | None
    version: int
    created_at_us: int
    capture_method: str
    joined: dict[str, Any] = field(default_factory=dict)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def next_action(self) -> NextAction | None:
        return None if self.action is None else NextAction(**orjson.loads(self.action))


def visible(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """A platform sees that its order is paid, not how the buyer tried; but what it holds is its to take."""
    if kind is ViewerKind.OPERATOR:
        return true()
    if kind is ViewerKind.USER:
        its = order.alias()
        return exists().where((its.c.id == alias.c.order_id) & (its.c.user_id == bindparam("viewer_user")))
    if kind is ViewerKind.PLATFORM:
        its = order.alias()
        is_own = (its.c.id == alias.c.order_id) & (its.c.platform_id == bindparam("viewer_platform"))
        return (alias.c.capture_method == literal_column("'MANUAL'")) & exists().where(is_own)
    return false()


known(
    Noun(
        "payment_attempt",
        payment_attempt,
        PaymentAttemptRow,
        visible,
        ones={"order": ToOne("order", lambda row, order: row.c.order_id == order.c.id)},
        computed={"action": lambda alias, _kind: alias.c.next_action},
    )
)
