"""T Token化 from the outside: rights, and the one question that a platform asks before it opens a course."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import strawberry

from hub.domain import anchors
from hub.domain.contracts import ENTITLEMENT_HUB
from hub.domain.entitlements import Entitlement, Grant, TokenState, has_access, token_state
from hub.domain.ids import kind_of
from hub.domain.people import ViewerKind
from hub.domain.records import BatchState
from hub.domain.refusals import InvalidInput, Refused
from hub.domain.requests import Answer
from hub.domain.siwe import checksummed
from hub.flows import claims, transfers
from hub.flows import entitlements as flow_entitlements
from hub.flows.people import MAX_EXTERNAL_ID
from hub.flows.transfers import Recipient
from hub.ports import ChainUnavailable, LeafClaim
from resolvers.anchors import Bundle, BundleRefused, ProofView, proof, read_bundle
from resolvers.context import Info
from resolvers.errors import bad_input, gatekept
from resolvers.inputs import id_of, key, storable, text
from resolvers.lookahead import nested_list, wanted
from resolvers.orders import IdempotencyKey
from resolvers.paging import After, Before, First, Last, Page, Window
from resolvers.payloads import Payload, told
from resolvers.reading import listed_page, one, reading, told_of

if TYPE_CHECKING:
    from hub.store.reads import Row
    from hub.store.reads.anchors import ClaimedTokenRow, LeafRow
    from hub.store.reads.entitlements import EntitlementRow, GrantRow
    from hub.store.transactions import Rx

EntitlementId = Annotated[strawberry.ID, strawberry.argument(description="The entitlement's id.")]
MAX_REASON = 500  # characters
# How long a read waits for the contract: above the embedded node's own 5 s for a call, and a reader still there.
CHAIN_WITHIN_S = 10.0


async def entitlement(info: Info, id: EntitlementId) -> "Row | None":
    """One right."""
    return await one(info, "Entitlement", "entitlement", id)


async def all_entitlements(
    info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
) -> Page:
    """The rights that you may see, the newest first."""
    listed = nested_list("entitlements", info.context.viewer)
    return await listed_page(info, "entitlement", listed, first, after, last, before)


async def entitlement_revoke(
    info: Info,
    entitlement_id: EntitlementId,
    reason: Annotated[str, strawberry.argument(description="For the record, at most 500 characters, no names.")],
    idempotency_key: IdempotencyKey,
) -> Payload:
    """Staff end a right."""

    async def flow() -> Answer[Entitlement]:
        return await flow_entitlements.revoke(
            info.context.hub,
            info.context.viewer,
            entitlement_id=id_of("Entitlement", entitlement_id, "entitlementId"),
            reason=storable(reason, "reason", MAX_REASON),
            idempotency_key=key(idempotency_key),
        )

    answer = await told(flow)
    return Payload({"entitlement": await told_of(info, "entitlement", answer)}, answer.refusal, answer.is_replay)


async def entitlement_claim(
    info: Info,
    entitlement_id: EntitlementId,
    wallet_id: Annotated[strawberry.ID, strawberry.argument(description="A linked wallet of yours: see walletLink.")],
    idempotency_key: IdempotencyKey,
) -> Payload:
    """The right's token is for this wallet."""

    async def flow() -> Answer[Entitlement]:
        return await claims.claim(
            info.context.hub,
            info.context.viewer,
            entitlement_id=id_of("Entitlement", entitlement_id, "entitlementId"),
            wallet_id=id_of("Wallet", wallet_id, "walletId"),
            idempotency_key=key(idempotency_key),
        )

    answer = await told(flow)
    return Payload({"entitlement": await told_of(info, "entitlement", answer)}, answer.refusal, answer.is_replay)


@strawberry.input(description="A platform's member.")
class MemberOfPlatform:
    platform_id: strawberry.ID = strawberry.field(description="Whose member.")
    external_id: str = strawberry.field(description="The platform's own id of them, at most 200 characters.")
    may_be_new: bool = strawberry.field(
        default=False,
        description="Whether this may be somebody whom the hub does not know yet: what they are given waits for them, "
        "and is theirs once they sign in through that platform or it links them. Nobody can say then that the id was "
        "misspelt.",
    )


