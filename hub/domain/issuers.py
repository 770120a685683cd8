"""Whose signed word about a person the hub takes: a partner's issuer of tokens, as an operator has made it known."""

from dataclasses import dataclass
from enum import StrEnum

from hub.domain.people import LEARNER_SCOPES

# Asymmetric alone: with a shared secret, whoever checks a token could have made it.
ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512", "EdDSA", "Ed25519")
DEFAULT_ALGORITHMS = ("ES256",)
# To prove oneself to another platform by a token that was got through this one.
LINK_SCOPE = "identities:link"
EXCHANGE_SCOPES = LEARNER_SCOPES | {LINK_SCOPE}
MAX_TOKEN_AGE_S = 600  # of a subject token or a client's assertion, from its `iat` and to its `exp`
CLOCK_SKEW_S = 30  # how far a partner's clock may be ahead of the hub's
ACCESS_TOKEN_S = 600  # life of the hub's own token that comes out of an exchange; there is no refresh token
MAX_URL = 500  # characters of an issuer or of a key set's address
MAX_JWKS = 20_000  # characters of a key set that is given as text: more than twenty RSA keys


class IssuerState(StrEnum):
    """Whether its word is taken."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"  # no exchange, and tokens that came out of one end within seconds


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """A partner's issuer. Its `id` is the `client_id` under which the partner asks at the token endpoint.

    `keys` sign the subject tokens, `client_keys` the partner's own assertions; each is a key set's address or the set.
    """

    id: str
    platform_id: str
    issuer: str  # what `iss` must be
    audience: str  # what `aud` must hold
    algorithms: tuple[str, ...]
    subject_claim: str  # which claim holds the platform's own id of the member
    keys: "KeySource"
    client_keys: "KeySource"
    scopes: frozenset[str]  # the most that a token got through it may hold
    state: IssuerState
    version: int
    created_at_us: int

    @property
    def is_active(self) -> bool:
        return self.state is IssuerState.ACTIVE


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where public keys come from: an address to fetch them at, or a JWKS document as text. One of the two."""

    url: str | None = None
    jwks: str | None = None
