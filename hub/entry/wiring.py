"""The only place that knows every ring: settings in, a Hub out; server, worker, commands and tests use it alike."""

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from hub.chain.blocks import JsonRpcChainLog
from hub.channels import ADAPTERS
from hub.channels.connecting import ChannelSettingRefused, OnChain, Surroundings
from hub.channels.stablecoin import CODE as STABLECOIN
from hub.channels.stablecoin import TEST_TOKEN
from hub.entry.chain import ChainSide
from hub.entry.checkout import CheckoutDesk
from hub.entry.connections import Connections
from hub.entry.event_documents import PartnerDocuments
from hub.entry.failpoints import VARIABLE, Failpoint
from hub.entry.setting_values import SqliteSync
from hub.entry.settings import SettingRefused, Settings
from hub.platforms.sandbox import SandboxPlatform
from hub.ports import Channel, Clock, Hub, Platform, Wakeups
from hub.sandbox.server import SandboxAddress
from hub.security.exchange import PartnerKeys
from hub.security.keys import MASTER_KEY, load_or_create
from hub.security.outgoing import Allowed, GuardedSender
from hub.security.signing import Cursors, SignedReceipts
from hub.security.tokens import UserTokens
from hub.security.vault import KeyVault
from hub.store.database import open_store
from hub.wakeups.memory import MemoryWakeups

LOOPBACK = ("127.0.0.1", "::1", "localhost")  # a partner that is being developed beside the hub
# The sandbox answers within this, or the outcome is UNKNOWN: chapter 05's budgets.
CONNECT_S, READ_S = 3.0, 10.0
# Calls of one adapter at once, and connections kept open after them: a slow provider's payments wait for no other.
CALLS_AT_ONCE, KEPT_OPEN = 1_000, 100


class SystemClock:
    """The machine's own clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000


def system_seed() -> bytes:
    """32 bytes of the system's randomness."""
    return secrets.token_bytes(32)


async def build(
    settings: Settings,
    side: ChainSide,
    *,
    sandbox: SandboxAddress | None = None,
    origin: str | None = None,
    **replacements: Any,
) -> Hub:
    """The Hub of these settings on a migrated database. `origin` is where this server listens, for notices;
    `replacements` are fields of the Hub that a test brings itself."""
    clock: Clock = replacements.get("clock") or SystemClock()
    failpoint = Failpoint(os.environ.get(VARIABLE) if not settings.is_production else None)
    wakeups: Wakeups = replacements.pop("wakeups", None) or _wakeups(settings)
    store = replacements.pop("store", None) or await open_store(
        settings.database,
        synchronous="NORMAL" if settings.sqlite_sync is SqliteSync.NORMAL else "FULL",
        moved=lambda stream: wakeups.publish(stream, 0),
        on_statement=replacements.pop("on_statement", None),
        on_step=failpoint.on_step if failpoint.is_set else None,
    )
    folder: dict[str, Any] = {
        "data": settings.data,
        "is_production": settings.is_production,
        "draw_seed": system_seed,
    }
    is_embedded = settings.chain_url is None
    desk = None if side.checkout is None else CheckoutDesk(side.checkout, side.keys.deployer.address, is_embedded)
    hub = Hub(
        store=store,
        channels=_channels(settings, sandbox, origin, clock, failpoint, desk),
        platforms=_platforms(sandbox, failpoint),
        chain=failpoint.around("chain", side.client),
        chain_log=JsonRpcChainLog(side.client, settings.chain_confirmations),
        wakeups=wakeups,
        clock=clock,
        vault=KeyVault.in_folder(**folder),
        receipts=SignedReceipts.in_folder(**folder),
        tokens=UserTokens.in_folder(**folder),
        partners=PartnerKeys(_client(), (*settings.jwks_http_hosts, *(() if settings.is_production else LOOPBACK))),
        cursors=Cursors.in_folder(**folder),
        event_documents=PartnerDocuments(),
        sender=failpoint.around("sender", GuardedSender(Allowed.of(settings.webhook_allow))),
        draw_seed=system_seed,
        owner=f"{os.getpid()}-{secrets.token_hex(4)}",
        is_production=settings.is_production,
        batch_after_ms=settings.chain_batch_ms,
        batch_size=settings.chain_batch_size,
        batch_values=settings.chain_batch_value,
        settles_at_once=settings.chain_instant,
        page_origins=_page_origins(settings, origin),
    )
    hub = replace(hub, **replacements)
    if desk is not None:
        desk.belong_to(hub)
    return hub


def _page_origins(settings: Settings, origin: str | None) -> tuple[str, ...]:
    """Pages that may ask for a wallet's signature: the hub's own, under each of its names, and those that may call."""
    public = settings.public_url.split("/", 3)
    return tuple(dict.fromkeys(("/".join(public[:3]), *((origin,) if origin else ()), *settings.allowed_origins)))


