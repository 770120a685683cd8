"""The offers that the chain tells of are looked at every few seconds: they get an index of their own.

A revision is frozen: it repeats what the tables were and imports nothing of the hub.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017_offers_on_chain"
down_revision = "0016_surplus_refunds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    puts_on_sale = sa.text("name = 'OfferSet'")
    op.create_index(
        "ix_chain_event_offer", "chain_event", ["address"], sqlite_where=puts_on_sale, postgresql_where=puts_on_sale
    )
