"""`hub key`: keys made, listed and revoked by whoever holds the data folder: production's first key is from here."""

import re

from hub.domain.people import OPERATOR_SCOPES, PARTNER_SCOPES
from hub.entry.commands import opened
from hub.entry.complaints import Complaint
from hub.entry.settings import Settings
from hub.flows import keys
from hub.flows.audit import COMMAND
from hub.flows.catalogue import connect_platform

MAX_LISTED = 1_000  # keys of one list; more have to be looked for by GraphQL
DAY_US = 24 * 3600 * 1_000_000


async def create_key(
    settings: Settings,
    *,
    as_: str,
    name: str,
    platform: str | None,
    currency: str,
    scopes: str | None,
    days: str | None,
) -> int:
    """Print the key's text, once. A platform that is not known yet is connected."""
    most = PARTNER_SCOPES if as_ == "partner" else OPERATOR_SCOPES
    chosen = frozenset(re.split(r"[\s,]+", scopes.strip())) if scopes else most
    lifetime_us = None if days is None else _days(days) * DAY_US
    if (as_ == "partner") != (platform is not None):
        raise Complaint("--platform SLUG goes with --as partner, and only with it")
    async with opened(settings) as (hub, _):
        owner = None
        if platform is not None:
            owner = (await connect_platform(hub, slug=platform, name=platform.capitalize(), currency=currency)).id
        answer = await keys.create_key(
            hub,
            COMMAND,
            name=name,
            scopes=chosen,
            platform_id=owner,
            expires_at_us=None if lifetime_us is None else hub.clock.now_us() + lifetime_us,
        )
    if answer.value is None:
        assert answer.refusal is not None
        raise Complaint(answer.refusal.message)
    print(answer.value.text)
    return 0


async def list_keys(settings: Settings) -> int:
    """One line a key that was not revoked, the newest first; never its text, which nobody has."""
    async with opened(settings) as (hub, _):
        async with hub.store.reading() as rx:
            found = await rx.keys.all_unrevoked(MAX_LISTED)
        now_us = hub.clock.now_us()
    print(f"{'id':<30}  {'whose':<30}  {'state':<5}  name")
    for key in found:
        state = "live" if key.is_live(now_us) else "ended"
        print(f"{key.id:<30}  {key.platform_id or 'operator':<30}  {state:<5}  {key.name}")
    return 0


async def revoke_key(settings: Settings, key_id: str) -> int:
    async with opened(settings) as (hub, _):
        answer = await keys.revoke_key(hub, COMMAND, key_id=key_id)
    if answer.value is None:
        raise Complaint("no key has this id: see `hub key list`")
    print(f"hub: key {key_id} {'was revoked before' if answer.is_replay else 'is revoked'}")
    return 0


def _days(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise Complaint("--days is a whole number from 1 to 9999")
    return int(text)
