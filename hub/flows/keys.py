"""API keys: made, rotated and revoked by whoever may; no key comes to more than its maker has, or outlives it."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hub.domain.audit import actor_of
from hub.domain.catalogue import is_storable
from hub.domain.ids import Draw
from hub.domain.keys import MAX_GRACE_S, MAX_LIVE_KEYS, MAX_NAME, ApiKey, NewApiKey, earlier, scopes_to_give
from hub.domain.people import Viewer, ViewerKind
from hub.domain.refusals import InvalidInput, NotFound, Refusal, StateConflict
from hub.domain.requests import Answer
from hub.flows import audit, rivals
from hub.flows.rivals import MadeMeanwhile
from hub.ports import Hub

if TYPE_CHECKING:
    from hub.store.transactions import Tx


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key and its whole text, which nobody can tell again."""

    key: ApiKey
    text: str = field(repr=False)

    @property
    def id(self) -> str:
        return self.key.id


async def create_key(
    hub: Hub,
    viewer: Viewer,
    *,
    name: str,
    scopes: frozenset[str],
    platform_id: str | None = None,
    expires_at_us: int | None = None,
) -> Answer[IssuedKey]:
    """A new key of the viewer's platform; of an operator: of the named platform, else another operator's key."""
    draw = hub.draw()
    owner = viewer.acting_for(platform_id)
    kind = ViewerKind.PLATFORM if owner else ViewerKind.OPERATOR
    if platform_id is not None and owner is None:
        return Answer(refusal=NotFound("platformId"))
    if refusal := _unfit(viewer, kind, name.strip(), scopes, expires_at_us, draw.now_us):
        return Answer(refusal=refusal)
    made = hub.tokens.new_api_key(draw)
    key = ApiKey(
        id=made.id,
        kind=kind,
        platform_id=owner,
        secret_hash=made.secret_hash,
        scopes=scopes,
        is_development=not hub.is_production,
        created_at_us=draw.now_us,
        name=name.strip(),
        expires_at_us=earlier(expires_at_us, viewer.expires_at_us),
        created_by=actor_of(viewer),
    )
    refusal = await rivals.write(hub, put_key, viewer, key, draw)
    return Answer(refusal=refusal) if refusal else Answer(IssuedKey(key, made.text))


async def add_key(hub: Hub, key: ApiKey) -> Refusal | None:
    """A key that the command line made; without a name it goes by its id. None: it is there."""
    return await rivals.write(hub, put_key, audit.COMMAND, key, hub.draw())


def _unfit(
    viewer: Viewer, kind: ViewerKind, name: str, scopes: frozenset[str], expires_at_us: int | None, now_us: int
) -> Refusal | None:
    if not name or len(name) > MAX_NAME or not name.isprintable() or not is_storable(name):
        return InvalidInput("name", f"name has 1 to {MAX_NAME} printable characters")
    if beyond := scopes - scopes_to_give(viewer, kind):
        return InvalidInput("scopes", f"your key cannot give {', '.join(sorted(beyond))} to such a key")
    if not scopes:
        return InvalidInput("scopes", "give at least one scope")
    if expires_at_us is not None and expires_at_us <= now_us:
        return InvalidInput("expiresAt", "expiresAt lies in the past")
    if expires_at_us is not None and viewer.expires_at_us is not None and expires_at_us > viewer.expires_at_us:
        return InvalidInput("expiresAt", "a key ends no later than the key that makes it")
    return None


async def put_key(tx: "Tx", viewer: Viewer, key: ApiKey, draw: Draw) -> Refusal | None:
    """The first key of its name. None: it is there."""
    if refusal := await key_ended(tx, viewer, "making keys", draw.now_us):
        return refusal
    if key.platform_id is not None and await tx.catalogue.platform(key.platform_id) is None:
        return NotFound("platformId")
    live = await _live(tx, key.holder, draw.now_us)
    if key.name and key.name in [other.name for other in live]:
        return InvalidInput("name", "a live key has this name: rotate or revoke it, or choose another name")
    if viewer.key_id is not None and len([other for other in live if other.name != other.id]) >= MAX_LIVE_KEYS:
        return InvalidInput("name", f"there are {MAX_LIVE_KEYS} live keys: revoke one first")
    if not await tx.keys.add(key):
        raise MadeMeanwhile(f"key {key.name!r} of {key.holder}")
    await audit.note(
        tx, viewer, "apiKeyCreate", key.id, draw,
        platform_id=key.platform_id, name=key.name, scopes=sorted(key.scopes), expiresAtUs=key.expires_at_us,
    )  # fmt: skip
    return None


