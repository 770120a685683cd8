"""T Token 化 with a wallet: a right that was recorded without holder, or for another wallet, gets a leaf for this one.

The new leaf goes into the next batch; once it is CONFIRMED the former one's bit is revoked, so that the right stands
on chain at every block. What the wallet then sends, `claim`, anybody may send: only the wallet in the leaf receives.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from hub.domain.entitlements import Entitlement, Grant
from hub.domain.events import Change, OrderRecorded
from hub.domain.ids import Draw, fingerprint
from hub.domain.orders import ChainStatus, Order
from hub.domain.people import Viewer
from hub.domain.records import RecordedLeaf
from hub.domain.refusals import InvalidInput, NotFound, Refusal, StateConflict
from hub.domain.requests import Answer, RequestKey
from hub.flows import audit, records
from hub.flows.wallets import held_wallet
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

FOLLOW = "follow_claim"  # the key of such a Task is the new leaf's id
LOOK_AGAIN_US = 1_000_000
# Of one right: each costs the hub a leaf and a revocation on chain, and nobody changes wallets so often.
MOVES_A_DAY, DAY_US = 10, 24 * 3600 * 1_000_000
MOVED_TOO_OFTEN = f"this right went to other wallets {MOVES_A_DAY} times within a day: ask again tomorrow"


async def claim(
    hub: Hub, viewer: Viewer, *, entitlement_id: str, wallet_id: str, idempotency_key: str
) -> Answer[Entitlement]:
    """The right's token is for this wallet of the viewer's. Again, by whatever key, does nothing more."""
    told = fingerprint("entitlementClaim", {"entitlementId": entitlement_id, "walletId": wallet_id})
    request = RequestKey(viewer.principal, "entitlementClaim", idempotency_key, told)
    return await hub.store.write(claim_right, viewer, entitlement_id, wallet_id, request, hub.draw(), hub.vault)


async def claim_right(
    tx: "Tx",
    viewer: Viewer,
    entitlement_id: str,
    wallet_id: str,
    request: RequestKey,
    draw: Draw,
    vault: Vault,
) -> Answer[Entitlement]:
    if seen := await tx.requests.begin(request, entitlement_id, draw):
        return Answer(await tx.entitlements.lock(entitlement_id), seen.refusal, is_replay=True)
    wallet = await held_wallet(tx, viewer.user_id, wallet_id)
    if wallet is None:
        return await _refuse(tx, request, NotFound("walletId"))
    held = await tx.entitlements.get(entitlement_id)
    if held is None or held.user_id != viewer.user_id:
        return await _refuse(tx, request, NotFound("entitlementId"))
    # Orders are held before their rights, as wherever both are moved.
    sources = sorted({grant.source_ref for grant in await tx.entitlements.grants(held.id)})
    orders = {id_: order for id_ in sources if (order := await tx.orders.lock(id_)) is not None}
    entitlement = await tx.entitlements.lock(entitlement_id)
    assert entitlement is not None
    open_now = [grant for grant in await tx.entitlements.grants(entitlement.id) if grant.is_open(draw.now_us)]
    carried = [(grant, leaf) for grant in open_now if (leaf := await tx.anchors.leaf_of_grant(grant.id)) is not None]
    if not carried:
        return await _refuse(tx, request, StateConflict(entitlement.state, "entitlementClaim"))
    moved = [pair for pair in carried if pair[1].holder != wallet.address]
    for grant, _ in moved:
        leaves = await tx.anchors.rights_of(grant.source_ref)
        if sum(one.grant_id == grant.id and one.created_at_us > draw.now_us - DAY_US for one in leaves) > MOVES_A_DAY:
            return await _refuse(tx, request, InvalidInput("entitlementId", MOVED_TOO_OFTEN))
    for grant, leaf in moved:
        await _move(tx, grant, leaf, entitlement, wallet.address, orders, draw, vault)
    if moved:
        await audit.note(tx, viewer, "entitlementClaim", entitlement.id, draw)
    await tx.requests.finish(request, None)
    return Answer(entitlement, is_replay=not moved)


async def _move(
    tx: "Tx",
    grant: Grant,
    leaf: RecordedLeaf,
    entitlement: Entitlement,
    address: str,
    orders: dict[str, Order],
    draw: Draw,
    vault: Vault,
) -> None:
    new = await records.renew(tx, leaf, entitlement.user_id, address, draw, vault)
    tx.tasks.add(FOLLOW, new.id, {"leaf": new.id, "former": leaf.id}, draw.now_us)
    order = orders.get(grant.source_ref)
    if order is None or leaf.owner_id is not None or order.chain_status is ChainStatus.QUEUED:
        return  # of a right that came from somebody else, their order's record is no business of this one's
    parties = await tx.orders.parties([order.id])
    before, order = order, await tx.orders.update(replace(order, chain_status=ChainStatus.QUEUED))
    change = Change(before.chain_status, order.chain_status, "entitlementClaim")
    tx.events.append(order, OrderRecorded.of(order), parties[order.id], draw, change)


async def _refuse(tx: "Tx", request: RequestKey, refusal: Refusal) -> Answer[Entitlement]:
    await tx.requests.finish(request, refusal)
    return Answer(refusal=refusal)


# ---- the second purpose of a claim's Task ----------------------------------------------------------------------------


async def follow(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one claim: once the new leaf's batch is proven, the former leaf's bit is revoked, and not before."""
    async with hub.store.reading() as rx:
        [leaf] = await rx.anchors.leaves([task.body["leaf"]])
        batch = await rx.anchors.batch(leaf.batch_id) if leaf.batch_id else None
    if batch is None or not batch.state.is_proven:
        return hub.clock.now_us() + LOOK_AGAIN_US
    await hub.store.write(end_former, task.body["former"], hub.draw())
    return None


async def end_former(tx: "Tx", leaf_id: str, draw: Draw) -> None:
    tx.tasks.add("revoke_leaf", leaf_id, {"leaf": leaf_id}, draw.now_us)
