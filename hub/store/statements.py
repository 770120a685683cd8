"""Core statements rendered once per dialect and run on the bare driver; rows come out by position (decision 0001)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy.dialects.postgresql.asyncpg import dialect as postgresql_dialect
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

SQLITE: Dialect = sqlite_dialect(paramstyle="qmark")
POSTGRESQL: Dialect = postgresql_dialect()


# Looked up by exact class, for every parameter of every statement: isinstance of a union takes four times as long.
SETS = frozenset({set, frozenset})
LISTS = frozenset({list, tuple}) | SETS


@dataclass(frozen=True, slots=True)
class Rendered:
    """SQL text of one dialect, the names of its parameters in order, and the values that the statement itself holds."""

    sql: str
    names: tuple[str, ...]
    own: Mapping[str, Any]

    def parameters(self, binds: Mapping[str, Any]) -> list[Any]:
        """The values in order: what is bound, else the statement's own. Raises TypeError for a bind it lacks."""
        own = self.own
        if not binds.keys() <= own.keys():
            unknown = binds.keys() - own.keys()
            raise TypeError(f"the statement has no parameter {', '.join(sorted(unknown))}")
        if len(binds) == len(own):  # the usual case: nothing but binds
            return [binds[name] for name in self.names]
        return [binds[name] if name in binds else own[name] for name in self.names]


class Statements:
    """The rendered form of every statement of one dialect, found by the statement's identity.

    A statement that is made anew for each call is rendered anew, which costs more than running it: make them once, at
    module level or behind a cache.
    """

    def __init__(self, dialect: Dialect, adapt_list: Callable[[Sequence[Any]], Any]) -> None:
        self.dialect = dialect
        self._adapt_list = adapt_list
        self._rendered: WeakKeyDictionary[ClauseElement, Rendered] = WeakKeyDictionary()

    def render(self, statement: ClauseElement) -> Rendered:
        rendered = self._rendered.get(statement)
        if rendered is None:
            compiled = statement.compile(dialect=self.dialect, compile_kwargs={"render_postcompile": True})
            own = {name: value for name, value in compiled.params.items() if value is not None}
            names = tuple(compiled.positiontup or ())  # type: ignore[attr-defined]  # set by positional dialects
            own |= dict.fromkeys(set(names) - set(own))
            rendered = self._rendered[statement] = Rendered(compiled.string, names, own)
        return rendered

    def bound(self, statement: ClauseElement, binds: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The text and its parameters in order; a bound list becomes what the dialect takes for one."""
        rendered = self.render(statement)
        parameters = rendered.parameters(binds)
        for i, value in enumerate(parameters):
            if value.__class__ in LISTS:
                parameters[i] = self._adapt_list(sorted(value) if value.__class__ in SETS else value)
        return rendered.sql, parameters

    def bound_many(self, statement: ClauseElement, rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[list[Any]]]:
        """The text, and the parameters of each row; rows of one statement hold plain values, no lists."""
        rendered = self.render(statement)
        return rendered.sql, [rendered.parameters(row) for row in rows]


def json_list(values: Sequence[Any]) -> str:
    return orjson.dumps(list(values)).decode()
