"""Handing a right on (转让), where its course allows it: one holder before, one after, in the books and on chain.

The former grant ends and a new one begins in the same commit, with the same term. The former leaf's bit is revoked at
once and the new holder's leaf goes into the next batch: for a while nobody can show the right on chain, and at no time
two can. What the payment's own leaf said of request and result is recorded anew, granting nothing.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hub.domain.anchors import canonical
from hub.domain.entitlements import Entitlement, EntitlementState, Grant, GrantSource, GrantState, state_of
from hub.domain.events import Change, EntitlementGranted, EntitlementRevoked
from hub.domain.ids import Draw, fingerprint
from hub.domain.orders import Order
from hub.domain.people import Viewer, member_issuer
from hub.domain.records import RecordedLeaf
from hub.domain.refusals import InvalidInput, NotFound, Refusal, StateConflict
from hub.domain.requests import Answer, RequestKey
from hub.flows import audit, records
from hub.flows.entitlements import event_of, told_of_right
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx

TRANSFER = "entitlementTransfer"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a right is for: whoever has linked this wallet, or a platform's member."""

    wallet: str | None = None  # an address, spelt as EIP-55 says
    platform_id: str | None = None
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Handing:
    """One grant on its way from one person to another; its order and both rights are held."""

    order: Order
    grant: Grant
    giver: Entitlement
    taker_id: str
    holder: str  # the wallet that its new leaf is for, or nobody's


async def transfer(
    hub: Hub, viewer: Viewer, *, entitlement_id: str, to: Recipient, idempotency_key: str
) -> Answer[Entitlement]:
    """The viewer's right is the recipient's from now on. Answers with the viewer's, as it then is."""
    said = [to.wallet, to.platform_id, to.external_id]
    told = fingerprint(TRANSFER, {"entitlementId": entitlement_id, "to": said})
    request = RequestKey(viewer.principal, TRANSFER, idempotency_key, told)
    return await hub.store.write(hand_on, viewer, entitlement_id, to, request, hub.draw(), hub.vault)


async def hand_on(
    tx: "Tx", viewer: Viewer, entitlement_id: str, to: Recipient, request: RequestKey, draw: Draw, vault: Vault
) -> Answer[Entitlement]:
    if seen := await tx.requests.begin(request, entitlement_id, draw):
        return Answer(await tx.entitlements.lock(entitlement_id), seen.refusal, is_replay=True)
    handing = await _handing(tx, viewer, entitlement_id, to, draw)
    if not isinstance(handing, Handing):
        await tx.requests.finish(request, handing)
        return Answer(refusal=handing)
    giver = await _hand(tx, handing, draw, vault)
    await audit.note(tx, viewer, TRANSFER, entitlement_id, draw)
    await tx.requests.finish(request, None)
    return Answer(giver)


async def _handing(tx: "Tx", viewer: Viewer, entitlement_id: str, to: Recipient, draw: Draw) -> Handing | Refusal:
    giver = await tx.entitlements.get(entitlement_id)
    if giver is None or giver.user_id != viewer.user_id:
        return NotFound("entitlementId")
    if not await tx.catalogue.is_transferable(giver.course_id):
        return StateConflict("NOT_TRANSFERABLE", TRANSFER)
    taker_id = await _taker(tx, to)
    if taker_id is None:
        return NotFound("to")
    if taker_id == giver.user_id:
        return InvalidInput("to", "that is yourself: to choose another wallet of yours, see entitlementClaim")
    # Orders are held before rights, and rights in one order for everybody.
    sources = sorted({grant.source_ref for grant in await tx.entitlements.grants(giver.id)})
    orders = {id_: order for id_ in sources if (order := await tx.orders.lock(id_)) is not None}
    taken = await tx.entitlements.of(taker_id, giver.course_id)
    for id_ in sorted({giver.id, taken.id if taken else giver.id}):
        await tx.entitlements.lock(id_)
    giver = await tx.entitlements.lock(giver.id)
    assert giver is not None
    grants = [
        grant
        for grant in await tx.entitlements.grants(giver.id)
        if grant.is_open(draw.now_us) and grant.source_ref in orders
    ]
    if not grants:
        return StateConflict(giver.state, TRANSFER)
    return Handing(orders[grants[0].source_ref], grants[0], giver, taker_id, to.wallet or records.NO_HOLDER)


async def _taker(tx: "Tx", to: Recipient) -> str | None:
    if to.wallet is not None:
        linked = await tx.wallets.linked(to.wallet)
        return None if linked is None else linked.user_id
    assert to.platform_id is not None
    assert to.external_id is not None
    account = await tx.people.identity(member_issuer(to.platform_id), to.external_id)
    return None if account is None or account.ended_at_us is not None else account.user_id


