"""Statements run on the bare driver: each must render on both dialects and need nobody to convert its values."""

import importlib
import pkgutil

import pytest
from sqlalchemy import Table
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement, Executable, bindparam, select

import hub.store
from hub.store.metadata import is_one_of, metadata
from hub.store.orders import order
from hub.store.statements import POSTGRESQL, SQLITE, Statements, json_list

DIALECTS = [pytest.param(SQLITE, id="sqlite"), pytest.param(POSTGRESQL, id="postgresql")]


def constants() -> dict[str, ClauseElement]:
    """Every statement that a module of the store makes at import, by its dotted name."""
    found = {}
    for module in pkgutil.walk_packages(hub.store.__path__, "hub.store."):
        if module.name.startswith("hub.store.migrations"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, ClauseElement) and isinstance(value, Executable) and not isinstance(value, Table):
                found[f"{module.name}.{name}"] = value
    return found


STATEMENTS = constants()


def test_the_statements_are_found() -> None:
    assert len(STATEMENTS) > 70


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_statement_renders_and_needs_no_processor(name: str, dialect: Dialect) -> None:
    compiled = STATEMENTS[name].compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    assert "POSTCOMPILE" not in compiled.string
    binds = {bind.key: bind.type for bind in compiled.binds.values()}  # type: ignore[attr-defined]  # what SQLAlchemy keeps of a compiled statement, untyped
    assert {key for key, type_ in binds.items() if type_.dialect_impl(dialect).bind_processor(dialect)} == set()
    columns = compiled._result_columns  # type: ignore[attr-defined]  # what SQLAlchemy keeps of a compiled statement, untyped
    assert {c.name for c in columns if c.type.dialect_impl(dialect).result_processor(dialect, None)} == set()


def test_no_constraint_is_deferred() -> None:
    """A deferred one would fail at COMMIT and take the whole group of units with it."""
    constraints = [constraint for table in metadata.tables.values() for constraint in table.constraints]
    assert len(constraints) > 40
    assert [constraint.name for constraint in constraints if constraint.deferrable or constraint.initially] == []


def test_one_text_serves_lists_of_any_length() -> None:
    statement = select(order.c.id).where(is_one_of(order.c.id, "ids"))
    on_sqlite = Statements(SQLITE, json_list)
    sql, parameters = on_sqlite.bound(statement, {"ids": ["a", "b"]})
    assert "IN (SELECT value FROM json_each(?))" in sql
    assert parameters == ['["a","b"]']
    assert on_sqlite.bound(statement, {"ids": []}) == (sql, ["[]"])
    sql, parameters = Statements(POSTGRESQL, list).bound(statement, {"ids": ("a",)})
    assert "= ANY($1::TEXT[])" in sql
    assert parameters == [["a"]]


def test_a_statement_is_rendered_once() -> None:
    statements = Statements(SQLITE, json_list)
    statement = select(order.c.id).where(order.c.id == bindparam("order_id"))
    assert statements.render(statement) is statements.render(statement)


def test_a_parameter_that_the_statement_lacks_is_refused() -> None:
    statement = select(order.c.id).where(order.c.id == bindparam("order_id"))
    with pytest.raises(TypeError, match="no parameter ordr_id"):
        Statements(SQLITE, json_list).bound(statement, {"ordr_id": "ord_1"})
