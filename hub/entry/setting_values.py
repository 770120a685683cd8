"""What the text of each setting means. A reader raises ValueError that says what the value should be; the value is
repeated only where it cannot be a secret.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, urlsplit

from hub.domain.anchors import MAX_LEAVES
from hub.domain.money import Money, from_decimal
from hub.domain.people import ViewerKind
from hub.domain.records import KeyRole
from hub.entry.pricing import MAX_COST

MIN_NODE_TX_GAS, MAX_NODE_TX_GAS = 5_000_000, 16_777_216  # our contracts' deployment; EIP-7825
MAX_BATCH_MS = 24 * 3600 * 1000  # a receipt without a leaf for longer than a day is a breach that anybody can prove
MAX_LOG_DAYS = 36_500
MAX_CONFIRMATIONS = 1_000
MAX_CACHE_S = 24 * 3600  # a page of the catalogue that is older than a day misleads
MAX_RATE = 10**9  # as good as no bound
EVERYBODY, NOBODY = frozenset(ViewerKind), frozenset[ViewerKind]()
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)  # an account on any chain here
# Scheme of a bus → the extra that brings its client.
BUSES: Mapping[str, str] = MappingProxyType({
    "nats": "nats", "tls": "nats", "redis": "valkey", "rediss": "valkey", "valkey": "valkey", "valkeys": "valkey",
})  # fmt: skip


class Mode(StrEnum):
    """Production refuses the sandbox, `hub token` and keys made in development."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Entities(StrEnum):
    """Who may ask for `_entities`: nobody, everybody, or a gateway that signs its requests in one of two ways."""

    OFF = "off"
    OPEN = "open"
    SIGNED = "signed"
    HIVE = "hive"


class SqliteSync(StrEnum):
    """FULL keeps every commit through a power loss; NORMAL through a killed process only, and is a quarter faster."""

    FULL = "full"
    NORMAL = "normal"


def _mode(text: str) -> Mode:
    return Mode(_one_of(text, *Mode))


def _data(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"the home folder of {text!r} is not known: give a full path") from None


def _database(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if scheme == "sqlite" and separator and rest.startswith("/") and rest.strip("/") not in ("", ":memory:"):
        return text
    if scheme == "postgresql" and separator and rest:
        return text
    raise ValueError("must be sqlite:///PATH (a file) or postgresql://USER:PASSWORD@HOST/DATABASE")


def _sqlite_sync(text: str) -> SqliteSync:
    return SqliteSync(_one_of(text, *SqliteSync))


def _wakeups(text: str) -> str:
    if text == "memory":
        return text
    if text.partition("://")[0] not in BUSES:
        raise ValueError(f"must be `memory` or the URL of a bus: {', '.join(f'{scheme}://' for scheme in BUSES)}")
    _split(text)
    return text


def _log_retention_days(text: str) -> int:
    return _integer(text, 1, MAX_LOG_DAYS, "days")


def _chain_url(text: str) -> str:
    if _split(text).scheme not in ("http", "https"):
        raise ValueError("must be an http:// or https:// URL of an EVM node's JSON-RPC")
    return text


def _chain_signer_addresses(text: str) -> tuple[tuple[KeyRole, str], ...]:
    addresses = {}
    for part in text.split(","):
        name, _, address = part.strip().partition("=")
        if name not in [*KeyRole] or not ADDRESS.fullmatch(address):
            raise ValueError(f"roles with their accounts, as gateway=0x…,revoker=0x…; the roles: {', '.join(KeyRole)}")
        addresses[KeyRole(name)] = address
    return tuple(addresses.items())


def _chain_node_tx_gas(text: str) -> int:
    return _integer(text, MIN_NODE_TX_GAS, MAX_NODE_TX_GAS, "gas")


def _chain_batch_ms(text: str) -> int:
    return _integer(text, 0, MAX_BATCH_MS, "milliseconds")


def _chain_batch_size(text: str) -> int:
    return _integer(text, 1, MAX_LEAVES, "orders")


def _chain_batch_value(text: str) -> tuple[Money, ...]:
    found: dict[str, Money] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        currency, _, amount = part.partition(":")
        if currency in found:
            raise ValueError(f"names {currency} twice")
        found[currency] = from_decimal(amount, currency)
    return tuple(found.values())


def _chain_id(text: str) -> int:
    return _integer(text, 1, 2**63 - 1, "a chain's id")


def _chain_max_fee_wei(text: str) -> int:
    return _integer(text, 1, 2**63 - 1, "wei")


def _chain_confirmations(text: str) -> int | str:
    return text if text == "safe" else _integer(text, 1, MAX_CONFIRMATIONS, "safe, or blocks")


def _documents(text: str) -> str:
    return _one_of(text, "open", "apq", "trusted")


def _documents_manifest(text: str) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(_data(path.strip()) for path in text.split(",") if path.strip()))


def _documents_cache(text: str) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, seconds = part.partition(":")
        if not re.fullmatch("[_A-Za-z][_0-9A-Za-z]*", name) or name in found:
            raise ValueError(f"must be operations with seconds such as Courses:60, parted by commas, not {part!r}")
        found[name] = _integer(seconds, 1, MAX_CACHE_S, "seconds")
    return tuple(found.items())


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", text) or text.count(":") == 1:  # an IPv6 address has more
        raise ValueError(f"must be a name or address without scheme or port, such as 0.0.0.0, not {text!r}")
    return text


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_host(part.strip()).lower() for part in text.split(",") if part.strip()))


