"""Leaves, their batches and the contracts that hold these: what is recorded on chain, and how far it has got."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.types import NullType

from hub.domain.money import Money
from hub.domain.payments import ENDED
from hub.domain.purses import Fees
from hub.domain.records import (
    AnchorBatch,
    BatchState,
    KnownContract,
    RecordedLeaf,
)
from hub.store.chain_transactions import chain_transaction, replaced_transaction
from hub.store.metadata import blob, inserted, integer, is_one_of, metadata, text
from hub.store.orders import order
from hub.store.payments import payment_attempt
from hub.store.tasks import OpenEnd, open_end_of, task, with_task

if TYPE_CHECKING:
    from hub.store.transactions import Rx

anchor_batch = Table(
    "anchor_batch",
    metadata,
    text("id", primary_key=True),
    integer("first_position"),
    integer("last_position"),
    integer("count"),
    blob("root"),
    blob("data_hash"),
    integer("chain_id"),
    text("contract"),
    text("state"),  # of BatchState
    text("transaction_hash", nullable=True),
    integer("block_number", nullable=True),
    integer("gas_used", nullable=True),
    integer("gas_price_wei", nullable=True),
    integer("version"),
    integer("created_at_us"),
    integer("confirmed_at_us", nullable=True),
    integer("is_settlement", server_default="0"),  # one leaf, on chain by itself; `root` is its order key there
    UniqueConstraint("first_position", "last_position"),
)
leaf = Table(
    "leaf",
    metadata,
    text("id", primary_key=True),
    text("order_id", ForeignKey("order_.id")),
    text("attempt_id", ForeignKey("payment_attempt.id"), nullable=True),
    integer("generation"),  # counts the leaves of an order
    blob("order_key"),
    text("holder"),  # the `to` of the leaf: a wallet, or the zero address for a right without holder
    text("token_id"),  # decimal text of a uint256; '0' where nothing is granted
    integer("expiry"),
    text("request"),  # canonical JSON; '' once its person was erased
    text("result"),  # likewise
    blob("commitment"),
    blob("sealed_salt"),  # empty but in rows of earlier releases: see the table `salt`
    integer("is_superseded"),  # a later leaf tells the end of the same request; this one is to be revoked
    text("batch_id", ForeignKey("anchor_batch.id"), nullable=True),
    integer("index_", nullable=True),
    integer("created_at_us"),
    text("grant_id", nullable=True),  # the right that it carries
    text("owner_id", nullable=True),  # whose that is, where it was transferred: else the buyer's
    UniqueConstraint("order_id", "generation"),
    UniqueConstraint("batch_id", "index_"),
)
Index("ix_leaf_attempt", leaf.c.attempt_id)
_carries = leaf.c.grant_id.is_not(None) & (leaf.c.is_superseded == literal_column("0"))
Index("one_live_leaf", leaf.c.grant_id, unique=True, sqlite_where=_carries, postgresql_where=_carries)
contract = Table(
    "contract",
    metadata,
    integer("chain_id", primary_key=True),
    text("address", primary_key=True),
    text("name"),
    text("code_hash"),
    integer("from_block"),
    integer("recorded_at_us"),
)


class Anchors:
    """`tx.anchors`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def add_leaf(self, new: RecordedLeaf) -> None:
        """The record of one request's end, for the next batch. Its generation counts on, under the order's lock."""
        columns = {name: getattr(new, name) for name in _LEAF if name not in ("generation", "index_")}
        await self._rx.changed(_ADD_LEAF, **columns | {"is_superseded": int(new.is_superseded), "index_": new.index})

    async def leaf_of_grant(self, grant_id: str) -> RecordedLeaf | None:
        """The leaf that carries this right now."""
        return await self._rx.one(_OF_GRANT, leaf_of, of_grant=grant_id)

    async def give_up(self, leaf_id: str) -> None:
        """Another leaf carries this one's right from now on: it is to be revoked."""
        await self._rx.changed(_GIVE_UP, leaf_id=leaf_id)

    async def rights_of(self, order_id: str) -> list[RecordedLeaf]:
        """Every leaf that carries, or has carried, the right that an order gave; the newest last."""
        return await self._rx.many(_RIGHTS, leaf_of, of_order=order_id)

    async def supersede(self, attempt_id: str, by_leaf_id: str) -> list[RecordedLeaf]:
        """An earlier leaf of the same request no longer tells its end: it is marked, and returned to be revoked."""
        return await self._rx.many(_SUPERSEDE, leaf_of, of_attempt=attempt_id, by_leaf=by_leaf_id)

    async def leaves(self, leaf_ids: Sequence[str]) -> list[RecordedLeaf]:
        return await self._rx.many(_LEAVES, leaf_of, leaf_ids=list(leaf_ids))

    async def sold(self, leaf_ids: Sequence[str]) -> list[Money]:
        """What the rights among these leaves were sold for."""
        return await self._rx.many(_SOLD, Money, leaf_ids=list(leaf_ids))

    async def leaves_of_batch(self, batch_id: str) -> list[RecordedLeaf]:
        """In the order of their index."""
        return await self._rx.many(_OF_BATCH, leaf_of, of_batch=batch_id)

    async def shown_by(self, batch_id: str) -> list[str]:
        """The orders whose record a leaf of this batch is: the one with a right, else the newest that stands. An older
        leaf says nothing of how far its order is. Ask with those orders held."""
        return await self._rx.many(_SHOWN_BY, str, of_batch=batch_id)

    async def all_leaves(self, page: int) -> AsyncIterator[RecordedLeaf]:
        """Every leaf, by pages in the order of their ids."""
        after = ""
        while leaves := await self._rx.many(_LEAF_PAGE, leaf_of, after_id=after, most=page):
            for found in leaves:
                yield found
            after = leaves[-1].id

    async def ended_requests(self, page: int) -> "AsyncIterator[EndedRequest]":
        """Every attempt with an end, and every order of total 0, with how many leaves stand for it."""
        after = ""
        while ended := await self._rx.many(_ENDED_PAGE, EndedRequest, after_id=after, most=page):
            for found in ended:
                yield found
            after = ended[-1].id

    async def right_of_grant(self, order_id: str) -> RecordedLeaf | None:
        """The leaf that carries the right an order gave, if it stands."""
        return await self._rx.one(_RIGHT, leaf_of, of_order=order_id)

    async def waits_for(self, holder: str) -> bool:
        """Whether a right for this address is on its way to the chain and not there yet."""
        return await self._rx.one(_WAITS_FOR, int, for_holder=holder) is not None

    async def waiting_for_revocation(self, batch_id: str, word: int) -> list[int]:
        """The places in a batch, of those 256, whose leaves have a Task that ends them on chain."""
        first = word << 8
        return await self._rx.many(_WAITING_FOR_REVOCATION, int, of_batch=batch_id, first=first, last=first + 255)

    async def is_ending_before(self, new: RecordedLeaf) -> bool:
        """Whether an earlier leaf of the same order is still to be revoked on chain."""
        binds = {"of_order": new.order_id, "of_generation": new.generation}
        return await self._rx.one(_ENDING_BEFORE, int, **binds) is not None

    async def add_batch(self, new: AnchorBatch, leaf_ids: Sequence[str]) -> bool:
        """A batch and its leaves, in the order given. False: this range has its batch already."""
        columns = {name: getattr(new, name) for name in _BATCH} | {"is_settlement": int(new.is_settlement)}
        if await self._rx.one(_ADD_BATCH, str, **columns) is None:
            return False
        rows = [{"batch": new.id, "place": index, "leaf_id": leaf_id} for index, leaf_id in enumerate(leaf_ids)]
        await self._rx.run_many(_PLACE, rows)
        return True

    async def batch(self, batch_id: str) -> AnchorBatch | None:
        return await self._rx.one(_BATCH_BY_ID, batch_of, batch_id=batch_id)

    async def lock_batch(self, batch_id: str) -> AnchorBatch | None:
        return await self._rx.one(_LOCK_BATCH, batch_of, batch_id=batch_id)

    async def update_batch(self, changed: AnchorBatch) -> AnchorBatch:
        columns = {name: getattr(changed, name) for name in _BATCH_MUTABLE}
        await self._rx.changed(_UPDATE_BATCH, batch_id=changed.id, held_version=changed.version, **columns)
        return replace(changed, version=changed.version + 1)

    async def batches(self, after: str, most: int) -> list[AnchorBatch]:
        """A page of all, in the order of their ids, which is that of their making; `after` '' is the first."""
        return await self._rx.many(_BATCHES, batch_of, after_id=after, most=most)

    async def open_ends(self, kinds: Sequence[str]) -> list[OpenEnd]:
        """All that no block holds, by their ids, and whether a Task of these kinds sees to each."""
        return await self._rx.many(_PLACED_NOWHERE, open_end_of, kinds=list(kinds))

    async def batches_at(self, contract: str) -> list[AnchorBatch]:
        """All that this contract holds, or may: also what is not sent yet, as others may have brought it there."""
        return await self._rx.many(_BATCHES_AT, batch_of, of_contract=contract)

    async def fees(self) -> list[Fees]:
        """What was paid for all that our transactions put into blocks, by kind. Reads every batch there ever was."""
        return await self._rx.many(_FEES, lambda kind, orders, wei: Fees(bool(kind), int(orders), float(wei)))

    async def newest_paid(self, chain_id: int, is_settlement: bool, most: int) -> list[AnchorBatch]:
        """The newest of one kind that a transaction of ours put into a block: they tell what it took."""
        binds = {"on_chain": chain_id, "of_kind": int(is_settlement), "most": most}
        return await self._rx.many(_NEWEST_PAID, batch_of, **binds)

    async def contracts(self, chain_id: int) -> list[KnownContract]:
        """Every hub contract known on a chain, the newest last: old ones stay listed for ever."""
        return await self._rx.many(_CONTRACTS, KnownContract, on_chain=chain_id)

    async def add_contract(self, new: KnownContract) -> bool:
        return await self._rx.one(_ADD_CONTRACT, str, **{name: getattr(new, name) for name in _CONTRACT}) is not None