async def rotate_key(hub: Hub, viewer: Viewer, *, key_id: str, grace_s: int) -> Answer[IssuedKey]:
    """A new key of the same name and scopes; the old one counts for `grace_s` seconds more."""
    if not 0 <= grace_s <= MAX_GRACE_S:
        return Answer(refusal=InvalidInput("graceSeconds", f"graceSeconds lies between 0 and {MAX_GRACE_S}"))
    draw = hub.draw()
    made = hub.tokens.new_api_key(draw)
    turned = await rivals.write(hub, turn_key, viewer, key_id, made, grace_s, not hub.is_production, draw)
    return Answer(refusal=turned) if isinstance(turned, Refusal) else Answer(IssuedKey(turned, made.text))


async def turn_key(
    tx: "Tx", viewer: Viewer, key_id: str, made: NewApiKey, grace_s: int, is_development: bool, draw: Draw
) -> ApiKey | Refusal:
    if refusal := await key_ended(tx, viewer, "making keys", draw.now_us):
        return refusal
    old = await tx.keys.lock(key_id)
    if old is None or not _is_ones(viewer, old):
        return NotFound("id")
    if not old.is_live(draw.now_us):
        return StateConflict("REVOKED" if old.revoked_at_us is not None else "EXPIRED", "apiKeyRotate")
    if not old.scopes <= viewer.scopes:
        return InvalidInput("id", "this key may do more than yours: a stronger key has to rotate it")
    if len([other for other in await _live(tx, old.holder, draw.now_us) if other.name == old.name]) > 1:
        return InvalidInput("id", "two keys of this name count already: revoke one of them first")
    new = replace(
        old,
        id=made.id,
        secret_hash=made.secret_hash,
        is_development=is_development,
        created_at_us=draw.now_us,
        slot=1 - old.slot,
        expires_at_us=earlier(old.expires_at_us, viewer.expires_at_us),
        last_used_at_us=None,
        created_by=actor_of(viewer),
    )
    if not await tx.keys.add(new):
        raise MadeMeanwhile(f"key {old.name!r} of {old.holder}")
    ends_at_us = earlier(old.expires_at_us, draw.now_us + grace_s * 1_000_000)
    assert ends_at_us is not None
    await tx.keys.end_at(old.id, ends_at_us)
    await audit.note(
        tx, viewer, "apiKeyRotate", old.id, draw,
        platform_id=old.platform_id, name=old.name, newKey=new.id, oldEndsAtUs=ends_at_us,
    )  # fmt: skip
    return new


async def revoke_key(hub: Hub, viewer: Viewer, *, key_id: str) -> Answer[ApiKey]:
    """It counts no more; every process knows within seconds and ends its streams. Again is the same."""
    return await hub.store.write(end_key, viewer, key_id, hub.draw())


async def end_key(tx: "Tx", viewer: Viewer, key_id: str, draw: Draw) -> Answer[ApiKey]:
    key = await tx.keys.lock(key_id)
    if key is None or not _is_ones(viewer, key):
        return Answer(refusal=NotFound("id"))
    if key.revoked_at_us is not None:
        return Answer(key, is_replay=True)
    await tx.keys.revoke(key.id, draw.now_us)
    await audit.note(tx, viewer, "apiKeyRevoke", key.id, draw, platform_id=key.platform_id, name=key.name)
    return Answer(replace(key, revoked_at_us=draw.now_us))


async def note_use(hub: Hub, key_id: str, at_us: int) -> None:
    """That the key was used; asked at most once a minute for each key and process."""
    await hub.store.write(mark_used, key_id, at_us)


async def mark_used(tx: "Tx", key_id: str, at_us: int) -> None:
    await tx.keys.note_use(key_id, at_us)


async def _live(tx: "Tx", holder: str, now_us: int) -> list[ApiKey]:
    """The holder's keys that count; those that came to their end are closed, so that their names are free."""
    unrevoked = await tx.keys.unrevoked(holder)
    for key in unrevoked:
        if not key.is_live(now_us):
            assert key.expires_at_us is not None
            await tx.keys.revoke(key.id, key.expires_at_us)
    return [key for key in unrevoked if key.is_live(now_us)]


async def key_ended(tx: "Tx", viewer: Viewer, action: str, now_us: int) -> Refusal | None:
    """A viewer is remembered for a few seconds: too long for one who does what outlives the key."""
    if viewer.key_id is None:
        return None
    own = await tx.keys.lock(viewer.key_id)
    if own is None or not own.is_live(now_us):
        return StateConflict("REVOKED", action)
    return None


def _is_ones(viewer: Viewer, key: ApiKey) -> bool:
    """The rule of the store's predicate, for what is about to change: operators all, a platform its own."""
    return viewer.kind is ViewerKind.OPERATOR or (key.platform_id is not None and key.platform_id == viewer.platform_id)
