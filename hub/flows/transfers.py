"""Handing a right on (转让), where its course allows it: whose it is, whom it is for, and who says that it may be."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.domain.contracts import NOBODY
from hub.domain.entitlements import Entitlement
from hub.domain.ids import Draw, fingerprint
from hub.domain.people import Viewer, member_issuer
from hub.domain.refusals import InvalidInput, NotFound, Refusal, StateConflict
from hub.domain.requests import Answer, RequestKey
from hub.flows import audit, rivals
from hub.flows.handing import Handing, hand, taken_up
from hub.flows.people import external_id_fault, put_member
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
    may_be_new: bool = False  # somebody whom nobody has told the hub of yet


async def transfer(
    hub: Hub, viewer: Viewer, *, entitlement_id: str, to: Recipient, idempotency_key: str
) -> Answer[Entitlement]:
    """The viewer's right is the recipient's from now on. Answers with the viewer's, as it then is."""
    if to.external_id is not None and (reason := external_id_fault(to.external_id)):
        return Answer(refusal=InvalidInput("to.member.externalId", reason))
    said = [to.wallet, to.platform_id, to.external_id, *([to.may_be_new] if to.may_be_new else [])]
    told = fingerprint(TRANSFER, {"entitlementId": entitlement_id, "to": said})
    request = RequestKey(viewer.principal, TRANSFER, idempotency_key, told)
    return await rivals.write(hub, hand_on, viewer, entitlement_id, to, request, hub.draw(), hub.vault)


async def hand_on(
    tx: "Tx", viewer: Viewer, entitlement_id: str, to: Recipient, request: RequestKey, draw: Draw, vault: Vault
) -> Answer[Entitlement]:
    if seen := await tx.requests.begin(request, entitlement_id, draw):
        return Answer(await tx.entitlements.lock(entitlement_id), seen.refusal, is_replay=True)
    handing = await _handing(tx, viewer, entitlement_id, to, draw, vault)
    if not isinstance(handing, Handing):
        await tx.requests.finish(request, handing)
        return Answer(refusal=handing)
    giver = await hand(tx, handing, draw, vault)
    await audit.note(tx, viewer, TRANSFER, entitlement_id, draw)
    await tx.requests.finish(request, None)
    return Answer(giver)


async def _handing(
    tx: "Tx", viewer: Viewer, entitlement_id: str, to: Recipient, draw: Draw, vault: Vault
) -> Handing | Refusal:
    giver = await tx.entitlements.get(entitlement_id)
    if giver is None or giver.user_id != viewer.user_id:
        return NotFound("entitlementId")
    if not await tx.catalogue.is_transferable(giver.course_id):
        return StateConflict("NOT_TRANSFERABLE", TRANSFER)
    if not any(grant.is_open(draw.now_us) for grant in await tx.entitlements.grants(giver.id)):
        return StateConflict(giver.state, TRANSFER)  # before anybody new is made known for it
    taker_id = await taker_of(tx, to, draw, vault)
    if taker_id is None:
        return NotFound("to")
    if taker_id == giver.user_id:
        return InvalidInput("to", "that is yourself: to choose another wallet of yours, see entitlementClaim")
    giver, grants = await taken_up(tx, giver.id, taker_id)
    is_open = [(order, grant) for order, grant in grants if grant.is_open(draw.now_us)]
    if not is_open:
        return StateConflict(giver.state, TRANSFER)
    order, grant = is_open[0]
    return Handing(order, grant, giver, taker_id, to.wallet or NOBODY)


async def taker_of(tx: "Tx", to: Recipient, draw: Draw, vault: Vault) -> str | None:
    """Who that is. A member that may be new is made known, as a provisional User: theirs once they come."""
    if to.wallet is not None:
        linked = await tx.wallets.linked(to.wallet)
        return None if linked is None else linked.user_id
    assert to.platform_id is not None
    assert to.external_id is not None
    if to.may_be_new:
        made = (await put_member(tx, to.platform_id, to.external_id, draw, vault)).value
        return None if made is None else made.user_id
    await tx.people.lock_member(to.platform_id, to.external_id)  # whoever links it now comes before this, or after
    account = await tx.people.identity(member_issuer(to.platform_id), to.external_id)
    return None if account is None or account.ended_at_us is not None else account.user_id


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
