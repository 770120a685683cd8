"""Disputes as they are read: by operators, and by the platform whose order is contested."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, exists, false, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.disputes import (
    AnswerKind,
    AnswerState,
    DisputeAction,
    DisputeState,
    allowed_actions,
)
from hub.domain.money import Money
from hub.domain.people import ViewerKind
from hub.store.disputes import dispute
from hub.store.metadata import is_one_of
from hub.store.orders import order
from hub.store.reads.plans import Noun, ToOne, known


@dataclass(frozen=True, slots=True)
class DisputeRow:
    id: str
    order_id: str
    channel: str
    channel_ref: str
    state: str
    amount_minor: int
    currency: str
    reason: str | None
    evidence_due_at_us: int | None
    fee_minor: int | None
    fee_currency: str | None
    held_minor: int
    deducted_minor: int
    excess_minor: int
    answer: str | None
    answer_state: str | None
    answer_code: str | None
    version: int
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def fee(self) -> Money | None:
        return None if self.fee_minor is None or self.fee_currency is None else Money(self.fee_minor, self.fee_currency)

    @property
    def held_amount(self) -> Money:
        return Money(self.held_minor, self.currency)

    @property
    def lost_amount(self) -> Money:
        return Money(self.deducted_minor + self.excess_minor, self.currency)

    @property
    def answered_by(self) -> AnswerKind | None:
        return None if self.answer is None else AnswerKind(self.answer)

    @property
    def allowed_actions(self) -> tuple[DisputeAction, ...]:
        """By the domain's own rule."""
        state = None if self.answer_state is None else AnswerState(self.answer_state)
        return allowed_actions(DisputeState(self.state), state)


def visible(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """The seller's business and the operator's: the buyer hears from the bank, and sees what becomes of the right."""
    if kind is ViewerKind.OPERATOR:
        return true()
    if kind is ViewerKind.PLATFORM:
        its = order.alias()
        return exists().where((its.c.id == alias.c.order_id) & (its.c.platform_id == bindparam("viewer_platform")))
    return false()


known(
    Noun(
        "dispute",
        dispute,
        DisputeRow,
        visible,
        ones={"order": ToOne("order", lambda row, order: row.c.order_id == order.c.id)},
        filters={"state": lambda alias, _kind: is_one_of(alias.c.state, "state")},
    )
)
