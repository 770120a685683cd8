"""Every setting of the hub, read once: from its HUB_… variable, else its default. The commonest have a flag as well
(`--data --database --host --port`), which comes first.

The variable of a field is its name in capitals under HUB_: `chain_batch_ms` is HUB_CHAIN_BATCH_MS. Channels alone have
a prefix each: HUB_CHANNEL_STRIPE_SECRET_KEY is `channels["stripe"]["secret_key"]`. An empty variable counts as not set.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hub.domain.anchors import MAX_LEAVES
from hub.domain.money import Money
from hub.domain.people import ViewerKind
from hub.domain.records import KeyRole
from hub.entry.setting_values import BUSES, EVERYBODY, NOBODY, READERS, Entities, Mode, SqliteSync

DEFAULT_DATA = Path("hub-data")
DEFAULT_HOST = "127.0.0.1"  # nobody else's business until the operator says so
DEFAULT_PORT = 8000
DEFAULT_BATCH_MS = 30_000  # a buyer's proof is there within a minute, and a busy hub fills its batches
DEFAULT_NODE_TX_GAS = 8_000_000  # a loop that uses it all holds the embedded node's writer for seconds
DEFAULT_LOG_DAYS = 365  # a partner who comes back after a season away still finds its place
DEFAULT_CONFIRMATIONS = 12  # blocks: beyond any reorganisation that Ethereum's mainnet has seen since its merge
DEFAULT_MAX_FEE_WEI = 200 * 10**9  # a unit of gas; a batch then costs 0.0095 ether at most
# What one caller may ask for, in objects and rows: four of the dearest requests at once, and 25 pages of 100 rows a
# second in the long run.
DEFAULT_COST_MAXIMUM, DEFAULT_COST_RESTORE = 50_000, 2_500
DEFAULT_ATTEMPTS_PER_MINUTE = 120  # payments and sign-ins of one caller: nobody buys faster by hand
DEFAULT_SLOW_OPERATION_MS = 1_000
LIKE = 0.8  # a name so close to one of ours is a slip, and not another program's variable
CHANNEL_PREFIX = "HUB_CHANNEL_"
NOT_SETTINGS = ("HUB_FAILPOINT", "HUB_CHAIN_TEST_HOOKS")  # faults on demand, read where they strike
NOT_SETTINGS_PREFIX = "HUB_TEST_"  # what the tests use

_NO_FLAGS: Mapping[str, str | None] = MappingProxyType({})


class SettingRefused(Exception):
    """A setting that cannot be taken: `name` is the variable or flag, the text says what it should be.

    The value is repeated only where it cannot be a secret.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Settings:
    """What the wiring builds a hub from. Whatever may hold a password is left out of its repr."""

    mode: Mode
    data: Path  # folder of keys, of the embedded chain, and of the database if that is SQLite
    database: str = field(repr=False)  # sqlite:///PATH or postgresql://…
    sqlite_sync: SqliteSync
    wakeups: str = field(repr=False)  # "memory", or a bus: nats://…, redis://…, valkey://…
    log_retention_days: int  # events that are older leave the log for the archive
    metrics_port: int | None  # /metrics answers there alone; None: with everything else
    chain_url: str | None = field(repr=False)  # None: the embedded node
    chain_node_port: int | None  # of the embedded node on 127.0.0.1; None: the one it had, or any that is free
    chain_node_tx_gas: int  # most gas of a transaction that the embedded node takes
    chain_batch_ms: int  # an AnchorBatch closes so long after its first order; 0: each order at once
    chain_batch_size: int  # or when it has so many orders
    chain_instant: bool  # rights for a wallet are settled one by one at once, and not in a batch
    chain_batch_value: tuple[Money, ...]  # or when those that were sold come to so much in one currency
    chain_id: int | None  # the node must be of this chain; None: of whichever it says at the first start
    chain_gateway_password: str | None = field(repr=False)  # opens the gateway's key if that is a keystore file
    chain_deployer_password: str | None = field(repr=False)
    chain_revoker_password: str | None = field(repr=False)
    chain_seller_password: str | None = field(repr=False)
    chain_pauser_password: str | None = field(repr=False)
    chain_signer_password: str | None = field(repr=False)
    chain_former_password: str | None = field(repr=False)
    chain_signer_url: str | None = field(repr=False)  # a signing service that holds keys; None: all are files
    chain_signer_addresses: tuple[tuple[KeyRole, str], ...]  # the accounts that it holds, by what they are for
    chain_max_fee_wei: int  # a unit of gas; dearer blocks are waited out
    chain_confirmations: int | str  # blocks, a transaction's own among them, or "safe": what the node calls safe
    documents: str  # "open": any within the limits; "apq": these by their hash too; "trusted": those of manifests alone
    documents_manifest: tuple[Path, ...]  # files of trusted documents, as clients' build tools write them
    documents_cache: tuple[tuple[str, int], ...]  # trusted operation, seconds that its answer may be kept
    host: str  # address to listen on
    port: int  # 0: any that is free
    public_url: str  # what others call this hub, without a slash at the end
    allowed_origins: tuple[str, ...]  # web pages of other origins that may call; none: public_url's alone
    webhook_allow: tuple[str, ...]  # hosts and networks that webhooks may reach although they are not public
    introspection: frozenset[ViewerKind]  # who may ask for the schema
    graphiql: frozenset[ViewerKind]  # who gets the page
    get: bool  # whether queries may come by GET
    jwks_http_hosts: tuple[str, ...]  # whose key sets may be fetched without TLS; in development loopback's too
    entities: Entities
    gateway_secret: tuple[str, ...] = field(repr=False)  # what the gateway signs with: the new one, the old one
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]  # peers whose X-Forwarded-For names the caller
    cost_maximum: int  # what one caller's bucket holds, in objects and rows
    cost_restore: int  # what flows back into it in a second
    attempts_per_minute: int  # payments and sign-ins of one caller, and as many at once
    slow_operation_ms: int  # an operation that takes longer is counted and written to the log
    channels: Mapping[str, Mapping[str, str]] = field(repr=False)  # code → its settings, both in small letters
    unknown: tuple[str, ...]  # names of HUB_… variables that mean nothing here: to be shown at start

    @property
    def is_production(self) -> bool:
        return self.mode is Mode.PRODUCTION

    @property
    def wakeups_extra(self) -> str | None:
        """The extra that brings the bus's client; None without a bus."""
        return BUSES.get(self.wakeups.partition("://")[0])

    @property
    def sqlite_path(self) -> Path | None:
        """The database's file; None if it is not SQLite."""
        scheme, _, path = self.database.partition(":///")
        return Path(path) if scheme == "sqlite" else None