@dataclass(frozen=True, slots=True)
class EndedRequest:
    id: str
    name: str
    standing: int


def leaf_of(
    id_: str, order_id: str, attempt_id: str | None, generation: int, order_key: bytes, holder: str, token_id: str,
    expiry: int, request: str, result: str, commitment: bytes, sealed_salt: bytes, is_superseded: int,
    batch_id: str | None, index: int | None, created_at_us: int, grant_id: str | None, owner_id: str | None,
) -> RecordedLeaf:  # fmt: skip
    return RecordedLeaf(
        id_, order_id, attempt_id, generation, order_key, holder, token_id, expiry, request, result, commitment,
        sealed_salt, bool(is_superseded), batch_id, index, created_at_us, grant_id, owner_id,
    )  # fmt: skip


def batch_of(
    id_: str, first_position: int, last_position: int, count: int, root: bytes, data_hash: bytes, chain_id: int,
    contract_: str, state: str, transaction_hash: str | None, block_number: int | None, gas_used: int | None,
    gas_price_wei: int | None, version: int, created_at_us: int, confirmed_at_us: int | None, is_settlement: int,
) -> AnchorBatch:  # fmt: skip
    return AnchorBatch(
        id_, first_position, last_position, count, root, data_hash, chain_id, contract_, BatchState(state),
        transaction_hash, block_number, gas_used, gas_price_wei, version, created_at_us, confirmed_at_us,
        bool(is_settlement),
    )  # fmt: skip


