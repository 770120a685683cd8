"""Users, platforms' members and the links between them: never by e-mail, never without proof."""

from typing import TYPE_CHECKING

from hub.domain.catalogue import is_storable
from hub.domain.events import HUB_STREAM, Audience, MemberLinked
from hub.domain.ids import Draw
from hub.domain.issuers import LINK_SCOPE
from hub.domain.people import (
    Identity,
    Member,
    User,
    UserState,
    Viewer,
    member_issuer,
    pairwise_id,
)
from hub.domain.refusals import IdentityTaken, InvalidInput, NotFound, ProvisionalUser, Refusal
from hub.domain.requests import Answer
from hub.flows import audit, handing, rivals
from hub.flows.rivals import MadeMeanwhile
from hub.ports import Hub, TokenRefused, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx

MAX_EXTERNAL_ID = 200  # characters of a platform's own id of a member
DEVELOPMENT_ISSUER = "hub:development"


async def upsert_member(
    hub: Hub, viewer: Viewer, *, external_id: str, platform_id: str | None = None
) -> Answer[Member]:
    """A platform's own record of a person. A new one gets a provisional User: it may hold grants, not spend."""
    owner = viewer.acting_for(platform_id)
    if refusal := _fault(external_id, owner):
        return Answer(refusal=refusal)
    assert owner is not None
    return await rivals.write(hub, put_member, owner, external_id, hub.draw(), hub.vault, by=viewer)


async def put_member(
    tx: "Tx", platform_id: str, external_id: str, draw: Draw, vault: Vault, *, by: Viewer | None = None
) -> Answer[Member]:
    if await tx.catalogue.platform(platform_id) is None:
        return Answer(refusal=NotFound("platformId"))
    held = await tx.people.lock_member(platform_id, external_id)
    account = await tx.people.identity(member_issuer(platform_id), external_id)
    if account is not None and account.ended_at_us is not None:
        return Answer(refusal=_REMOVED)
    if held is not None:
        name = await _name(tx, held.user_id, platform_id, vault)
        member = Member(held.id, platform_id, external_id, held.user_id, name, held.created_at_us)
        return Answer(member, is_replay=True)
    user = User(draw.id("usr"), UserState.PROVISIONAL, draw.now_us)
    await tx.people.add_user(user)
    name = await _name(tx, user.id, platform_id, vault)
    member = Member(draw.id("mem"), platform_id, external_id, user.id, name, draw.now_us)
    if not await tx.people.add_member(member):
        raise MadeMeanwhile(f"member {external_id!r} of {platform_id}")
    await tx.people.add_identity(
        Identity(draw.id("idn"), user.id, member_issuer(platform_id), external_id, draw.now_us)
    )
    _tell(tx, member, version=1, draw=draw)
    if by is not None:
        await audit.note_staff(tx, by, "memberUpsert", member.id, draw, platform_id=platform_id)
    return Answer(member)


async def remove_member(
    hub: Hub, viewer: Viewer, *, external_id: str, platform_id: str | None = None
) -> Answer[Member]:
    """The platform has deleted this account. It proves nobody any more, and its external id is never used again:
    whoever gets that name on the platform next is another person. Rights stay with the User."""
    owner = viewer.acting_for(platform_id)
    if owner is None:
        return Answer(refusal=NotFound("platformId"))
    return await hub.store.write(end_member, viewer, owner, external_id, hub.draw(), hub.vault)


async def end_member(
    tx: "Tx", viewer: Viewer, platform_id: str, external_id: str, draw: Draw, vault: Vault
) -> Answer[Member]:
    held = await tx.people.lock_member(platform_id, external_id)
    if held is None:
        return Answer(refusal=NotFound("externalId"))
    has_ended = await tx.people.end_identity(member_issuer(platform_id), external_id, draw.now_us)
    if has_ended:
        await audit.note_staff(tx, viewer, "memberRemove", held.id, draw, platform_id=platform_id)
    name = await _name(tx, held.user_id, platform_id, vault)
    member = Member(held.id, platform_id, external_id, held.user_id, name, held.created_at_us)
    return Answer(member, is_replay=not has_ended)


async def link_identity(
    hub: Hub, viewer: Viewer, *, external_id: str, user_token: str, platform_id: str | None = None
) -> Answer[Member]:
    """A platform's member and a User are one person: the platform vouches for the member by its key, the User for
    themselves by a live token of the hub. A member that is somebody's with rights already stays theirs, but for gifts
    to whom nobody has been yet: those go along."""
    owner = viewer.acting_for(platform_id)
    if refusal := _fault(external_id, owner):
        return Answer(refusal=refusal)
    try:
        proven = hub.tokens.verify_user_token(user_token, hub.clock.now_us())
    except TokenRefused as refused:
        return Answer(refusal=InvalidInput("userToken", f"the user's token is refused: {refused}"))
    assert owner is not None
    assert proven.user_id is not None
    if proven.issuer_id is not None and LINK_SCOPE not in proven.scopes:
        reason = f"this token came through a platform and does not hold {LINK_SCOPE}: it proves nobody to another one"
        return Answer(refusal=InvalidInput("userToken", reason))
    return await rivals.write(
        hub, link_member, owner, external_id, proven.user_id, hub.draw(), hub.vault, by=viewer, through=proven.issuer_id
    )


