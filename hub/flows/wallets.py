"""Wallets (07 §5): whoever is signed in asks for a text, signs it with a wallet, and the address is theirs.

A signature is looked at outside of any transaction, as a contract wallet is asked on chain (EIP-1271); the nonce is
spent and the address taken in one unit, where the database lets one of several at once through.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.domain import checkout, siwe
from hub.domain.contracts import NOBODY
from hub.domain.ids import ALPHABET, Draw, base32
from hub.domain.orders import Order
from hub.domain.payments import PaymentAttempt
from hub.domain.people import UserState, Viewer, Wallet, WalletChallenge
from hub.domain.refusals import IdentityTaken, InvalidInput, NotFound, ProvisionalUser, Refusal, StateConflict
from hub.domain.requests import Answer
from hub.domain.siwe import SiweMessage, SiweRefused
from hub.flows import audit
from hub.ports import Hub, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx

# To read what is asked, unlock the wallet and sign; then the same text proves nothing any more.
CHALLENGE_US = 5 * 60 * 1_000_000
NONCE = 26  # characters, 130 bits
KEEP_CHALLENGES_US = 3600 * 1_000_000  # after their end: who comes late is told so
MAX_SIGNATURE = 4_096  # bytes; contract wallets with many signers send some hundred
STATEMENT = "Link this wallet to your account. Once a right of yours is claimed on chain for it, that cannot be erased."

assert ALPHABET.isalnum()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be signed, and until when."""

    nonce: str
    message: str
    expires_at_us: int


async def challenge(hub: Hub, viewer: Viewer, *, address: str, uri: str | None = None) -> Answer[Asked]:
    """The text that this user is to sign with the wallet at `address`. `uri` is the page that asks, one of this hub's
    pages; the hub's own unless it is given. Raises ChainUnavailable before it is known which chain it is."""
    try:
        spelt = siwe.checksummed(address, hub.vault.keccak)
    except ValueError as fault:
        return Answer(refusal=InvalidInput("address", str(fault)))
    page = uri or hub.page_origins[0]
    draw = hub.draw()
    nonce = base32(int.from_bytes(draw.bytes("nonce")), NONCE)
    message = SiweMessage(
        domain=page.partition("://")[2].partition("/")[0],
        address=spelt,
        uri=page,
        chain_id=hub.chain.chain_id,
        nonce=nonce,
        issued_at=siwe.instant(draw.now_us),
        statement=STATEMENT,
        expiration_time=siwe.instant(draw.now_us + CHALLENGE_US),
    )
    if _fault(hub, message, spelt):
        return Answer(refusal=InvalidInput("uri", "uri is not of one of this hub's pages"))
    assert viewer.user_id is not None
    asked = WalletChallenge(nonce, viewer.user_id, spelt, draw.now_us + CHALLENGE_US, None, draw.now_us)
    if refusal := await hub.store.write(keep_challenge, asked, draw):
        return Answer(refusal=refusal)
    return Answer(Asked(nonce, message.text, asked.expires_at_us))


async def keep_challenge(tx: "Tx", asked: WalletChallenge, draw: Draw) -> Refusal | None:
    user = await tx.people.user(asked.user_id)
    if user is None or user.state is UserState.PROVISIONAL:
        return ProvisionalUser()
    await tx.wallets.forget(draw.now_us - KEEP_CHALLENGES_US)
    await tx.wallets.ask(asked)
    return None


async def link(hub: Hub, viewer: Viewer, *, message: str, signature: bytes) -> Answer[Wallet]:
    """The wallet that signed `message` is the viewer's. Again by another message is a replay.

    Raises ChainUnavailable where the wallet may be a contract and the chain does not answer.
    """
    try:
        said = siwe.parse(message, hub.vault.keccak)
    except SiweRefused as fault:
        return Answer(refusal=InvalidInput("message", str(fault)))
    async with hub.store.reading() as rx:
        asked = await rx.wallets.challenge(said.nonce)
    if refusal := _not_asked(viewer, asked, hub.clock.now_us()):
        return Answer(refusal=refusal)
    assert asked is not None
    if reason := _fault(hub, said, asked.address):
        return Answer(refusal=InvalidInput("message", f"the message is not taken: {reason}"))
    if not await _has_signed(hub, message, signature, said.address):
        return Answer(refusal=InvalidInput("signature", "this is no signature of that message by that wallet"))
    return await hub.store.write(link_wallet, viewer, asked, hub.draw())


