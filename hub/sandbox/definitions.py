"""The peers' tables, and how a file of an earlier release becomes one of this."""

import sqlite3

INTENT = """
    id TEXT PRIMARY KEY,
    page_token TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL UNIQUE,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN (
        'requires_action', 'requires_payment_method', 'requires_capture', 'succeeded', 'canceled'
    )),
    step TEXT NOT NULL CHECK (step IN ('choose', 'authenticate', 'done')),
    amount_received INTEGER NOT NULL CHECK (amount_received >= 0),
    description TEXT NOT NULL,
    metadata TEXT NOT NULL,
    return_url TEXT,
    notice_url TEXT,
    payment_method TEXT,
    error_code TEXT,
    decline_code TEXT,
    latest_charge TEXT UNIQUE,
    cancellation_reason TEXT,
    created INTEGER NOT NULL,
    status_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    capture_method TEXT NOT NULL DEFAULT 'automatic' CHECK (capture_method IN ('automatic', 'manual')),
    capture_before INTEGER
"""
TABLES = f"""
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS intent ({INTENT}) STRICT;
CREATE INDEX IF NOT EXISTS intent_open ON intent (expires_at) WHERE status = 'requires_action';
CREATE INDEX IF NOT EXISTS intent_held ON intent (capture_before) WHERE status = 'requires_capture';

CREATE TABLE IF NOT EXISTS refund (
    id TEXT PRIMARY KEY,
    reference TEXT NOT NULL UNIQUE,
    intent_id TEXT NOT NULL REFERENCES intent (id),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    status_at INTEGER NOT NULL,
    failure_reason TEXT,
    settles_at INTEGER,
    settles_as TEXT CHECK (settles_as IN ('succeeded', 'failed')),
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS refund_of ON refund (intent_id);
CREATE INDEX IF NOT EXISTS refund_due ON refund (settles_at) WHERE status = 'pending';

CREATE TABLE IF NOT EXISTS dispute (
    id TEXT PRIMARY KEY,
    intent_id TEXT NOT NULL UNIQUE REFERENCES intent (id),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    status_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    evidence_due_by INTEGER,
    fee INTEGER NOT NULL CHECK (fee >= 0),
    has_taken INTEGER NOT NULL CHECK (has_taken IN (0, 1)),
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS movement (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund', 'dispute', 'adjustment', 'payout')),
    reference TEXT NOT NULL,
    payment_intent TEXT NOT NULL,
    refund_reference TEXT NOT NULL,
    gross INTEGER NOT NULL,
    fee INTEGER NOT NULL CHECK (fee <= 0),
    net INTEGER NOT NULL CHECK (net = gross + fee),
    currency TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    payout_id TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS movement_day ON movement (occurred_at);
CREATE INDEX IF NOT EXISTS movement_unpaid ON movement (occurred_at) WHERE payout_id IS NULL;

CREATE TABLE IF NOT EXISTS notice (
    id TEXT PRIMARY KEY,
    intent_id TEXT NOT NULL REFERENCES intent (id),
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'abandoned')),
    tries INTEGER NOT NULL,
    due_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS notice_due ON notice (due_at) WHERE state = 'waiting';

CREATE TABLE IF NOT EXISTS answer (
    peer TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (peer, key)
) STRICT;
CREATE INDEX IF NOT EXISTS answer_age ON answer (at);

CREATE TABLE IF NOT EXISTS fault (
    id INTEGER PRIMARY KEY,
    peer TEXT NOT NULL,
    operation TEXT NOT NULL,
    reference TEXT,
    fault TEXT NOT NULL,
    value INTEGER,
    times INTEGER
) STRICT;

CREATE TABLE IF NOT EXISTS course (
    position INTEGER PRIMARY KEY,
    platform TEXT NOT NULL,
    external_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    summary TEXT NOT NULL,
    author TEXT NOT NULL,
    language TEXT NOT NULL,
    price_minor INTEGER CHECK (price_minor >= 0),
    currency TEXT,
    body TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (platform, external_id)
) STRICT;

CREATE TABLE IF NOT EXISTS hub_course (
    platform TEXT NOT NULL,
    external_id TEXT NOT NULL,
    hub_id TEXT NOT NULL,
    PRIMARY KEY (platform, external_id)
) STRICT;

CREATE TABLE IF NOT EXISTS member (
    id TEXT PRIMARY KEY,
    platform TEXT NOT NULL,
    external_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (platform, external_id)
) STRICT;

CREATE TABLE IF NOT EXISTS access (
    id TEXT PRIMARY KEY,
    platform TEXT NOT NULL,
    member_id TEXT NOT NULL REFERENCES member (id),
    course_id TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    revoked_at INTEGER,
    UNIQUE (platform, member_id, course_id)
) STRICT;

CREATE TABLE IF NOT EXISTS launch (
    digest TEXT PRIMARY KEY,
    access_id TEXT NOT NULL REFERENCES access (id),
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
"""

# Columns that came later than their tables.
ADDED = (
    ("notice", "is_held", "INTEGER NOT NULL DEFAULT 0"),
    ("fault", "chance", "INTEGER NOT NULL DEFAULT 100"),
    ("fault", "seed", "TEXT NOT NULL DEFAULT ''"),
    ("fault", "looks", "INTEGER NOT NULL DEFAULT 0"),
)


def define(connection: sqlite3.Connection) -> None:
    """Every table, made or renewed; what stands in them stays. Raises sqlite3.Error."""
    known = {row[1] for row in connection.execute("PRAGMA table_info(intent)")}
    if known and "capture_method" not in known:
        _with_new_intents(connection, ", ".join(sorted(known)))
    connection.executescript(TABLES)
    for table, column, kind in ADDED:
        if column not in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def _with_new_intents(connection: sqlite3.Connection, columns: str) -> None:
    """SQLite cannot change a CHECK: a table in the new shape takes the rows over. Foreign keys are still off."""
    connection.executescript(
        f"BEGIN; CREATE TABLE intent_new ({INTENT}) STRICT; "
        f"INSERT INTO intent_new ({columns}) SELECT {columns} FROM intent; "
        "DROP TABLE intent; ALTER TABLE intent_new RENAME TO intent; COMMIT"
    )