async def link_member(
    tx: "Tx",
    platform_id: str,
    external_id: str,
    user_id: str,
    draw: Draw,
    vault: Vault,
    *,
    by: Viewer | None = None,
    through: str | None = None,
) -> Answer[Member]:
    """`through`: the issuer whose word the user's token came out of."""
    if through is not None:
        issuer = await tx.issuers.by_id(through)
        if issuer is None or not issuer.is_active:
            return Answer(refusal=_NOT_TRUSTED)
    user = await tx.people.user(user_id)
    if user is None or user.state is UserState.PROVISIONAL:
        return Answer(refusal=ProvisionalUser())
    made = await put_member(tx, platform_id, external_id, draw, vault)
    member = made.value
    if member is None:
        return made
    if member.user_id == user_id:
        return Answer(member, is_replay=True)
    if refusal := await _may_move(tx, member.user_id):
        return Answer(refusal=refusal)
    await handing.follow(tx, member.user_id, user_id, draw, vault)
    await tx.people.link_member(member.id, user_id)
    await tx.people.move_identity(member_issuer(platform_id), external_id, user_id)
    name = await _name(tx, user_id, platform_id, vault)
    linked = Member(member.id, platform_id, external_id, user_id, name, member.created_at_us)
    held = await tx.people.lock_member(platform_id, external_id)
    assert held is not None
    _tell(tx, linked, version=held.version, draw=draw)
    if by is not None:
        await audit.note_staff(tx, by, "identityLink", linked.id, draw, platform_id=platform_id)
    return Answer(linked)


async def _may_move(tx: "Tx", owner_id: str) -> Refusal | None:
    """Only from a provisional User who holds gifts at most: anything else is a merge, which both of them must prove."""
    owner = await tx.people.user(owner_id)
    if owner is None or owner.state is not UserState.PROVISIONAL:
        return IdentityTaken()
    return None if await handing.holds_nothing_but_gifts(tx, owner_id) else IdentityTaken()


async def _name(tx: "Tx", user_id: str, platform_id: str, vault: Vault) -> str:
    stored = await tx.people.pairwise_of(user_id, platform_id)
    if stored is not None:
        return stored
    name = pairwise_id(vault.platform_key(platform_id), user_id)
    await tx.people.name_pairwise([(user_id, platform_id, name)])
    return name


def _tell(tx: "Tx", member: Member, *, version: int, draw: Draw) -> None:
    event = MemberLinked(member.id, member.platform_id, member.external_id, member.pairwise_id)
    told = (
        Audience(HUB_STREAM, member.user_id, member.external_id, "", sees_order=False),
        Audience(member.platform_id, member.pairwise_id, member.external_id, "", sees_order=False),
    )
    tx.events.append(_Moved(member.id, version), event, told, draw)


class _Moved:
    """A member as the log names it: its id under its new version."""

    def __init__(self, id_: str, version: int) -> None:
        self.id = id_
        self.version = version


_NOT_TRUSTED = InvalidInput("userToken", "the platform through which this token came is not trusted any more")
_REMOVED = InvalidInput("externalId", "this account was removed: its externalId is never used again")


def _fault(external_id: str, owner: str | None) -> Refusal | None:
    if reason := external_id_fault(external_id):
        return InvalidInput("externalId", reason)
    return None if owner else NotFound("platformId")


def external_id_fault(external_id: str) -> str | None:
    """Why that is no platform's id of a member."""
    if not external_id.strip() or len(external_id) > MAX_EXTERNAL_ID or not is_storable(external_id):
        return f"externalId has 1 to {MAX_EXTERNAL_ID} characters, none of them NUL or half a character"
    return None


async def development_user(hub: Hub, name: str) -> User:
    """The non-provisional User of that name for development; the same name is the same User."""
    return await rivals.write(hub, put_development_user, name, hub.draw())


async def put_development_user(tx: "Tx", name: str, draw: Draw) -> User:
    known = await tx.people.identified(DEVELOPMENT_ISSUER, name)
    if known is not None:
        return known
    user = User(draw.id("usr"), UserState.ACTIVE, draw.now_us)
    await tx.people.add_user(user)
    if not await tx.people.add_identity(Identity(draw.id("idn"), user.id, DEVELOPMENT_ISSUER, name, draw.now_us)):
        raise MadeMeanwhile(f"development user {name!r}")
    return user
