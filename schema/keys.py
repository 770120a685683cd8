"""API keys: what machines of platforms and of the staff sign in with."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.people import ViewerKind
from resolvers import keys
from resolvers.scalars import Instant
from schema.connections import Connection, Node
from schema.fields import changed_by, plain, relation, represents, resolved_by
from schema.payloads import Payload

if TYPE_CHECKING:
    from schema.catalogue import Platform

LazyPlatform = Annotated["Platform", strawberry.lazy("schema.catalogue")]


@represents("ApiKeyRow")
@strawberry.type(description="A key of a platform or of an operator. Its text is shown once, when it is made.")
class ApiKey(Node):
    name: str = plain("What its owner calls it; during a rotation two live keys have it.")
    kind: ViewerKind = plain("PLATFORM or OPERATOR.")
    scopes: list[str] = resolved_by(keys.scopes, "What it may do, in alphabetical order.")
    is_live: bool = resolved_by(keys.is_live, "Whether it counts now: neither revoked nor at its end.")
    created_at_us: Instant = plain("When it was made.", name="createdAt")
    created_by: str = plain("The id of the key that made it, or `command` for the command line.")
    expires_at_us: Instant | None = plain("When it ends by itself; null: it does not.", name="expiresAt")
    last_used_at_us: Instant | None = plain("Its last use, to the minute; null: never.", name="lastUsedAt")
    revoked_at_us: Instant | None = plain("Since when it counts no more.", name="revokedAt")
    platform: LazyPlatform | None = relation("platform", "Whose key; null for an operator's.")


@strawberry.type(description="What apiKeyCreate came to.")
class ApiKeyCreatePayload(Payload):
    api_key: ApiKey | None = relation("api_key", "The key; null if it was refused.")
    secret: str | None = relation("secret", "Its whole text, for `Authorization: Bearer`: shown now and never again.")


@strawberry.type(description="What apiKeyRotate came to.")
class ApiKeyRotatePayload(Payload):
    api_key: ApiKey | None = relation("api_key", "The new key; null if it was refused.")
    secret: str | None = relation("secret", "Its whole text, for `Authorization: Bearer`: shown now and never again.")


@strawberry.type(description="What apiKeyRevoke came to.")
class ApiKeyRevokePayload(Payload):
    api_key: ApiKey | None = relation("api_key", "The key; null if it was refused.")


@strawberry.type
class KeyQueries:
    api_keys: Connection[ApiKey] = resolved_by(keys.api_keys, "The keys that you may see, the newest first.")


@strawberry.type
class KeyMutations:
    api_key_create: ApiKeyCreatePayload = changed_by(
        keys.api_key_create, "Make a key of your platform; it may do no more than yours, and ends no later."
    )
    api_key_rotate: ApiKeyRotatePayload = changed_by(
        keys.api_key_rotate, "A second key of the same name and scopes; the old one ends after a time of grace."
    )
    api_key_revoke: ApiKeyRevokePayload = changed_by(
        keys.api_key_revoke, "End a key: within seconds nothing takes it, and streams under it end. Again is the same."
    )
