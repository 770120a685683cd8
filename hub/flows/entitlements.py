"""T Token 化: a paid order becomes a right. A dispute holds it back; a refund, a lost dispute or staff end it."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from hub.domain.entitlements import (
    LIVE_GRANTS,
    STAFF,
    Entitlement,
    EntitlementState,
    Grant,
    GrantSource,
    GrantState,
    restored,
    resumed,
    revoked,
    state_of,
    suspended,
)
from hub.domain.events import (
    HUB_STREAM,
    Audience,
    Change,
    EntitlementEvent,
    EntitlementGranted,
    EntitlementResumed,
    EntitlementRevoked,
    EntitlementSuspended,
)
from hub.domain.ids import Draw, fingerprint
from hub.domain.orders import ChainStatus, FulfilmentStatus, Order
from hub.domain.people import Viewer, pairwise_id
from hub.domain.reconciliation import BreakKind
from hub.domain.refusals import NotFound, StateConflict
from hub.domain.requests import Answer, RequestKey
from hub.flows import audit
from hub.flows.breaks import open_break
from hub.flows.records import record_end, renew
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx


async def grant_purchase(tx: "Tx", order: Order, audiences: list[Audience], draw: Draw) -> str:
    """The right that a paid order gives: once per order, says the database; an older right gains one more source.
    Returns the grant's id."""
    entitlement = await tx.entitlements.touch(
        Entitlement(
            id=draw.id("ent"),
            user_id=order.user_id,
            course_id=order.course_id,
            state=EntitlementState.ACTIVE,
            version=1,
            created_at_us=draw.now_us,
        )
    )
    grant = Grant(
        id=draw.id("grt"),
        entitlement_id=entitlement.id,
        source=GrantSource.PURCHASE,
        source_ref=order.id,
        state=GrantState.ACTIVE,
        starts_at_us=draw.now_us,
        ends_at_us=None,
        version=1,
        created_at_us=draw.now_us,
    )
    if entitlement.version > 1:
        await _report_second_purchase(tx, entitlement, order, draw)
    if not await tx.entitlements.add_grant(grant):
        raise AssertionError(f"{order.id} has given its right already")
    change = Change("", GrantState.ACTIVE, order.id)
    tx.events.append(entitlement, event_of(EntitlementGranted, entitlement, order), audiences, draw, change)
    return grant.id


async def _report_second_purchase(tx: "Tx", entitlement: Entitlement, order: Order, draw: Draw) -> None:
    """Two orders of one course were under way at once and both were paid: the money is kept, and a person is told."""
    grants = await tx.entitlements.grants(entitlement.id)
    earlier = [grant for grant in grants if grant.source is GrantSource.PURCHASE and grant.state in LIVE_GRANTS]
    if earlier and order.total.amount_minor:
        detail = f"the buyer had paid for this course already, by order {earlier[0].source_ref}"
        await open_break(tx, BreakKind.DUPLICATE, order.id, order.id, detail, draw)


async def audiences_of(tx: "Tx", order: Order, vault: Vault) -> list[Audience]:
    """Who is told of an order, each platform under its own name for the buyer, which is made at the first need."""
    told = await tx.orders.audiences(order)
    unnamed = {
        audience.stream: pairwise_id(vault.platform_key(audience.stream), order.user_id)
        for audience in told
        if not audience.buyer
    }
    if not unnamed:
        return told
    await tx.people.name_pairwise([(order.user_id, platform, name) for platform, name in unnamed.items()])
    return [replace(audience, buyer=audience.buyer or unnamed[audience.stream]) for audience in told]


async def revoke(
    hub: Hub, viewer: Viewer, *, entitlement_id: str, reason: str, idempotency_key: str
) -> Answer[Entitlement]:
    """Staff end a right: every live grant of it, at once; its leaf on chain is revoked by a Task. Never undone."""
    request = RequestKey(
        viewer.principal,
        "entitlementRevoke",
        idempotency_key,
        fingerprint("entitlementRevoke", {"entitlementId": entitlement_id, "reason": reason}),
    )
    return await hub.store.write(revoke_all, viewer, entitlement_id, reason, request, hub.draw(), hub.vault)


