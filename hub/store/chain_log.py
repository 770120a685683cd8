"""What is kept of a chain: a cursor, the blocks that are not final or hold events, the events of known contracts.

The rows follow from the chain and the cursor alone. A block goes with its events when the chain takes it back, and
without events it goes as soon as it is final: what stays is small, and the same whoever has read it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
    bindparam,
    delete,
    exists,
    literal_column,
    null,
    select,
    tuple_,
    update,
)

from hub.domain.chain_log import Block, ChainEvent, Cursor
from hub.store.anchors import anchor_batch
from hub.store.chain_transactions import chain_transaction, replaced_transaction
from hub.store.metadata import inserted, integer, is_one_of, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

chain_cursor = Table(
    "chain_cursor",
    metadata,
    integer("chain_id", primary_key=True),
    integer("number"),
    text("hash"),
    integer("head_number"),
    integer("confirmed_number"),
    integer("final_number"),
    text("final_hash"),
    integer("halted_at_us", nullable=True),
    text("halt_reason", nullable=True),
    integer("version"),
    integer("moved_at_us"),
)
chain_block = Table(
    "chain_block",
    metadata,
    integer("chain_id"),
    integer("number"),
    text("hash", primary_key=True),
    text("parent_hash"),
    integer("mined_at_us"),
    UniqueConstraint("chain_id", "number"),
)
chain_event = Table(
    "chain_event",
    metadata,
    text("id", primary_key=True),  # block hash and log index
    integer("chain_id"),
    integer("block_number"),
    text("block_hash", ForeignKey("chain_block.hash")),
    integer("log_index"),
    text("transaction_hash"),
    text("address"),
    text("name"),
    text("subject"),  # the first indexed argument: a root, an order key, an account
    text("args"),  # JSON
    UniqueConstraint("block_hash", "log_index"),
)
Index("ix_chain_event_place", chain_event.c.chain_id, chain_event.c.block_number, chain_event.c.log_index)
Index("ix_chain_event_subject", chain_event.c.subject, chain_event.c.name)
_puts_on_sale = chain_event.c.name == "OfferSet"
Index(
    "ix_chain_event_offer", chain_event.c.address, sqlite_where=_puts_on_sale, postgresql_where=_puts_on_sale
)  # fmt: skip
# Contracts that are read. One that became known late is `behind`: the next block to be read for it alone.
chain_watch = Table(
    "chain_watch",
    metadata,
    integer("chain_id", primary_key=True),
    text("address", primary_key=True),
    integer("behind", nullable=True),
)
Index("ix_anchor_batch_root", anchor_batch.c.root)


class ChainLog:
    """`tx.chain_log`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    # ---- the cursor --------------------------------------------------------------------------------------------------

    async def cursor(self, chain_id: int) -> Cursor | None:
        return await self._rx.one(_CURSOR, Cursor, on_chain=chain_id)

    async def cursors(self) -> list[Cursor]:
        """Of every chain that was ever read."""
        return await self._rx.many(_CURSORS, Cursor)

    async def hold(self) -> list[Cursor]:
        """Likewise, until the end of the unit: meanwhile nothing more is read, and nothing goes back."""
        return await self._rx.many(_HOLD, Cursor)

    async def begin(self, new: Cursor) -> bool:
        """False: this chain is being read already."""
        return await self._rx.one(_BEGIN, int, **_columns(new, chain_cursor)) is not None

    async def move(self, held: Cursor, to: Cursor) -> bool:
        """False: somebody else has moved it since `held` was read. It is held until the end of the unit."""
        columns = {name: getattr(to, name) for name in _MOVABLE}
        return await self._rx.run(_MOVE, on_chain=held.chain_id, held_version=held.version, **columns) == 1

    # ---- blocks and events -------------------------------------------------------------------------------------------

    async def add_blocks(self, blocks: Sequence[Block]) -> None:
        """Keep blocks; one that is kept already stays."""
        await self._rx.run_many(_ADD_BLOCK, [_columns(block, chain_block) for block in blocks])

    async def add_events(self, told: Sequence[ChainEvent]) -> list[ChainEvent]:
        """Keep them; those that were not kept already. The cursor is held: nobody else adds meanwhile."""
        kept = set(await self._rx.many(_KEPT, str, ids=[event.id for event in told]))
        new = [event for event in told if event.id not in kept]
        await self._rx.run_many(_ADD_EVENT, [_columns(event, chain_event) | {"args": event.told} for event in new])
        return new

    async def blocks(self, chain_id: int, after: int) -> list[Block]:
        """Those kept above a number, lowest first."""
        return await self._rx.many(_BLOCKS, Block, on_chain=chain_id, after=after)

    async def block_at(self, chain_id: int, number: int) -> Block | None:
        return await self._rx.one(_BLOCK_AT, Block, on_chain=chain_id, number_=number)

    async def events(self, chain_id: int, after: int, upto: int) -> list[ChainEvent]:
        """Those of the blocks above `after` and not above `upto`, in the order of the chain."""
        return await self._rx.many(_EVENTS, event_of, on_chain=chain_id, after=after, upto=upto)

    async def about(self, subject: str, *names: str) -> list[ChainEvent]:
        """What was told of one subject under these names, in the order of the chain."""
        return await self._rx.many(_ABOUT, event_of, about=subject, names=list(names))

    async def told(self, chain_id: int, names: Sequence[str]) -> list[ChainEvent]:
        """Everything that was told under these names, in the order of the chain."""
        return await self._rx.many(_TOLD, event_of, on_chain=chain_id, names=list(names))

    async def open_offers(self, chain_id: int, splitter: str) -> list[str]:
        """The offers of a splitter that the last word on is OfferSet: 0x and 64 digits each."""
        return await self._rx.many(_OPEN_OFFERS, str, on_chain=chain_id, at=splitter)

    async def drop_after(self, chain_id: int, number: int) -> None:
        """Forget every block above a number, and its events."""
        await self._rx.run(_DROP_EVENTS, on_chain=chain_id, after=number)
        await self._rx.run(_DROP_BLOCKS, on_chain=chain_id, after=number)

    async def drop_empty(self, chain_id: int, upto: int) -> None:
        """Forget blocks without events up to a number: they are final, and nothing of them is needed any more."""
        await self._rx.run(_DROP_EMPTY, on_chain=chain_id, upto=upto)

    # ---- contracts ---------------------------------------------------------------------------------------------------

    async def watched(self, chain_id: int) -> dict[str, int | None]:
        """Address → None for a contract that is read with the cursor, else the next block to be read for it."""
        return dict(await self._rx.many(_WATCHED, lambda address, behind: (address, behind), on_chain=chain_id))

    async def watch(self, chain_id: int, address: str, behind: int | None) -> None:
        """Read this contract from now on, from `behind` (None: with the cursor)."""
        await self._rx.changed(_WATCH, chain_id=chain_id, address=address, behind=behind)

    async def step_back(self, chain_id: int, number: int) -> None:
        """Nothing above a number was read for those that are behind."""
        await self._rx.run(_STEP_BACK, on_chain=chain_id, next_number=number + 1)

    # ---- what it means for ours --------------------------------------------------------------------------------------

    async def batch_of(self, root: bytes) -> str | None:
        """The id of our batch with that root."""
        return await self._rx.one(_BATCH_OF, str, root_=root)

    async def is_ours(self, transaction_hash: str) -> bool:
        """Whether we have signed this transaction."""
        return await self._rx.one(_IS_OURS, int, hash_=transaction_hash) is not None

    async def settle(self, purpose: str, state: str) -> None:
        """The state of our transaction for a purpose, if there is one."""
        await self._rx.run(_SETTLE, purpose_=purpose, state_=state)