def _port(text: str) -> int:
    return _integer(text, 0, 65_535, "the number of a port")


def _public_url(text: str) -> str:
    return _origin(
        text, "must be http:// or https:// with a host, such as https://hub.example, without path or password"
    )


def _allowed_origins(text: str) -> tuple[str, ...]:
    origins = [origin.strip() for origin in text.split(",")]
    otherwise = "must be origins such as https://shop.example, parted by commas, each written out: no * and no path"
    return tuple(dict.fromkeys(_origin(origin, otherwise) for origin in origins if origin))


def _gateway_secret(text: str) -> tuple[str, ...]:
    secrets = tuple(text.split(","))
    if len(secrets) > 2 or any(not re.fullmatch(r"[!-~]{32,256}", secret) for secret in secrets):
        raise ValueError("must be 32 to 256 ASCII characters without space and comma, or two of that parted by a comma")
    return secrets


def _trusted_proxies(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(dict.fromkeys(ip_network(part.strip()) for part in text.split(",") if part.strip()))
    except ValueError:
        raise ValueError(f"must be addresses or networks such as 10.0.0.0/8, parted by commas, not {text!r}") from None


def _webhook_allow(text: str) -> tuple[str, ...]:
    entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
    for entry in entries:
        try:
            ip_network(entry, strict=False)
        except ValueError:
            if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", entry):
                raise ValueError(
                    "must be names, addresses or networks such as receiver.internal, 10.1.0.0/16, parted by commas"
                ) from None
    return tuple(dict.fromkeys(entries))


def _yes(text: str) -> bool:
    return _one_of(text, "true", "false") == "true"


def _viewers(text: str) -> frozenset[ViewerKind]:
    if text in ("true", "false"):
        return EVERYBODY if text == "true" else NOBODY
    try:
        return frozenset(ViewerKind[kind.strip()] for kind in text.upper().split(","))
    except KeyError:
        kinds = ", ".join(kind.lower() for kind in ViewerKind)
        raise ValueError(f"must be `true`, `false` or some of {kinds}, parted by commas, not {text!r}") from None


def _one_of(text: str, *choices: str) -> str:
    if text not in choices:
        wanted = " or ".join(f"`{choice}`" for choice in choices)
        raise ValueError(f"must be {wanted}, not {text!r}")
    return text


def _integer(text: str, lowest: int, highest: int, unit: str) -> int:
    number = int(text) if re.fullmatch("[0-9]{1,20}", text) else -1
    if not lowest <= number <= highest:
        raise ValueError(f"must be {unit} from {lowest} to {highest}, not {text!r}")
    return number


def _origin(text: str, otherwise: str) -> str:
    """Scheme, host and port as browsers write them; ValueError(otherwise) if there is more or less."""
    parts = _split(text)
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or has_more or "*" in text:
        raise ValueError(otherwise)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _split(text: str) -> SplitResult:
    """A URL's parts; ValueError, without the URL, if it has no host or a port that is none."""
    try:
        parts = urlsplit(text)
        is_whole = parts.hostname and parts.port != 0 and not re.search(r"\s", text)
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError("must be a whole URL, such as https://host.example:8000")
    return parts


READERS: Mapping[str, Callable[[str], Any]] = {
    "mode": _mode,
    "data": _data,
    "database": _database,
    "sqlite_sync": _sqlite_sync,
    "wakeups": _wakeups,
    "log_retention_days": _log_retention_days,
    "metrics_port": _port,
    "chain_url": _chain_url,
    "chain_node_port": _port,
    "chain_node_tx_gas": _chain_node_tx_gas,
    "chain_gateway_password": str,
    "chain_deployer_password": str,
    "chain_revoker_password": str,
    "chain_seller_password": str,
    "chain_pauser_password": str,
    "chain_signer_password": str,
    "chain_former_password": str,
    "chain_signer_url": _chain_url,
    "chain_signer_addresses": _chain_signer_addresses,
    "chain_batch_ms": _chain_batch_ms,
    "chain_batch_size": _chain_batch_size,
    "chain_batch_value": _chain_batch_value,
    "chain_instant": _yes,
    "chain_id": _chain_id,
    "chain_max_fee_wei": _chain_max_fee_wei,
    "chain_confirmations": _chain_confirmations,
    "documents": _documents,
    "documents_manifest": _documents_manifest,
    "documents_cache": _documents_cache,
    "host": _host,
    "port": _port,
    "public_url": _public_url,
    "allowed_origins": _allowed_origins,
    "webhook_allow": _webhook_allow,
    "introspection": _viewers,
    "graphiql": _viewers,
    "get": _yes,
    "jwks_http_hosts": _hosts,
    "entities": lambda text: Entities(_one_of(text, *Entities)),
    "gateway_secret": _gateway_secret,
    "trusted_proxies": _trusted_proxies,
    "cost_maximum": lambda text: _integer(text, MAX_COST, MAX_RATE, "objects and rows"),
    "cost_restore": lambda text: _integer(text, 1, MAX_RATE, "objects and rows a second"),
    "attempts_per_minute": lambda text: _integer(text, 1, MAX_RATE, "payments and sign-ins a minute"),
    "slow_operation_ms": lambda text: _integer(text, 0, MAX_RATE, "milliseconds"),
}