@strawberry.input(one_of=True, description="Whom a right is for: give exactly one.")
class TransferRecipient:
    wallet: strawberry.Maybe[str] = strawberry.field(
        description="Whoever has linked this address; 0x and 40 hexadecimal digits. The right's token is for it."
    )
    member: strawberry.Maybe[MemberOfPlatform] = strawberry.field(description="Whoever this is.")


async def entitlement_transfer(
    info: Info,
    entitlement_id: EntitlementId,
    to: Annotated[TransferRecipient, strawberry.argument(description="Whom it is for.")],
    idempotency_key: IdempotencyKey,
) -> Payload:
    """The right is another person's."""

    async def flow() -> Answer[Entitlement]:
        return await transfers.transfer(
            info.context.hub,
            info.context.viewer,
            entitlement_id=id_of("Entitlement", entitlement_id, "entitlementId"),
            to=_recipient(info, to),
            idempotency_key=key(idempotency_key),
        )

    answer = await told(flow)
    return Payload({"entitlement": await told_of(info, "entitlement", answer)}, answer.refusal, answer.is_replay)


def _recipient(info: Info, to: TransferRecipient) -> Recipient:
    if to.member is not None:
        member = to.member.value
        external_id = storable(member.external_id, "to.member.externalId", MAX_EXTERNAL_ID)
        platform_id = id_of("Platform", member.platform_id, "to.member.platformId")
        return Recipient(None, platform_id, external_id, member.may_be_new)
    assert to.wallet is not None
    try:
        return Recipient(checksummed(to.wallet.value, info.context.hub.vault.keccak))
    except ValueError as fault:
        raise Refused(InvalidInput("to.wallet", str(fault))) from None


# ---- fields ---------------------------------------------------------------------------------------------------------


def is_open(info: Info, root: "strawberry.Parent[EntitlementRow]") -> bool:
    """By the domain's own rule over the grants, which look-ahead has read."""
    return _gives_access(info, root.joined["grants"])


def _gives_access(info: Info, grants: "Sequence[GrantRow]") -> bool:
    return has_access(cast("Sequence[Grant]", grants), info.context.hub.clock.now_us())


@dataclass(frozen=True, slots=True)
class TokenView:
    """The right as the contract knows it."""

    token_id: int
    holder: str | None
    chain_id: int
    contract: str
    state: TokenState
    claimed_at_us: int | None
    claim_call: "ContractCall | None"


@dataclass(frozen=True, slots=True)
class ContractCall:
    """A transaction that is not signed yet."""

    chain_id: int
    to: str
    data: str


def _settled(leaf: "LeafRow | None") -> TokenView | None:
    """Of a right that is on chain by itself: its wallet has the token already, nothing is left to be claimed."""
    batch = None if leaf is None else leaf.joined["batch"]
    if leaf is None or batch is None or not batch.is_settlement or not BatchState(batch.state).is_proven:
        return None
    holder = None if int(leaf.holder, 16) == 0 else leaf.holder
    its: ClaimedTokenRow | None = leaf.joined["claimed"]
    state, at_us = TokenState.CLAIMED, batch.confirmed_at_us  # what earlier releases settled has no row of its own
    if its is not None:
        state, at_us = token_state(its.claimed_at_us, its.burned_at_us), its.claimed_at_us
    return TokenView(int(leaf.token_id), holder, batch.chain_id, batch.contract, state, at_us, None)


def token(info: Info, root: "strawberry.Parent[EntitlementRow]") -> TokenView | None:
    """Null before the batch is CONFIRMED."""
    found: ProofView | None = proof(info, root)  # type: ignore[arg-type]  # both rows hold their leaf alike
    if found is None:
        return _settled(root.joined["proof"])
    if int(found.to, 16) == 0:
        return TokenView(found.token_id, None, found.chain_id, found.hub, TokenState.UNCLAIMED, None, None)
    claimed = LeafClaim(
        found.root, found.index, found.order_key, found.to, found.token_id, found.expiry, found.commitment,
        tuple(found.siblings),
    )  # fmt: skip
    data = info.context.hub.chain.claim_call(claimed)
    call = None if data is None else ContractCall(found.chain_id, found.hub, data)
    its: ClaimedTokenRow | None = root.joined["proof"].joined["claimed"]
    state = TokenState.UNCLAIMED if its is None else token_state(its.claimed_at_us, its.burned_at_us)
    claimed_at_us = None if its is None else its.claimed_at_us
    return TokenView(found.token_id, found.to, found.chain_id, found.hub, state, claimed_at_us, call)


