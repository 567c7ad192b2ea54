-- Roots of perfect subtrees of the Merkle tree, for proofs: of height 8, over 256 events, of height 16, and so on.
-- A pure function of the log; the one numbered n is over the positions from n * 2^height on.
CREATE TABLE roots (
    height integer NOT NULL,
    number bigint  NOT NULL,
    root   bytea   NOT NULL,
    PRIMARY KEY (height, number)
);
