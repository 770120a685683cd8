"""Rights, their grants, what platforms' access lists say, and the question before a course is opened."""

import strawberry

from hub.domain.entitlements import EntitlementState, GrantSource, GrantState, PlatformAccessState, TokenState
from hub.domain.orders import ChainStatus
from resolvers import anchors, entitlements
from resolvers.scalars import BigInt, Instant
from schema.anchors import Proof
from schema.catalogue import Course, Platform
from schema.connections import Connection, Node
from schema.cost import ASKED_OF_THE_CHAIN, FREE, ONE_LIST, ONE_TREE
from schema.fields import BY_ID, changed_by, described, plain, relation, represents, resolved_by
from schema.orders import Order
from schema.payloads import Payload
from schema.people import User

described(
    PlatformAccessState,
    "What is known of a platform's own access list; the hub's word comes first.",
    {
        "PENDING": "The platform is being asked.",
        "OPEN": "The platform says that it opens.",
        "UNKNOWN": "The platform did not answer, and may have done what was asked: the hub goes on asking.",
        "UNVERIFIED": "Asked, and the platform cannot be asked back.",
        "UNSUPPORTED": "The platform keeps no access list that the hub can change.",
        "REFUSED": "The platform said no; staff look at it.",
        "CLOSED": "The platform says that it is closed.",
    },
)
described(
    entitlements.EntitlementReason,
    "Why verifyEntitlement says what it says.",
    {
        "ENTITLED": "Open it.",
        "NO_ENTITLEMENT": "There is no such right.",
        "NOT_OPEN": "There is one and it does not stand now.",
        "UNKNOWN_MEMBER": "The platform has no such member: memberUpsert, then identityLink.",
        "NOT_HONOURED_HERE": "The asking platform does not list the course.",
        "PROOF_INVALID": "The bundle cannot be read or does not lead to its root.",
        "OTHER_COURSE": "The right is to another course.",
        "NOT_ON_CHAIN": "The contract does not hold the root, or the leaf is revoked or expired.",
    },
)


@represents("GrantRow")
@strawberry.type(description="One source of a right.")
class Grant:
    id: strawberry.ID = plain("Its id.")
    source: GrantSource = plain("Where it comes from.")
    state: GrantState = plain("How far it is.")
    starts_at_us: Instant = plain("From when.", name="startsAt")
    ends_at_us: Instant | None = plain("Until when; null: without end.", name="endsAt")
    created_at_us: Instant = plain("When it was made.", name="createdAt")


@represents("AccessRow")
@strawberry.type(
    description="Whether a platform has opened its own access list to a right: a hint beside the hub's word."
)
class PlatformAccess:
    state: PlatformAccessState = plain("What is known.")
    detail: str = plain("The platform's own word, where it gave one; may be empty.")
    updated_at_us: Instant = plain("When it was last learnt.", name="updatedAt")
    platform: Platform = relation("platform", "Whose list.")


@represents(entitlements.ContractCall)
@strawberry.type(description="A transaction to be signed and sent by whoever pays its gas. It sends no money along.")
class ContractCall:
    chain_id: BigInt = plain("On which chain (EIP-155).")
    to: str = plain("To which contract.")
    data: str = plain("What to call: 0x and hexadecimal digits.")


@represents(entitlements.TokenView)
@strawberry.type(description="The right as the contract knows it.")
class EntitlementToken:
    token_id: BigInt = plain("The course's token.")
    holder: str | None = plain("The wallet that it is for; null for a right without holder. See entitlementClaim.")
    chain_id: BigInt = plain("Which chain (EIP-155).")
    contract: str = plain("Address of the contract.")
    state: TokenState = plain("Whether the holder has claimed it, as the chain tells.")
    claimed_at_us: Instant | None = plain("When, by the clock of the block; null while nobody has.", name="claimedAt")
    claim_call: ContractCall | None = plain(
        "What gives the token to its holder, whoever sends it; again it changes nothing. Null without a holder.",
        costs=FREE,
    )


