"""Who is asking: tokens that the hub signs for users, and API keys of platforms and operators.

A user token is checked without the database. An API key is looked up by its id and compared by hash, so a stolen
database holds no key that could be used. No exception of this module ever holds a token or a secret.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from hub.domain.ids import ALPHABET, ID_LENGTH, Draw, base32, kind_of
from hub.domain.issuers import ACCESS_TOKEN_S, TrustedIssuer
from hub.domain.keys import NewApiKey
from hub.domain.people import LEARNER_SCOPES, Viewer, ViewerKind
from hub.ports import TokenProblem, TokenRefused
from hub.security.jws import SignatureRefused, SigningKey, base64url, unbase64url, verify
from hub.security.keys import TOKEN_KEY, Key, load_or_create
from hub.security.vault import KeyVault

ISSUER = "tongbao"
AUDIENCE = "tongbao/graphql"
TYPE = "at+jwt"  # RFC 9068: an access token, so that no receipt passes for one
MAX_LIFETIME_S = 30 * 24 * 3600  # nothing revokes a token before it ends
CLOCK_LEEWAY_S = 5  # two machines of one hub may disagree so much about when a token began; its end has no leeway
MAX_REMEMBERED = 4096  # verified tokens: about 3 MB; beyond it the longest unused is checked anew

_CLAIMS = {"iss", "aud", "sub", "scopes", "iat", "nbf", "exp"}
# Of a token that a partner got: it passes through the partner's hands, so `sub` is the name by which the partner knows
# the user, and who that is here is sealed in `usr`. `act` and `client_id` name the partner (RFC 8693, RFC 9068).
_EXCHANGED = _CLAIMS | {"usr", "act", "client_id"}

SECRET_LENGTH = 52  # characters of base 32: 256 bits need no slow hash
_API_KEY = re.compile(rf"hub_live_([{ALPHABET}]{{{ID_LENGTH}}})_([{ALPHABET}]{{{SECRET_LENGTH}}})")


@dataclass(frozen=True, slots=True)
class _Claims:
    """A token's word, its signature checked; times in microseconds since 1970."""

    viewer: Viewer
    begins_at_us: int
    ends_at_us: int


