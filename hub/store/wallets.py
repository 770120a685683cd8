"""Wallets, and what their owners were asked to sign: an address is one user's at a time, a nonce proves once."""

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Index, Table, bindparam, delete, select, update

from hub.domain.people import Wallet, WalletChallenge
from hub.store.metadata import inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

wallet = Table(
    "wallet",
    metadata,
    text("id", primary_key=True),
    text("user_id", ForeignKey("user_.id"), index=True),
    text("address"),  # as EIP-55 spells it, so that one address is one text
    text("nonce", unique=True),  # of the message that proved it
    integer("linked_at_us"),
    integer("unlinked_at_us", nullable=True),
)
_is_linked = wallet.c.unlinked_at_us.is_(None)
Index("one_user_a_wallet", wallet.c.address, unique=True, sqlite_where=_is_linked, postgresql_where=_is_linked)
wallet_challenge = Table(
    "wallet_challenge",
    metadata,
    text("nonce", primary_key=True),
    text("user_id", ForeignKey("user_.id"), index=True),
    text("address"),
    integer("expires_at_us", index=True),
    integer("used_at_us", nullable=True),
    integer("created_at_us"),
)


class Wallets:
    """`tx.wallets`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def ask(self, new: WalletChallenge) -> None:
        await self._rx.changed(_ASK, **{name: getattr(new, name) for name in _CHALLENGE})

    async def challenge(self, nonce: str) -> WalletChallenge | None:
        return await self._rx.one(_CHALLENGED, WalletChallenge, nonce_=nonce)

    async def spend(self, nonce: str, now_us: int) -> bool:
        """The nonce has proven its wallet. False: it had been used, or its time is over."""
        return await self._rx.run(_SPEND, nonce_=nonce, now=now_us) == 1

    async def forget(self, before_us: int) -> None:
        """Drop challenges whose time was over before then."""
        await self._rx.run(_FORGET, before=before_us)

    async def add(self, new: Wallet) -> bool:
        """False: the address is somebody's already, or the nonce has proven a wallet."""
        return await self._rx.one(_ADD, str, **{name: getattr(new, name) for name in _WALLET}) is not None

    async def lock(self, wallet_id: str) -> Wallet | None:
        """The wallet, held; one that was unlinked too."""
        return await self._rx.one(_LOCK, Wallet, wallet_id=wallet_id)

    async def linked(self, address: str) -> Wallet | None:
        """Whose this address is now."""
        return await self._rx.one(_LINKED, Wallet, address_=address)

    async def of_user(self, user_id: str) -> list[Wallet]:
        """The user's wallets, the oldest link first."""
        return await self._rx.many(_OF_USER, Wallet, owner_id=user_id)

    async def unlink(self, wallet_id: str, at_us: int) -> None:
        """The address is nobody's from now on."""
        await self._rx.changed(_UNLINK, wallet_id=wallet_id, at_us=at_us)

    async def erase(self, user_id: str) -> int:
        """Drop the user's wallets, linked or not, and what they were asked to sign; how many rows that were."""
        dropped = await self._rx.run(_DROP, owner_id=user_id)
        return dropped + await self._rx.run(_DROP_ASKED, owner_id=user_id)


_w, _c = wallet.c, wallet_challenge.c
_WALLET, _CHALLENGE = (tuple(c.name for c in table.c) for table in (wallet, wallet_challenge))
_ASK = inserted(wallet_challenge)
_CHALLENGED = select(wallet_challenge).where(_c.nonce == bindparam("nonce_"))
_SPEND = (
    update(wallet_challenge)
    .where((_c.nonce == bindparam("nonce_")) & _c.used_at_us.is_(None) & (_c.expires_at_us > bindparam("now")))
    .values(used_at_us=bindparam("now"))
)
_FORGET = delete(wallet_challenge).where(_c.expires_at_us < bindparam("before"))
_ADD = inserted(wallet).on_conflict_do_nothing().returning(_w.id)
_LOCK = select(wallet).where(_w.id == bindparam("wallet_id")).with_for_update()
_LINKED = select(wallet).where((_w.address == bindparam("address_")) & _is_linked)
_OF_USER = (
    select(wallet).where((_w.user_id == bindparam("owner_id")) & _is_linked).order_by(_w.linked_at_us, _w.id)
)
_UNLINK = update(wallet).where((_w.id == bindparam("wallet_id")) & _is_linked).values(unlinked_at_us=bindparam("at_us"))
_DROP = delete(wallet).where(_w.user_id == bindparam("owner_id"))
_DROP_ASKED = delete(wallet_challenge).where(_c.user_id == bindparam("owner_id"))
