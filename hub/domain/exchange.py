"""What a partner's signed words must say to be exchanged for a token of the hub (RFC 8693): every claim, in one place.

The signature is checked elsewhere, under the partner's own key and one of its own algorithms. Here nothing is trusted
that is not signed, and nothing signed is taken that was said to somebody else, for something else, or too long ago.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hub.domain.catalogue import is_storable
from hub.domain.issuers import CLOCK_SKEW_S, EXCHANGE_SCOPES, MAX_TOKEN_AGE_S, TrustedIssuer

MAX_SUBJECT = 200  # characters of a platform's own id of a member
MAX_JTI = 200
SUBJECT_KINDS = frozenset({"", "jwt", "at+jwt", "id_token+jwt"})
CLIENT_KINDS = frozenset({"", "jwt", "client-authentication+jwt"})

Claims = Mapping[str, object]


class ExchangeError(StrEnum):
    """RFC 6749 §5.2 and RFC 8693 §2.2.2: what the client can do differently."""

    INVALID_REQUEST = "invalid_request"  # also: the subject token is not taken
    INVALID_CLIENT = "invalid_client"
    INVALID_SCOPE = "invalid_scope"
    INVALID_TARGET = "invalid_target"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    UNAVAILABLE = "temporarily_unavailable"


@dataclass(frozen=True, slots=True)
class NotExchanged:
    """Why there is no token. The text never repeats a token, and never says which of two secrets was wrong."""

    error: ExchangeError
    description: str


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """What a client asks at the token endpoint, as text."""

    client_assertion: str = field(repr=False)
    subject_token: str = field(repr=False)
    scopes: frozenset[str] | None  # None: as much as there is
    client_id: str | None = None  # optional: it must then be the assertion's


@dataclass(frozen=True, slots=True)
class Signed:
    """A JWT whose signature fits. `digest` is of the words alone: a signature can be written in more than one way."""

    kind: str  # its `typ`, in small letters, without `application/`; empty: none
    claims: Claims
    digest: str


@dataclass(frozen=True, slots=True)
class Word:
    """What a signed word comes to: about whom, and under which mark it is remembered until its end."""

    subject: str
    mark: str
    expires_at_us: int
    scopes: frozenset[str] | None = None  # what it limits itself to


def client_word(issuer: TrustedIssuer, signed: Signed, audiences: frozenset[str], now_us: int) -> Word | str:
    """The partner's own assertion (RFC 7523 §3), or what is wrong with it."""
    claims = signed.claims
    if signed.kind not in CLIENT_KINDS:
        return "typ is of another kind of token"
    if claims.get("iss") != issuer.id or claims.get("sub") != issuer.id:
        return "iss and sub must be the client_id"
    told = claims.get("aud")
    heard = told[0] if isinstance(told, list) and len(told) == 1 else told
    if not isinstance(heard, str) or heard not in audiences:
        return "aud must be this hub or its token endpoint, and nobody else"
    if not isinstance(claims.get("jti"), str):
        return "jti is missing"
    return _within_its_time(signed, f"client|{issuer.id}", issuer.id, now_us)


def subject_word(issuer: TrustedIssuer, signed: Signed, now_us: int) -> Word | str:
    """The partner's word about a person, or what is wrong with it."""
    claims = signed.claims
    if signed.kind not in SUBJECT_KINDS:
        return "typ is of another kind of token"
    if claims.get("iss") != issuer.issuer:
        return "iss is not the issuer that this client's tokens come from"
    told = claims.get("aud")
    if issuer.audience not in (told if isinstance(told, list) else [told]):
        return "aud does not name this hub"
    subject = claims.get(issuer.subject_claim)
    if not isinstance(subject, str) or not subject.strip() or len(subject) > MAX_SUBJECT or not is_storable(subject):
        return f"{issuer.subject_claim} has 1 to {MAX_SUBJECT} characters"
    may_act = claims.get("may_act")
    if may_act is not None and not (isinstance(may_act, dict) and may_act.get("sub") == issuer.id):
        return "may_act names another client"
    scope = claims.get("scope")
    if not isinstance(scope, str | None):
        return "scope is a text of scopes parted by blanks"
    limit = None if scope is None else frozenset(scope.split())
    return _within_its_time(signed, f"subject|{issuer.issuer}", subject, now_us, limit)


def granted(asked: frozenset[str] | None, issuer: TrustedIssuer, word: Word) -> frozenset[str]:
    """The scopes of the token: what is asked, as far as the partner may have it and the learner's word goes."""
    most = EXCHANGE_SCOPES & issuer.scopes
    if word.scopes is not None:
        most &= word.scopes
    return most if asked is None else most & asked


def _within_its_time(
    signed: Signed, whose: str, subject: str, now_us: int, scopes: frozenset[str] | None = None
) -> Word | str:
    iat, exp, nbf = (_seconds(signed.claims.get(name)) for name in ("iat", "exp", "nbf"))
    now_s = now_us / 1_000_000
    if iat is None or exp is None or (nbf is None and signed.claims.get("nbf") is not None):
        return "iat and exp must be numbers of seconds since 1970"
    if now_s >= exp:
        return "it has ended"
    if now_s < max(iat, nbf or iat) - CLOCK_SKEW_S:
        return "it does not count yet: check the clocks"
    if exp - iat > MAX_TOKEN_AGE_S or now_s - iat > MAX_TOKEN_AGE_S:
        return f"it may live for {MAX_TOKEN_AGE_S} s at most"
    jti = signed.claims.get("jti")
    if jti is not None and not (isinstance(jti, str) and 0 < len(jti) <= MAX_JTI and is_storable(jti)):
        return f"jti has 1 to {MAX_JTI} characters"
    return Word(subject, f"{whose}|{jti or signed.digest}", math.ceil(exp * 1_000_000), scopes)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < 2**40 else None  # no number, infinity and what is no time at all fall out here
