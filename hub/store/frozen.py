"""Tables that only ever grow: what is wrong in them is corrected by new rows, never changed."""

from sqlalchemy import DDL, Table
from sqlalchemy import event as ddl_event

REFUSE_CHANGE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$
"""


def freeze(table: Table) -> None:
    """Refuse every UPDATE and DELETE of its rows. On SQLite only RAISE(ABORT) leaves the group of units whole."""
    ddl_event.listen(table, "after_create", DDL(REFUSE_CHANGE.replace("%", "%%")).execute_if(dialect="postgresql"))
    for verb in ("UPDATE", "DELETE"):
        statement = (
            f"CREATE TRIGGER {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
            f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only'); END"
        )
        ddl_event.listen(table, "after_create", DDL(statement).execute_if(dialect="sqlite"))
    statement = (
        f"CREATE TRIGGER {table.name}_frozen BEFORE UPDATE OR DELETE ON {table.name} "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    ddl_event.listen(table, "after_create", DDL(statement).execute_if(dialect="postgresql"))
