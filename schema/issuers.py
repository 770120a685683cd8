"""Trusted issuers: whose signed word about a learner is exchanged for a token of the hub."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.issuers import IssuerState
from resolvers import issuers
from resolvers.scalars import Instant
from schema.connections import Connection, Node
from schema.fields import changed_by, described, plain, relation, represents, resolved_by
from schema.payloads import Payload

if TYPE_CHECKING:
    from schema.catalogue import Platform

LazyPlatform = Annotated["Platform", strawberry.lazy("schema.catalogue")]

described(
    IssuerState,
    "Whether an issuer's word is taken.",
    {"ACTIVE": "It is.", "PAUSED": "Nothing is exchanged, and tokens that were end within seconds."},
)


@represents("TrustedIssuerRow")
@strawberry.type(description="A platform's issuer of tokens. Its id is the client_id at POST /oauth/token.")
class TrustedIssuer(Node):
    issuer: str = plain("What `iss` of its tokens is.")
    audience: str = plain("What `aud` of its tokens must hold.")
    algorithms: list[str] = resolved_by(issuers.algorithms, "What its tokens may be signed by.")
    subject_claim: str = plain("Which claim holds the platform's own id of the member.")
    keys_url: str | None = plain("Where its public keys are fetched.", name="jwksUrl")
    keys_jwks: str | None = plain("Its public keys, where they are given instead.", name="jwks")
    client_keys_url: str | None = plain("Where the keys of the partner's own proof are fetched.", name="clientJwksUrl")
    client_keys_jwks: str | None = plain("Those keys, where they are given instead.", name="clientJwks")
    scopes: list[str] = resolved_by(issuers.scopes, "The most that a token got through it may hold.")
    state: IssuerState = plain("Whether its word is taken.")
    created_at_us: Instant = plain("When it was made known.", name="createdAt")
    platform: LazyPlatform = relation("platform", "Whose issuer.")


@strawberry.type(description="What trustedIssuerUpsert came to.")
class TrustedIssuerUpsertPayload(Payload):
    trusted_issuer: TrustedIssuer | None = relation("trusted_issuer", "The issuer; null if it was refused.")


@strawberry.type
class IssuerQueries:
    trusted_issuers: Connection[TrustedIssuer] = resolved_by(
        issuers.trusted_issuers, "The issuers that you may see, the newest first."
    )


@strawberry.type
class IssuerMutations:
    trusted_issuer_upsert: TrustedIssuerUpsertPayload = changed_by(
        issuers.trusted_issuer_upsert, "Make a platform's issuer known, or set all of it anew; for operators."
    )
