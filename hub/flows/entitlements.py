"""T Token 化: a paid order becomes a right, and staff may end one."""

from dataclasses import replace
from typing import TYPE_CHECKING

from hub.domain.entitlements import (
    LIVE_GRANTS,
    Entitlement,
    EntitlementState,
    Grant,
    GrantSource,
    GrantState,
    state_of,
)
from hub.domain.events import Audience, Change, EntitlementEvent, EntitlementGranted, EntitlementRevoked
from hub.domain.ids import Draw, fingerprint
from hub.domain.orders import FulfilmentStatus, Order
from hub.domain.people import Viewer, pairwise_id
from hub.domain.reconciliation import BreakKind
from hub.domain.refusals import NotFound, StateConflict
from hub.domain.requests import Answer, RequestKey
from hub.flows import audit
from hub.flows.breaks import open_break
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx


async def grant_purchase(tx: "Tx", order: Order, audiences: list[Audience], draw: Draw) -> None:
    """The right that a paid order gives: once per order, says the database; an older right gains one more source."""
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
    tx.events.append(entitlement, _event(EntitlementGranted, entitlement, order), audiences, draw, change)


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
    for grant in live:
        await tx.entitlements.move_grant(grant.id, GrantState.REVOKED)
        grants = [replace(other, state=GrantState.REVOKED) if other.id == grant.id else other for other in grants]
        entitlement = await tx.entitlements.update(replace(entitlement, state=state_of(grants)))
        await _tell_end(tx, entitlement, grant, reason, draw, vault)
    await audit.note(tx, viewer, "entitlementRevoke", entitlement.id, draw)
    await tx.requests.finish(request, None)
    return Answer(entitlement)


async def _tell_end(tx: "Tx", entitlement: Entitlement, grant: Grant, reason: str, draw: Draw, vault: Vault) -> None:
    """Of a purchase: the order shows REVOKED, its parties are told, its leaf is to be revoked."""
    order = await tx.orders.lock(grant.source_ref)
    if order is None:
        return
    order = await tx.orders.update(replace(order, fulfilment_status=FulfilmentStatus.REVOKED))
    change = Change(grant.state, GrantState.REVOKED, reason)
    audiences = await audiences_of(tx, order, vault)
    tx.events.append(entitlement, _event(EntitlementRevoked, entitlement, order), audiences, draw, change)
    leaf = await tx.anchors.right_of_grant(order.id)
    if leaf is not None:
        tx.tasks.add("revoke_leaf", leaf.id, {"leaf": leaf.id}, draw.now_us)


def _event(kind: type[EntitlementEvent], entitlement: Entitlement, order: Order) -> EntitlementEvent:
    return kind(
        entitlement_id=entitlement.id,
        course_id=entitlement.course_id,
        listing_id=order.listing_id,
        external_id="",
        buyer="",
        source=GrantSource.PURCHASE,
        order_id=order.id,
        state=entitlement.state,
    )
