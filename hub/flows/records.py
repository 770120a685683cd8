"""What goes on chain of one request and its result: a leaf, written in the unit that records the result.

Only its commitment leaves this house, and only as part of a root (flows/anchors.py).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hub.domain import anchors
from hub.domain.contracts import NOBODY
from hub.domain.events import HUB_STREAM, Audience, PaymentRecorded
from hub.domain.ids import Draw
from hub.domain.orders import Order
from hub.domain.payments import PaymentAttempt
from hub.domain.records import RecordedLeaf, SealedSalt
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

COMMITMENT_VERSION = 1
# What the token is: access to the canonical Course. Not the course's own kind, which may be corrected later.
TOKEN_KIND, TOKEN_VERSION = 1, 1
PLACE = "place_leaf"  # the key of such a Task is the leaf's id
LOOK_AGAIN_US = 1_000_000


async def record_end(
    tx: "Tx",
    order: Order,
    attempt: PaymentAttempt | None,
    *,
    grant_id: str | None,
    had_ended: bool,
    audiences: list[Audience],
    draw: Draw,
    vault: Vault,
    holder: str = NOBODY,
) -> None:
    """The leaf that binds one request and its result; `attempt` None for an order of total 0.

    `grant_id` is the right that the request has given, None if it gave none; `holder` the wallet that may claim it.
    `had_ended`: the request may have an earlier leaf (declined, then charged after all), which no longer tells its end
    and is revoked by a Task: one request, one standing leaf.
    """
    leaf_id = draw.id("lef", attempt.id if attempt else order.id)
    if attempt is not None and had_ended:
        for earlier in await tx.anchors.supersede(attempt.id, leaf_id):
            tx.tasks.add("revoke_leaf", earlier.id, {"leaf": earlier.id}, draw.now_us)
    salt = draw.bytes("salt", leaf_id)
    is_right = grant_id is not None
    request = anchors.canonical(request_of(order, attempt))
    result = anchors.canonical(result_of(order, attempt))
    await tx.anchors.add_leaf(
        RecordedLeaf(
            id=leaf_id,
            order_id=order.id,
            attempt_id=attempt.id if attempt else None,
            generation=0,
            order_key=vault.order_key(order.merchant_id, order.number),
            holder=holder if is_right else NOBODY,
            token_id=str(token_id(order.course_id, vault)) if is_right else "0",
            expiry=anchors.NO_END if is_right else 0,
            request=request.decode(),
            result=result.decode(),
            commitment=committed(request, result, salt, vault),
            sealed_salt=b"",
            is_superseded=False,
            batch_id=None,
            index=None,
            created_at_us=draw.now_us,
            grant_id=grant_id,
        )
    )
    await keep_salt(tx, leaf_id, order.user_id, salt, draw, vault)
    tx.events.append(_Row(leaf_id), PaymentRecorded(leaf_id, order.id), audiences, draw)


async def renew(
    tx: "Tx", former: RecordedLeaf, owner_id: str, holder: str, draw: Draw, vault: Vault
) -> RecordedLeaf:
    """The same right for another holder: a new leaf for the next batch, which says the same under a salt of its own.

    `owner_id` is whose right it is. What becomes of the former leaf on chain is the caller's: nothing here revokes it.
    """
    leaf_id = draw.id("lef", former.id)
    salt = draw.bytes("salt", leaf_id)
    request, result = (former.request or "{}").encode(), (former.result or "{}").encode()
    new = replace(
        former,
        id=leaf_id,
        holder=holder,
        request=request.decode(),
        result=result.decode(),
        commitment=committed(request, result, salt, vault),
        sealed_salt=b"",
        is_superseded=False,
        batch_id=None,
        index=None,
        created_at_us=draw.now_us,
    )
    await tx.anchors.give_up(former.id)
    await add_right(tx, new, owner_id, salt, draw, vault)
    return new


async def add_right(tx: "Tx", new: RecordedLeaf, owner_id: str, salt: bytes, draw: Draw, vault: Vault) -> None:
    """A leaf that carries a right, for the next batch; that of a right which came from somebody else by a Task, once
    theirs has ended on chain."""
    await tx.anchors.add_leaf(new)
    await keep_salt(tx, new.id, owner_id, salt, draw, vault)
    if new.owner_id is None:
        _tell(tx, new, owner_id, draw)
    else:
        tx.tasks.add(PLACE, new.id, {"leaf": new.id}, draw.now_us)


async def place(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one such leaf: nobody before its holder has the right on chain any more, so that two never have."""
    async with hub.store.reading() as rx:
        [leaf] = await rx.anchors.leaves([task.body["leaf"]])
        waits = await rx.anchors.is_ending_before(leaf)
    if waits:
        return hub.clock.now_us() + LOOK_AGAIN_US
    await hub.store.write(place_leaf, leaf, hub.draw())
    return None