async def revoke_all(
    tx: "Tx", viewer: Viewer, entitlement_id: str, reason: str, request: RequestKey, draw: Draw, vault: Vault
) -> Answer[Entitlement]:
    if seen := await tx.requests.begin(request, entitlement_id, draw):
        return Answer(await tx.entitlements.lock(entitlement_id), seen.refusal, is_replay=True)
    # Orders are held before their rights, as wherever money moves both.
    sources = sorted({grant.source_ref for grant in await tx.entitlements.grants(entitlement_id)})
    orders = {id_: order for id_ in sources if (order := await tx.orders.lock(id_)) is not None}
    entitlement = await tx.entitlements.lock(entitlement_id)
    if entitlement is None:
        refusal = NotFound("entitlementId")
        await tx.requests.finish(request, refusal)
        return Answer(refusal=refusal)
    grants = await tx.entitlements.grants(entitlement_id)
    live = [grant for grant in grants if grant.state in LIVE_GRANTS]
    if not live:
        conflict = StateConflict(entitlement.state, "entitlementRevoke")
        await tx.requests.finish(request, conflict)
        return Answer(entitlement, conflict)
    for order in [orders[grant.source_ref] for grant in live if grant.source_ref in orders]:
        audiences = await audiences_of(tx, order, vault)
        moved = await revoke_grants_of(tx, order, STAFF, audiences, draw, reason=reason)
        await tx.orders.update(moved)
    entitlement = await tx.entitlements.lock(entitlement_id)
    await audit.note(tx, viewer, "entitlementRevoke", entitlement_id, draw)
    await tx.requests.finish(request, None)
    return Answer(entitlement)


# ---- what refunds and disputes do to the right that an order gave ----------------------------------------------------
# Each takes the held order and a cause (a dispute's id, "refund"), and returns the order as it then is, for the caller
# to store. The same cause again changes nothing; a grant stands once no cause is left against it.


async def suspend_grants_of(tx: "Tx", order: Order, cause: str, audiences: list[Audience], draw: Draw) -> Order:
    """Hold back what the order gave; its leaf on chain stays as it is."""
    return (await _move_grants(tx, order, suspended, cause, cause, audiences, draw))[0]


async def resume_grants_of(tx: "Tx", order: Order, cause: str, audiences: list[Audience], draw: Draw) -> Order:
    """Let it stand again, as far as this cause goes."""
    return (await _move_grants(tx, order, resumed, cause, cause, audiences, draw))[0]


async def revoke_grants_of(
    tx: "Tx",
    order: Order,
    cause: str,
    audiences: list[Audience],
    draw: Draw,
    *,
    reason: str | None = None,
    is_leaf_revoked: bool = False,
) -> Order:
    """End it; its leaf is revoked by a Task, unless it is already. `reason` is kept in the history, the cause unless it
    is given."""
    order, moved = await _move_grants(tx, order, revoked, cause, reason or cause, audiences, draw)
    # A leaf that another one has taken over from stands on chain until that one does: it ends too.
    for leaf in await tx.anchors.rights_of(order.id) if GrantState.REVOKED in moved else ():
        if leaf.is_superseded or not is_leaf_revoked:
            tx.tasks.add("revoke_leaf", leaf.id, {"leaf": leaf.id}, draw.now_us)
    return order


