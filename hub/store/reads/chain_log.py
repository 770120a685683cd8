"""The chain as it is read, for everybody: blocks that are kept and events of the hub's contracts."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Text, bindparam, case, literal_column, select, true
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.people import ViewerKind
from hub.store.chain_log import chain_block, chain_cursor, chain_event
from hub.store.reads.plans import Noun, known


@dataclass(frozen=True, slots=True)
class ChainBlockRow:
    number: int
    hash: str
    parent_hash: str
    mined_at_us: int
    finality: str
    joined: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChainEventRow:
    """`args` is a JSON text."""

    id: str
    block_number: int
    block_hash: str
    log_index: int
    transaction_hash: str
    address: str
    name: str
    subject: str
    args: str
    finality: str
    joined: dict[str, Any] = field(default_factory=dict)


def visible(_alias: FromClause, _kind: ViewerKind) -> ColumnElement[bool]:
    """The chain is public."""
    return true()


def _finality(number: str) -> Any:
    """How far the block of that number may be trusted, by the cursor of its chain."""

    def computed(alias: FromClause, _kind: ViewerKind) -> ColumnElement[str]:
        its = chain_cursor.alias()
        says = case(
            (alias.c[number] <= its.c.final_number, literal_column("'FINAL'", Text())),
            (alias.c[number] <= its.c.confirmed_number, literal_column("'CONFIRMED'", Text())),
            else_=literal_column("'SEEN'", Text()),
        )
        return select(says).where(its.c.chain_id == alias.c.chain_id).scalar_subquery()

    return computed


known(
    Noun(
        "chain_block",
        chain_block,
        ChainBlockRow,
        visible,
        computed={"finality": _finality("number")},
        by_key=lambda alias, _kind: alias.c.hash == bindparam("keys"),
        filters={"of_chain": lambda alias, _kind: alias.c.chain_id == bindparam("of_chain")},
    )
)
known(
    Noun(
        "chain_event",
        chain_event,
        ChainEventRow,
        visible,
        computed={"finality": _finality("block_number")},
        filters={
            "of_chain": lambda alias, _kind: alias.c.chain_id == bindparam("of_chain"),
            "address": lambda alias, _kind: alias.c.address == bindparam("address"),
            "name": lambda alias, _kind: alias.c.name == bindparam("name"),
            "subject": lambda alias, _kind: alias.c.subject == bindparam("subject"),
        },
    )
)
