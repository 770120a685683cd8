"""What opens commitments: salts under a key of each person's own. Without that key they are noise, and it can go.

Erasing a person drops the key, the salts, and the words of request and result that stand beside them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, LargeBinary, Table, Text, bindparam, delete, literal_column, select, update

from hub.domain.records import SealedSalt
from hub.store.anchors import leaf
from hub.store.metadata import blob, inserted, integer, is_one_of, metadata, text
from hub.store.orders import order

if TYPE_CHECKING:
    from hub.store.transactions import Rx

person_key = Table(
    "person_key",
    metadata,
    text("user_id", ForeignKey("user_.id"), primary_key=True),
    blob("wrapped"),  # under the hub's own key
    integer("created_at_us"),
)
salt = Table(
    "salt",
    metadata,
    text("leaf_id", ForeignKey("leaf.id"), primary_key=True),
    text("user_id", ForeignKey("user_.id"), index=True),
    blob("sealed"),  # under the person's key
)


class Salts:
    """`tx.salts`"""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def key_of(self, user_id: str, new: bytes, now_us: int) -> bytes:
        """The person's wrapped key: `new` from now on, if there is none."""
        held = await self._rx.one(_KEY, bytes, user_id=user_id, wrapped=new, created_at_us=now_us)
        assert held is not None
        return held

    async def keep(self, leaf_id: str, user_id: str, sealed: bytes) -> None:
        await self._rx.changed(_KEEP, leaf_id=leaf_id, user_id=user_id, sealed=sealed)

    async def of_leaves(self, leaf_ids: Sequence[str]) -> dict[str, SealedSalt]:
        """By leaf, as far as they and their keys are still there."""
        rows = await self._rx.many(_OF_LEAVES, SealedSalt, leaf_ids=list(leaf_ids))
        return {row.leaf_id: row for row in rows}

    async def erase(self, user_id: str) -> int:
        """Drop the key, the salts, and what the person's leaves say in words; how many rows that were. Hashes stay:
        proofs of others stand on them."""
        dropped = await self._rx.run(_DROP_KEY, of_user=user_id)
        dropped += await self._rx.run(_DROP_SALTS, of_user=user_id)
        return dropped + await self._rx.run(_BLANK, of_user=user_id, nothing=b"")


_k, _s = person_key.c, salt.c
_KEY = (
    inserted(person_key)
    .on_conflict_do_update(index_elements=[_k.user_id], set_={"wrapped": _k.wrapped})
    .returning(_k.wrapped)
)
_KEEP = inserted(salt)
_OF_LEAVES = (
    select(_s.leaf_id, _s.user_id, _k.wrapped, _s.sealed)
    .join_from(salt, person_key, _k.user_id == _s.user_id)
    .where(is_one_of(_s.leaf_id, "leaf_ids"))
)
_DROP_KEY = delete(person_key).where(_k.user_id == bindparam("of_user"))
_DROP_SALTS = delete(salt).where(_s.user_id == bindparam("of_user"))
_bought = select(order.c.id).where(order.c.user_id == bindparam("of_user", type_=Text()))
_theirs = (leaf.c.owner_id == bindparam("of_user", type_=Text())) | (
    leaf.c.owner_id.is_(None) & leaf.c.order_id.in_(_bought)
)
_BLANK = (
    update(leaf)
    .where(_theirs & (leaf.c.request != literal_column("''", Text())))
    .values(
        request=literal_column("''", Text()),
        result=literal_column("''", Text()),
        sealed_salt=bindparam("nothing", type_=LargeBinary()),
    )
)
