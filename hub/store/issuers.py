"""Partners' issuers of tokens, and the tokens that were exchanged already: each counts once."""

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Table, bindparam, delete, literal_column, select, update

from hub.domain.issuers import IssuerState, KeySource, TrustedIssuer
from hub.store.metadata import inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

# Forgotten with each exchange, after their end: more than one comes with it, so they never pile up.
PRUNED_AT_ONCE = 20

trusted_issuer = Table(
    "trusted_issuer",
    metadata,
    text("id", primary_key=True),
    text("platform_id", ForeignKey("platform.id"), index=True),
    text("issuer", unique=True),
    text("audience"),
    text("algorithms"),  # blank-separated
    text("subject_claim"),
    text("keys_url", nullable=True),
    text("keys_jwks", nullable=True),
    text("client_keys_url", nullable=True),
    text("client_keys_jwks", nullable=True),
    text("scopes"),  # blank-separated
    text("state"),
    integer("version"),
    integer("created_at_us"),
)
# Of a token its digest alone: what was said about whom is nobody's business any more.
exchanged_token = Table(
    "exchanged_token",
    metadata,
    text("digest", primary_key=True),
    text("issuer_id"),
    integer("expires_at_us", index=True),
)


class Issuers:
    """`tx.issuers`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def add(self, new: TrustedIssuer) -> bool:
        """False: the issuer is known already."""
        return await self._rx.one(_ADD, str, **_columns(new)) is not None

    async def by_id(self, issuer_id: str) -> TrustedIssuer | None:
        return await self._rx.one(_BY_ID, _trusted_issuer, issuer_id=issuer_id)

    async def lock(self, issuer: str) -> TrustedIssuer | None:
        """By the `iss` of its tokens."""
        return await self._rx.one(_LOCK, _trusted_issuer, issuer_=issuer)

    async def update(self, changed: TrustedIssuer) -> TrustedIssuer:
        """The new version. What stays as it is: id, platform and `iss`."""
        version = changed.version + 1
        columns = _columns(changed) | {"version": version}
        await self._rx.changed(
            _UPDATE, issuer_id=columns.pop("id"), **{name: columns[name] for name in columns if name in _CHANGING}
        )
        found = await self.by_id(changed.id)
        assert found is not None
        return found

    async def spend(self, digest: str, issuer_id: str, expires_at_us: int) -> bool:
        """Remember a token for as long as it could be shown again. False: it was exchanged before."""
        spent = await self._rx.one(_SPEND, str, digest=digest, issuer_id=issuer_id, expires_at_us=expires_at_us)
        return spent is not None

    async def forget(self, now_us: int) -> int:
        """Drop some of the tokens that have ended; how many those were."""
        return await self._rx.run(_FORGET, now_us=now_us)


def _columns(issuer: TrustedIssuer) -> dict[str, str | int | None]:
    return {
        "id": issuer.id, "platform_id": issuer.platform_id, "issuer": issuer.issuer, "audience": issuer.audience,
        "algorithms": " ".join(issuer.algorithms), "subject_claim": issuer.subject_claim, "keys_url": issuer.keys.url,
        "keys_jwks": issuer.keys.jwks, "client_keys_url": issuer.client_keys.url,
        "client_keys_jwks": issuer.client_keys.jwks, "scopes": " ".join(sorted(issuer.scopes)), "state": issuer.state,
        "version": issuer.version, "created_at_us": issuer.created_at_us,
    }  # fmt: skip


def _trusted_issuer(
    id_: str, platform_id: str, issuer: str, audience: str, algorithms: str, subject_claim: str, keys_url: str | None,
    keys_jwks: str | None, client_keys_url: str | None, client_keys_jwks: str | None, scopes: str, state: str,
    version: int, created_at_us: int,
) -> TrustedIssuer:  # fmt: skip
    return TrustedIssuer(
        id_, platform_id, issuer, audience, tuple(algorithms.split()), subject_claim, KeySource(keys_url, keys_jwks),
        KeySource(client_keys_url, client_keys_jwks), frozenset(scopes.split()), IssuerState(state), version,
        created_at_us,
    )  # fmt: skip


_c = trusted_issuer.c
_CHANGING = frozenset(c.name for c in _c) - {"id", "platform_id", "issuer", "created_at_us"}
_ADD = inserted(trusted_issuer).on_conflict_do_nothing().returning(_c.id)
_BY_ID = select(trusted_issuer).where(_c.id == bindparam("issuer_id"))
_LOCK = select(trusted_issuer).where(_c.issuer == bindparam("issuer_")).with_for_update()
_UPDATE = (
    update(trusted_issuer)
    .where(_c.id == bindparam("issuer_id"))
    .values({name: bindparam(name, type_=_c[name].type) for name in sorted(_CHANGING)})
)
_SPEND = inserted(exchanged_token).on_conflict_do_nothing().returning(exchanged_token.c.digest)
_ended = (
    select(exchanged_token.c.digest)
    .where(exchanged_token.c.expires_at_us < bindparam("now_us"))
    .limit(literal_column(str(PRUNED_AT_ONCE)))
    .with_for_update(skip_locked=True)
)
_FORGET = delete(exchanged_token).where(exchanged_token.c.digest.in_(_ended))
