"""API keys from the outside: listed, made, rotated, revoked. A key's text is in one answer and never again."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.keys import DEFAULT_GRACE_S, ApiKey
from hub.domain.refusals import InvalidInput, Refused
from hub.domain.requests import Answer
from hub.flows import keys
from hub.flows.keys import IssuedKey
from resolvers.context import Info
from resolvers.inputs import MAX_CHOICES, BooleanFilter, TextFilter, chosen, id_of, storable
from resolvers.lookahead import nested_list
from resolvers.paging import After, Before, First, Last, Page
from resolvers.payloads import Payload, told
from resolvers.reading import listed_page, told_of

if TYPE_CHECKING:
    from hub.store.reads.keys import ApiKeyRow

DAY_US = 24 * 3600 * 1_000_000
MAX_DAYS = 5 * 365  # a key that is to live longer has no end


@strawberry.input(description="Which API keys: all that are given must hold.")
class ApiKeyFilter:
    name: TextFilter | None = strawberry.field(default=None, description="What they are called.")
    is_revoked: BooleanFilter | None = strawberry.field(default=None, description="Whether they were revoked.")


async def api_keys(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    where: Annotated[ApiKeyFilter | None, strawberry.argument(description="Which keys.")] = None,
) -> Page:
    """The keys that you may see, the newest first."""
    filters: dict[str, object] = {}
    if where is not None and where.name is not None:
        filters["names"] = chosen(where.name, "name")
    if where is not None and where.is_revoked is not None:
        filters["is_revoked"] = int(where.is_revoked.eq)
    listed = nested_list("apiKeys", info.context.viewer)
    return await listed_page(info, "api_key", listed, first, after, last, before, filters)


def scopes(root: "strawberry.Parent[ApiKeyRow]") -> list[str]:
    return root.scopes.split()


def is_live(info: Info, root: "strawberry.Parent[ApiKeyRow]") -> bool:
    now_us = info.context.hub.clock.now_us()
    return root.revoked_at_us is None and (root.expires_at_us is None or now_us < root.expires_at_us)


# ---- mutations ------------------------------------------------------------------------------------------------------

KeyId = Annotated[strawberry.ID, strawberry.argument(description="The key's id; the first half of its text names it.")]


async def api_key_create(
    info: Info,
    name: Annotated[
        str, strawberry.argument(description="What you call it, 1 to 100 characters; one live key has the name.")
    ],
    scopes: Annotated[
        list[str], strawberry.argument(description="What it may do: 1 to 50 scopes, none that your own key lacks.")
    ],
    platform_id: Annotated[
        strawberry.ID | None,
        strawberry.argument(
            description="Whose: for operators, whose keys are else operators' keys. A platform's key implies its own."
        ),
    ] = None,
    expires_in_days: Annotated[
        int | None,
        strawberry.argument(
            description="1 to 1825 days; without it the key counts until it is revoked, or as long as yours."
        ),
    ] = None,
) -> Payload:
    """Make a key."""

    async def flow() -> Answer[IssuedKey]:
        if len(scopes) > MAX_CHOICES:
            raise Refused(InvalidInput("scopes", f"at most {MAX_CHOICES} scopes"))
        return await keys.create_key(
            info.context.hub,
            info.context.viewer,
            name=storable(name, "name"),
            scopes=frozenset(storable(scope, "scopes", 100) for scope in scopes),
            platform_id=None if platform_id is None else id_of("Platform", platform_id, "platformId"),
            expires_at_us=_in_days(info, expires_in_days),
        )

    return await _issued(info, await told(flow))


def _in_days(info: Info, days: int | None) -> int | None:
    if days is None:
        return None
    if not 1 <= days <= MAX_DAYS:
        raise Refused(InvalidInput("expiresInDays", f"expiresInDays lies between 1 and {MAX_DAYS}"))
    return info.context.hub.clock.now_us() + days * DAY_US


async def api_key_rotate(
    info: Info,
    id: KeyId,
    grace_seconds: Annotated[
        int,
        strawberry.argument(
            description="How long the old key counts beside the new one: 0 to 604800 s; 86400 if unset."
        ),
    ] = DEFAULT_GRACE_S,
) -> Payload:
    """A new key of the same name and scopes."""

    async def flow() -> Answer[IssuedKey]:
        return await keys.rotate_key(
            info.context.hub, info.context.viewer, key_id=id_of("ApiKey", id, "id"), grace_s=grace_seconds
        )

    return await _issued(info, await told(flow))


async def api_key_revoke(info: Info, id: KeyId) -> Payload:
    """End a key."""

    async def flow() -> Answer[ApiKey]:
        return await keys.revoke_key(info.context.hub, info.context.viewer, key_id=id_of("ApiKey", id, "id"))

    answer = await told(flow)
    return Payload({"api_key": await told_of(info, "api_key", answer)}, answer.refusal, answer.is_replay)


async def _issued(info: Info, answer: Answer[IssuedKey]) -> Payload:
    secret = None if answer.value is None else answer.value.text
    return Payload({"api_key": await told_of(info, "api_key", answer), "secret": secret}, answer.refusal)
