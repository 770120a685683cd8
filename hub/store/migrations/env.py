"""Runs the revisions on the connection that `hub.store.migrate` has opened: one transaction, either engine."""

from alembic import context

from hub.store import transactions  # noqa: F401  # its repositories bring every table into the MetaData
from hub.store.metadata import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
    compare_type=True,
    compare_server_default=True,
)
context.run_migrations()
