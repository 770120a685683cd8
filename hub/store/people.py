"""Users, identities, platforms' members: tables and the repository of who there is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Table, UniqueConstraint, bindparam, literal_column, select, update

from hub.domain.people import Identity, Member, User, UserState
from hub.store.metadata import inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

user = Table(
    "user_",
    metadata,
    text("id", primary_key=True),
    text("state"),
    integer("created_at_us"),
)
identity = Table(
    "identity",
    metadata,
    text("id", primary_key=True),
    text("user_id", ForeignKey("user_.id"), index=True),
    text("issuer"),
    text("subject"),
    integer("verified_at_us"),
    integer("ended_at_us", nullable=True),
    UniqueConstraint("issuer", "subject"),
)
member = Table(
    "member",
    metadata,
    text("id", primary_key=True),
    text("platform_id", ForeignKey("platform.id")),
    text("external_id"),
    text("user_id", ForeignKey("user_.id"), index=True),
    integer("version"),
    integer("created_at_us"),
    UniqueConstraint("platform_id", "external_id"),
)
# The only name under which a platform knows a user. Stored, so that rotating the platform's key changes none.
pairwise = Table(
    "pairwise",
    metadata,
    text("user_id", ForeignKey("user_.id"), primary_key=True),
    text("platform_id", ForeignKey("platform.id"), primary_key=True),
    text("pairwise_id"),
    UniqueConstraint("platform_id", "pairwise_id"),
)


class People:
    """`tx.people`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def add_user(self, new: User) -> None:
        await self._rx.changed(_ADD_USER, id=new.id, state=new.state, created_at_us=new.created_at_us)

    async def user(self, user_id: str) -> User | None:
        return await self._rx.one(_USER, _user, user_id=user_id)

    async def identified(self, issuer: str, subject: str) -> User | None:
        """Whose account this is at that issuer."""
        return await self._rx.one(_IDENTIFIED, _user, issuer_=issuer, subject_=subject)

    async def activate(self, user_id: str) -> bool:
        """PROVISIONAL → ACTIVE: they have proven to be there. False: they had before."""
        return await self._rx.run(_ACTIVATE, user_id=user_id) == 1

    async def identity(self, issuer: str, subject: str) -> Identity | None:
        """That account at that issuer, ended or not."""
        return await self._rx.one(_IDENTITY_OF, Identity, issuer_=issuer, subject_=subject)

    async def end_identity(self, issuer: str, subject: str, at_us: int) -> bool:
        """The account is nobody's from now on, and stays taken. False: there is none, or it had ended."""
        return await self._rx.run(_END_IDENTITY, issuer_=issuer, subject_=subject, at_us=at_us) == 1

    async def end_other_identities(self, user_id: str, issuer: str, subject: str, at_us: int) -> int:
        """End every account of the user but this one; how many that were."""
        return await self._rx.run(_END_OTHERS, owner_id=user_id, issuer_=issuer, subject_=subject, at_us=at_us)

    async def add_identity(self, new: Identity) -> bool:
        """False: (issuer, subject) is somebody's already."""
        return await self._rx.one(_ADD_IDENTITY, str, **{name: getattr(new, name) for name in _IDENTITY}) is not None

    async def move_identity(self, issuer: str, subject: str, user_id: str) -> None:
        await self._rx.changed(_MOVE_IDENTITY, issuer_=issuer, subject_=subject, owner_id=user_id)

    async def lock_member(self, platform_id: str, external_id: str) -> "MemberRow | None":
        return await self._rx.one(_LOCK_MEMBER, MemberRow, platform_id=platform_id, external_id=external_id)

    async def add_member(self, new: Member) -> bool:
        """False: the platform has a member under this external id already."""
        row = await self._rx.one(
            _ADD_MEMBER, str, id=new.id, platform_id=new.platform_id, external_id=new.external_id, user_id=new.user_id,
            version=1, created_at_us=new.created_at_us,
        )  # fmt: skip
        return row is not None

    async def link_member(self, member_id: str, user_id: str) -> None:
        await self._rx.changed(_LINK_MEMBER, member_id=member_id, owner_id=user_id)

    async def name_pairwise(self, names: Sequence[tuple[str, str, str]]) -> None:
        """(user, platform, name) from now on; a name that stands already stays."""
        await self._rx.run_many(_NAME, [{"user_id": u, "platform_id": p, "pairwise_id": name} for u, p, name in names])

    async def pairwise_of(self, user_id: str, platform_id: str) -> str | None:
        """The stored name under which the platform knows the user."""
        return await self._rx.one(_NAMED, str, owner_id=user_id, for_platform=platform_id)


@dataclass(frozen=True, slots=True)
class MemberRow:
    id: str
    platform_id: str
    external_id: str
    user_id: str
    version: int
    created_at_us: int


def _user(id_: str, state: str, created_at_us: int) -> User:
    return User(id_, UserState(state), created_at_us)


_IDENTITY = tuple(c.name for c in identity.c)
_ADD_USER = inserted(user)
_USER = select(user).where(user.c.id == bindparam("user_id"))
_by_account = (identity.c.issuer == bindparam("issuer_")) & (identity.c.subject == bindparam("subject_"))
_IDENTIFIED = select(user).join_from(user, identity, identity.c.user_id == user.c.id).where(_by_account)
_ADD_IDENTITY = inserted(identity).on_conflict_do_nothing().returning(identity.c.id)
_ACTIVATE = (
    update(user)
    .where((user.c.id == bindparam("user_id")) & (user.c.state == literal_column("'PROVISIONAL'")))
    .values(state=literal_column("'ACTIVE'"))
)
_lives = identity.c.ended_at_us.is_(None)
_IDENTITY_OF = select(identity).where(_by_account)
_END_IDENTITY = update(identity).where(_by_account & _lives).values(ended_at_us=bindparam("at_us"))
_END_OTHERS = (
    update(identity)
    .where((identity.c.user_id == bindparam("owner_id")) & ~_by_account & _lives)
    .values(ended_at_us=bindparam("at_us"))
)
_MOVE_IDENTITY = update(identity).where(_by_account).values(user_id=bindparam("owner_id"))
_LOCK_MEMBER = (
    select(member)
    .where((member.c.platform_id == bindparam("platform_id")) & (member.c.external_id == bindparam("external_id")))
    .with_for_update(of=member)
)
_ADD_MEMBER = inserted(member).on_conflict_do_nothing().returning(member.c.id)
_LINK_MEMBER = (
    update(member)
    .where(member.c.id == bindparam("member_id"))
    .values(user_id=bindparam("owner_id"), version=member.c.version + literal_column("1"))
)
_NAME = inserted(pairwise).on_conflict_do_nothing()
_NAMED = select(pairwise.c.pairwise_id).where(
    (pairwise.c.user_id == bindparam("owner_id")) & (pairwise.c.platform_id == bindparam("for_platform"))
)
