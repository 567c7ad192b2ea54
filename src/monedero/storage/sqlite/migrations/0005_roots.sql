-- Roots of perfect subtrees of the Merkle tree, for proofs: of height 8, over 256 events, of height 16, and so on.
-- A pure function of the log; the one numbered n is over the positions from n * 2^height on.
CREATE TABLE roots (
    height INTEGER NOT NULL,
    number INTEGER NOT NULL,
    root   BLOB NOT NULL,
    PRIMARY KEY (height, number)
) STRICT, WITHOUT ROWID;
