"""Every statement of the embedded store, by name. Parameters are positional; ids are 16 bytes."""

from functools import cache

# The writer: one batch.
LOAD_WALLETS = """
    SELECT w.id, w.number, w.kind, o.id, w.currency, w.balance, w.version, w.created_at, w.modified_at, w.position
    FROM wallets w JOIN owners o ON o.number = w.owner
    WHERE w.id IN carray(?)
"""
LOAD_OWNER = """
    SELECT id, kind, EXISTS (SELECT 1 FROM wallets WHERE owner = owners.number)
    FROM owners
    WHERE id = ?
"""
EMAIL_IS_TAKEN = "SELECT 1 FROM owners WHERE kind = ? AND email_key = ?"
READ_HEAD = "SELECT size, frontier, root, link FROM head WHERE only = 1"
MOVE_HEAD = "UPDATE head SET size = ?, frontier = ?, root = ?, link = ? WHERE only = 1"
INSERT_WALLET = """
    INSERT INTO wallets (id, number, kind, owner, currency, balance, version, created_at, modified_at, position)
    VALUES (?, ?, ?, (SELECT number FROM owners WHERE id = ?), ?, ?, ?, ?, ?, ?)
"""
INSERT_OWNER = """
    INSERT INTO owners (number, id, kind, name, last_name, email, phone, email_key, salt, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
DROP_WALLETS = "DELETE FROM wallets"
EVENT_IS_STORED = "SELECT 1 FROM events WHERE id = ?"

# The reader: what the API shows.
WALLET_BY_ID = """
    SELECT w.id, w.number, w.kind, o.id, w.currency, w.balance, w.version, w.created_at, w.modified_at, w.position
    FROM wallets w JOIN owners o ON o.number = w.owner
    WHERE w.id = ?
"""
EVENT_BY_ID = "SELECT position, payload FROM events WHERE id = ?"
OWNER_BY_ID = """
    SELECT id, number, kind, name, last_name, email, phone, email_key, salt, created_at
    FROM owners
    WHERE id = ? AND kind = ?
"""

# An owner's wallets, last changed first: of one owner there are few, so they are sorted, not indexed.
WALLETS_OF_OWNER = """
    SELECT w.id, w.number, w.kind, o.id, w.currency, w.balance, w.version, w.created_at, w.modified_at, w.position
    FROM owners o JOIN wallets w ON w.owner = o.number
    WHERE o.id = ? AND o.kind = ? AND w.position < ?
    ORDER BY w.position DESC
    LIMIT ?
"""

# A wallet's transactions, newest first: two index scans, merged as they run. The page comes as one JSON array,
# in one step, because each step gives the interpreter's lock away (docs/decisions/0004).
WALLET_TRANSACTIONS = """
    SELECT '[' || group_concat('{"position":' || position || ',"event":' || CAST(payload AS TEXT) || '}', ',') || ']'
    FROM (
        SELECT position, payload FROM events WHERE payer = ?1 AND position < ?2
        UNION ALL
        SELECT position, payload FROM events WHERE payee = ?1 AND position < ?2
        ORDER BY position DESC
        LIMIT ?3
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
ALL_OWNERS = """
    SELECT id, number, kind, name, last_name, email, phone, email_key, salt, created_at
    FROM owners
    ORDER BY number
"""
ALL_WALLETS = """
    SELECT w.id, w.number, w.kind, o.id, w.currency, w.balance, w.version, w.created_at, w.modified_at, w.position
    FROM wallets w LEFT JOIN owners o ON o.number = w.owner
    ORDER BY w.number
"""


ROWS_AT_ONCE = (1, 4, 16, 64, 256)
"""The sizes in which the two statements below exist, so that each is prepared once. Rows of nulls do nothing."""


@cache
def append_events(count: int) -> str:
    """Append up to so many rows to the log: position, id, payer, payee, payload, link of each."""
    rows = ", ".join(["(?, ?, ?, ?, ?, ?)"] * count)
    return f"""
        INSERT INTO events (position, id, payer, payee, payload, link)
        SELECT * FROM (VALUES {rows})
        WHERE column1 IS NOT NULL
    """  # noqa: S608 - nothing but question marks


@cache
def move_wallets(count: int) -> str:
    """Change up to so many wallets: number, balance, version, modified_at, position of each."""
    rows = ", ".join(["(?, ?, ?, ?, ?)"] * count)
    return f"""
        WITH moved (number, balance, version, modified_at, position) AS (VALUES {rows})
        UPDATE wallets
        SET balance = moved.balance, version = moved.version, modified_at = moved.modified_at, position = moved.position
        FROM moved
        WHERE wallets.number = moved.number
    """  # noqa: S608 - likewise
