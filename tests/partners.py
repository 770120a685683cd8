"""A partner that signs: its keys, its words about its members, and its own assertions at the token endpoint."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from hub.domain.issuers import EXCHANGE_SCOPES, IssuerState, KeySource, TrustedIssuer
from hub.security.exchange import PartnerKeys
from tests.world import START_US

HUB = "https://hub.example"
ENDPOINT = f"{HUB}/oauth/token"
KeyPair = ECKey | RSAKey | OKPKey
_numbers = count(1)


def offline_partners(answer: Callable[[httpx.Request], httpx.Response] | None = None) -> PartnerKeys:
    """Key sets from memory: of every address what `answer` says, and without it 404."""
    transport = httpx.MockTransport(answer or (lambda _: httpx.Response(404)))
    return PartnerKeys(httpx.AsyncClient(transport=transport), ["127.0.0.1"])


@dataclass
class Partner:
    """A platform with a key pair; `id` is its client_id once the hub knows it."""

    platform_id: str
    id: str = "iss_00000000000000000000000001"
    issuer: str = "https://xue.example"
    key: KeyPair = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "k-1"}, auto_kid=False))
    algorithm: str = "ES256"
    now_us: int = START_US

    @property
    def jwks(self) -> str:
        return json.dumps({"keys": [self.key.as_dict(private=False)]})

    def trusted(self, **changes: Any) -> TrustedIssuer:
        """The row by which the hub knows it."""
        keys = KeySource(jwks=self.jwks)
        row: dict[str, Any] = {
            "id": self.id, "platform_id": self.platform_id, "issuer": self.issuer, "audience": HUB,
            "algorithms": (self.algorithm,), "subject_claim": "sub", "keys": keys, "client_keys": keys,
            "scopes": EXCHANGE_SCOPES, "state": IssuerState.ACTIVE, "version": 1, "created_at_us": self.now_us,
        }  # fmt: skip
        return TrustedIssuer(**row | changes)

    def subject_token(self, subject: str = "m-1", *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Its word about a member; a claim of None is left out."""
        now_s = self.now_us // 1_000_000
        said = {"iss": self.issuer, "aud": HUB, "sub": subject, "iat": now_s, "exp": now_s + 300}
        return self.sign(said | {"jti": f"s-{next(_numbers)}"} | claims, header)

    def assertion(self, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Its word about itself."""
        now_s = self.now_us // 1_000_000
        said = {"iss": self.id, "sub": self.id, "aud": ENDPOINT, "iat": now_s, "exp": now_s + 60}
        return self.sign(said | {"jti": f"c-{next(_numbers)}"} | claims, header)

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        told = {"alg": self.algorithm, "kid": self.key.kid, "typ": "JWT"} | dict(header or {})
        said = {name: value for name, value in claims.items() if value is not None}
        kept = {name: value for name, value in told.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[kept["alg"]], strict_check_header=False)
        return jws.serialize_compact(kept, json.dumps(said), self.key, registry=registry)
