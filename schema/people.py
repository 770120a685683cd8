"""Viewer, users and members."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.people import UserState, ViewerKind
from resolvers import connections, people
from resolvers.scalars import Instant
from schema.connections import Connection, Node
from schema.fields import BY_ID, changed_by, plain, relation, represents, resolved_by
from schema.payloads import Payload

if TYPE_CHECKING:
    from schema.catalogue import Platform
    from schema.entitlements import Entitlement
    from schema.orders import Order
    from schema.wallets import Wallet

LazyOrder = Annotated["Order", strawberry.lazy("schema.orders")]
LazyEntitlement = Annotated["Entitlement", strawberry.lazy("schema.entitlements")]
LazyPlatform = Annotated["Platform", strawberry.lazy("schema.catalogue")]
LazyWallet = Annotated["Wallet", strawberry.lazy("schema.wallets")]


@represents("UserRow")
@strawberry.type(
    description="A person. For a platform the id is the pairwise one, good with that platform alone.",
    directives=[BY_ID],
)
class User(Node):
    state: UserState = plain("Whether they have proven to be there.")
    created_at_us: Instant = plain("When the hub first knew them.", name="createdAt")
    orders: Connection[LazyOrder] = resolved_by(connections.orders, "Their orders that you may see, the newest first.")
    entitlements: Connection[LazyEntitlement] = resolved_by(
        connections.entitlements, "Their rights that you may see, the newest first."
    )
    members: list["Member"] = relation(
        "members", "Their accounts on platforms that you may see; at most 100.", most=100
    )
    wallets: list[LazyWallet] = relation(
        "wallets", "Their linked wallets: empty for everybody but themselves; at most 100.", most=100
    )


@represents("MemberRow")
@strawberry.type(description="A platform's own record of a person.")
class Member(Node):
    external_id: str = plain("The platform's own id of them.")
    created_at_us: Instant = plain("When the platform made them known.", name="createdAt")
    user: User | None = relation("user", "The person; null if the platform has no name for them yet.")
    platform: LazyPlatform = relation("platform", "Whose member.")


@represents(people.ViewerView)
@strawberry.type(description="Who asks now.")
class Viewer:
    kind: ViewerKind = plain("In what capacity.")
    scopes: list[str] = plain("What the token allows, in alphabetical order.")
    user: User | None = relation("user", "The person; null for platforms, operators and strangers.")
    platform: LazyPlatform | None = relation("platform", "The platform; null for everybody else.")


@strawberry.type(description="What memberUpsert came to.")
class MemberUpsertPayload(Payload):
    member: Member | None = relation("member", "The member; null if it was refused.")


@strawberry.type(description="What memberRemove came to.")
class MemberRemovePayload(Payload):
    member: Member | None = relation("member", "The member that was; null if it was refused.")


@strawberry.type(description="What identityLink came to.")
class IdentityLinkPayload(Payload):
    member: Member | None = relation("member", "The member with its user; null if it was refused.")


@strawberry.type(description="What personErase came to.")
class PersonErasePayload(Payload):
    user: User | None = relation("user", "The user, of whom nothing personal is left here; null if it was refused.")


@strawberry.type
class PeopleQueries:
    viewer: Viewer = resolved_by(people.viewer, "Who asks now; a stranger is ANONYMOUS.")


@strawberry.type
class PeopleMutations:
    member_upsert: MemberUpsertPayload = changed_by(
        people.member_upsert, "Make a platform's member known; again is the same. Its user is provisional if new."
    )
    member_remove: MemberRemovePayload = changed_by(
        people.member_remove,
        "The platform has deleted this account: it signs nobody in any more, and its externalId is never used again. "
        "Rights stay with the user. Again is the same.",
    )
    identity_link: IdentityLinkPayload = changed_by(
        people.identity_link, "Link a platform's member with the user whose fresh token proves it.", is_attempt=True
    )
    person_erase: PersonErasePayload = changed_by(
        people.person_erase,
        "Staff erase what opens a person's records, for good: the salts, their key, the words of requests and results, "
        "wallets. Receipts are gone; rights and books stay, and proof bundles that were kept hold. Again is the same. "
        "What stands on chain cannot be erased.",
    )