async def link_wallet(tx: "Tx", viewer: Viewer, asked: WalletChallenge, draw: Draw) -> Answer[Wallet]:
    if not await tx.wallets.spend(asked.nonce, draw.now_us):
        return Answer(refusal=_SPENT)
    new = Wallet(draw.id("wal"), asked.user_id, asked.address, asked.nonce, draw.now_us)
    if not await tx.wallets.add(new):
        held = await tx.wallets.linked(asked.address)
        is_theirs = held is not None and held.user_id == asked.user_id
        return Answer(held, is_replay=True) if is_theirs else Answer(refusal=IdentityTaken())
    await audit.note(tx, viewer, "walletLink", new.id, draw)
    return Answer(new)


async def unlink(hub: Hub, viewer: Viewer, *, wallet_id: str) -> Answer[Wallet]:
    """The address is nobody's any more. What was claimed for it on chain stays there."""
    return await hub.store.write(unlink_wallet, viewer, wallet_id, hub.draw())


async def unlink_wallet(tx: "Tx", viewer: Viewer, wallet_id: str, draw: Draw) -> Answer[Wallet]:
    held = await tx.wallets.lock(wallet_id)
    if held is None or held.user_id != viewer.user_id:
        return Answer(refusal=NotFound("walletId"))
    if held.unlinked_at_us is not None:
        return Answer(held, is_replay=True)
    if await tx.anchors.waits_for(held.address):
        return Answer(refusal=StateConflict("CLAIMING", "walletUnlink"))
    await tx.wallets.unlink(held.id, draw.now_us)
    await audit.note(tx, viewer, "walletUnlink", held.id, draw)
    return Answer(held)


# ---- for whom a right's token is -------------------------------------------------------------------------------------


async def held_wallet(tx: "Tx", user_id: str | None, wallet_id: str) -> Wallet | None:
    """A person's linked wallet, held until the end of the unit; None: they have no such."""
    wallet = await tx.wallets.lock(wallet_id)
    is_theirs = wallet is not None and wallet.user_id == user_id and wallet.unlinked_at_us is None
    return wallet if is_theirs else None


async def holder_of(tx: "Tx", order: Order) -> str:
    """The address that the buyer has chosen for the right's token, if it is still theirs; else nobody's."""
    wallet = None if order.wallet_id is None else await held_wallet(tx, order.user_id, order.wallet_id)
    return NOBODY if wallet is None else wallet.address


def payer_of(attempt: PaymentAttempt, vault: Vault) -> str | None:
    """The address that has paid an attempt on chain: the purchase gave it the right's token there, whichever wallet the
    order names. A claim brings it to that one."""
    payer = checkout.wallet_of(attempt.method) if attempt.channel == checkout.CHANNEL else None
    return None if payer is None else siwe.checksummed(f"0x{payer.address.hex()}", vault.keccak)


# ---- whether a signed text counts ------------------------------------------------------------------------------------


def _fault(hub: Hub, message: SiweMessage, address: str) -> str | None:
    return siwe.fault_of(
        message,
        origins=hub.page_origins,
        chain_id=hub.chain.chain_id,
        address=address,
        now_us=hub.clock.now_us(),
    )


def _not_asked(viewer: Viewer, asked: WalletChallenge | None, now_us: int) -> Refusal | None:
    """Another user's nonce is as good as none: nobody is talked into linking a wallet to somebody else's account."""
    if asked is None or asked.user_id != viewer.user_id:
        return InvalidInput("message", "its nonce is not one that you were given: ask by walletChallenge")
    if asked.used_at_us is not None or asked.expires_at_us <= now_us:
        return _SPENT
    return None


_SPENT = InvalidInput("message", "its nonce was used, or its five minutes are over: ask again by walletChallenge")


async def _has_signed(hub: Hub, message: str, signature: bytes, address: str) -> bool:
    """By an account's own key, or by the word of the contract at that address."""
    if len(signature) > MAX_SIGNATURE:
        return False
    if hub.vault.signer_of(message, signature) == address:
        return True
    return await hub.chain.approves(address, hub.vault.digest_of(message), signature)
