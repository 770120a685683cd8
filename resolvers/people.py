"""Who asks, and a platform's members."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.people import Member, User, ViewerKind
from hub.domain.requests import Answer
from hub.flows import erasure, people
from resolvers.context import Info
from resolvers.inputs import id_of, storable
from resolvers.lookahead import wanted
from resolvers.payloads import Payload, told
from resolvers.reading import again, told_of

if TYPE_CHECKING:
    from hub.store.reads import Row

MAX_TOKEN = 4_096  # characters of a user's token


@dataclass(frozen=True, slots=True)
class ViewerView:
    """The viewer with the objects that stand for it."""

    kind: ViewerKind
    scopes: list[str]
    joined: "dict[str, Row | None]" = field(default_factory=dict)


async def viewer(info: Info) -> ViewerView:
    """Who asks now."""
    asks = info.context.viewer
    want = wanted(info)
    view = ViewerView(asks.kind, sorted(asks.scopes), {"user": None, "platform": None})
    for name, id_ in (("user", asks.user_id), ("platform", asks.platform_id)):
        if id_ is not None and name in want:
            view.joined[name] = await again(info, name, name, id_)
    return view


PlatformOf = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Whose member: for operators. A platform's key implies its own."),
]
ExternalId = Annotated[
    str, strawberry.argument(description="The platform's own id of the member, 1 to 200 characters.")
]


async def member_upsert(info: Info, external_id: ExternalId, platform_id: PlatformOf = None) -> Payload:
    """Make the platform's member known, with a provisional User if there is none."""

    async def flow() -> Answer[Member]:
        return await people.upsert_member(
            info.context.hub,
            info.context.viewer,
            external_id=storable(external_id, "externalId"),
            platform_id=None if platform_id is None else id_of("Platform", platform_id, "platformId"),
        )

    answer = await told(flow)
    return Payload({"member": await told_of(info, "member", answer)}, answer.refusal, answer.is_replay)


async def member_remove(info: Info, external_id: ExternalId, platform_id: PlatformOf = None) -> Payload:
    """Say that the platform has deleted the account."""

    async def flow() -> Answer[Member]:
        return await people.remove_member(
            info.context.hub,
            info.context.viewer,
            external_id=storable(external_id, "externalId"),
            platform_id=None if platform_id is None else id_of("Platform", platform_id, "platformId"),
        )

    answer = await told(flow)
    return Payload({"member": await told_of(info, "member", answer)}, answer.refusal, answer.is_replay)


async def person_erase(
    info: Info, user_id: Annotated[strawberry.ID, strawberry.argument(description="The user's id.")]
) -> Payload:
    """Erase what is personal of a user."""

    async def flow() -> Answer[User]:
        hub, viewer = info.context.hub, info.context.viewer
        return await erasure.erase(hub, viewer, user_id=id_of("User", user_id, "userId"))

    answer = await told(flow)
    return Payload({"user": await told_of(info, "user", answer)}, answer.refusal, answer.is_replay)


async def identity_link(
    info: Info,
    external_id: ExternalId,
    user_token: Annotated[
        str,
        strawberry.argument(
            description="A fresh token of the hub's User: the proof that both are one person; at most 4096 characters."
        ),
    ],
    platform_id: PlatformOf = None,
) -> Payload:
    """Say that the platform's member and the hub's User are one person."""

    async def flow() -> Answer[Member]:
        return await people.link_identity(
            info.context.hub,
            info.context.viewer,
            external_id=storable(external_id, "externalId"),
            user_token=storable(user_token, "userToken", MAX_TOKEN),
            platform_id=None if platform_id is None else id_of("Platform", platform_id, "platformId"),
        )

    answer = await told(flow)
    return Payload({"member": await told_of(info, "member", answer)}, answer.refusal, answer.is_replay)