# ---- may this member open this course? ------------------------------------------------------------------------------


class EntitlementReason(StrEnum):
    """Why the answer is what it is."""

    ENTITLED = "ENTITLED"
    NO_ENTITLEMENT = "NO_ENTITLEMENT"
    NOT_OPEN = "NOT_OPEN"
    UNKNOWN_MEMBER = "UNKNOWN_MEMBER"
    NOT_HONOURED_HERE = "NOT_HONOURED_HERE"
    PROOF_INVALID = "PROOF_INVALID"
    OTHER_COURSE = "OTHER_COURSE"
    NOT_ON_CHAIN = "NOT_ON_CHAIN"


@strawberry.input(one_of=True, description="Which member of the asking platform.")
class MemberRef:
    external_id: strawberry.Maybe[str] = strawberry.field(description="By your own id of the member.")
    pairwise_id: strawberry.Maybe[str] = strawberry.field(description="By the name that the hub gave you for them.")


@strawberry.input(one_of=True, description="Whose right: give exactly one.")
class VerifyEntitlementInput:
    member: strawberry.Maybe[MemberRef] = strawberry.field(description="A member's, for platforms.")
    entitlement: strawberry.Maybe[strawberry.ID] = strawberry.field(description="This one.")
    proof: strawberry.Maybe[str] = strawberry.field(description="The one in this bundle, a JSON text, at most 8192.")


@dataclass(frozen=True, slots=True)
class Check:
    """The answer, as of `checked_at_us`."""

    reason: EntitlementReason
    checked_at_us: int
    joined: "dict[str, Row | None]"

    @property
    def is_entitled(self) -> bool:
        return self.reason is EntitlementReason.ENTITLED


async def verify_entitlement(
    info: Info,
    input: Annotated[VerifyEntitlementInput, strawberry.argument(description="Whose right.")],
    course_id: Annotated[strawberry.ID, strawberry.argument(description="To which course.")],
) -> Check:
    """Whether a right opens a course now. A platform that neither lists nor honours the course learns nothing."""
    if kind_of(course_id) != "Course":
        return _checked(info, EntitlementReason.NOT_HONOURED_HERE)
    bundle = None
    if input.proof is not None:
        try:
            bundle = read_bundle(input.proof.value)
        except BundleRefused:
            return _checked(info, EntitlementReason.PROOF_INVALID)
    async with reading(info) as rx:
        if not await _is_listed_here(info, rx, course_id):
            return _checked(info, EntitlementReason.NOT_HONOURED_HERE)
        if bundle is None:
            return await _by_record(info, rx, input, course_id)
        right = await _first(info, rx, {"course_id": course_id, "order_key": bundle.proof.order_key})
    return await _by_proof(info, bundle, right, course_id)


async def _by_record(info: Info, rx: "Rx", asked: VerifyEntitlementInput, course_id: str) -> Check:
    if asked.entitlement is not None:
        entitlement_id = asked.entitlement.value
        want = _wanted_of_right(info)
        if kind_of(entitlement_id) != "Entitlement":
            return _checked(info, EntitlementReason.NO_ENTITLEMENT)
        (right,) = await rx.reads.load("entitlement", [entitlement_id], info.context.viewer, *want)
        if right is not None and right.course_id != course_id:
            return _checked(info, EntitlementReason.OTHER_COURSE)
        return _by_grants(info, right)
    assert asked.member is not None
    user_key = await _user_of(info, rx, asked.member.value)
    if user_key is None:
        return _checked(info, EntitlementReason.UNKNOWN_MEMBER)
    return _by_grants(info, await _first(info, rx, {"course_id": course_id, "user_id": user_key}))


