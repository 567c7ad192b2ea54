"""Every statement of the PostgreSQL store, by name. Lists of values come as array literals in text."""

# The writer: one batch. Everybody locks the head first. While it is locked nobody else can write anything, so what is
# read after it is the whole truth; in the same statement as the lock it might be older than the lock.
LOCK_HEAD = "SELECT size, frontier, root, link, fence FROM head WHERE single = 1 FOR NO KEY UPDATE"
RAISE_FENCE = "UPDATE head SET fence = fence + 1 WHERE single = 1"
LOAD_WALLETS = """
    SELECT id::text, number, kind, owner::text, currency, balance, version, created_at, modified_at, position, held
    FROM wallets
    WHERE id = ANY (%s::uuid[])
"""
# The wallets that holds and debits are between.
LOAD_PARTIES = """
    SELECT id::text, number, kind, owner::text, currency, balance, version, created_at, modified_at, position, held
    FROM wallets
    WHERE number = ANY (ARRAY(SELECT unnest(ARRAY[payer, payee]) FROM events WHERE id = ANY (%s::uuid[])))
"""
LOAD_OWNERS = """
    SELECT id::text, kind, EXISTS (SELECT 1 FROM wallets WHERE wallets.owner = owners.id),
        (SELECT coalesce(max(balance), 0) > 0 FROM wallets WHERE wallets.owner = owners.id)
    FROM owners
    WHERE id = ANY (%s::uuid[])
"""
TAKEN_EMAILS = """
    SELECT kind, email_key
    FROM owners
    WHERE (kind, email_key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""
LOAD_DEBITED = """
    SELECT events.position, payload, coalesce(refunded, 0)
    FROM events LEFT JOIN refunds ON refunds.number = events.position
    WHERE id = ANY (%s::uuid[])
"""
LOAD_HOLDS = """
    SELECT events.position, payload, expires_at, captured, status, holds.position
    FROM events JOIN holds ON holds.number = events.position
    WHERE id = ANY (%s::uuid[])
"""
LOAD_CLAIMS = "SELECT key, fingerprint, at, answers FROM claims WHERE key = ANY (%s::bytea[])"
# The batch itself, in one statement: the head, the rows under it, the wallets that they moved, the roots to keep. Over
# another head, or under another fence, than the one that the batch was decided on it fails, since no link is NULL. That
# is the first to happen, since all the rest takes its rows from the new head.
APPEND = """
    WITH sealed AS (
        UPDATE head
        SET size = %s, frontier = %s, root = %s, link = CASE WHEN link = %s AND fence = %s THEN %s::bytea END
        WHERE single = 1
        RETURNING single
    ), appended AS (
        INSERT INTO events (position, id, payer, payee, payload, link)
        SELECT event.*
        FROM sealed, unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::bigint[], %s::bytea[], %s::bytea[]) AS event
    ), moved AS (
        UPDATE wallets
        SET balance = moved.balance, version = moved.version, modified_at = moved.modified_at,
            position = moved.position, held = moved.held
        FROM sealed, unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
            AS moved (id, balance, version, modified_at, position, held)
        WHERE wallets.id = moved.id
    )
    INSERT INTO roots (height, number, root)
    SELECT kept.* FROM sealed, unnest(%s::integer[], %s::bigint[], %s::bytea[]) AS kept
"""
INSERT_OWNER = """
    INSERT INTO owners (number, id, kind, name, last_name, email, phone, email_key, salt, created_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
ERASE_OWNERS = """
    UPDATE owners
    SET name = NULL, last_name = NULL, email = NULL, email_key = NULL, phone = NULL, salt = NULL
    WHERE id = ANY (%s::uuid[])
"""
INSERT_WALLET = """
    INSERT INTO wallets (id, number, kind, owner, currency, balance, version, created_at, modified_at, position, held)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
PUT_HOLDS = """
    INSERT INTO holds (number, expires_at, captured, status, position)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[])
    ON CONFLICT (number) DO UPDATE
    SET captured = excluded.captured, status = excluded.status, position = excluded.position
"""
PUT_REFUNDS = """
    INSERT INTO refunds (number, refunded)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[])
    ON CONFLICT (number) DO UPDATE SET refunded = excluded.refunded
"""
INSERT_CLAIMS = """
    INSERT INTO claims (key, fingerprint, at, answers)
    SELECT * FROM unnest(%s::bytea[], %s::bytea[], %s::bigint[], %s::bytea[])
"""
# An array, whose length the planner takes to be small: joined with the oldest, it would read all claims through.
FORGET_CLAIMS = """
    DELETE FROM claims WHERE number = ANY (ARRAY(SELECT number FROM claims ORDER BY number LIMIT %s)) AND at < %s
