"""Partners' issuers from the outside: operators make them known, a platform sees its own."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.issuers import DEFAULT_ALGORITHMS, MAX_JWKS, IssuerState, KeySource, TrustedIssuer
from hub.domain.refusals import InvalidInput, Refused
from hub.domain.requests import Answer
from hub.flows import issuers
from resolvers.context import Info
from resolvers.inputs import MAX_CHOICES, id_of, storable
from resolvers.lookahead import nested_list
from resolvers.paging import After, Before, First, Last, Page
from resolvers.payloads import Payload, told
from resolvers.reading import listed_page, told_of

if TYPE_CHECKING:
    from hub.store.reads.issuers import TrustedIssuerRow


async def trusted_issuers(
    info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
) -> Page:
    """The issuers that you may see, the newest first."""
    listed = nested_list("trustedIssuers", info.context.viewer)
    return await listed_page(info, "trusted_issuer", listed, first, after, last, before)


def algorithms(root: "strawberry.Parent[TrustedIssuerRow]") -> list[str]:
    return root.algorithms.split()


def scopes(root: "strawberry.Parent[TrustedIssuerRow]") -> list[str]:
    return root.scopes.split()


KeySet = Annotated[
    str | None, strawberry.argument(description="The key set itself (RFC 7517, as JSON text), instead of an address.")
]


async def trusted_issuer_upsert(
    info: Info,
    platform_id: Annotated[strawberry.ID, strawberry.argument(description="Whose issuer it is.")],
    issuer: Annotated[
        str,
        strawberry.argument(
            description="What `iss` of its tokens is, letter for letter, 1 to 500 characters; names the row."
        ),
    ],
    audience: Annotated[
        str, strawberry.argument(description="What `aud` of its tokens must hold, 1 to 500 characters.")
    ],
    scopes: Annotated[
        list[str],
        strawberry.argument(
            description="The most that a learner's token got through it may hold: orders:read, orders:write, "
            "entitlements:read, identities:link; at most 50."
        ),
    ],
    algorithms: Annotated[
        list[str] | None,
        strawberry.argument(description="What its tokens are signed by; ES256 if unset. No shared secrets, no none."),
    ] = None,
    subject_claim: Annotated[
        str,
        strawberry.argument(description="Which claim holds the platform's own id of the member, 1 to 100 characters."),
    ] = "sub",
    jwks_url: Annotated[
        str | None,
        strawberry.argument(
            description="Where its public keys are: https, at most 500 characters, fetched without redirects."
        ),
    ] = None,
    jwks: KeySet = None,
    client_jwks_url: Annotated[
        str | None,
        strawberry.argument(
            description="Where the keys that prove the partner itself are, at most 500 characters; unset: the same."
        ),
    ] = None,
    client_jwks: KeySet = None,
    state: Annotated[
        IssuerState, strawberry.argument(description="PAUSED ends its exchanges, and within seconds their tokens.")
    ] = IssuerState.ACTIVE,
) -> Payload:
    """Make an issuer known, or set all of it anew."""

    async def flow() -> Answer[TrustedIssuer]:
        return await issuers.upsert_issuer(
            info.context.hub,
            info.context.viewer,
            platform_id=id_of("Platform", platform_id, "platformId"),
            issuer=storable(issuer, "issuer"),
            audience=storable(audience, "audience"),
            algorithms=DEFAULT_ALGORITHMS if algorithms is None else _few(algorithms, "algorithms"),
            subject_claim=storable(subject_claim, "subjectClaim"),
            keys=_source(jwks_url, jwks, "jwks"),
            client_keys=_source(client_jwks_url, client_jwks, "clientJwks"),
            scopes=frozenset(_few(scopes, "scopes")),
            state=state,
        )

    answer = await told(flow)
    joined = {"trusted_issuer": await told_of(info, "trusted_issuer", answer)}
    return Payload(joined, answer.refusal, answer.is_replay)


def _source(url: str | None, jwks: str | None, name: str) -> KeySource:
    return KeySource(
        None if url is None else storable(url, f"{name}Url"), None if jwks is None else storable(jwks, name, MAX_JWKS)
    )


def _few(values: list[str], name: str) -> tuple[str, ...]:
    if len(values) > MAX_CHOICES:
        raise Refused(InvalidInput(name, f"at most {MAX_CHOICES} values"))
    return tuple(storable(value, name, 100) for value in values)