async def _by_proof(info: Info, bundle: Bundle, right: "EntitlementRow | None", course_id: str) -> Check:
    """Offline first, then the hub's own record, then the contract: only its word is waited for."""
    hub = info.context.hub
    claim, keccak = bundle.proof, hub.vault.keccak
    if not anchors.verify(claim, keccak):
        return _checked(info, EntitlementReason.PROOF_INVALID)
    # The course alone: kind and version of the token are below.
    if claim.token_id >> 160 != anchors.token_id(course_id, 1, 1, keccak) >> 160:
        return _checked(info, EntitlementReason.OTHER_COURSE)
    if right is not None and not _gives_access(info, right.joined["grants"]):
        return _checked(info, EntitlementReason.NOT_OPEN, right)
    if not await _is_ours(info, bundle):
        return _checked(info, EntitlementReason.NOT_ON_CHAIN, right)
    to = f"0x{claim.to.hex()}"
    asked = LeafClaim(
        claim.root, claim.index, claim.order_key, to, claim.token_id, claim.expiry, claim.commitment, claim.proof,
        bundle.hub,
    )  # fmt: skip
    is_anchored = await _asked_of_the_chain(hub.chain.verify(asked))
    return _checked(info, EntitlementReason.ENTITLED if is_anchored else EntitlementReason.NOT_ON_CHAIN, right)


async def _is_ours(info: Info, bundle: Bundle) -> bool:
    """Whether the bundle is of an EntitlementHub that this hub anchors in or has anchored in before."""
    with gatekept():
        chain_id, present = info.context.hub.chain.chain_id, info.context.hub.chain.contract
    async with reading(info) as rx:
        recorded = await rx.anchors.contracts(chain_id)
    ours = {present.lower(), *(one.address.lower() for one in recorded if one.name == ENTITLEMENT_HUB)}
    return bundle.chain_id == chain_id and bundle.hub.lower() in ours


async def _asked_of_the_chain(word: Awaitable[bool]) -> bool:
    """The contract's word. Raises UNAVAILABLE when it does not come in time: the rest of the page does not wait."""
    with gatekept():
        try:
            async with asyncio.timeout(CHAIN_WITHIN_S):
                return await word
        except TimeoutError as silence:
            raise ChainUnavailable("no word in time") from silence


def _by_grants(info: Info, right: "EntitlementRow | None") -> Check:
    if right is None:
        return _checked(info, EntitlementReason.NO_ENTITLEMENT)
    if not _gives_access(info, right.joined["grants"]):
        return _checked(info, EntitlementReason.NOT_OPEN, right)
    return _checked(info, EntitlementReason.ENTITLED, right)


async def _is_listed_here(info: Info, rx: "Rx", course_id: str) -> bool:
    """Learners and operators ask about what they may see anyway."""
    viewer = info.context.viewer
    if viewer.kind is not ViewerKind.PLATFORM:
        return True
    filters = {"course_id": course_id, "platform_id": viewer.platform_id}
    return bool((await rx.reads.page("listing", viewer, _ONE, filters=filters)).rows)


async def _user_of(info: Info, rx: "Rx", member: MemberRef) -> str | None:
    """The hub's own id of a platform's member; no other viewer has members to ask by."""
    viewer = info.context.viewer
    if viewer.kind is not ViewerKind.PLATFORM:
        raise bad_input("member: only a platform asks by its members")
    if member.external_id is not None:
        name = text(member.external_id.value, "externalId")
        found = (await rx.reads.page("member", viewer, _ONE, filters={"external_id": name})).rows
        return found[0].user_id if found else None
    assert member.pairwise_id is not None
    (user,) = await rx.reads.load("user", [text(member.pairwise_id.value, "pairwiseId")], viewer)
    return None if user is None else str(user.key)


_ONE = Window(1, is_forward=True, edge=None)


async def _first(info: Info, rx: "Rx", filters: dict[str, object]) -> "EntitlementRow | None":
    want, windows = _wanted_of_right(info)
    paths = frozenset(f"nodes.{path}" for path in want)
    part = await rx.reads.page("entitlement", info.context.viewer, _ONE, paths, windows, filters=filters)
    return part.rows[0] if part.rows else None


def _wanted_of_right(info: Info) -> tuple[frozenset[str], dict[str, Window]]:
    want = wanted(info).below("entitlement")
    return want.paths | {"grants"}, want.windows


def _checked(info: Info, reason: EntitlementReason, right: "Row | None" = None) -> Check:
    return Check(reason, info.context.hub.clock.now_us(), {"entitlement": right})
