"""Transactions of our keys: signed, stored, then sent; and what was signed for their nonces before."""

from typing import TYPE_CHECKING

from sqlalchemy import (
    Index,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    select,
    update,
)

from hub.domain.records import ChainTransaction, TransactionState
from hub.store.metadata import inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.ports import SignedTransaction
    from hub.store.transactions import Rx

# One row per purpose; one that is not replaced per nonce.
chain_transaction = Table(
    "chain_transaction",
    metadata,
    text("purpose", primary_key=True),  # see ChainTransaction; one that failed has `#<nonce>` behind it
    integer("chain_id"),
    text("sender"),
    integer("nonce"),
    text("raw"),
    text("hash"),
    text("state"),  # of TransactionState
    integer("signed_at_us"),
    UniqueConstraint("chain_id", "sender", "nonce"),
)
# What was signed before for the same nonce, for a lower fee or for another purpose: any of them may still get into a
# block.
replaced_transaction = Table(
    "replaced_transaction",
    metadata,
    text("hash", primary_key=True),
    integer("chain_id"),
    text("sender"),
    integer("nonce"),
    text("purpose"),
    text("raw"),
    integer("replaced_at_us"),
)
Index("ix_replaced_transaction_nonce", *(replaced_transaction.c[name] for name in ("chain_id", "sender", "nonce")))


class ChainTransactions:
    """`tx.chain_transactions`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def of_purpose(self, purpose: str) -> ChainTransaction | None:
        return await self._rx.one(_TRANSACTION, _transaction_of, purpose_=purpose)

    async def next_nonce(self, chain_id: int, sender: str) -> int:
        """One above the greatest nonce that we have signed for; 0 before the first."""
        return await self._rx.one(_NEXT_NONCE, int, on_chain=chain_id, of_sender=sender) or 0

    async def add(self, new: ChainTransaction) -> bool:
        """Keep what was signed, before it is sent. False: the purpose or the nonce has its transaction already."""
        return await self._rx.one(_ADD_TX, str, **{name: getattr(new, name) for name in _TX}) is not None

    async def move(self, purpose: str, hash_: str, state: str) -> bool:
        """The state of what has this hash now, or had it before it was replaced. A FAILED one keeps its nonce and its
        hash under another name: its purpose is free for a new transaction. False: another process was first."""
        statement = _FAIL_TX if state == TransactionState.FAILED else _MOVE_TX
        return await self._rx.run(statement, purpose_=purpose, followed_hash=hash_, state_=state) == 1

    async def replace(
        self, held: ChainTransaction, by: "SignedTransaction", now_us: int, purpose: str | None = None
    ) -> bool:
        """Other bytes for the nonce of a transaction, before they are sent; with a `purpose` of their own, the former
        purpose is free for a new transaction. False: another process was first."""
        binds = {"held_hash": held.hash, "new_hash": by.hash, "new_raw": by.raw, "now": now_us}
        replaced = await self._rx.run(_REPLACE_TX, purpose_=held.purpose, new_purpose=purpose or held.purpose, **binds)
        if replaced == 1:
            columns = {name: getattr(held, name) for name in ("hash", "chain_id", "sender", "nonce", "purpose", "raw")}
            await self._rx.changed(_KEEP_REPLACED, **columns, replaced_at_us=now_us)
        return replaced == 1

    async def replaced_hashes(self, held: ChainTransaction, purpose: str) -> list[str]:
        """What was signed for the same nonce and purpose before, the newest first."""
        binds = {"on_chain": held.chain_id, "of_sender": held.sender, "at_nonce": held.nonce, "for_purpose": purpose}
        return await self._rx.many(_REPLACED, str, **binds)

    async def from_nonce(self, chain_id: int, sender: str, first: int, last: int) -> list[ChainTransaction]:
        """What was signed for these nonces, both ends included, settled or not, in their order."""
        binds = {"on_chain": chain_id, "of_sender": sender, "first": first, "last": last}
        return await self._rx.many(_FROM_NONCE, _transaction_of, **binds)

    async def unsettled(self, chain_id: int) -> list[ChainTransaction]:
        """Signed and not yet seen in a block, by sender and in the order of their nonces: what is sent again after a
        restart."""
        return await self._rx.many(_UNSETTLED, _transaction_of, on_chain=chain_id)


def _transaction_of(
    purpose: str, chain_id: int, sender: str, nonce: int, raw: str, hash_: str, state: str, signed_at_us: int
) -> ChainTransaction:
    return ChainTransaction(purpose, chain_id, sender, nonce, raw, hash_, TransactionState(state), signed_at_us)


_t = chain_transaction.c
_TX = tuple(c.name for c in _t)
_TRANSACTION = select(chain_transaction).where(_t.purpose == bindparam("purpose_"))
_ours = (_t.chain_id == bindparam("on_chain")) & (_t.sender == bindparam("of_sender"))
_NEXT_NONCE = select(func.coalesce(func.max(_t.nonce) + literal_column("1"), literal_column("0"))).where(_ours)
_ADD_TX = inserted(chain_transaction).on_conflict_do_nothing().returning(_t.purpose)
_r = replaced_transaction.c
_followed = bindparam("followed_hash", type_=Text())
_was_replaced = exists().where(
    (_r.hash == _followed)
    & (_r.purpose == _t.purpose)
    & (_r.chain_id == _t.chain_id)
    & (_r.sender == _t.sender)
    & (_r.nonce == _t.nonce)
)
_MOVE_TX = (
    update(chain_transaction)
    .where((_t.purpose == bindparam("purpose_")) & ((_t.hash == _followed) | _was_replaced))
    .values(state=bindparam("state_"))
)
_FAIL_TX = _MOVE_TX.values(purpose=_t.purpose + literal_column("'#'", Text()) + cast(_t.nonce, Text()))
_REPLACE_TX = (
    update(chain_transaction)
    .where((_t.purpose == bindparam("purpose_")) & (_t.hash == bindparam("held_hash")))
    .values({
        _t.purpose: bindparam("new_purpose"), _t.hash: bindparam("new_hash"), _t.raw: bindparam("new_raw"),
        _t.state: literal_column("'SIGNED'"), _t.signed_at_us: bindparam("now"),
    })
)  # fmt: skip
_KEEP_REPLACED = inserted(replaced_transaction)
_REPLACED = (
    select(_r.hash)
    .where(
        (_r.chain_id == bindparam("on_chain"))
        & (_r.sender == bindparam("of_sender"))
        & (_r.nonce == bindparam("at_nonce"))
        & (_r.purpose == bindparam("for_purpose"))
    )
    .order_by(_r.replaced_at_us.desc(), _r.hash)
)
_UNSETTLED = (
    select(chain_transaction)
    .where(
        (_t.chain_id == bindparam("on_chain"))
        & _t.state.in_([literal_column("'SIGNED'"), literal_column("'SENT'")])
    )
    .order_by(_t.sender, _t.nonce)
)
_FROM_NONCE = (
    select(chain_transaction)
    .where(_ours & _t.nonce.between(bindparam("first"), bindparam("last")))
    .order_by(_t.nonce)
)
