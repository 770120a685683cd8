"""Partners' signatures: checked under keys of theirs that are pinned by where they come from, and nothing else.

Of a token's header two things are looked at: `alg`, which has to be one of the issuer's own, and `kid`, which is only
ever compared with the names in a key set. What else stands there (`jku`, `x5u`, `jwk`, …) is never read, and the
addresses of key sets come from operators alone.
"""

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from hub.domain.exchange import Signed
from hub.domain.issuers import ALGORITHMS, MAX_JWKS, MAX_URL, KeySource
from hub.ports import KeysUnavailable, SignatureNotTaken
from hub.security.jws import unbase64url

log = logging.getLogger(__name__)

FRESH_US = 600 * 1_000_000  # a key that its owner withdrew counts for ten minutes at most
STALE_US = 24 * 3600 * 1_000_000  # while its owner cannot be reached, a key set counts for a day
REFETCH_US = 60 * 1_000_000  # whoever makes up a `kid` makes the hub ask once a minute, and no more
RETRY_US = 5 * 1_000_000  # after a fetch that failed
FETCH_S = 5.0  # a learner waits for it
MAX_DOCUMENT = 64 * 1024  # bytes; a key set of twenty RSA keys has about 16 KB
MAX_KEYS = 32  # of a set: each may be tried
MAX_SETS = 512  # remembered; one or two a partner
MAX_TOKEN = 8192  # characters of a JWT
MAX_HEADER = 2048  # characters of its header: certificates may stand in it
RSA_BITS = (2048, 8192)  # weaker is no proof, and stronger is a way to keep a processor busy

# Packed, a short answer could be a long one.
_PLAIN = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}

PublicKey = ECKey | RSAKey | OKPKey
_KINDS: dict[str, type[PublicKey]] = {"ES": ECKey, "RS": RSAKey, "PS": RSAKey, "Ed": OKPKey}


class PartnerKeys:
    """The PartnerTokens port. One per process: it remembers key sets."""

    def __init__(self, client: httpx.AsyncClient, http_hosts: Sequence[str] = ()) -> None:
        """`client` neither follows redirects nor heeds the environment's proxies; `http_hosts` are the only ones that
        are asked without TLS."""
        self._client = client
        self._http_hosts = frozenset(http_hosts)
        self._sets: OrderedDict[str, _Fetched] = OrderedDict()

    def source_fault(self, source: KeySource) -> str | None:
        """Why keys cannot come from there; None: they can, as far as one sees without asking."""
        if (source.url is None) == (source.jwks is None):
            return "give either the address of a key set or the set itself"
        if source.url is not None:
            return self._address_fault(source.url)
        assert source.jwks is not None
        if len(source.jwks) > MAX_JWKS:
            return f"a key set has at most {MAX_JWKS} characters"
        return None if _given(source.jwks) else "the key set holds no usable public key"

    async def signed(self, text: str, source: KeySource, algorithms: Sequence[str], now_us: int) -> Signed:
        """Raises SignatureNotTaken, KeysUnavailable."""
        header, claims, message, signature = _parts(text)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in algorithms or algorithm not in ALGORITHMS:
            raise SignatureNotTaken("alg is none of those that are agreed on")
        if "crit" in header or "b64" in header:
            raise SignatureNotTaken("its header demands what is not understood here")
        if not isinstance(kid, str | None):
            raise SignatureNotTaken("kid is a text")
        if not any(_fits(key, algorithm, message, signature) for key in await self._named(source, kid, now_us)):
            raise SignatureNotTaken("the signature does not fit")
        kind = str(header.get("typ", "")).lower().removeprefix("application/")
        return Signed(kind, claims, hashlib.sha256(message).hexdigest())

    def said(self, text: str, claim: str) -> str | None:
        """What it says under a claim, before anything is checked: good for finding whose keys to check it with."""
        try:
            value = _parts(text)[1].get(claim)
        except SignatureNotTaken:
            return None
        return value if isinstance(value, str) else None

    async def aclose(self) -> None:
        await self._client.aclose()

    # ---- key sets ------------------------------------------------------------------------------------------------

    async def _named(self, source: KeySource, kid: str | None, now_us: int) -> "list[PublicKey]":
        """The keys of that name; without a name the only key of the set."""
        if source.jwks is not None:
            return _under(_given(source.jwks), kid)
        assert source.url is not None
        fetched = self._sets.setdefault(source.url, _Fetched())
        self._sets.move_to_end(source.url)
        if len(self._sets) > MAX_SETS:
            self._sets.popitem(last=False)
        if not fetched.is_younger(FRESH_US, now_us) or not _under(fetched.keys, kid):
            await self._refetch(source.url, fetched, now_us)
        if not fetched.is_younger(STALE_US, now_us):
            raise KeysUnavailable("the platform's keys cannot be had: try again later")
        return _under(fetched.keys, kid)

    async def _refetch(self, url: str, fetched: "_Fetched", now_us: int) -> None:
        """Ask for the set anew, if that is due; what is known stays known if there is no answer."""
        async with fetched.lock:
            if fetched.tried_at_us is not None and 0 <= now_us - fetched.tried_at_us < fetched.wait_us:
                return
            fetched.tried_at_us, fetched.wait_us = now_us, RETRY_US
            try:
                keys = _keys_of(await self._document(url))
            except (httpx.HTTPError, TimeoutError, ValueError) as fault:
                log.warning("a key set could not be fetched", extra={"url": url, "fault": type(fault).__name__})
                return
            if keys:
                fetched.keys, fetched.fetched_at_us, fetched.wait_us = keys, now_us, REFETCH_US

    async def _document(self, url: str) -> bytes:
        """The body at that address. Raises ValueError for another answer than a short 200."""
        if self._address_fault(url):
            raise ValueError("not an address that may be asked")
        async with asyncio.timeout(FETCH_S):
            async with self._client.stream("GET", url, headers=_PLAIN) as answer:
                if answer.status_code != 200 or "content-encoding" in answer.headers:
                    raise ValueError("not an answer")
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_DOCUMENT:
                        raise ValueError("too long")
                return body

    def _address_fault(self, url: str) -> str | None:
        try:
            parts = urlsplit(url)
            is_whole = bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
        except ValueError:
            is_whole = False
        if not is_whole or "@" in parts.netloc or parts.fragment or len(url) > MAX_URL:
            return f"a whole address without user or fragment, at most {MAX_URL} characters"
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in self._http_hosts):
            return None
        return "the address begins with https://"


