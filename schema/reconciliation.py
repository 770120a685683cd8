"""Breaks."""

import strawberry

from hub.domain.reconciliation import BreakKind, BreakState
from resolvers import reconciliation
from resolvers.scalars import Instant
from schema.connections import Connection, Node
from schema.fields import plain, relation, represents, resolved_by
from schema.orders import Order


@represents("BreakRow")
@strawberry.type(description="Late, surplus, conflicting or unresolved money, open until somebody settles it.")
class Break(Node):
    kind: BreakKind = plain("What differs.")
    state: BreakState = plain("How far it is.")
    subject_id: strawberry.ID = plain("Of what.")
    detail: str = plain("In words.")
    created_at_us: Instant = plain("When it was found.", name="createdAt")
    order: Order | None = relation("order", "Of which order, where it is known.")


@strawberry.type
class ReconciliationQueries:
    breaks: Connection[Break] = resolved_by(reconciliation.breaks, "Differences, the newest first; for operators.")
