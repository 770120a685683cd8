"""Wallets as they are read: the owner's alone, as nobody else needs to know which person an address is."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, false
from sqlalchemy.sql import FromClause
from sqlalchemy.sql.elements import ColumnElement

from hub.domain.people import ViewerKind
from hub.store.reads.plans import Noun, known
from hub.store.wallets import wallet


@dataclass(frozen=True, slots=True)
class WalletRow:
    id: str
    user_id: str
    address: str
    linked_at_us: int
    joined: dict[str, Any] = field(default_factory=dict)


def visible(alias: FromClause, kind: ViewerKind) -> ColumnElement[bool]:
    """Not even an operator or a platform that knows the user; one that was unlinked is nobody's."""
    if kind is not ViewerKind.USER:
        return false()
    return (alias.c.user_id == bindparam("viewer_user")) & alias.c.unlinked_at_us.is_(None)


known(Noun("wallet", wallet, WalletRow, visible))
