-- No row, or one: the import that is not finished, as the first line of its export describes it.
CREATE TABLE import (
    single integer PRIMARY KEY CHECK (single = 1),
    size   bigint NOT NULL,
    root   bytea  NOT NULL,
    owners bigint NOT NULL
);
