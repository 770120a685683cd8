"""An account's id is its address and asset, so the id alone keeps it unique.

PostgreSQL's ON CONFLICT arbitrates over one index: with a second one, the loser of two first postings to an account was
refused instead of adding to the winner's row. SQLite has one writer, no such race, and no way to drop a constraint
but to rebuild a table that is referred to: it keeps its own.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

from alembic import op

revision = "0005_one_account_key"
down_revision = "0004_event_archive"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("uq_account_address_asset", "account", type_="unique")
