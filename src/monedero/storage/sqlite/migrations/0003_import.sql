-- No row, or one: the import that is not finished, as the first line of its export describes it.
CREATE TABLE import (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    size   INTEGER NOT NULL,
    root   BLOB NOT NULL,
    owners INTEGER NOT NULL
) STRICT;
