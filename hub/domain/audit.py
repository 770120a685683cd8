"""The audit log (审计): who of the staff, or of the partners' machines, changed what. Entries are never changed."""

from dataclasses import dataclass

from hub.domain.people import Viewer, ViewerKind

COMMAND_LINE = "command"  # the actor when somebody with the data folder used the command `hub`


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change. `detail` is JSON and holds no secret and no personal field."""

    id: str
    actor_kind: ViewerKind
    actor: str  # the API key's id, or `command`
    platform_id: str | None  # whose things were changed
    action: str  # the mutation's or the command's name
    subject_id: str  # what was changed
    detail: str
    created_at_us: int


def actor_of(viewer: Viewer) -> str:
    """How the log names whoever asks."""
    return viewer.key_id or viewer.user_id or COMMAND_LINE
