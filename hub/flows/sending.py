"""B 区块链: getting the transaction of a purpose into a block, once.

Signed, committed, then sent, in the order of nonces; sent again while no block holds it, for more money when it waits
too long. A nonce that somebody else used is given up, one that nothing can use is filled: what lies behind goes on.
Whatever was ever signed for a purpose may still get into a block: the contract takes each effect once, so a purpose
that is signed anew is at worst refused.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from hub.domain.records import ChainTransaction, KeyRole, TransactionState
from hub.ports import ChainReceipt, ChainRefused, FeeTooLow, Hub, NonceTaken, SignedTransaction

if TYPE_CHECKING:
    from hub.domain.ids import Draw
    from hub.store.transactions import Tx

log = logging.getLogger(__name__)

# In no block after so long: it pays too little. A chain with a block each 12 s has made fifteen by then.
OUTBID_AFTER_US = 180_000_000
# A nonce that is used in a block so deep, its own counted as one, and of which no receipt is ours, is another's. Before
# that the node that says so may merely be ahead of the one that is asked for receipts: providers have many.
TAKEN_DEPTH = 6
# A nonce whose transaction no node takes holds up all behind it: after so long it is filled with nothing.
FILL_AFTER_US = 600_000_000
FILL = "fill:"  # begins the purpose of such a one
FOLLOWED = ("anchor:", "settle:", "revoke:")  # begin the purposes whose Tasks follow them to their end
# What nobody follows has failed for good in a block so deep, which a node that tells of none calls final too.
FAILED_DEPTH = 64
FILLED_AT_ONCE = 64  # nonces looked at before a transaction in one go: a node may have named any

Sign = Callable[[int], Awaitable[SignedTransaction]]
Keep = Callable[["Tx", ChainTransaction, "Draw"], Awaitable[None]]


async def transacted(
    hub: Hub, purpose: str, sign: Sign, keep: Keep | None = None, *, by: KeyRole = KeyRole.GATEWAY
) -> ChainReceipt | None:
    """What became of the transaction of a purpose, signed with the nonce that `sign` is given if it is not yet. None:
    it is in no block yet; come back.

    `by` is whose key `sign` takes: each key has nonces of its own. What is signed already stays its sender's, also
    when another key has come into this role since. `keep` is run in the unit that stores the signed bytes. Raises
    ChainRefused for this purpose alone.
    """
    async with hub.store.reading() as rx:
        stored = await rx.chain_transactions.of_purpose(purpose)
    if stored is None:
        signed = await sign(await _next_nonce(hub, hub.chain.address_of(by)))
        draw = hub.draw()
        stored = _stored(purpose, hub.chain.chain_id, signed, draw.now_us)
        if not await hub.store.write(keep_signed, stored, keep, draw):
            return None  # another process took this nonce, or this purpose: look again
    receipt = await _receipt_of(hub, stored, purpose)
    if receipt is not None:
        return receipt
    try:
        await _send_in_order(hub, stored)
    except FeeTooLow as refused:
        log.info("%s waits, as it would in a pool: %s", purpose, refused)
    except NonceTaken:
        receipt = await _receipt_of(hub, stored, purpose)
        if receipt is None and await hub.chain.mined_nonce(stored.sender, TAKEN_DEPTH) > stored.nonce:
            log.warning("%s is signed anew: %s's nonce %d was used for something else", purpose, stored.sender,
                        stored.nonce)  # fmt: skip
            await hub.store.write(settle_transaction, purpose, stored.hash, TransactionState.FAILED)
        return receipt
    except ChainRefused:
        if _age_us(hub, stored) >= FILL_AFTER_US:
            await _fill(hub, stored)
        raise
    receipt = await _receipt_of(hub, stored, purpose)
    if receipt is None and _age_us(hub, stored) >= OUTBID_AFTER_US:
        await _outbid(hub, stored.chain_id, stored.sender)
    return receipt


async def finished(
    hub: Hub, purpose: str, contract: str, data: bytes, *, by: KeyRole, depth: int = 1
) -> ChainReceipt | None:
    """The same for a call whose receipt ends its purpose. One that failed may be tried anew.

    None: come back, as its bytes may still take effect. So may those that a node refuses, those that failed in a block
    less than `depth` deep, its own counted as one, and those that another process signed anew when these had failed.
    Raises ChainRefused when nothing of it is signed.
    """
    await hub.chain.connect()

    async def sign(nonce: int) -> SignedTransaction:
        return await hub.chain.sign_call(contract, data, nonce, by)

    try:
        receipt = await transacted(hub, purpose, sign, by=by)
    except ChainRefused as refused:
        async with hub.store.reading() as rx:
            if await rx.chain_transactions.of_purpose(purpose) is None:
                raise
        log.warning("%s was refused and may still get into a block: %s", purpose, refused)
        return None
    if receipt is None or (not receipt.is_ok and receipt.confirmations < depth):
        return None
    state = TransactionState.CONFIRMED if receipt.is_ok else TransactionState.FAILED
    return receipt if await hub.store.write(settle_transaction, purpose, receipt.hash, state) else None


async def settle_mined(hub: Hub, sender: str) -> None:
    """Settle what nobody may ask for again, of what is in blocks of this sender: fillers, and calls whose effect was
    seen on chain before their receipts were."""
    async with hub.store.reading() as rx:
        unsettled = await rx.chain_transactions.unsettled(hub.chain.chain_id)
    ours = [one for one in unsettled if one.sender == sender and not one.purpose.startswith(FOLLOWED)]
    mined = await hub.chain.mined_nonce(sender) if ours else 0
    for one in ours:
        if one.nonce < mined and (state := await _end_of(hub, one)) is not None:
            await hub.store.write(settle_transaction, one.purpose, one.hash, state)


async def _end_of(hub: Hub, mined: ChainTransaction) -> TransactionState | None:
    """None: it failed, or its nonce was used for something else, in a block that may still be taken back."""
    if mined.purpose.startswith(FILL):
        return TransactionState.CONFIRMED
    receipt = await _receipt_of(hub, mined, mined.purpose)
    if receipt is not None and receipt.is_ok:
        return TransactionState.CONFIRMED
    is_deep = mined.nonce < await hub.chain.mined_nonce(mined.sender, FAILED_DEPTH)
    return TransactionState.FAILED if is_deep else None


async def _next_nonce(hub: Hub, sender: str) -> int:
    async with hub.store.reading() as rx:
        known = await rx.chain_transactions.next_nonce(hub.chain.chain_id, sender)
    return max(known, await hub.chain.mined_nonce(sender))


async def _receipt_of(hub: Hub, stored: ChainTransaction, purpose: str) -> ChainReceipt | None:
    """Of the newest bytes, or of what they replaced."""
    if (receipt := await hub.chain.receipt(stored.hash)) is not None:
        return receipt
    async with hub.store.reading() as rx:
        replaced = await rx.chain_transactions.replaced_hashes(stored, purpose)
    for hash_ in replaced:
        if (receipt := await hub.chain.receipt(hash_)) is not None:
            return receipt
    return None


async def _send_in_order(hub: Hub, wanted: ChainTransaction) -> None:
    """Send all of this sender that no block holds, lowest nonce first: a gap would hold up all behind it.

    The chain's own next nonce says where to begin, and not what is settled here: a block that went takes transactions
    with it whose end is told. A nonce without any is filled. Raises ChainRefused for `wanted` alone; it waits while one
    before it is refused, until that one's nonce is filled too.
    """
    mined = await hub.chain.mined_nonce(wanted.sender)
    async with hub.store.reading() as rx:
        held = {
            one.nonce: one
            for one in await rx.chain_transactions.from_nonce(wanted.chain_id, wanted.sender, mined, wanted.nonce)
        }
    await settle_mined(hub, wanted.sender)
    for nonce in range(mined, min(wanted.nonce, mined + FILLED_AT_ONCE)):
        earlier = held.get(nonce)
        if earlier is None:
            await _fill_gap(hub, wanted, nonce)
            continue
        try:
            await hub.chain.send(_signed(earlier))
        except NonceTaken:
            continue
        except ChainRefused as refused:
            log.warning("%s waits: %s before it was refused: %s", wanted.purpose, earlier.purpose, refused)
            if _age_us(hub, earlier) < FILL_AFTER_US:
                return
            await _fill(hub, earlier)
    await hub.chain.send(_signed(wanted))


async def _outbid(hub: Hub, chain_id: int, sender: str) -> None:
    """The transaction that all others of a sender wait for, for more money if it has waited too long itself."""
    mined = await hub.chain.mined_nonce(sender)
    async with hub.store.reading() as rx:
        waiting = await rx.chain_transactions.from_nonce(chain_id, sender, mined, mined)
    for first in waiting:
        if _age_us(hub, first) < OUTBID_AFTER_US:
            continue
        dearer = await hub.chain.sign_replacement(first.raw, first.sender)
        if await hub.store.write(replace_signed, first, dearer, None, hub.draw()):
            log.info("%s waited too long and is sent again for more: %s", first.purpose, dearer.hash)
            try:
                await hub.chain.send(dearer)
            except ChainRefused as refused:  # whoever comes next says so of its own, or fills its nonce
                log.warning("%s is refused for more too: %s", first.purpose, refused)


async def _fill_gap(hub: Hub, wanted: ChainTransaction, nonce: int) -> None:
    """Nothing under a nonce that was never used: a node once told a greater one than was due."""
    nothing = await hub.chain.sign_nothing(nonce, wanted.sender)
    draw = hub.draw()
    stored = _stored(_filler(wanted, nonce), wanted.chain_id, nothing, draw.now_us)
    if await hub.store.write(keep_signed, stored, None, draw):
        log.warning("nonce %d of %s is filled: nothing was ever signed for it", nonce, wanted.sender)
        await hub.chain.send(nothing)


async def _fill(hub: Hub, stored: ChainTransaction) -> None:
    """Nothing under a nonce that nothing else will use, so that what lies behind goes on; the purpose is free again."""
    nothing = await hub.chain.sign_nothing(stored.nonce, stored.sender)
    if await hub.store.write(replace_signed, stored, nothing, _filler(stored, stored.nonce), hub.draw()):
        log.warning("nonce %d of %s is filled: no node takes %s", stored.nonce, stored.sender, stored.purpose)
        await hub.chain.send(nothing)


def _filler(held: ChainTransaction, nonce: int) -> str:
    return f"{FILL}{held.chain_id}:{held.sender}:{nonce}"


def _age_us(hub: Hub, stored: ChainTransaction) -> int:
    return hub.clock.now_us() - stored.signed_at_us


def _stored(purpose: str, chain_id: int, signed: SignedTransaction, now_us: int) -> ChainTransaction:
    return ChainTransaction(
        purpose=purpose,
        chain_id=chain_id,
        sender=signed.sender,
        nonce=signed.nonce,
        raw=signed.raw,
        hash=signed.hash,
        state=TransactionState.SIGNED,
        signed_at_us=now_us,
    )


def _signed(stored: ChainTransaction) -> SignedTransaction:
    return SignedTransaction(stored.hash, stored.raw, stored.nonce, stored.sender)


# ---- units -----------------------------------------------------------------------------------------------------------


async def keep_signed(tx: "Tx", signed: ChainTransaction, keep: Keep | None, draw: "Draw") -> bool:
    """Commit the signed bytes before they are sent. False: its nonce or its purpose has a transaction already."""
    if not await tx.chain_transactions.add(signed):
        return False
    if keep is not None:
        await keep(tx, signed, draw)
    return True


async def replace_signed(
    tx: "Tx", held: ChainTransaction, by: SignedTransaction, purpose: str | None, draw: "Draw"
) -> bool:
    """Commit other bytes for a nonce before they are sent. False: another process was first."""
    return await tx.chain_transactions.replace(held, by, draw.now_us, purpose)


async def settle_transaction(tx: "Tx", purpose: str, hash_: str, state: TransactionState) -> bool:
    """What has this hash is in a block for good, or can never be: then its purpose is free for another. False: another
    process was first, and what the purpose has now is not what was looked at."""
    return await tx.chain_transactions.move(purpose, hash_, state)