@dataclass(slots=True)
class _Fetched:
    """A key set that was fetched, and when it was last tried."""

    keys: "list[tuple[str | None, PublicKey]]" = field(default_factory=list)
    fetched_at_us: int | None = None
    tried_at_us: int | None = None
    wait_us: int = RETRY_US
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def is_younger(self, than_us: int, now_us: int) -> bool:
        return self.fetched_at_us is not None and abs(now_us - self.fetched_at_us) < than_us


def _keys_of(document: bytes) -> "list[tuple[str | None, PublicKey]]":
    """The public keys of a JWKS document that may sign, by name; whatever else stands in it is passed over."""
    try:
        told = json.loads(document)
    except (ValueError, RecursionError):
        return []
    listed = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(listed, list):
        return []
    usable = [(jwk, _usable(jwk)) for jwk in listed[:MAX_KEYS] if isinstance(jwk, dict)]
    return [(jwk.get("kid"), key) for jwk, key in usable if key is not None]


@lru_cache(maxsize=MAX_SETS)
def _given(jwks: str) -> "list[tuple[str | None, PublicKey]]":
    """Of a set that was given as text."""
    return _keys_of(jwks.encode("utf-8", "replace"))


def _usable(jwk: dict[str, Any]) -> PublicKey | None:
    """The key, if it is public, asymmetric, strong and meant for signatures."""
    if jwk.get("use", "sig") != "sig" or "d" in jwk or "k" in jwk or not isinstance(jwk.get("kid"), str | None):
        return None
    try:
        if jwk.get("kty") == "RSA":
            modulus = int.from_bytes(unbase64url(jwk["n"]))
            if not RSA_BITS[0] <= modulus.bit_length() <= RSA_BITS[1]:
                return None
        key = JWKRegistry.import_key(jwk)
        return key if isinstance(key, ECKey | RSAKey | OKPKey) else None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError, UnsupportedAlgorithm):
        return None


def _under(keys: "list[tuple[str | None, PublicKey]]", kid: str | None) -> list[PublicKey]:
    if kid is None:
        return [key for _, key in keys] if len(keys) == 1 else []
    return [key for name, key in keys if name == kid]


def _fits(key: PublicKey, algorithm: str, message: bytes, signature: bytes) -> bool:
    """Whether it is this key's signature by this algorithm; a key of another kind, or kept for another use, is not."""
    if not isinstance(key, _KINDS[algorithm[:2]]):
        return False
    if isinstance(key, OKPKey) and not isinstance(key.public_key, Ed25519PublicKey):
        return False
    try:
        key.check_alg(algorithm)
        model = _REGISTRY.get_alg("Ed25519" if algorithm == "EdDSA" else algorithm)
        model.check_key(key)
        return bool(model.verify(message, signature, key))
    except (JoseError, ValueError, TypeError):
        return False


_REGISTRY = JWSRegistry(algorithms=ALGORITHMS)


def _parts(text: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, the words that are signed, and the signature. Raises SignatureNotTaken."""
    segments = text.split(".")
    if len(text) > MAX_TOKEN or len(segments) != 3 or len(segments[0]) > MAX_HEADER:
        raise SignatureNotTaken("it is no signed JWT of the usual size")
    try:
        header, claims = (json.loads(unbase64url(segment)) for segment in segments[:2])
        signature = unbase64url(segments[2])
    except (ValueError, RecursionError):
        raise SignatureNotTaken("it is no signed JWT") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise SignatureNotTaken("it is no signed JWT")
    return header, claims, f"{segments[0]}.{segments[1]}".encode(), signature