def event_of(
    _id: str, chain_id: int, block_number: int, block_hash: str, log_index: int, transaction_hash: str, address: str,
    name: str, subject: str, args: str,
) -> ChainEvent:  # fmt: skip
    return ChainEvent(
        chain_id, block_number, block_hash, log_index, transaction_hash, address, name, subject, orjson.loads(args)
    )


def moved(held: Cursor, **changes: object) -> Cursor:
    """The cursor under its next version."""
    return replace(held, version=held.version + 1, **changes)  # type: ignore[arg-type]  # its own fields by name


def _columns(value: object, table: Table) -> dict[str, object]:
    return {column.name: getattr(value, column.name) for column in table.c}


_c, _b, _e, _w, _t = chain_cursor.c, chain_block.c, chain_event.c, chain_watch.c, chain_transaction.c
_MOVABLE = tuple(column.name for column in _c if column.name not in ("chain_id", "version"))
_after, _upto = bindparam("after", type_=BigInteger()), bindparam("upto", type_=BigInteger())
_CURSOR = select(chain_cursor).where(_c.chain_id == bindparam("on_chain"))
_CURSORS = select(chain_cursor).order_by(_c.chain_id)
_HOLD = _CURSORS.with_for_update()
_BEGIN = inserted(chain_cursor).on_conflict_do_nothing().returning(_c.chain_id)
_MOVE = (
    update(chain_cursor)
    .where((_c.chain_id == bindparam("on_chain")) & (_c.version == bindparam("held_version")))
    .values({
        **{name: bindparam(name, type_=_c[name].type) for name in _MOVABLE},
        "version": _c.version + literal_column("1"),
    })
)  # fmt: skip
_ADD_BLOCK = inserted(chain_block).on_conflict_do_nothing()
_KEPT = select(_e.id).where(is_one_of(_e.id, "ids"))
_ADD_EVENT = inserted(chain_event)
_BLOCKS = select(chain_block).where((_b.chain_id == bindparam("on_chain")) & (_b.number > _after)).order_by(_b.number)
_BLOCK_AT = select(chain_block).where((_b.chain_id == bindparam("on_chain")) & (_b.number == bindparam("number_")))
_EVENTS = (
    select(chain_event)
    .where((_e.chain_id == bindparam("on_chain")) & (_e.block_number > _after) & (_e.block_number <= _upto))
    .order_by(_e.block_number, _e.log_index)
)
_ABOUT = (
    select(chain_event)
    .where((_e.subject == bindparam("about")) & is_one_of(_e.name, "names"))
    .order_by(_e.chain_id, _e.block_number, _e.log_index)
)
_TOLD = (
    select(chain_event)
    .where((_e.chain_id == bindparam("on_chain")) & is_one_of(_e.name, "names"))
    .order_by(_e.block_number, _e.log_index)
)
_closing = chain_event.alias("closing")
_OPEN_OFFERS = (
    select(_e.subject)
    .where((_e.name == literal_column("'OfferSet'")) & (_e.address == bindparam("at")))
    .where(_e.chain_id == bindparam("on_chain"))
    .where(
        ~exists().where(
            (_closing.c.subject == _e.subject)
            & (_closing.c.name == literal_column("'OfferClosed'"))
            & (_closing.c.address == _e.address)
            & (_closing.c.chain_id == _e.chain_id)
            & (tuple_(_closing.c.block_number, _closing.c.log_index) > tuple_(_e.block_number, _e.log_index))
        )
    )
    .order_by(_e.subject)
)
_DROP_EVENTS = delete(chain_event).where((_e.chain_id == bindparam("on_chain")) & (_e.block_number > _after))
_DROP_BLOCKS = delete(chain_block).where((_b.chain_id == bindparam("on_chain")) & (_b.number > _after))
_DROP_EMPTY = delete(chain_block).where(
    (_b.chain_id == bindparam("on_chain")) & (_b.number <= _upto) & ~exists().where(_e.block_hash == _b.hash)
)
_WATCHED = select(_w.address, _w.behind).where(_w.chain_id == bindparam("on_chain"))
_WATCH = (
    inserted(chain_watch)
    .on_conflict_do_update(
        index_elements=[_w.chain_id, _w.address], set_={"behind": bindparam("behind", type_=BigInteger())}
    )
)  # fmt: skip
_next = bindparam("next_number", type_=BigInteger())
_STEP_BACK = (
    update(chain_watch)
    .where((_w.chain_id == bindparam("on_chain")) & _w.behind.is_not(null()) & (_w.behind > _next))
    .values(behind=_next)
)
_BATCH_OF = select(anchor_batch.c.id).where(anchor_batch.c.root == bindparam("root_")).limit(literal_column("1"))
_IS_OURS = select(literal_column("1", BigInteger())).where(
    exists().where(_t.hash == bindparam("hash_")) | exists().where(replaced_transaction.c.hash == bindparam("hash_"))
)
_SETTLE = update(chain_transaction).where(_t.purpose == bindparam("purpose_")).values(state=bindparam("state_"))
