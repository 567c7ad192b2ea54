-- Personal data may be absent: erased, or never brought along by an import. The log still knows the owner.
CREATE TABLE owners_anew (
    number     INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE,
    kind       TEXT NOT NULL CHECK (kind IN ('customer', 'business')),
    name       TEXT,
    last_name  TEXT,
    email      TEXT,
    email_key  TEXT,
    phone      TEXT,
    salt       BLOB,
    created_at INTEGER NOT NULL,
    UNIQUE (kind, email_key)
) STRICT;
INSERT INTO owners_anew SELECT * FROM owners;
DROP TABLE owners;
ALTER TABLE owners_anew RENAME TO owners;