def read_settings(environ: Mapping[str, str], flags: Mapping[str, str | None] = _NO_FLAGS) -> Settings:
    """The settings in force. `flags` holds, by field name, what the command line gave (None: not given; names of no
    setting are left alone, so a parser's whole namespace may be handed in).

    Raises SettingRefused for a value that cannot be taken, and for a variable whose name is nearly one of ours: taken
    for unknown, HUB_MOD=production would start a development hub. Reads nothing but its arguments.
    """
    unknown = _unknown(environ)
    given = {
        name: value for name, read in READERS.items() if (value := _value(name, read, environ, flags)) is not None
    }
    data = given.get("data", DEFAULT_DATA)
    host, port = given.get("host", DEFAULT_HOST), given.get("port", DEFAULT_PORT)
    is_open = given.get("mode") is not Mode.PRODUCTION
    defaults: dict[str, Any] = {
        "mode": Mode.DEVELOPMENT,
        "data": data,
        "database": f"sqlite:///{data / 'hub.sqlite3'}",
        "sqlite_sync": SqliteSync.FULL,
        "wakeups": "memory",
        "log_retention_days": DEFAULT_LOG_DAYS,
        "metrics_port": None,
        "chain_url": None,
        "chain_node_port": None,
        "chain_node_tx_gas": DEFAULT_NODE_TX_GAS,
        "chain_gateway_password": None,
        "chain_deployer_password": None,
        "chain_revoker_password": None,
        "chain_seller_password": None,
        "chain_pauser_password": None,
        "chain_signer_password": None,
        "chain_former_password": None,
        "chain_signer_url": None,
        "chain_signer_addresses": (),
        "chain_batch_ms": DEFAULT_BATCH_MS,
        "chain_batch_size": MAX_LEAVES,
        "chain_batch_value": (),
        "chain_instant": False,
        "chain_id": None,
        "chain_max_fee_wei": DEFAULT_MAX_FEE_WEI,
        "chain_confirmations": DEFAULT_CONFIRMATIONS,
        "documents": "open",
        "documents_manifest": (),
        "documents_cache": (),
        "host": host,
        "port": port,
        "public_url": url_of(host, port),
        "allowed_origins": (),
        "webhook_allow": (),
        "introspection": EVERYBODY if is_open else NOBODY,
        "graphiql": EVERYBODY if is_open else NOBODY,
        "get": is_open,
        "jwks_http_hosts": (),
        "entities": Entities.OPEN if is_open else Entities.OFF,
        "gateway_secret": (),
        "trusted_proxies": (),
        "cost_maximum": DEFAULT_COST_MAXIMUM,
        "cost_restore": DEFAULT_COST_RESTORE,
        "attempts_per_minute": DEFAULT_ATTEMPTS_PER_MINUTE,
        "slow_operation_ms": DEFAULT_SLOW_OPERATION_MS,
    }
    return _of_gateway(_of_documents(Settings(**defaults | given, channels=_channels(environ), unknown=unknown)))


