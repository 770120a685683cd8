"""Batches and leaves as they are read: what is on chain is public, an opening is the buyer's alone."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, exists, false, literal_column, select, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.anchors import MAX_LEAVES
from hub.domain.contracts import NOBODY
from hub.domain.people import ViewerKind
from hub.store.anchors import anchor_batch, leaf
from hub.store.chain_log import chain_cursor
from hub.store.orders import order
from hub.store.reads.plans import Noun, Sorting, ToMany, ToOne, known
from hub.store.salts import person_key, salt
from hub.store.tokens import claimed_token


@dataclass(frozen=True, slots=True)
class AnchorBatchRow:
    id: str
    count: int
    root: bytes
    data_hash: bytes
    chain_id: int
    contract: str
    state: str
    transaction_hash: str | None
    block_number: int | None
    gas_used: int | None
    gas_price_wei: int | None
    created_at_us: int
    confirmed_at_us: int | None
    is_settlement: int  # 1 for one leaf that is on chain by itself: it has no proof
    head_number: int | None = None  # the newest block that is known of its chain
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeafRow:
    """What is hashed into a root. `token_id` is decimal text of a uint256, `holder` an address."""

    id: str
    batch_id: str | None
    index_: int | None
    order_key: bytes
    holder: str
    token_id: str
    expiry: int
    commitment: bytes
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClaimedTokenRow:
    """That the holder of a leaf has claimed its token."""

    leaf_id: str
    claimed_at_us: int
    burned_at_us: int | None
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpeningRow:
    """A leaf with what opens its commitment."""

    id: str
    order_id: str
    order_key: bytes
    holder: str
    token_id: str
    expiry: int
    commitment: bytes
    request: str
    result: str
    sealed_salt: bytes  # of rows that earlier releases wrote; of all others:
    owner_id: str | None  # whose key the salt is under, with
    wrapped_key: bytes | None
    sealed: bytes | None
    created_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


def visible(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """Batches stand on a public chain, and a root says nothing about an order. A right that is there by itself is told
    of with its wallet: a platform that came from an order to its transaction would know the buyer's."""
    return alias.c.is_settlement == literal_column("0") if kind is ViewerKind.PLATFORM else true()


def visible_leaf(_alias: FromClause, _kind: ViewerKind) -> ColumnElement[bool]:
    """A hash. Of it only the path under its root is shown, and only through an order or right that the viewer sees."""
    return true()


def visible_opening(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """Whoever shows the opening holds the right: nobody but the buyer gets it, not even an operator."""
    if kind is not ViewerKind.USER:
        return false()
    its = order.alias()
    bought = exists().where((its.c.id == alias.c.order_id) & (its.c.user_id == bindparam("viewer_user")))
    return (alias.c.owner_id == bindparam("viewer_user")) | (alias.c.owner_id.is_(None) & bought)


def _of_batches(alias: FromClause) -> tuple[FromClause, ColumnElement[bool]]:
    """Orders by the batches that hold a leaf of theirs."""
    recorded = select(leaf.c.batch_id, leaf.c.order_id).where(leaf.c.batch_id.is_not(None)).distinct().subquery()
    return recorded, recorded.c.order_id == alias.c.id


def _head_number(alias: FromClause, _kind: ViewerKind) -> ColumnElement[int]:
    its = chain_cursor.alias()
    return select(its.c.head_number).where(its.c.chain_id == alias.c.chain_id).scalar_subquery()


known(
    Noun(
        "anchor_batch",
        anchor_batch,
        AnchorBatchRow,
        visible,
        computed={"head_number": _head_number},
        manys={
            "orders": ToMany("order", "batch_id", lambda row: row.id, is_paged=True, link=_of_batches),
            "leaves": ToMany(
                "leaf", "batch_id", lambda row: row.id, Sorting(("index_", "id"), is_descending=False), most=MAX_LEAVES
            ),
        },
    )
)
def visible_path(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """A right's path under its root, for whoever sees the right. A platform knows its buyers by other names than their
    wallets: of a right that is for one it gets the path from its holder, if at all."""
    return alias.c.holder == literal_column(f"'{NOBODY}'") if kind is ViewerKind.PLATFORM else true()


known(Noun("leaf", leaf, LeafRow, visible_leaf))
known(Noun("claimed_token", claimed_token, ClaimedTokenRow, visible_leaf))
known(
    Noun(
        "proof",
        leaf,
        LeafRow,
        visible_path,
        ones={
            "batch": ToOne("anchor_batch", lambda row, batch: row.c.batch_id == batch.c.id),
            "claimed": ToOne("claimed_token", lambda row, token: row.c.id == token.c.leaf_id),
        },
        manys={
            "siblings": ToMany(
                "leaf", "batch_id", lambda row: row.batch_id, Sorting(("index_", "id"), is_descending=False),
                most=MAX_LEAVES,
            )
        },
        always=frozenset({"batch", "siblings", "claimed"}),
    )
)  # fmt: skip
def _of_salt(column: ColumnElement[Any]) -> Any:
    """Of the salt under its person's key; NULL once that is gone."""

    def computed(alias: FromClause, _kind: ViewerKind) -> ColumnElement[Any]:
        held = select(column).join_from(salt, person_key, person_key.c.user_id == salt.c.user_id)
        return held.where(salt.c.leaf_id == alias.c.id).scalar_subquery()

    return computed


known(
    Noun(
        "receipt",
        leaf,
        OpeningRow,
        visible_opening,
        computed={
            "owner_id": _of_salt(salt.c.user_id),
            "wrapped_key": _of_salt(person_key.c.wrapped),
            "sealed": _of_salt(salt.c.sealed),
        },
    )
)