async def restore_grants_of(
    tx: "Tx",
    order: Order,
    cause: str,
    audiences: list[Audience],
    draw: Draw,
    vault: Vault,
    *,
    has_leaf: bool = False,
) -> Order:
    """Undo that ending. A leaf that was revoked stays so: the right gets another one, under the next batch, unless it
    has its own again."""
    order, moved = await _move_grants(tx, order, restored, cause, cause, audiences, draw)
    leaf = await tx.anchors.right_of_grant(order.id) if moved else None
    if leaf is not None and leaf.owner_id is not None and not has_leaf:
        await renew(tx, leaf, leaf.owner_id, leaf.holder, draw, vault)
        return order
    if leaf is None or leaf.attempt_id is None or has_leaf:
        return order
    attempt = await tx.payments.by_id(leaf.attempt_id)
    order = replace(order, chain_status=ChainStatus.QUEUED)
    await record_end(
        tx, order, attempt, grant_id=leaf.grant_id, had_ended=True, audiences=audiences, draw=draw, vault=vault,
        holder=leaf.holder,
    )  # fmt: skip
    return order


async def _move_grants(
    tx: "Tx",
    order: Order,
    weigh: Callable[[Grant, str], Grant],
    cause: str,
    reason: str,
    audiences: list[Audience],
    draw: Draw,
) -> tuple[Order, list[GrantState]]:
    """The order with its fulfilment status, and the states that its grants came to, where they changed."""
    moved: list[GrantState] = []
    given: list[bool] = []
    # The buyer's right, and that of whoever the buyer has handed it on to.
    for entitlement_id in await tx.entitlements.given_by(order.id):
        entitlement = await tx.entitlements.lock(entitlement_id)
        assert entitlement is not None
        grants = {grant.id: grant for grant in await tx.entitlements.grants(entitlement_id)}
        told = audiences
        if entitlement.user_id != order.user_id:
            told = await _told_others(tx, order, entitlement.user_id)
        for grant in [one for one in grants.values() if _is_of(one, order)]:
            after = weigh(grant, cause)
            if after == grant:
                continue
            grants[grant.id] = after = await tx.entitlements.update_grant(after)
            if after.state is grant.state:
                continue
            moved.append(after.state)
            entitlement = await tx.entitlements.update(replace(entitlement, state=state_of(grants.values())))
            event = event_of(_TOLD[after.state], entitlement, order, grant.source)
            tx.events.append(entitlement, event, told, draw, Change(grant.state, after.state, reason))
        given += [grant.state in LIVE_GRANTS for grant in grants.values() if _is_of(grant, order)]
    status = FulfilmentStatus.FULFILLED if any(given) else FulfilmentStatus.REVOKED
    return (replace(order, fulfilment_status=status) if given else order), moved


async def told_of_right(tx: "Tx", order: Order, user_id: str, vault: Vault) -> list[Audience]:
    """Who is told of a right that this order gave and that is this user's now: the order is the buyer's business."""
    told = await audiences_of(tx, replace(order, user_id=user_id), vault)
    return told if user_id == order.user_id else [_without_order(audience) for audience in told]


async def _told_others(tx: "Tx", order: Order, user_id: str) -> list[Audience]:
    """Likewise, as far as platforms have a name for them already: they have since the right was handed on."""
    told = await tx.orders.audiences(replace(order, user_id=user_id))
    return [_without_order(audience) for audience in told if audience.buyer]


def _without_order(audience: Audience) -> Audience:
    return replace(audience, sees_order=audience.stream == HUB_STREAM)


_TOLD: dict[GrantState, type[EntitlementEvent]] = {
    GrantState.ACTIVE: EntitlementResumed,
    GrantState.SUSPENDED: EntitlementSuspended,
    GrantState.REVOKED: EntitlementRevoked,
}


def _is_of(grant: Grant, order: Order) -> bool:
    return grant.source in (GrantSource.PURCHASE, GrantSource.TRANSFER) and grant.source_ref == order.id


def event_of(
    kind: Callable[..., EntitlementEvent],
    entitlement: Entitlement,
    order: Order,
    source: GrantSource = GrantSource.PURCHASE,
) -> EntitlementEvent:
    return kind(
        entitlement_id=entitlement.id,
        course_id=entitlement.course_id,
        listing_id=order.listing_id,
        external_id="",
        buyer="",
        source=source,
        order_id=order.id,
        state=entitlement.state,
    )
