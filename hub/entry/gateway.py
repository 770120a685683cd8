"""Whether a request comes from the federation gateway, which may ask for `_entities` and `_service`.

    HUB_ENTITIES=off      nobody may
                 open     everybody may: nobody else reaches the hub, or mutual TLS ends in front of it
                 signed   whoever signs each request with HUB_GATEWAY_SECRET: Authorization, query string and body,
                          together with the time, in the header `Hub-Gateway-Signature: t=SECONDS,v1=HEX`
                 hive     whoever signs as Hive Gateway's own `hmacSignature` does: document and variables, no time

A signature lets a request ask. What it is given is what its Authorization may see, as by every other door.
"""

import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from starlette.requests import Request

from hub.domain.people import Viewer
from hub.entry.setting_values import Entities
from hub.entry.settings import Settings
from hub.ports import Clock
from resolvers.context import GATEWAY_FIELDS

HEADER = "Hub-Gateway-Signature"
HIVE_EXTENSION = "hmac-signature"
# Seconds that a signature is good for, before and after its time: what clocks that are looked after differ by, and the
# time a request takes. Whoever repeats one within it learns what its Authorization may read, and changes nothing.
SIGNED_WITHIN_S = 300

_SIGNATURE = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


class Signed(Protocol):
    """As much of a GraphQL request as Hive signs."""

    @property
    def query(self) -> str | None: ...
    @property
    def variables(self) -> dict[str, Any] | None: ...
    @property
    def extensions(self) -> dict[str, Any] | None: ...


class Gateway:
    """Tells the gateway's requests from others."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._secrets = [secret.encode() for secret in settings.gateway_secret]

    async def fields(self, request: Request, asked: Signed, viewer: Viewer) -> frozenset[str]:
        """Those of GATEWAY_FIELDS that this HTTP request may ask for. `_service` tells the schema, so it is for those
        who may introspect as well."""
        mode = self._settings.entities
        if mode is Entities.OFF:
            return frozenset()
        if mode is not Entities.OPEN and await self._is_signed(request, asked):
            return GATEWAY_FIELDS
        may_have = {"_entities": mode is Entities.OPEN, "_service": viewer.kind in self._settings.introspection}
        return frozenset(name for name in GATEWAY_FIELDS if may_have[name])

    async def _is_signed(self, request: Request, asked: Signed) -> bool:
        if self._settings.entities is Entities.HIVE:
            return is_signed_by_hive(self._secrets, asked)
        return is_signed_with_time(
            self._secrets,
            request.headers.get(HEADER),
            signed_bytes(request.headers.get("authorization"), request.scope["query_string"], await request.body()),
            self._clock.now_us() // 1_000_000,
        )


def signed_bytes(authorization: str | None, query_string: bytes, body: bytes) -> bytes:
    """What stands behind the time in the text that is signed: a line each, the body last."""
    return b"\n".join([(authorization or "").encode("latin-1"), query_string, body])


def signature_of(secret: bytes, signed: bytes, at_s: int) -> str:
    """The header's value for a request that is sent at this second since 1970."""
    digest = hmac.new(secret, b"%d\n%b" % (at_s, signed), hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def is_signed_with_time(secrets: Iterable[bytes], header: str | None, signed: bytes, now_s: int) -> bool:
    parts = _SIGNATURE.fullmatch(header or "")
    if parts is None or abs(now_s - int(parts[1])) > SIGNED_WITHIN_S:
        return False
    return _is_one_of(parts[0], [signature_of(secret, signed, int(parts[1])) for secret in secrets])


def is_signed_by_hive(secrets: Iterable[bytes], asked: Signed) -> bool:
    given = (asked.extensions or {}).get(HIVE_EXTENSION)
    if not isinstance(given, str):
        return False
    text = canonical({"query": asked.query} | ({"variables": asked.variables} if asked.variables else {}))
    return _is_one_of(given, [hive_signature_of(secret, text) for secret in secrets])


def hive_signature_of(secret: bytes, text: bytes) -> str:
    return b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()


def canonical(params: Mapping[str, Any]) -> bytes:
    """JSON as Hive signs it: sorted names, no spaces, characters as they are. Numbers with a fraction may be written
    otherwise there; no input of this schema has one."""
    text = json.dumps(params, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _is_one_of(given: str, right: list[str]) -> bool:
    said = given.encode("utf-8", "surrogatepass")
    return any(hmac.compare_digest(said, each.encode()) for each in right)