class UserTokens:
    """Signs and verifies user tokens. One per process: it remembers what it has verified."""

    def __init__(self, key: Key) -> None:
        self.is_development = key.is_development
        self._key = SigningKey(key, "user tokens")
        self._sealed = KeyVault(key)
        self._verified: dict[bytes, _Claims] = {}

    @classmethod
    def in_folder(cls, data: Path, *, is_production: bool, draw_seed: Callable[[], bytes]) -> "UserTokens":
        """The tokens of a data folder; their key is made there at first start. Raises KeyRefused."""
        return cls(load_or_create(data / TOKEN_KEY, is_production=is_production, draw_seed=draw_seed))

    def new_api_key(self, draw: Draw) -> NewApiKey:
        """A fresh API key, the same for the same draw."""
        return new_api_key(draw)

    def issue_user_token(
        self, user_id: str, now_us: int, lifetime_s: int, scopes: frozenset[str] = LEARNER_SCOPES
    ) -> str:
        """A token for a user (`usr_…`) that ends `lifetime_s` seconds after `now_us`. ValueError outside the limits."""
        if kind_of(user_id) != "User":
            raise ValueError("a user token is for a user's id")
        if not 0 < lifetime_s <= MAX_LIFETIME_S:
            raise ValueError(f"a token lives 1 to {MAX_LIFETIME_S} s")
        begins_s = now_us // 1_000_000
        times = {"iat": begins_s, "nbf": begins_s, "exp": begins_s + lifetime_s}
        return self._key.sign(TYPE, {"iss": ISSUER, "aud": AUDIENCE, "sub": user_id, "scopes": sorted(scopes), **times})

    def issue_exchanged_token(
        self, user_id: str, pairwise_id: str, issuer: TrustedIssuer, scopes: frozenset[str], now_us: int
    ) -> str:
        """A token for a user that ends after ACCESS_TOKEN_S and names the partner that got it for them."""
        begins_s = now_us // 1_000_000
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": pairwise_id,
            "usr": base64url(self._sealed.seal(user_id.encode(), _sealed_for(issuer.id))),
            "act": {"sub": issuer.platform_id},
            "client_id": issuer.id,
            "scopes": sorted(scopes),
            "iat": begins_s,
            "nbf": begins_s,
            "exp": begins_s + ACCESS_TOKEN_S,
        }
        return self._key.sign(TYPE, claims)

    def verify_user_token(self, token: str, now_us: int) -> Viewer:
        """The user who asks, at `now_us`. Raises TokenRefused.

        A signature is checked once and then remembered by the token's hash: that check is the dearest part of a small
        query (hundreds of microseconds, against a few). The times are looked at every time.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = self._verified.pop(digest, None) or self._read(token)
        if now_us >= claims.ends_at_us:
            raise TokenRefused(TokenProblem.EXPIRED)
        self._remember(digest, claims)
        if now_us < claims.begins_at_us - CLOCK_LEEWAY_S * 1_000_000:
            raise TokenRefused(TokenProblem.NOT_YET)
        return claims.viewer

    def _read(self, token: str) -> _Claims:
        try:
            return self._claims(verify(token, TYPE, self._public))
        except (SignatureRefused, ValueError):
            raise TokenRefused(TokenProblem.UNREADABLE) from None

    def _claims(self, payload: dict[str, Any]) -> _Claims:
        """What a signed payload says; ValueError unless it has exactly our claims."""
        if payload.keys() == _EXCHANGED:
            issuer_id = payload["client_id"]
            if not isinstance(issuer_id, str) or not isinstance(payload["usr"], str):
                raise ValueError("not our claims")
            user_id = self._sealed.open(unbase64url(payload["usr"]), _sealed_for(issuer_id)).decode()
            return _claims(payload, user_id, issuer_id)
        if payload.keys() != _CLAIMS:
            raise ValueError("not our claims")
        return _claims(payload, payload["sub"], None)

    def _public(self, kid: str) -> ECKey | None:
        return self._key.public if kid == self._key.kid else None

    def _remember(self, digest: bytes, claims: _Claims) -> None:
        self._verified[digest] = claims  # popped before, so it stands at the end: the first is the longest unused
        if len(self._verified) > MAX_REMEMBERED:
            self._verified.pop(next(iter(self._verified)), None)


def _claims(payload: dict[str, Any], user_id: object, issuer_id: str | None) -> _Claims:
    if (payload["iss"], payload["aud"]) != (ISSUER, AUDIENCE):
        raise ValueError("not our claims")
    scopes = payload["scopes"]
    if not isinstance(user_id, str) or kind_of(user_id) != "User":
        raise ValueError("not our subject")
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise ValueError("not our scopes")
    iat, nbf, exp = (payload[name] for name in ("iat", "nbf", "exp"))
    if any(type(seconds) is not int for seconds in (iat, nbf, exp)) or exp - iat > MAX_LIFETIME_S:
        raise ValueError("not our times")
    ends_at_us = exp * 1_000_000
    viewer = Viewer(ViewerKind.USER, user_id, scopes=frozenset(scopes), expires_at_us=ends_at_us, issuer_id=issuer_id)
    return _Claims(viewer, max(iat, nbf) * 1_000_000, ends_at_us)


def _sealed_for(issuer_id: str) -> str:
    return f"token|{issuer_id}"


# ---- API keys --------------------------------------------------------------------------------------------------


def new_api_key(draw: Draw) -> NewApiKey:
    """A fresh `hub_live_<id>_<secret>`, the same for the same draw."""
    id_ = draw.id("key")
    secret = base32(int.from_bytes(draw.bytes("api key secret")), SECRET_LENGTH)
    return NewApiKey(f"hub_live_{id_.removeprefix('key_')}_{secret}", id_, hash_secret(secret))


def parse_api_key(text: str) -> tuple[str, str] | None:
    """Id (`key_…`) and secret, or None if the text is no API key. Says nothing about whether the key exists."""
    found = _API_KEY.fullmatch(text)
    return (f"key_{found[1]}", found[2]) if found else None


def hash_secret(secret: str) -> str:
    """What is stored of a secret: SHA-256 in hex. A fast hash, since a random 256-bit secret cannot be guessed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def matches(secret: str, stored_hash: str) -> bool:
    """Whether the secret is the one whose hash is stored, in a time that tells nothing about either."""
    return hmac.compare_digest(hash_secret(secret).encode(), stored_hash.encode())