def _of_documents(settings: Settings) -> Settings:
    """The settings, if those about documents fit each other. Where documents are trusted, only operators may send
    others, so introspection and the page that lives on it are theirs alone."""
    if settings.documents != "trusted":
        for name in ("documents_manifest", "documents_cache"):
            if getattr(settings, name):
                raise SettingRefused(_variable(name), "is for HUB_DOCUMENTS=trusted alone")
        return settings
    if not settings.documents_manifest:
        raise SettingRefused("HUB_DOCUMENTS", "`trusted` needs HUB_DOCUMENTS_MANIFEST: a file with the documents")
    if settings.documents_cache and not settings.get:
        raise SettingRefused("HUB_DOCUMENTS_CACHE", "needs HUB_GET=true: answers to a POST are not kept by anybody")
    operators = frozenset({ViewerKind.OPERATOR})
    return replace(
        settings, introspection=settings.introspection & operators, graphiql=settings.graphiql & operators
    )  # fmt: skip


def _of_gateway(settings: Settings) -> Settings:
    """The settings, if there is a secret where signatures are checked, and none where nobody would look at one."""
    if (settings.entities in (Entities.SIGNED, Entities.HIVE)) != bool(settings.gateway_secret):
        raise SettingRefused("HUB_GATEWAY_SECRET", "goes with HUB_ENTITIES=signed or hive, and they with it")
    return settings


def url_of(host: str, port: int) -> str:
    """Where a server on this address answers from this machine; an address of all interfaces is called by loopback."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{named}]:{port}" if ":" in named else f"http://{named}:{port}"


def _value(
    name: str, read: Callable[[str], Any], environ: Mapping[str, str], flags: Mapping[str, str | None]
) -> Any | None:
    source, text = f"--{name.replace('_', '-')}", flags.get(name)
    if text is None:
        source, text = _variable(name), environ.get(_variable(name)) or None
    if text is None:
        return None
    if not text:
        raise SettingRefused(source, "must not be empty")
    try:
        return read(text)
    except ValueError as error:
        raise SettingRefused(source, str(error)) from None


def _channels(environ: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    channels: dict[str, dict[str, str]] = {}
    for variable in sorted(environ):
        if variable.startswith(CHANNEL_PREFIX) and environ[variable]:
            code, _, name = variable.removeprefix(CHANNEL_PREFIX).lower().partition("_")
            if not code or not name:
                raise SettingRefused(variable, "a channel's setting is HUB_CHANNEL_<CODE>_<SETTING>")
            channels.setdefault(code, {})[name] = environ[variable]
    return MappingProxyType({code: MappingProxyType(settings) for code, settings in channels.items()})


def _unknown(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Names that mean nothing here. Raises SettingRefused for the first that looks like a slip."""
    known = {*map(_variable, READERS), *NOT_SETTINGS}
    strangers = sorted(
        name
        for name in environ
        if name.startswith("HUB_") and name not in known and not name.startswith((CHANNEL_PREFIX, NOT_SETTINGS_PREFIX))
    )
    for name in strangers:
        if get_close_matches(name[: len(CHANNEL_PREFIX)], [CHANNEL_PREFIX], cutoff=LIKE):
            raise SettingRefused(name, f"there is no such setting: did you mean {CHANNEL_PREFIX}<CODE>_<SETTING>?")
        if alike := get_close_matches(name, known, n=1, cutoff=LIKE):
            raise SettingRefused(name, f"there is no such setting: did you mean {alike[0]}?")
    return tuple(strangers)


def _variable(name: str) -> str:
    return f"HUB_{name.upper()}"