@represents("EntitlementRow")
@strawberry.type(description="A person's right to a course, on every platform that honours it.", directives=[BY_ID])
class Entitlement(Node):
    state: EntitlementState = plain("Whether it stands, time apart.")
    is_open: bool = resolved_by(entitlements.is_open, "Whether it opens the course now.", ONE_LIST)
    chain_status: ChainStatus = plain("How far its record is on chain; access never waits for it.")
    version: int = plain("Counts its changes from 1.")
    created_at_us: Instant = plain("When it was first given.", name="createdAt")
    course: Course = relation("course", "To what.")
    user: User | None = relation("user", "Whose.")
    grants: list[Grant] = relation("grants", "Where it comes from, the oldest first; at most 100.", most=100)
    accesses: list[PlatformAccess] = relation(
        "accesses", "What platforms' access lists say that you may see; at most 100.", most=100
    )
    order: Order | None = relation("order", "The newest order that gave it; null where that is not yours to see.")
    proof: Proof | None = resolved_by(
        anchors.proof,
        "Its inclusion proof; null unless the batch is CONFIRMED or FINALIZED, and for platforms while it is for a "
        "wallet.",
        ONE_TREE,
    )
    token: EntitlementToken | None = resolved_by(
        entitlements.token,
        "As the contract knows it; null unless CONFIRMED or FINALIZED, and for platforms while it is for a wallet.",
        ONE_TREE,
    )


@represents(entitlements.Check)
@strawberry.type(description="Whether a right opens a course, at one moment.")
class EntitlementCheck:
    is_entitled: bool = plain("Whether to open the course.")
    reason: entitlements.EntitlementReason = plain("Why.")
    checked_at_us: Instant = plain("As of when.", name="checkedAt")
    entitlement: Entitlement | None = relation("entitlement", "The right, where there is one that you may see.")


@strawberry.type(description="What entitlementRevoke came to.")
class EntitlementRevokePayload(Payload):
    entitlement: Entitlement | None = relation("entitlement", "The right; null if it was refused.")


@strawberry.type(description="What entitlementClaim came to.")
class EntitlementClaimPayload(Payload):
    entitlement: Entitlement | None = relation("entitlement", "The right; null if it was refused.")


@strawberry.type(description="What entitlementTransfer came to.")
class EntitlementTransferPayload(Payload):
    entitlement: Entitlement | None = relation("entitlement", "Your right, as it now is; null if it was refused.")


@strawberry.type
class EntitlementQueries:
    entitlement: Entitlement | None = resolved_by(entitlements.entitlement, "One right.")
    verify_entitlement: EntitlementCheck | None = resolved_by(
        entitlements.verify_entitlement,
        "Whether a right opens a course now. Null with an error while the chain, where it is needed, does not answer.",
        ASKED_OF_THE_CHAIN,
    )
    entitlements: Connection[Entitlement] = resolved_by(
        entitlements.all_entitlements, "The rights that you may see, the newest first."
    )


@strawberry.type
class EntitlementMutations:
    entitlement_revoke: EntitlementRevokePayload = changed_by(
        entitlements.entitlement_revoke, "Staff end a right for good: all of its live grants."
    )
    entitlement_transfer: EntitlementTransferPayload = changed_by(
        entitlements.entitlement_transfer,
        "Hand a right of yours on to another person, where its course allows it: with the same term, at once, for "
        "good. Your proof ends on chain, and then theirs goes into a batch. One source of the right goes, the "
        "oldest: with two of them you keep access.",
    )
    entitlement_claim: EntitlementClaimPayload = changed_by(
        entitlements.entitlement_claim,
        "Have the token of a right of yours for a linked wallet. Its record goes to the chain anew; once that is "
        "CONFIRMED, `token { claimCall }` is what your wallet sends. Again it does nothing more. The address stands on "
        "chain then, and cannot be erased there.",
    )