async def place_leaf(tx: "Tx", leaf: RecordedLeaf, draw: Draw) -> None:
    if await tx.tasks.drop(PLACE, leaf.id):  # else another process was first
        _tell(tx, leaf, leaf.owner_id or "", draw)


def _tell(tx: "Tx", leaf: RecordedLeaf, owner_id: str, draw: Draw) -> None:
    """The batcher, that it waits. Nobody but the hub: of the right they know."""
    told = [Audience(HUB_STREAM, owner_id, "", "", sees_order=True)]
    tx.events.append(_Row(leaf.id), PaymentRecorded(leaf.id, leaf.order_id), told, draw)


async def keep_salt(tx: "Tx", leaf_id: str, user_id: str, salt: bytes, draw: Draw, vault: Vault) -> None:
    """Under the key of the person whose leaf it is: without it, nobody can tell what was recorded."""
    fresh = vault.seal(draw.bytes("person key", user_id), f"person|{user_id}")
    wrapped = await tx.salts.key_of(user_id, fresh, draw.now_us)
    await tx.salts.keep(leaf_id, user_id, vault.seal_for(wrapped, user_id, salt, leaf_id))


def salt_of(leaf: RecordedLeaf, sealed: SealedSalt | None, vault: Vault) -> bytes | None:
    """The salt that opens a leaf; None once its person was erased. ValueError if it was altered."""
    if leaf.sealed_salt:
        return vault.open(leaf.sealed_salt, leaf.id)
    if sealed is None:
        return None
    return vault.open_for(sealed.wrapped_key, sealed.user_id, sealed.sealed, leaf.id)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row that is written once: its only version is the first."""

    id: str
    version: int = 1


def request_of(order: Order, attempt: PaymentAttempt | None) -> dict[str, Any]:
    """The PaymentRequest as it is recorded: (user, amount, channel, course) under the order number. Amounts as text:
    a verifier in JavaScript must not lose a unit."""
    return {
        "order": order.number,
        "user": order.user_id,
        "course": order.course_id,
        "channel": attempt.channel if attempt else None,
        "reference": attempt.key if attempt else None,
        "amountMinor": str(order.total.amount_minor),
        "currency": order.total.currency,
    }


def result_of(order: Order, attempt: PaymentAttempt | None) -> dict[str, Any]:
    """The PaymentResult as it is recorded."""
    return {
        "state": attempt.state if attempt else order.status,
        "channelReference": attempt.channel_ref if attempt else None,
        "code": attempt.code if attempt else None,
        "providerTime": str(attempt.heard_at_us) if attempt and attempt.heard_at_us is not None else None,
        "orderStatus": order.status,
        "receivedMinor": str(order.received_minor),
    }


def commitment(request: dict[str, Any], result: dict[str, Any], salt: bytes, vault: Vault) -> bytes:
    """What the leaf says of request and result, to whoever has the opening and to nobody else."""
    return committed(anchors.canonical(request), anchors.canonical(result), salt, vault)


def committed(request: bytes, result: bytes, salt: bytes, vault: Vault) -> bytes:
    """Likewise, of their canonical texts."""
    keccak = vault.keccak
    return anchors.commitment(COMMITMENT_VERSION, keccak(request), keccak(result), salt, keccak)


# Courses that are being sold: their tokens are hashes, the same in every sale.
TOKENS_REMEMBERED = 4096


def token_id(course_id: str, vault: Vault) -> int:
    """One token for a Course on every platform."""
    return _token_id(course_id, vault.keccak)


@lru_cache(TOKENS_REMEMBERED)
def _token_id(course_id: str, keccak: anchors.Keccak) -> int:
    return anchors.token_id(course_id, TOKEN_KIND, TOKEN_VERSION, keccak)