async def _hand(tx: "Tx", handing: Handing, draw: Draw, vault: Vault) -> Entitlement:
    order, former, giver = handing.order, handing.grant, handing.giver
    await tx.entitlements.update_grant(replace(former, state=GrantState.TRANSFERRED))
    left = await tx.entitlements.grants(giver.id)
    giver = await tx.entitlements.update(replace(giver, state=state_of(left)))
    taker = await tx.entitlements.touch(
        Entitlement(
            draw.id("ent"), handing.taker_id, giver.course_id, EntitlementState.ACTIVE, 1, draw.now_us
        )
    )  # fmt: skip
    given = replace(
        former,
        id=draw.id("grt"),
        entitlement_id=taker.id,
        source=GrantSource.TRANSFER,
        state=GrantState.ACTIVE,
        version=1,
        created_at_us=draw.now_us,
    )
    if not await tx.entitlements.add_grant(given):
        raise AssertionError(f"what {order.id} gave has two holders")
    await _rewrite(tx, handing, given, draw, vault)
    for right, kind, change in (
        (giver, EntitlementRevoked, Change(former.state, GrantState.TRANSFERRED, given.id)),
        (taker, EntitlementGranted, Change("", GrantState.ACTIVE, former.id)),
    ):
        told = await told_of_right(tx, order, right.user_id, vault)
        source = former.source if right is giver else given.source
        tx.events.append(right, event_of(kind, right, order, source), told, draw, change)
    return giver


async def _rewrite(tx: "Tx", handing: Handing, given: Grant, draw: Draw, vault: Vault) -> None:
    """On chain: every leaf that carried the right ends, the taker's goes into the next batch."""
    order = handing.order
    former = await tx.anchors.leaf_of_grant(handing.grant.id)
    if former is None:
        return  # it has none, as one that was settled on chain directly: the token is where it is
    for leaf in await tx.anchors.rights_of(order.id):
        tx.tasks.add("revoke_leaf", leaf.id, {"leaf": leaf.id}, draw.now_us)
    await tx.anchors.give_up(former.id)
    leaf_id = draw.id("lef", "transfer", given.id)
    salt = draw.bytes("salt", leaf_id)
    request = canonical({"transfer": given.id, "user": handing.taker_id, "course": order.course_id})
    result = canonical({"state": given.state})
    new = replace(
        former,
        id=leaf_id,
        attempt_id=None,
        order_key=vault.order_key(order.merchant_id, given.id),
        holder=handing.holder,
        request=request.decode(),
        result=result.decode(),
        commitment=records.committed(request, result, salt, vault),
        sealed_salt=b"",
        is_superseded=False,
        batch_id=None,
        index=None,
        created_at_us=draw.now_us,
        grant_id=given.id,
        owner_id=handing.taker_id,
    )
    await records.add_right(tx, new, handing.taker_id, salt, draw, vault)
    if former.owner_id is None:
        await _record_alone(tx, former, order, draw, vault)


async def _record_alone(tx: "Tx", former: RecordedLeaf, order: Order, draw: Draw, vault: Vault) -> None:
    """The payment's request and result stay recorded, by a leaf that grants nothing."""
    leaf_id = draw.id("lef", "record", former.id)
    salt = draw.bytes("salt", leaf_id)
    request, result = (former.request or "{}").encode(), (former.result or "{}").encode()
    alone = replace(
        former,
        id=leaf_id,
        holder=records.NO_HOLDER,
        token_id="0",
        expiry=0,
        request=request.decode(),
        result=result.decode(),
        commitment=records.committed(request, result, salt, vault),
        sealed_salt=b"",
        is_superseded=False,
        batch_id=None,
        index=None,
        created_at_us=draw.now_us,
        grant_id=None,
    )
    await records.add_right(tx, alone, order.user_id, salt, draw, vault)


# ---- whether a course's rights may be handed on ----------------------------------------------------------------------


async def set_policy(hub: Hub, viewer: Viewer, *, course_id: str, is_transferable: bool) -> Answer[str]:
    """By the platform whose listing the course came with, or staff. What was handed on before stays where it is."""
    return await hub.store.write(keep_course_policy, viewer, course_id, is_transferable, hub.draw())


async def keep_course_policy(
    tx: "Tx", viewer: Viewer, course_id: str, is_transferable: bool, draw: Draw
) -> Answer[str]:
    maker = await tx.catalogue.maker_of(course_id)
    if maker is None or viewer.platform_id not in (None, maker):
        return Answer(refusal=NotFound("courseId"))
    if await tx.catalogue.is_transferable(course_id) is is_transferable:
        return Answer(course_id, is_replay=True)
    await tx.catalogue.set_transferable(course_id, is_transferable, draw.now_us)
    await audit.note(
        tx, viewer, "coursePolicySet", course_id, draw, platform_id=maker, is_transferable=is_transferable
    )  # fmt: skip
    return Answer(course_id)
