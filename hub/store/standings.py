"""Which channels their operators let take something new: the table, which admitting an order looks at too."""

from sqlalchemy import Table

from hub.store.metadata import integer, metadata, text

channel_state = Table(
    "channel_state",
    metadata,
    text("code", primary_key=True),
    text("state"),  # RUNNING, DRAINING, STOPPED
    text("reason"),
    integer("changed_at_us"),
)
