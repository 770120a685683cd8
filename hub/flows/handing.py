"""What handing a right on does, whoever decides it: in the books and on chain there is one holder before, one after.

The former grant ends and a new one begins in the same commit, with the same term. The former leaf's bit is revoked at
once, and after that the new holder's leaf goes into a batch: for a while nobody can show the right on chain, and at no
time two can. What the payment's own leaf said of request and result is recorded anew, granting nothing.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hub.domain.anchors import canonical
from hub.domain.contracts import NOBODY
from hub.domain.entitlements import (
    LIVE_GRANTS,
    Entitlement,
    EntitlementState,
    Grant,
    GrantSource,
    GrantState,
    state_of,
)
from hub.domain.events import Change, EntitlementGranted, EntitlementRevoked, EntitlementSuspended
from hub.domain.ids import Draw
from hub.domain.orders import Order
from hub.domain.records import RecordedLeaf
from hub.flows import records
from hub.flows.entitlements import event_of, told_of_right
from hub.ports import Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx


@dataclass(frozen=True, slots=True)
class Handing:
    """One grant on its way from one person to another; its order and both rights are held."""

    order: Order
    grant: Grant
    giver: Entitlement
    taker_id: str
    holder: str  # the wallet that its new leaf is for, or nobody's


async def taken_up(tx: "Tx", giver_id: str, taker_id: str) -> tuple[Entitlement, list[tuple[Order, Grant]]]:
    """Holds the giver's right, the taker's, and the orders behind them; the right with its grants that live.

    Orders are held before rights, and rights in one order for everybody.
    """
    sources = sorted({grant.source_ref for grant in await tx.entitlements.grants(giver_id)})
    orders = {id_: order for id_ in sources if (order := await tx.orders.lock(id_)) is not None}
    giver = await tx.entitlements.get(giver_id)
    assert giver is not None
    taken = await tx.entitlements.of(taker_id, giver.course_id)
    for id_ in sorted({giver.id, taken.id if taken else giver.id}):
        await tx.entitlements.lock(id_)
    giver = await tx.entitlements.lock(giver.id)
    assert giver is not None
    grants = await tx.entitlements.grants(giver.id)
    live = [grant for grant in grants if grant.state in LIVE_GRANTS and grant.source_ref in orders]
    return giver, [(orders[grant.source_ref], grant) for grant in live]


async def hand(tx: "Tx", handing: Handing, draw: Draw, vault: Vault) -> Entitlement:
    """The grant ends for the giver and begins for the taker, held back by whatever held it back. The giver's right, as
    it then is."""
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
        version=1,
        created_at_us=draw.now_us,
    )
    if not await tx.entitlements.add_grant(given):
        raise AssertionError(f"what {order.id} gave has two holders")
    state = state_of(await tx.entitlements.grants(taker.id))
    taker = taker if state is taker.state else await tx.entitlements.update(replace(taker, state=state))
    begun = EntitlementSuspended if given.state is GrantState.SUSPENDED else EntitlementGranted
    await _rewrite(tx, handing, given, draw, vault)
    for right, kind, change in (
        (giver, EntitlementRevoked, Change(former.state, GrantState.TRANSFERRED, given.id)),
        (taker, begun, Change("", given.state, former.id)),
    ):
        told = await told_of_right(tx, order, right.user_id, vault)
        source = former.source if right is giver else given.source
        tx.events.append(right, event_of(kind, right, order, source), told, draw, change)
    return giver


async def _rewrite(tx: "Tx", handing: Handing, given: Grant, draw: Draw, vault: Vault) -> None:
    """On chain: every leaf that carried the right ends, and then the taker's goes into a batch."""
    order = handing.order
    former = await tx.anchors.leaf_of_grant(handing.grant.id)
    if former is None:
        return  # no leaf carries it: nothing of it is on chain, or ever will be
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
        holder=NOBODY,
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


# ---- gifts that wait -------------------------------------------------------------------------------------------------


async def holds_nothing_but_gifts(tx: "Tx", user_id: str) -> bool:
    """Whether all that a provisional User has was handed on to them."""
    grants = [grant for id_ in await tx.entitlements.held_by(user_id) for grant in await tx.entitlements.grants(id_)]
    return all(grant.source is GrantSource.TRANSFER for grant in grants)


async def follow(tx: "Tx", user_id: str, owner_id: str, draw: Draw, vault: Vault) -> None:
    """Gifts to an account of a platform go with it, once its platform and its owner have said whose it is: also those
    that a dispute holds back, and still does."""
    for entitlement_id in await tx.entitlements.held_by(user_id):
        giver, grants = await taken_up(tx, entitlement_id, owner_id)
        for order, grant in grants:
            giver = await hand(tx, Handing(order, grant, giver, owner_id, NOBODY), draw, vault)