_l, _b, _k = leaf.c, anchor_batch.c, contract.c
_LEAF, _BATCH, _CONTRACT = (tuple(c.name for c in table.c) for table in (leaf, anchor_batch, contract))
_BATCH_MUTABLE = (
    "chain_id",
    "contract",
    "state",
    "transaction_hash",
    "block_number",
    "gas_used",
    "gas_price_wei",
    "confirmed_at_us",
)
_earlier = leaf.alias("earlier")
_ADD_LEAF = inserted(leaf).values(
    {
        _l.generation: select(func.count() + literal_column("1"))
        .select_from(_earlier)
        .where(_earlier.c.order_id == bindparam("order_id", type_=Text()))
        .scalar_subquery()
    }
)
_SUPERSEDE = (
    update(leaf)
    .where(
        (_l.attempt_id == bindparam("of_attempt"))
        & (_l.id != bindparam("by_leaf"))
        & (_l.is_superseded == literal_column("0"))
    )
    .values(is_superseded=literal_column("1"))
    .returning(*_l)
)
_LEAVES = select(leaf).where(is_one_of(_l.id, "leaf_ids"))
_SOLD = (
    select(order.c.total_minor, order.c.currency)
    .join(leaf, _l.order_id == order.c.id)
    .where(is_one_of(_l.id, "leaf_ids") & (_l.token_id != literal_column("'0'")))
    .order_by(_l.id)
)
_OF_BATCH = select(leaf).where(_l.batch_id == bindparam("of_batch")).order_by(_l.index_)
_its = leaf.alias("its")
_record_of_order = (
    select(_its.c.id)
    .where(
        (_its.c.order_id == _l.order_id) & (_its.c.is_superseded == literal_column("0")) & _its.c.owner_id.is_(None)
    )
    .order_by(
        case((_its.c.token_id != literal_column("'0'"), literal_column("1")), else_=literal_column("0")).desc(),
        _its.c.generation.desc(),
    )
    .limit(literal_column("1"))
    .scalar_subquery()
)
_SHOWN_BY = (
    select(_l.order_id)
    .where((_l.batch_id == bindparam("of_batch")) & (_l.id == _record_of_order))
    .order_by(_l.order_id)
)
_LEAF_PAGE = (
    select(leaf).where(_l.id > bindparam("after_id")).order_by(_l.id).limit(bindparam("most", type_=BigInteger()))
)
_standing = _l.is_superseded == literal_column("0")
_ended = union_all(
    select(
        payment_attempt.c.id.label("id"),
        payment_attempt.c.key.label("name"),
        select(func.count())
        .select_from(leaf)
        .where((_l.attempt_id == payment_attempt.c.id) & _standing)
        .scalar_subquery()
        .label("standing"),
    ).where(payment_attempt.c.state.in_([literal_column(f"'{state}'") for state in sorted(ENDED)])),
    select(
        order.c.id,
        order.c.number,
        select(func.count())
        .select_from(leaf)
        .where((_l.order_id == order.c.id) & _l.attempt_id.is_(None) & _l.owner_id.is_(None) & _standing)
        .scalar_subquery(),
    ).where(order.c.total_minor == literal_column("0")),
).subquery("ended")
_ENDED_PAGE = (
    select(_ended.c.id, _ended.c.name, _ended.c.standing)
    .where(_ended.c.id > bindparam("after_id"))
    .order_by(_ended.c.id)
    .limit(bindparam("most", type_=BigInteger()))
)
_is_right_of = (_l.order_id == bindparam("of_order")) & (_l.token_id != literal_column("'0'"))
_RIGHT = select(leaf).where(_is_right_of & (_l.is_superseded == literal_column("0")))
_RIGHTS = select(leaf).where(_is_right_of).order_by(_l.generation)
_OF_GRANT = select(leaf).where((_l.grant_id == bindparam("of_grant")) & (_l.is_superseded == literal_column("0")))
_GIVE_UP = (
    update(leaf)
    .where((_l.id == bindparam("leaf_id")) & (_l.is_superseded == literal_column("0")))
    .values(is_superseded=literal_column("1"))
)
_is_proven = _b.state.in_([literal_column(f"'{state}'") for state in BatchState if state.is_proven])
_is_on_its_way = _l.batch_id.is_(None) | ~_is_proven
_WAITS_FOR = (
    select(literal_column("1", BigInteger()))
    .select_from(leaf.outerjoin(anchor_batch, _b.id == _l.batch_id))
    .where((_l.holder == bindparam("for_holder")) & (_l.is_superseded == literal_column("0")) & _is_on_its_way)
    .limit(literal_column("1", BigInteger()))
)
_is_ending = (task.c.kind == literal_column("'revoke_leaf'")) & (task.c.key == _l.id)
_ENDING_BEFORE = (
    select(literal_column("1", BigInteger()))
    .select_from(leaf.join(task, _is_ending))
    .where((_l.order_id == bindparam("of_order")) & (_l.generation < bindparam("of_generation")))
    .limit(literal_column("1", BigInteger()))
)
_WAITING_FOR_REVOCATION = (
    select(_l.index_)
    .join(task, _is_ending)
    .where((_l.batch_id == bindparam("of_batch")) & _l.index_.between(bindparam("first"), bindparam("last")))
    .order_by(_l.index_)
)
_ADD_BATCH = inserted(anchor_batch).on_conflict_do_nothing().returning(_b.id)
_PLACE = (
    update(leaf).where(_l.id == bindparam("leaf_id")).values(batch_id=bindparam("batch"), index_=bindparam("place"))
)
_BATCH_BY_ID = select(anchor_batch).where(_b.id == bindparam("batch_id"))
_LOCK_BATCH = _BATCH_BY_ID.with_for_update(of=anchor_batch)
_UPDATE_BATCH = (
    update(anchor_batch)
    .where((_b.id == bindparam("batch_id")) & (_b.version == bindparam("held_version")))
    .values({
        **{name: bindparam(name, type_=_b[name].type) for name in _BATCH_MUTABLE},
        "version": _b.version + literal_column("1"),
    })
)  # fmt: skip
_BATCHES = select(anchor_batch).where(_b.id > bindparam("after_id")).order_by(_b.id).limit(bindparam("most"))
_range = cast(_b.first_position, Text) + literal_column("'-'") + cast(_b.last_position, Text)
_PLACED_NOWHERE = with_task(_b.id, _b.state, _range).where(_b.block_number.is_(None)).order_by(_b.id)
_BATCHES_AT = select(anchor_batch).where(_b.contract.in_([literal_column("''"), bindparam("of_contract")]))
# What a buyer's own transaction has settled, the buyer has paid.
_signed, _replaced = chain_transaction.c.hash, replaced_transaction.c.hash
_by_us = union_all(select(_signed.label("hash")), select(_replaced)).subquery("by_us")
_paid = anchor_batch.join(_by_us, _by_us.c.hash == _b.transaction_hash)
_fee = cast(_b.gas_used, Float) * _b.gas_price_wei
_FEES = (  # the drivers give floats as they are, where a Float would have SQLAlchemy look at each
    select(_b.is_settlement, func.sum(_b.count), type_coerce(func.sum(_fee), NullType()))
    .select_from(_paid)
    .where(_b.gas_used.is_not(None))
    .group_by(_b.is_settlement)
    .order_by(_b.is_settlement)
)
_NEWEST_PAID = (
    select(anchor_batch)
    .select_from(_paid)
    .where(
        (_b.chain_id == bindparam("on_chain"))
        & (_b.is_settlement == bindparam("of_kind"))
        & _b.gas_used.is_not(None)
    )
    .order_by(_b.block_number.desc(), _b.id)
    .limit(bindparam("most", type_=BigInteger()))
)
_CONTRACTS = select(contract).where(_k.chain_id == bindparam("on_chain")).order_by(_k.from_block, _k.recorded_at_us)
_ADD_CONTRACT = inserted(contract).on_conflict_do_nothing().returning(_k.address)