async def aclose(hub: Hub) -> None:
    """Close what `build` opened, the store late, as whatever is queued there is still committed, and told of."""
    for channel in hub.channels.values():
        await channel.aclose()
    for platform in hub.platforms.values():
        await platform.aclose()
    await hub.partners.aclose()
    await hub.sender.aclose()
    await hub.store.aclose()
    await hub.wakeups.aclose()


def _wakeups(settings: Settings) -> Wakeups:
    """How the processes on one database wake each other. Raises SettingRefused for a client that is not installed."""
    url, name = settings.wakeups, secrets.token_hex(8)
    extra = settings.wakeups_extra
    if extra is None:
        return MemoryWakeups()
    try:
        if extra == "nats":
            from hub.wakeups.nats import nats_wakeups as over
        else:
            from hub.wakeups.valkey import valkey_wakeups as over
    except ModuleNotFoundError as missing:
        install = f"pip install 'tongbao[{extra}]'"
        raise SettingRefused("HUB_WAKEUPS", f"needs the extra `{extra}` ({missing.name}): {install}") from None
    wakeups = over(url, name)
    wakeups.start()
    return wakeups


def _channels(
    settings: Settings,
    sandbox: SandboxAddress | None,
    origin: str | None,
    clock: Clock,
    failpoint: Failpoint,
    desk: CheckoutDesk | None = None,
) -> Mapping[str, Channel]:
    """Every channel that has settings; the sandbox's own address is its settings. Raises SettingRefused."""
    given = dict(settings.channels)
    origins = dict.fromkeys(given, settings.public_url)
    if sandbox is not None and not settings.is_production:
        given["sandbox"] = {
            "base_url": sandbox.base_url,
            "api_key": sandbox.api_key,
            "answer_secret": sandbox.answer_secret,
            "notice_secret": sandbox.notice_secret,
            "control_key": sandbox.control_key,
        }
        origins["sandbox"] = origin or ""
    if given.get(STABLECOIN, {}).get("token") == TEST_TOKEN:  # nobody's money: nobody has to be named for it
        given[STABLECOIN] = ({} if desk is None else {"treasury": desk.treasury}) | dict(given[STABLECOIN])
    on_chain = None if desk is None else desk.on_chain
    channels = {code: _channel(code, given[code], origins[code], clock, on_chain) for code in sorted(given)}
    for code, channel in channels.items():
        # Some tell by their keys alone, so that this is known no earlier.
        if settings.is_production and channel.capabilities.is_test_only:
            text = "its keys are of the provider's test mode: production does not start with them"
            raise SettingRefused(f"HUB_CHANNEL_{code.upper()}_*", text)
    return {code: failpoint.around("channel", channel) for code, channel in channels.items()}


def _channel(code: str, given: Mapping[str, str], origin: str, clock: Clock, on_chain: OnChain | None) -> Channel:
    notice_url = f"{origin}/channels/{code}/notices" if origin else None
    try:
        return ADAPTERS[code].connected(given, Surroundings(_client(), clock, system_seed, notice_url, on_chain))
    except ChannelSettingRefused as refused:
        raise SettingRefused(f"HUB_CHANNEL_{code.upper()}_{refused.setting.upper()}", refused.text) from None


def demand_startable(settings: Settings) -> None:
    """Refuse, before anything is touched, what this hub could not run with: keys of the other mode, and channels that
    this release or this mode does not have. Raises KeyRefused, SettingRefused."""
    load_or_create(settings.data / MASTER_KEY, is_production=settings.is_production, draw_seed=system_seed)
    for code in settings.channels:
        name = f"HUB_CHANNEL_{code.upper()}_*"
        if code not in ADAPTERS:
            raise SettingRefused(name, f"there is no channel {code!r} in this release: {', '.join(ADAPTERS)}")
        if settings.is_production and ADAPTERS[code].capabilities.is_test_only:
            raise SettingRefused(name, f"channel {code!r} moves no real money: production does not start with it")


def _platforms(sandbox: SandboxAddress | None, failpoint: Failpoint) -> Mapping[str, Platform]:
    if sandbox is None:
        return {}
    return {
        slug: failpoint.around(
            "platform",
            SandboxPlatform(slug=slug, base_url=address.base_url, api_key=address.api_key, client=_client()),
        )
        for slug, address in sandbox.platforms.items()
    }


def _client() -> httpx.AsyncClient:
    connections = Connections(most=CALLS_AT_ONCE, kept=KEPT_OPEN)
    return httpx.AsyncClient(timeout=httpx.Timeout(READ_S, connect=CONNECT_S), transport=connections, trust_env=False)
