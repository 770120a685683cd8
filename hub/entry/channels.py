"""`hub channel`: payment channels as their operators keep them, and the notices that they sent."""

import httpx

from hub.channels import ADAPTERS
from hub.domain.routing import StandingState
from hub.entry.commands import opened
from hub.entry.complaints import Complaint
from hub.entry.settings import Settings
from hub.flows import channels, notices
from hub.flows.audit import COMMAND
from hub.ports import Finding

CALLBACK_WITHIN_S = 5.0  # the hub's own address answers at once, or not to a provider either
MAX_NOTICES = 50  # of one list; those of an order are had by GraphQL

STANDS = {"start": StandingState.RUNNING, "drain": StandingState.DRAINING, "stop": StandingState.STOPPED}


async def list_channels(settings: Settings) -> int:
    """One line a channel: what it may do, how many attempts are open, how the newest have ended."""
    async with opened(settings) as (hub, _):
        known = await channels.listed(hub)
        still_open = {one.code: await channels.open_count(hub, one.code) for one in known}
    print(f"{'channel':<12}  {'state':<9}  {'open':>5}  {'took':>9}  reason")
    for one in known:
        took = f"{one.done.succeeded}/{one.done.tried}"
        state = one.standing.state if one.is_configured else f"{one.standing.state}, not configured"
        print(f"{one.code:<12}  {state:<9}  {still_open[one.code]:>5}  {took:>9}  {one.standing.reason}".rstrip())
    return 0


async def check_channel(settings: Settings, code: str) -> int:
    """Ask the provider, without moving money, and our own address as it would; 1 if one finding is bad."""
    async with opened(settings) as (hub, _):
        channel = hub.channels.get(code)
        if channel is None:
            configured = ", ".join(hub.channels) or "none"
            raise Complaint(f"channel {code!r} has no settings here (HUB_CHANNEL_{code.upper()}_*): {configured}")
        found = [*await channel.check(), await _callback(settings.public_url, code)]
    width = max(len(finding.name) for finding in found)
    for finding in found:
        print(f"{finding.name:<{width}}  {'ok' if finding.is_good else 'BAD':<3}  {finding.detail}")
    return 0 if all(finding.is_good for finding in found) else 1


async def _callback(public_url: str, code: str) -> Finding:
    """Whether our own notice URL leads to a hub: a GET there is answered with 405, as notices are posted."""
    if not public_url:
        return Finding("callback", False, "HUB_PUBLIC_URL is not set: the provider is told no address for its notices")
    url = f"{public_url}/channels/{code}/notices"
    try:
        async with httpx.AsyncClient(timeout=CALLBACK_WITHIN_S, trust_env=False) as client:
            status = (await client.get(url)).status_code
    except httpx.HTTPError as error:
        return Finding("callback", False, f"{url} does not answer: {type(error).__name__}")
    return Finding("callback", status == 405, f"{url} answers {status}" + ("" if status == 405 else ": that is no hub"))


async def stand(settings: Settings, code: str, word: str, reason: str) -> int:
    """start, drain or stop: for every process from now on."""
    if code not in ADAPTERS:
        raise Complaint(f"there is no channel {code!r} in this release: {', '.join(ADAPTERS)}")
    async with opened(settings) as (hub, _):
        standing = await channels.stand(hub, COMMAND, code, STANDS[word], reason)
        left = await channels.open_count(hub, code)
    print(f"hub: {code} is {standing.state}, {left} attempts are open")
    return 0


async def list_notices(settings: Settings) -> int:
    """The newest kept notices, one a line."""
    async with opened(settings) as (hub, _), hub.store.reading() as rx:
        kept = await rx.notices.listed(None, MAX_NOTICES)
    print(f"{'id':<30}  {'state':<10}  {'tries':>5}  {'channel':<10}  {'payment':<20}  kind")
    for one in kept:
        kind = one.kind if one.reason is None else f"{one.kind}: {one.reason}"
        print(f"{one.id:<30}  {one.state:<10}  {one.tries:>5}  {one.channel:<10}  {one.attempt_key:<20}  {kind}")
    return 0


async def replay_notice(settings: Settings, notice_id: str) -> int:
    """Have a kept notice applied again; 1 if it cannot be."""
    async with opened(settings) as (hub, _):
        answer = await notices.replay(hub, COMMAND, notice_id)
    if answer.refusal is not None:
        print(f"hub: {answer.refusal.message}")
        return 1
    print(f"hub: notice {notice_id} was applied again")
    return 0
