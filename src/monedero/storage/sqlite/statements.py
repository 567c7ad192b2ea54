"""Every statement of the embedded store, by name. Parameters are positional; ids are 16 bytes."""

from functools import cache

# The writer: one batch.
LOAD_WALLETS = """
    SELECT w.id, w.number, w.kind, o.id, w.currency, w.balance, w.version, w.created_at, w.modified_at, w.position,
        w.held
    FROM wallets w JOIN owners o ON o.number = w.owner
    WHERE w.id IN carray(?)
"""
LOAD_OWNER = """
    SELECT id, kind, EXISTS (SELECT 1 FROM wallets WHERE owner = owners.number),
        EXISTS (SELECT 1 FROM wallets WHERE owner = owners.number AND balance > 0)
    FROM owners
    WHERE id = ?
"""
EMAIL_IS_TAKEN = "SELECT 1 FROM owners WHERE kind = ? AND email_key = ?"
READ_HEAD = "SELECT size, frontier, root, link FROM head WHERE only = 1"
ERASE_OWNER = """
    UPDATE owners
    SET name = NULL, last_name = NULL, email = NULL, email_key = NULL, phone = NULL, salt = NULL
    WHERE id = ?
"""
# What is freed of a page is overwritten, so that the file keeps nothing of whoever was erased.
OVERWRITE = "PRAGMA secure_delete = ON"
OVERWRITE_NO_MORE = "PRAGMA secure_delete = OFF"
INSERT_WALLET = """
    INSERT INTO wallets (id, number, kind, owner, currency, balance, version, created_at, modified_at, position, held)
    VALUES (?, ?, ?, (SELECT number FROM owners WHERE id = ?), ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_OWNER = """
    INSERT INTO owners (number, id, kind, name, last_name, email, phone, email_key, salt, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
LOAD_DEBITED = """
    SELECT e.position, e.payload, coalesce(r.refunded, 0)
    FROM events e LEFT JOIN refunds r ON r.number = e.position
    WHERE e.id IN carray(?)
"""
LOAD_HOLDS = """
    SELECT e.position, e.payload, h.expires_at, h.captured, h.status, h.position
    FROM events e JOIN holds h ON h.number = e.position
    WHERE e.id IN carray(?)
"""
LOAD_CLAIMS = "SELECT key, fingerprint, at, answers FROM claims WHERE key IN carray(?)"
DROP_WALLETS = "DELETE FROM wallets"
DROP_HOLDS = "DELETE FROM holds"
DROP_REFUNDS = "DELETE FROM refunds"
INSERT_HOLD = "INSERT INTO holds (number, expires_at, captured, status, position) VALUES (?, ?, ?, ?, ?)"
INSERT_REFUND = "INSERT INTO refunds (number, refunded) VALUES (?, ?)"
DROP_ROOTS = "DELETE FROM roots"
INSERT_ROOT = "INSERT INTO roots (height, number, root) VALUES (?, ?, ?)"
EVENT_IS_STORED = "SELECT 1 FROM events WHERE id = ?"

# An import: its mark.
READ_IMPORT = "SELECT size, root, owners FROM import"
BEGIN_IMPORT = "INSERT INTO import (only, size, root, owners) VALUES (1, ?, ?, ?)"
END_IMPORT = "DELETE FROM import"

# The reader: what the API shows.
WALLET_BY_ID = """
    SELECT w.id, w.number, w.kind, o.id, w.currency, w.balance, w.version, w.created_at, w.modified_at, w.position,
        w.held
    FROM wallets w JOIN owners o ON o.number = w.owner
    WHERE w.id = ?
"""
EVENT_BY_ID = "SELECT position, payload FROM events WHERE id = ?"
EVENTS_BY_ID = "SELECT position, payload FROM events WHERE id IN carray(?)"
EVENTS_BY_POSITION = "SELECT position, payload FROM events WHERE position IN carray(?) ORDER BY position"
REFUNDED = "SELECT refunded FROM refunds WHERE number = ?"
OPEN_HOLDS = """
    SELECT count(*) FROM (SELECT 1 FROM holds INDEXED BY holds_to_expire WHERE status = 'open' LIMIT ?)
"""
EXPIRING = """
    SELECT e.id, h.expires_at
    FROM holds h JOIN events e ON e.position = h.number
    WHERE h.status = 'open'
    ORDER BY h.expires_at
    LIMIT ?
"""
OWNER_BY_ID = """
    SELECT id, number, kind, name, last_name, email, phone, email_key, salt, created_at
    FROM owners
    WHERE id = ? AND kind = ?
"""


# For proofs: ranges in order, as hexadecimal text in one step (docs/decisions/0004).
PAYLOADS = """
    SELECT group_concat(hex(payload), ' ' ORDER BY position) FROM events WHERE position >= ? AND position < ?
"""
ROOTS = """
    SELECT group_concat(hex(root), ' ' ORDER BY number) FROM roots WHERE height = ? AND number >= ? AND number < ?
"""

# An owner's wallets, last changed first: of one owner there are few, so they are sorted, not indexed.
WALLETS_OF_OWNER = """
    SELECT w.id, w.number, w.kind, o.id, w.currency, w.balance, w.version, w.created_at, w.modified_at, w.position,
        w.held
    FROM owners o JOIN wallets w ON w.owner = o.number
    WHERE o.id = ? AND o.kind = ?
    ORDER BY w.position DESC, w.number DESC
    LIMIT ?
"""
SIZE = "SELECT size FROM head WHERE only = 1"

# Where a wallet's transactions are, newest first: two scans of indexes alone, merged as they run. They come as one
# JSON array, in one step, because each step gives the interpreter's lock away (docs/decisions/0004).
WALLET_POSITIONS = """
    SELECT '[' || group_concat(position) || ']'
    FROM (
        SELECT position FROM events WHERE payer = ?1 AND position < ?2
        UNION ALL
        SELECT position FROM events WHERE payee = ?1 AND position < ?2
        ORDER BY position DESC
        LIMIT ?3
    )
"""
EVENTS_AT = """
    SELECT '[' || group_concat('{"position":' || position || ',"event":' || CAST(payload AS TEXT) || '}', ',') || ']'
    FROM events
    WHERE position IN carray(?)
"""

# A part of a wallet's history with its events, from its newest end and from its oldest.
NEWEST_MOVEMENTS = """
    SELECT '[' || group_concat('{"position":' || position || ',"event":' || CAST(payload AS TEXT) || '}', ',') || ']'
    FROM (
        SELECT position, payload FROM events WHERE payer = ?1 AND position >= ?2 AND position < ?3
        UNION ALL
        SELECT position, payload FROM events WHERE payee = ?1 AND position >= ?2 AND position < ?3
        ORDER BY position DESC
        LIMIT ?4
    )
"""
OLDEST_MOVEMENTS = """
    SELECT '[' || group_concat('{"position":' || position || ',"event":' || CAST(payload AS TEXT) || '}', ',') || ']'
    FROM (
        SELECT position, payload FROM events WHERE payer = ?1 AND position >= ?2 AND position < ?3
        UNION ALL
        SELECT position, payload FROM events WHERE payee = ?1 AND position >= ?2 AND position < ?3
        ORDER BY position
        LIMIT ?4
    )
"""

# An owner's history over all wallets, newest first, the openings among it: the newest of each wallet by
# index scan, then the newest of those. One statement, however many wallets; a page as above.
OWNER_TRANSACTIONS = """
    WITH mine AS (
        SELECT w.number FROM owners o JOIN wallets w ON w.owner = o.number WHERE o.id = ?1 AND o.kind = ?4
    ), items AS (
        SELECT mine.number AS wallet, e.position FROM mine JOIN events e ON e.position IN (
            SELECT position FROM events WHERE payer = mine.number AND position < ?2 ORDER BY position DESC LIMIT ?3)
        UNION ALL
        SELECT mine.number, e.position FROM mine JOIN events e ON e.position IN (
            SELECT position FROM events WHERE payee = mine.number AND position < ?2 ORDER BY position DESC LIMIT ?3)
        UNION ALL
        SELECT number, number FROM mine WHERE number < ?2
        ORDER BY 2 DESC
        LIMIT ?3
    )
    SELECT '[' || group_concat(
        '{"wallet":' || wallet || ',"position":' || position || ',"event":' || CAST(payload AS TEXT) || '}', ','
    ) || ']'
    FROM (SELECT wallet, position, payload FROM items JOIN events USING (position) ORDER BY position DESC)
"""

# The audit: everything, in order.
SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
INTEGRITY = "PRAGMA integrity_check(1)"
ALL_EVENTS = "SELECT position, id, payer, payee, payload, link FROM events ORDER BY position"
ALL_PAYLOADS = "SELECT payload FROM events ORDER BY position"
ALL_ROOTS = "SELECT height, number, root FROM roots ORDER BY height, number"
ALL_OWNERS = """
    SELECT id, number, kind, name, last_name, email, phone, email_key, salt, created_at
    FROM owners
    ORDER BY number
"""
ALL_WALLETS = """
    SELECT w.id, w.number, w.kind, o.id, w.currency, w.balance, w.version, w.created_at, w.modified_at, w.position,
        w.held
    FROM wallets w LEFT JOIN owners o ON o.number = w.owner
    ORDER BY w.number
"""
ALL_HOLDS = """
    SELECT h.number, e.payload, h.expires_at, h.captured, h.status, h.position
    FROM holds h LEFT JOIN events e ON e.position = h.number
    ORDER BY h.number
"""
ALL_REFUNDS = "SELECT number, refunded FROM refunds ORDER BY number"

# A batch in one statement: rows of every kind go into a view of the writer's own, whose triggers put each where it
# belongs. Without BEGIN and COMMIT around it the statement is the whole transaction, sync included, and one step: the
# interpreter's lock is given away and won back once a batch (docs/decisions/0015).
EVENT, MOVE, HEAD, HOLD, REFUND, CLAIM, FORGET, ROOT = 1, 2, 3, 4, 5, 6, 7, 8
"""The kinds of rows; one without a kind does nothing."""
BATCH_VIEW = """
    CREATE TEMP VIEW batch AS
        SELECT 0 AS kind, NULL AS a, NULL AS b, NULL AS c, NULL AS d, NULL AS e, NULL AS f;
    CREATE TEMP TRIGGER batch_event INSTEAD OF INSERT ON batch WHEN NEW.kind = 1 BEGIN
        INSERT INTO events (position, id, payer, payee, payload, link)
        VALUES (NEW.a, NEW.b, NEW.c, NEW.d, NEW.e, NEW.f);
    END;
    CREATE TEMP TRIGGER batch_move INSTEAD OF INSERT ON batch WHEN NEW.kind = 2 BEGIN
        UPDATE wallets
        SET balance = NEW.b, version = NEW.c, modified_at = NEW.d, position = NEW.e, held = NEW.f
        WHERE number = NEW.a;
    END;
    CREATE TEMP TRIGGER batch_head INSTEAD OF INSERT ON batch WHEN NEW.kind = 3 BEGIN
        UPDATE head SET size = NEW.a, frontier = NEW.b, root = NEW.c, link = NEW.d WHERE only = 1;
    END;
    CREATE TEMP TRIGGER batch_hold INSTEAD OF INSERT ON batch WHEN NEW.kind = 4 BEGIN
        INSERT INTO holds (number, expires_at, captured, status, position)
        VALUES (NEW.a, NEW.b, NEW.c, NEW.d, NEW.e)
        ON CONFLICT (number) DO UPDATE
        SET captured = excluded.captured, status = excluded.status, position = excluded.position;
    END;
    CREATE TEMP TRIGGER batch_refund INSTEAD OF INSERT ON batch WHEN NEW.kind = 5 BEGIN
        INSERT INTO refunds (number, refunded) VALUES (NEW.a, NEW.b)
        ON CONFLICT (number) DO UPDATE SET refunded = excluded.refunded;
    END;
    CREATE TEMP TRIGGER batch_claim INSTEAD OF INSERT ON batch WHEN NEW.kind = 6 BEGIN
        INSERT INTO claims (key, fingerprint, at, answers) VALUES (NEW.a, NEW.b, NEW.c, NEW.d);
    END;
    CREATE TEMP TRIGGER batch_forget INSTEAD OF INSERT ON batch WHEN NEW.kind = 7 BEGIN
        DELETE FROM claims
        WHERE number IN (SELECT number FROM claims ORDER BY number LIMIT NEW.a) AND at < NEW.b;
    END;
    CREATE TEMP TRIGGER batch_root INSTEAD OF INSERT ON batch WHEN NEW.kind = 8 BEGIN
        INSERT INTO roots (height, number, root) VALUES (NEW.a, NEW.b, NEW.c);
    END;
"""
BATCH_COLUMNS = 7
BATCH_SIZES = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""The numbers of rows for which the statement exists, so that each is prepared once."""


@cache
def insert_batch(size: int) -> str:
    """Write so many rows: kind, and up to six values."""
    return f"INSERT INTO batch SELECT * FROM ({_rows(size)}) WHERE column1 IS NOT NULL"  # noqa: S608 - question marks


@cache
def insert_events(size: int) -> str:
    """Write so many rows that are all of the kind EVENT."""
    return f"""
        INSERT INTO events (position, id, payer, payee, payload, link)
        SELECT column2, column3, column4, column5, column6, column7 FROM ({_rows(size)}) WHERE column1 IS NOT NULL
    """  # noqa: S608 - likewise


@cache
def move_wallets(size: int) -> str:
    """Write so many rows that are all of the kind MOVE."""
    return f"""
        UPDATE wallets
        SET balance = column3, version = column4, modified_at = column5, position = column6, held = column7
        FROM ({_rows(size)}) WHERE number = column2
    """  # noqa: S608 - likewise


def _rows(size: int) -> str:
    return "VALUES " + ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * size)
