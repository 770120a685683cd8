"""What the smaller commands do: verify, tokens, contracts, tasks, log. They work beside a running server."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import orjson

from hub.domain.audit import COMMAND_LINE
from hub.domain.events import Logged
from hub.domain.keys import ApiKey
from hub.domain.people import OPERATOR_SCOPES, PARTNER_SCOPES, ViewerKind
from hub.entry import wiring
from hub.entry.chain import ChainSide, bring_up, chain_side
from hub.entry.checks import SHOWN, Check
from hub.entry.complaints import Complaint
from hub.entry.settings import Settings
from hub.entry.verification import verified
from hub.flows import audit, erasure, retention
from hub.flows.catalogue import connect_platform
from hub.flows.keys import add_key
from hub.flows.people import development_user
from hub.flows.tasks import drop_task, revive_task
from hub.ports import ChainRefused, ChainUnavailable, Hub
from hub.security.tokens import UserTokens, new_api_key
from hub.store.migrate import migrate
from hub.wakeups.memory import MemoryWakeups

# A development token's life: a working day and the evening after it.
TOKEN_LIFETIME_S = 24 * 3600


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Hub, ChainSide]]:
    """A hub on the folder's database, without server, worker or sandbox; nothing on chain is started."""
    settings.data.mkdir(parents=True, exist_ok=True)
    wiring.demand_startable(settings)
    await migrate(settings.database)
    side = chain_side(settings)
    hub = await wiring.build(settings, side, wakeups=MemoryWakeups())  # its changes are found by everybody's poll
    try:
        yield hub, side
    finally:
        await side.aclose()
        await wiring.aclose(hub)


async def print_verification(settings: Settings, *, with_chain: bool) -> int:
    """The table of all checks; 1 if one of them failed."""
    async with opened(settings) as (hub, side):
        if with_chain:
            try:
                await bring_up(hub, side)
            except (ChainUnavailable, ChainRefused) as error:
                print(f"hub: the chain is not to be had: {error}", file=sys.stderr)
        checks = await verified(hub, with_chain=with_chain)
    print_checks(checks)
    return 0 if all(check.is_fine for check in checks) else 1


def print_checks(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        verdict = "ok" if check.is_fine else f"{len(check.wrong)} WRONG"
        print(f"{check.name:<{width}}  {check.looked_at:>8}  {verdict:<9}  {check.note}".rstrip())
        for line in check.wrong[:SHOWN]:
            print(f"{'':<{width}}            {line}")
    wrong = sum(len(check.wrong) for check in checks)
    print("hub verify: all is well" if not wrong else f"hub verify: {wrong} THINGS ARE WRONG")


async def development_token(settings: Settings, *, as_: str, user: str, platform: str | None) -> str:
    """A token for that learner, that platform or an operator; made anew at each call. Development folders only."""
    async with opened(settings) as (hub, _):
        return await mint(hub, as_=as_, user=user, platform=platform)


async def mint(hub: Hub, *, as_: str, user: str = "learner", platform: str | None = None) -> str:
    """Likewise, on a hub that is open."""
    tokens = hub.tokens
    assert isinstance(tokens, UserTokens)
    if hub.is_production or not tokens.is_development:
        raise Complaint("this data folder has production keys: development tokens are not minted on it")
    if as_ == "learner":
        person = await development_user(hub, user)
        return tokens.issue_user_token(person.id, hub.clock.now_us(), TOKEN_LIFETIME_S)
    platform_id = None
    if as_ == "partner":
        if platform is None:
            raise Complaint("--as partner needs --platform SLUG")
        platform_id = (await connect_platform(hub, slug=platform, name=platform.capitalize(), currency="USD")).id
    draw = hub.draw()
    made = new_api_key(draw)
    await add_key(
        hub,
        ApiKey(
            id=made.id,
            kind=ViewerKind.PLATFORM if platform_id else ViewerKind.OPERATOR,
            platform_id=platform_id,
            secret_hash=made.secret_hash,
            scopes=PARTNER_SCOPES if platform_id else OPERATOR_SCOPES,
            is_development=True,
            created_at_us=draw.now_us,
            created_by=COMMAND_LINE,
        ),
    )
    return made.text


async def deploy_contracts(settings: Settings, *, succeeds: bool, from_block: int | None) -> int:
    async with opened(settings) as (hub, side):
        contract = await bring_up(hub, side, appoints=True, succeeds=succeeds, from_block=from_block)
    print(f"hub: {contract.name} on chain {contract.chain_id} at {contract.address}, from block {contract.from_block}")
    return 0


async def erase_person(settings: Settings, user_id: str) -> int:
    async with opened(settings) as (hub, _):
        answer = await erasure.erase(hub, audit.COMMAND, user_id=user_id)
    if answer.refusal is not None:
        raise Complaint(f"there is no user {user_id!r}")
    print(f"hub: {user_id} {'was erased before' if answer.is_replay else 'is erased'}: see `hub docs privacy`")
    return 0


async def list_tasks(settings: Settings) -> int:
    async with opened(settings) as (hub, _), hub.store.reading() as rx:
        rows = await rx.tasks.listed()
    print(f"{'state':<5}  {'id':>6}  {'tries':>5}  task")
    for row in rows:
        state = "dead" if row.is_dead else "due"
        print(f"{state:<5}  {row.id:>6}  {row.attempts:>5}  {row.kind} {row.key}  {row.last_error or ''}".rstrip())
    return 0


async def settle_dead_task(settings: Settings, dead_id: int, *, is_retry: bool) -> int:
    async with opened(settings) as (hub, _):
        found = await (revive_task(hub, dead_id) if is_retry else drop_task(hub, dead_id))
    print(
        f"hub: task {dead_id} {'is tried again' if is_retry else 'is dropped'}" if found else "hub: no such dead task"
    )
    return 0 if found else 1


async def print_log(settings: Settings, *, stream: str, after: int, limit: int) -> int:
    """One JSON line an event."""
    async with opened(settings) as (hub, _):
        await hub.store.stamp()
        async with hub.store.reading() as rx:
            for event in await rx.events.read(stream, after, limit):
                print(_line(event))
    return 0


async def print_archive(settings: Settings, *, after: int, limit: int) -> int:
    """What has left the log, of all streams: one JSON line an event."""
    async with opened(settings) as (hub, _), hub.store.reading() as rx:
        for event in await rx.archive.read(after, limit):
            print(_line(event))
    return 0


def _line(event: Logged) -> str:
    columns = event._asdict()
    return orjson.dumps(columns | {"body": orjson.Fragment(columns.pop("text"))}).decode()


async def prune_log(settings: Settings) -> int:
    """Move what is old and read by everybody from the log to its archive, and name who holds back more."""
    async with opened(settings) as (hub, _):
        pruned = await retention.prune_log(hub, settings.log_retention_days)
    print(f"hub: {pruned.moved} events moved to the archive; the log begins at {pruned.oldest}")
    for late in pruned.late:
        when = datetime.fromtimestamp(late.at_us // 1_000_000, UTC).date()
        print(f"hub: {late.name} holds back event {late.position} of {late.stream}, from {when}, and all after it")
    return 0