"""
STORED_EVENTS = "SELECT id::text FROM events WHERE id = ANY (%s::uuid[])"
DROP_WALLETS = "DELETE FROM wallets"
DROP_HOLDS = "DELETE FROM holds"
DROP_REFUNDS = "DELETE FROM refunds"
DROP_ROOTS = "DELETE FROM roots"
INSERT_ROOT = "INSERT INTO roots (height, number, root) VALUES (%s, %s, %s)"

# An import: its mark.
READ_IMPORT = "SELECT size, root, owners FROM import"
BEGIN_IMPORT = "INSERT INTO import (single, size, root, owners) VALUES (1, %s, %s, %s)"
END_IMPORT = "DELETE FROM import"

# The reader: what the API shows.
WALLET_BY_ID = """
    SELECT id::text, number, kind, owner::text, currency, balance, version, created_at, modified_at, position, held
    FROM wallets
    WHERE id = %s
"""
EVENT_BY_ID = "SELECT position, payload FROM events WHERE id = %s"
EVENTS_BY_ID = "SELECT position, payload FROM events WHERE id = ANY (%s::uuid[])"
EVENTS_BY_POSITION = "SELECT position, payload FROM events WHERE position = ANY (%s::bigint[]) ORDER BY position"
REFUNDED = "SELECT refunded FROM refunds WHERE number = %s"
OPEN_HOLDS = "SELECT count(*) FROM (SELECT 1 FROM holds WHERE status = 'open' LIMIT %s) AS found"
EXPIRING = """
    SELECT id::text, expires_at
    FROM holds JOIN events ON events.position = holds.number
    WHERE status = 'open'
    ORDER BY expires_at
    LIMIT %s
"""
OWNER_BY_ID = """
    SELECT id::text, number, kind, name, last_name, email, phone, email_key, salt, created_at
    FROM owners
    WHERE id = %s AND kind = %s
"""
SIZE = "SELECT size FROM head WHERE single = 1"

# For proofs: ranges in order.
PAYLOADS = "SELECT payload FROM events WHERE position >= %s AND position < %s ORDER BY position"
ROOTS = "SELECT root FROM roots WHERE height = %s AND number >= %s AND number < %s ORDER BY number"

# An owner's wallets, last changed first: of one owner there are few, so they are sorted, not indexed.
WALLETS_OF_OWNER = """
    SELECT id::text, number, kind, owner::text, currency, balance, version, created_at, modified_at, position, held
    FROM wallets
    WHERE owner = %s AND kind = %s
    ORDER BY position DESC, number DESC
    LIMIT %s
"""

# A wallet's transactions, newest first: the newest of two index scans.
WALLET_TRANSACTIONS = """
    WITH mine AS MATERIALIZED (
        SELECT number FROM wallets WHERE id = %(wallet)s
    ), paid AS (
        SELECT position, payload FROM events
        WHERE payer = (SELECT number FROM mine) AND position < %(before)s
        ORDER BY position DESC
        LIMIT %(limit)s
    ), received AS (
        SELECT position, payload FROM events
        WHERE payee = (SELECT number FROM mine) AND position < %(before)s
        ORDER BY position DESC
        LIMIT %(limit)s
    )
    SELECT position, payload FROM paid
    UNION ALL
    SELECT position, payload FROM received
    ORDER BY position DESC
    LIMIT %(limit)s
"""

# A part of a wallet's history, from its newest end and from its oldest.
NEWEST_MOVEMENTS = """
    (
        SELECT position, payload FROM events
        WHERE payer = %(wallet)s AND position >= %(first)s AND position < %(end)s
        ORDER BY position DESC
        LIMIT %(limit)s
    )
    UNION ALL
    (
        SELECT position, payload FROM events
        WHERE payee = %(wallet)s AND position >= %(first)s AND position < %(end)s
        ORDER BY position DESC
        LIMIT %(limit)s
    )
    ORDER BY position DESC
    LIMIT %(limit)s
"""
OLDEST_MOVEMENTS = """
    (
        SELECT position, payload FROM events
        WHERE payer = %(wallet)s AND position >= %(first)s AND position < %(end)s
        ORDER BY position
        LIMIT %(limit)s
    )
    UNION ALL
    (
        SELECT position, payload FROM events
        WHERE payee = %(wallet)s AND position >= %(first)s AND position < %(end)s
        ORDER BY position
        LIMIT %(limit)s
    )
    ORDER BY position
    LIMIT %(limit)s
