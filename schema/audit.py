"""The audit log."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.people import ViewerKind
from resolvers import audit
from resolvers.scalars import Instant
from schema.connections import Connection, Node
from schema.fields import plain, relation, represents, resolved_by

if TYPE_CHECKING:
    from schema.catalogue import Platform

LazyPlatform = Annotated["Platform", strawberry.lazy("schema.catalogue")]


@represents("AuditEntryRow")
@strawberry.type(description="Who of the staff, or whose machine, changed what. Entries are never changed or removed.")
class AuditEntry(Node):
    actor_kind: ViewerKind = plain("In what capacity they did it.")
    actor: str = plain("The id of the API key that asked, or `command` for the command line.")
    action: str = plain("The mutation's or the command's name, such as apiKeyRevoke.")
    subject_id: strawberry.ID = plain("The id of what was changed.")
    detail: str = plain("More about it, as a JSON object; no secrets.")
    created_at_us: Instant = plain("When.", name="createdAt")
    platform: LazyPlatform | None = relation("platform", "Whose things were changed, where they are one platform's.")


@strawberry.type
class AuditQueries:
    audit_entries: Connection[AuditEntry] = resolved_by(
        audit.audit_entries, "Who changed what, the newest first; for operators."
    )
