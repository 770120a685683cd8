"""API keys (密钥): a platform's or an operator's credential, how long it counts, and what may be made with it."""

from dataclasses import dataclass, field

from hub.domain.people import OPERATOR_SCOPES, PARTNER_SCOPES, Viewer, ViewerKind

MAX_NAME = 100  # characters of a key's name: a line of a list
MAX_LIVE_KEYS = 50  # of one holder: more are forgotten ones, which is how keys leak
DEFAULT_GRACE_S = 24 * 3600  # after a rotation the old key counts for a day: one deployment of the partner's
MAX_GRACE_S = 7 * 24 * 3600  # and at most for a week, or the rotation was none
USE_NOTED_EVERY_US = 60 * 1_000_000  # the last use is kept to the minute: no write for each request
HUB_HOLDER = "hub"  # holder of operators' keys, beside the platforms' ids


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A platform's or an operator's key: its hash, never its secret. `kind` is PLATFORM or OPERATOR.

    Of one holder's keys of one name two may count at once, each in its `slot` (0, 1): that is a rotation.
    """

    id: str
    kind: ViewerKind
    platform_id: str | None
    secret_hash: str
    scopes: frozenset[str]
    is_development: bool
    created_at_us: int
    revoked_at_us: int | None = None
    name: str = ""  # empty: it is kept under its id
    slot: int = 0
    expires_at_us: int | None = None  # None: until it is revoked
    last_used_at_us: int | None = None  # to the minute
    created_by: str = ""  # the key that made it, or the command line

    @property
    def holder(self) -> str:
        """Within which a name is one key's: the platform's id, or the hub itself."""
        return self.platform_id or HUB_HOLDER

    def is_live(self, now_us: int) -> bool:
        """Whether it counts."""
        return self.revoked_at_us is None and (self.expires_at_us is None or now_us < self.expires_at_us)


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key just made: `text` is shown once and never stored; the store keeps `id` (`key_…`) and `secret_hash`."""

    text: str = field(repr=False)
    id: str
    secret_hash: str


def scopes_to_give(viewer: Viewer, kind: ViewerKind) -> frozenset[str]:
    """What a key of that kind may hold at most, if this viewer makes it: never more than its maker has."""
    if viewer.kind not in (ViewerKind.OPERATOR, kind):
        return frozenset()
    return viewer.scopes & (OPERATOR_SCOPES if kind is ViewerKind.OPERATOR else PARTNER_SCOPES)


def earlier(one_us: int | None, other_us: int | None) -> int | None:
    """Which end comes first; None is no end."""
    ends = [end for end in (one_us, other_us) if end is not None]
    return min(ends, default=None)
