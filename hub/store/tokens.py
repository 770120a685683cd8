"""Tokens that wallets have claimed: what the chain tells of a leaf, as it stands now."""

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Table, bindparam, delete, literal_column, select

from hub.domain.entitlements import ClaimedToken
from hub.domain.records import RecordedLeaf
from hub.store.anchors import anchor_batch, leaf, leaf_of
from hub.store.metadata import inserted, integer, metadata, text

if TYPE_CHECKING:
    from hub.store.transactions import Rx

claimed_token = Table(
    "claimed_token",
    metadata,
    text("leaf_id", ForeignKey("leaf.id"), primary_key=True),
    integer("claimed_at_us"),  # by the clock of the newest block that gave it
    integer("burned_at_us", nullable=True),
)


class Tokens:
    """`tx.tokens`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def leaf_at(self, contract: str, root: bytes, index: int) -> RecordedLeaf | None:
        """The leaf at that place under a root of ours."""
        return await self._rx.one(_LEAF_AT, leaf_of, at_contract=contract, root_=root, place=index)

    async def of(self, leaf_id: str) -> ClaimedToken | None:
        """None: nobody has claimed it."""
        return await self._rx.one(_OF, ClaimedToken, of_leaf=leaf_id)

    async def held(self, contract: str, holder: str, token_id: str) -> list[ClaimedToken]:
        """What a wallet has claimed of one course, the newest claim first."""
        return await self._rx.many(_HELD, ClaimedToken, at_contract=contract, by=holder, of_token=token_id)

    async def put(self, now: ClaimedToken) -> None:
        """How it stands now."""
        columns = {"leaf_id": now.leaf_id, "claimed_at_us": now.claimed_at_us, "burned_at_us": now.burned_at_us}
        await self._rx.changed(_PUT, **columns)

    async def drop(self, leaf_id: str) -> None:
        """Nobody has claimed it."""
        await self._rx.changed(_DROP, of_leaf=leaf_id)


_t, _l, _b = claimed_token.c, leaf.c, anchor_batch.c
_at_contract = _b.contract == bindparam("at_contract")
_LEAF_AT = (
    select(leaf)
    .join(anchor_batch, _b.id == _l.batch_id)
    .where(_at_contract & (_b.root == bindparam("root_")) & (_l.index_ == bindparam("place")))
    .limit(literal_column("1"))
)
_OF = select(claimed_token).where(_t.leaf_id == bindparam("of_leaf"))
_HELD = (
    select(claimed_token)
    .join(leaf, _l.id == _t.leaf_id)
    .join(anchor_batch, _b.id == _l.batch_id)
    .where(_at_contract & (_l.holder == bindparam("by")) & (_l.token_id == bindparam("of_token")))
    .order_by(_t.claimed_at_us.desc(), _t.leaf_id.desc())
)
_put = inserted(claimed_token)
_PUT = _put.on_conflict_do_update(
    index_elements=[_t.leaf_id],
    set_={"claimed_at_us": _put.excluded.claimed_at_us, "burned_at_us": _put.excluded.burned_at_us},
)
_DROP = delete(claimed_token).where(_t.leaf_id == bindparam("of_leaf"))
