"""The tables of a journal file, and what makes a file one.

Strategy: `entry` is the truth; every other table is a projection that can be made again from it, but for the message
bytes in `wire`. STRICT, so that SQLite itself refuses a value of another type. Rows of `wire` are slots of one size
that are overwritten in place: a b-tree that moves rows of varying size leaves copies of deleted ones behind even with
secure_delete, a slot never moves.
"""

from __future__ import annotations

import apsw

from taptill.journal.formats import NEWEST_FORMAT, OLDEST_FORMAT

APPLICATION_ID = 0x54617054  # "TapT"
USER_VERSION = NEWEST_FORMAT  # what a new file is made in; the file says which format it has
SLOT_OCTETS = 1000  # four slots fill a page
SLOTS_AT_FIRST = 32

TABLES_AT_FIRST = (
    """CREATE TABLE entry (
        seq INTEGER PRIMARY KEY,
        body BLOB NOT NULL,
        digest BLOB NOT NULL CHECK (length(digest) = 32)
    ) STRICT""",
    """CREATE TABLE wire (
        slot INTEGER PRIMARY KEY,
        octets BLOB NOT NULL CHECK (length(octets) = 1000)
    ) STRICT""",
    """CREATE TABLE payment (
        first_seq INTEGER PRIMARY KEY,
        payment_ref TEXT NOT NULL UNIQUE,
        client_ref TEXT NOT NULL,
        state TEXT NOT NULL,
        amount_minor INTEGER NOT NULL,
        currency TEXT NOT NULL,
        approved_minor INTEGER NOT NULL,
        masked_pan TEXT NOT NULL,
        reader TEXT NOT NULL,
        opened_at_ms INTEGER NOT NULL,
        changed_at_ms INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        refunded_minor INTEGER NOT NULL,
        idempotency_key TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX payment_client ON payment (client_ref)",
    "CREATE UNIQUE INDEX payment_key ON payment (idempotency_key) WHERE idempotency_key <> ''",
    """CREATE INDEX payment_open ON payment (state) WHERE state IN
        ('armed', 'reading', 'authorizing', 'confirming', 'unknown', 'cancelling', 'reversing', 'deferred', 'parked')
    """,
    """CREATE TABLE act (
        intended_seq INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        payment_ref TEXT NOT NULL REFERENCES payment (payment_ref),
        profile_row TEXT NOT NULL,
        result TEXT NOT NULL,
        stan INTEGER NOT NULL,
        batch INTEGER NOT NULL,
        key_counter INTEGER NOT NULL,
        amount_minor INTEGER NOT NULL,
        approved_minor INTEGER NOT NULL,
        token TEXT NOT NULL,
        masked_pan TEXT NOT NULL,
        reader TEXT NOT NULL,
        card_facts TEXT NOT NULL,
        code TEXT NOT NULL,
        auth_code TEXT NOT NULL,
        rrn TEXT NOT NULL,
        intended_at_ms INTEGER NOT NULL,
        wire_id INTEGER REFERENCES wire (slot)
    ) STRICT""",
    "CREATE INDEX act_open ON act (batch, stan) WHERE result IN ('', 'unknown', 'parked', 'confirming')",
    """CREATE TABLE debt (
        created_seq INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        payment_ref TEXT NOT NULL REFERENCES payment (payment_ref),
        act TEXT NOT NULL,
        profile_row TEXT NOT NULL,
        state TEXT NOT NULL,
        stan INTEGER NOT NULL,
        batch INTEGER NOT NULL,
        key_counter INTEGER NOT NULL,
        amount_minor INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        last_result TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        token TEXT NOT NULL,
        wire_id INTEGER REFERENCES wire (slot)
    ) STRICT""",
    "CREATE INDEX debt_open ON debt (batch, stan) WHERE state <> 'closed'",
    """CREATE TABLE counter (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        batch INTEGER NOT NULL,
        next_stan INTEGER NOT NULL,
        next_key_counter INTEGER NOT NULL,
        next_payment INTEGER NOT NULL,
        last_time_ms INTEGER NOT NULL,
        head_seq INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO counter VALUES (1, 1, 1, 1, 1, 0, 0)",
)

# What each format has beyond the one before it.
ADDED: dict[int, tuple[str, ...]] = {
    2: (
        """CREATE TABLE seal (
        seq INTEGER PRIMARY KEY,
        batch INTEGER NOT NULL,
        head BLOB NOT NULL CHECK (length(head) = 32)
    ) STRICT""",
        # Asked only when the terminal starts, and each cost every append a page of the log.
        "DROP INDEX payment_open",
        "DROP INDEX act_open",
    ),
}


def provision(connection: apsw.Connection, version: int = USER_VERSION) -> None:
    """Make an empty database a journal, in one transaction. It has to be in WAL mode before the first entry."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    with connection:
        for statement in TABLES_AT_FIRST:
            connection.execute(statement)
        connection.executemany(
            f"INSERT INTO wire (octets) VALUES (zeroblob({SLOT_OCTETS}))", [() for _ in range(SLOTS_AT_FIRST)]
        )
        connection.execute(f"PRAGMA user_version = {OLDEST_FORMAT}")
        upgrade(connection, version)


def upgrade(connection: apsw.Connection, version: int = USER_VERSION) -> None:
    """Bring the tables to format `version`, in one transaction. No entry and no row is touched."""
    found = int(str(connection.pragma("user_version")))
    with connection:
        for following in range(found + 1, version + 1):
            for statement in ADDED[following]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {following}")
