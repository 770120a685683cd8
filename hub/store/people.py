"""Users, identities, platforms' members, API keys: tables and the repository of who there is."""

from sqlalchemy import ForeignKey, Table, UniqueConstraint

from hub.store.metadata import blob, integer, metadata, text

user = Table(
    "user_",
    metadata,
    text("id", primary_key=True),
    text("state"),
    integer("created_at_us"),
)
identity = Table(
    "identity",
    metadata,
    text("id", primary_key=True),
    text("user_id", ForeignKey("user_.id"), index=True),
    text("issuer"),
    text("subject"),
    integer("verified_at_us"),
    UniqueConstraint("issuer", "subject"),
)
member = Table(
    "member",
    metadata,
    text("id", primary_key=True),
    text("platform_id", ForeignKey("platform.id")),
    text("external_id"),
    text("user_id", ForeignKey("user_.id"), index=True),
    integer("version"),
    integer("created_at_us"),
    UniqueConstraint("platform_id", "external_id"),
)
# The only name under which a platform knows a user. Stored, so that rotating the platform's key changes none.
pairwise = Table(
    "pairwise",
    metadata,
    text("user_id", ForeignKey("user_.id"), primary_key=True),
    text("platform_id", ForeignKey("platform.id"), primary_key=True),
    text("pairwise_id"),
    UniqueConstraint("platform_id", "pairwise_id"),
)
api_key = Table(
    "api_key",
    metadata,
    text("id", primary_key=True),
    text("kind"),  # PLATFORM or OPERATOR
    text("platform_id", ForeignKey("platform.id"), nullable=True),
    blob("secret_hash"),
    text("scopes"),  # blank-separated
    integer("is_development"),
    integer("created_at_us"),
    integer("revoked_at_us", nullable=True),
)