"""

# An owner's history over all wallets, newest first, the openings among it: the newest positions of each wallet by
# index scan, then the newest of those, then their events. One statement, however many wallets.
OWNER_TRANSACTIONS = """
    WITH items AS MATERIALIZED (
        SELECT item.wallet, item.position
        FROM wallets CROSS JOIN LATERAL (
            (
                SELECT wallets.number AS wallet, position FROM events
                WHERE payer = wallets.number AND position < %(before)s
                ORDER BY position DESC
                LIMIT %(limit)s
            )
            UNION ALL
            (
                SELECT wallets.number, position FROM events
                WHERE payee = wallets.number AND position < %(before)s
                ORDER BY position DESC
                LIMIT %(limit)s
            )
            UNION ALL
            SELECT wallets.number, wallets.number WHERE wallets.number < %(before)s
        ) AS item
        WHERE wallets.owner = %(owner)s AND wallets.kind = %(kind)s
        ORDER BY item.position DESC
        LIMIT %(limit)s
    )
    SELECT items.wallet, items.position, events.payload
    FROM items JOIN events ON events.position = items.position
    ORDER BY items.position DESC
"""

# The audit: everything, in order.
READ_HEAD = "SELECT size, frontier, root, link FROM head WHERE single = 1"
ALL_EVENTS = "SELECT position, id::text, payer, payee, payload, link FROM events ORDER BY position"
ALL_PAYLOADS = "SELECT payload FROM events ORDER BY position"
ALL_ROOTS = "SELECT height, number, root FROM roots ORDER BY height, number"
ALL_OWNERS = """
    SELECT id::text, number, kind, name, last_name, email, phone, email_key, salt, created_at
    FROM owners
    ORDER BY number
"""
ALL_WALLETS = """
    SELECT id::text, number, kind, owner::text, currency, balance, version, created_at, modified_at, position, held
    FROM wallets
    ORDER BY number
"""
ALL_HOLDS = """
    SELECT number, payload, expires_at, captured, status, holds.position
    FROM holds LEFT JOIN events ON events.position = number
    ORDER BY holds.number
"""
ALL_REFUNDS = "SELECT number, refunded FROM refunds ORDER BY number"

# The schema as the catalog has it: columns, constraints, indexes, triggers and rules of our tables.
SCHEMA = """
    WITH tables AS (
        SELECT oid, relname FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
            AND relname IN (
                'claims', 'events', 'head', 'holds', 'import', 'migrations', 'owners', 'refunds', 'roots', 'wallets'
            )
    )
    SELECT format('column %s.%s %s%s', relname, attname, format_type(atttypid, atttypmod),
            CASE WHEN attnotnull THEN ' not null' ELSE '' END)
    FROM tables JOIN pg_attribute ON attrelid = oid AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT format('constraint %s %s %s', relname, conname, pg_get_constraintdef(pg_constraint.oid))
    FROM tables JOIN pg_constraint ON conrelid = tables.oid AND contype <> 'n'
    UNION ALL
    SELECT format('index %s %s', indexrelid::regclass,
            regexp_replace(pg_get_indexdef(indexrelid), ' ON [^ ]+\\.', ' ON '))
            || CASE WHEN indisvalid THEN '' ELSE ' invalid' END
    FROM tables JOIN pg_index ON indrelid = oid
    UNION ALL
    SELECT format('trigger %s %s', relname, tgname)
    FROM tables JOIN pg_trigger ON tgrelid = tables.oid AND NOT tgisinternal
    UNION ALL
    SELECT format('rule %s %s', relname, rulename)
    FROM tables JOIN pg_rewrite ON ev_class = tables.oid
"""

# Migrations.
LOCK_MIGRATIONS = "SELECT pg_advisory_xact_lock(hashtext('monedero migrations'))"
CREATE_MIGRATIONS = """
    CREATE TABLE IF NOT EXISTS migrations (
        number     integer     PRIMARY KEY,
        name       text        NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""
FIND_MIGRATIONS = "SELECT to_regclass('migrations')"
APPLIED_MIGRATIONS = "SELECT number FROM migrations ORDER BY number"
READINESS = """
    SELECT array(SELECT number FROM migrations ORDER BY number),
           pg_is_in_recovery(),
           pg_try_advisory_xact_lock_shared(hashtext('monedero migrations')),
           EXISTS (SELECT FROM import)
"""
NOTE_MIGRATION = "INSERT INTO migrations (number, name) VALUES (%s, %s)"
INSERT_HEAD = "INSERT INTO head (single, size, frontier, root, link) VALUES (1, %s, %s, %s, %s)"

# The server.
IDENTITY = "SELECT system_identifier, current_database(), current_schema() FROM pg_control_system()"
