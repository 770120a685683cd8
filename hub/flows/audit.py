"""Who changed what: an entry of the audit log, written in the unit of the change, so neither is without the other."""

import json
from typing import TYPE_CHECKING

from hub.domain.audit import AuditEntry, actor_of
from hub.domain.ids import Draw
from hub.domain.people import OPERATOR_SCOPES, Viewer, ViewerKind

if TYPE_CHECKING:
    from hub.store.transactions import Tx

# Somebody with the data folder, at the command line: nobody stands above them.
COMMAND = Viewer(ViewerKind.OPERATOR, scopes=OPERATOR_SCOPES)


async def note(
    tx: "Tx",
    viewer: Viewer,
    action: str,
    subject_id: str,
    draw: Draw,
    *,
    platform_id: str | None = None,
    **detail: str | int | bool | list[str] | None,
) -> None:
    """`viewer` did `action` to `subject_id`, which is `platform_id`'s. `detail`: no secret, nothing personal."""
    body = json.dumps(detail, sort_keys=True, separators=(",", ":"))
    await tx.audit.add(
        AuditEntry(
            id=draw.id("aud", action, subject_id),
            actor_kind=viewer.kind,
            actor=actor_of(viewer),
            platform_id=platform_id,
            action=action,
            subject_id=subject_id,
            detail=body,
            created_at_us=draw.now_us,
        )
    )


async def note_staff(
    tx: "Tx",
    viewer: Viewer,
    action: str,
    subject_id: str,
    draw: Draw,
    *,
    platform_id: str | None = None,
    **detail: str | int | bool | list[str] | None,
) -> None:
    """Likewise, of what partners and learners do every day: noted when an operator does it."""
    if viewer.kind is ViewerKind.OPERATOR:
        await note(tx, viewer, action, subject_id, draw, platform_id=platform_id, **detail)
