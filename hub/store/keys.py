"""API keys: the table, and the repository that keeps at most two live ones of a name."""

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, ForeignKey, Index, Table, bindparam, func, select, update

from hub.domain.keys import USE_NOTED_EVERY_US, ApiKey
from hub.domain.people import ViewerKind
from hub.store.metadata import inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

api_key = Table(
    "api_key",
    metadata,
    text("id", primary_key=True),
    text("kind"),  # PLATFORM or OPERATOR
    text("platform_id", ForeignKey("platform.id"), nullable=True),
    text("secret_hash"),  # SHA-256, hexadecimal
    text("scopes"),  # blank-separated
    integer("is_development"),
    integer("created_at_us"),
    integer("revoked_at_us", nullable=True),
    text("name"),
    integer("slot"),  # 0 or 1: two keys of a name may count at once
    integer("expires_at_us", nullable=True),
    integer("last_used_at_us", nullable=True),
    text("created_by"),
    text("holder"),  # the platform's id, or `hub`: a NULL would be equal to no other
)
Index(
    "one_live_key_a_slot",
    api_key.c.holder,
    api_key.c.name,
    api_key.c.slot,
    unique=True,
    sqlite_where=api_key.c.revoked_at_us.is_(None),
    postgresql_where=api_key.c.revoked_at_us.is_(None),
)


class ApiKeys:
    """`tx.keys`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def add(self, new: ApiKey) -> bool:
        """False: the slot of that holder's name is taken by a key that is not revoked."""
        columns = {name: getattr(new, name) for name in _KEY}
        columns |= {"scopes": " ".join(sorted(new.scopes)), "is_development": int(new.is_development)}
        columns["name"] = new.name or new.id
        return await self._rx.one(_ADD, str, **columns) is not None

    async def by_id(self, key_id: str) -> ApiKey | None:
        return await self._rx.one(_BY_ID, _api_key, key_id=key_id)

    async def lock(self, key_id: str) -> ApiKey | None:
        return await self._rx.one(_LOCK, _api_key, key_id=key_id)

    async def unrevoked(self, holder: str) -> list[ApiKey]:
        """The holder's keys that were not revoked, oldest first; some may have come to their end."""
        return await self._rx.many(_UNREVOKED, _api_key, holder_=holder)

    async def all_unrevoked(self, most: int) -> list[ApiKey]:
        """Everybody's, the newest first."""
        return await self._rx.many(_ALL_UNREVOKED, _api_key, most=most)

    async def revoke(self, key_id: str, at_us: int) -> None:
        """It counts no more, and its slot is free."""
        await self._rx.changed(_REVOKE, key_id=key_id, at_us=at_us)

    async def end_at(self, key_id: str, at_us: int) -> None:
        """It counts until then."""
        await self._rx.changed(_END_AT, key_id=key_id, at_us=at_us)

    async def note_use(self, key_id: str, at_us: int) -> bool:
        """That it was used then. False: a use within the minute before, or after, is known."""
        return await self._rx.run(_NOTE_USE, key_id=key_id, at_us=at_us, before_us=at_us - USE_NOTED_EVERY_US) == 1


def _api_key(
    id_: str, kind: str, platform_id: str | None, secret_hash: str, scopes: str, is_development: int,
    created_at_us: int, revoked_at_us: int | None, name: str, slot: int, expires_at_us: int | None,
    last_used_at_us: int | None, created_by: str, _holder: str,
) -> ApiKey:  # fmt: skip
    return ApiKey(
        id_, ViewerKind(kind), platform_id, secret_hash, frozenset(scopes.split()), bool(is_development), created_at_us,
        revoked_at_us, name, slot, expires_at_us, last_used_at_us, created_by,
    )  # fmt: skip


_c = api_key.c
_KEY = tuple(c.name for c in _c)
_this = _c.id == bindparam("key_id")
_ADD = inserted(api_key).on_conflict_do_nothing().returning(_c.id)
_BY_ID = select(api_key).where(_this)
_LOCK = _BY_ID.with_for_update()
_UNREVOKED = (
    select(api_key)
    .where((_c.holder == bindparam("holder_")) & _c.revoked_at_us.is_(None))
    .order_by(_c.created_at_us, _c.id)
)
_ALL_UNREVOKED = (
    select(api_key)
    .where(_c.revoked_at_us.is_(None))
    .order_by(_c.created_at_us.desc(), _c.id.desc())
    .limit(bindparam("most", type_=BigInteger()))
)
_REVOKE = update(api_key).where(_this & _c.revoked_at_us.is_(None)).values(revoked_at_us=bindparam("at_us"))
_END_AT = update(api_key).where(_this).values(expires_at_us=bindparam("at_us"))
_NOTE_USE = (
    update(api_key)
    .where(_this & (func.coalesce(_c.last_used_at_us, 0) <= bindparam("before_us")))
    .values(last_used_at_us=bindparam("at_us"))
)
