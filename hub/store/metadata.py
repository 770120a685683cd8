"""The one MetaData of all tables: naming convention, and column types that are equal on SQLite and PostgreSQL.

No bind or result processor may be needed: statements are rendered once and run on the bare driver (decision 0001).
Times are microseconds UTC, money is minor units, booleans are 0 and 1, JSON and ids are text.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import bindparam
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Text that sorts by its bytes on both engines: PostgreSQL would sort it by the database's language.
BytewiseText = Text().with_variant(Text(collation="C"), "postgresql")
# A BigInteger that SQLite takes for its rowid.
Serial = BigInteger().with_variant(Integer, "sqlite")


def text(name: str, *args: Any, **kwargs: Any) -> Column[str]:
    return Column(name, Text, *args, nullable=kwargs.pop("nullable", False), **kwargs)


def integer(name: str, *args: Any, **kwargs: Any) -> Column[int]:
    return Column(name, BigInteger, *args, nullable=kwargs.pop("nullable", False), **kwargs)


def blob(name: str, *args: Any, **kwargs: Any) -> Column[bytes]:
    return Column(name, LargeBinary, *args, nullable=kwargs.pop("nullable", False), **kwargs)


class is_one_of(FunctionElement[bool]):
    """`column` is one of the values bound as `name`: one text for any number of them, unlike an expanding IN.

    On PostgreSQL `= ANY(array)`; on SQLite a JSON array, into which the connection turns a bound list.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[str], name: str) -> None:
        super().__init__(column, bindparam(name, type_=Text()))

    def self_group(self, against: Any = None) -> "is_one_of":
        """Itself: `… IN (…) = 1`, as SQLite would be asked otherwise, uses no index."""
        return self


@compiles(is_one_of, "sqlite")
def _by_json_each(element: is_one_of, compiler: Any, **kwargs: Any) -> str:
    column, values = element.clauses
    return (
        f"{compiler.process(column, **kwargs)} IN (SELECT value FROM json_each({compiler.process(values, **kwargs)}))"
    )


@compiles(is_one_of, "postgresql")
def _by_any(element: is_one_of, compiler: Any, **kwargs: Any) -> str:
    column, values = element.clauses
    assert isinstance(values, BindParameter)
    bound = compiler.process(values, **kwargs).removesuffix("::VARCHAR").removesuffix("::TEXT")
    return f"{compiler.process(column, **kwargs)} = ANY({bound}::TEXT[])"


def inserted(table: Table, **renamed: str) -> Insert:
    """An INSERT of every column of `table` from binds of the columns' names, or of `renamed` ones.

    PostgreSQL's construct, whose ON CONFLICT and RETURNING SQLite's dialect renders alike. A serial key is left out.
    """
    return insert(table).values(
        {
            column: bindparam(renamed.get(column.name, column.name), type_=column.type)
            for column in table.c
            if column.type is not Serial
        }
    )
