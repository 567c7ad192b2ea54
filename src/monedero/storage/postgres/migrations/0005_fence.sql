-- Who looks up a batch whose COMMIT is in doubt counts the fence up. A batch is written over the fence that it was decided
-- under and no other, so whatever was sent before a look-up and comes after it is refused.
ALTER TABLE head ADD COLUMN fence bigint NOT NULL DEFAULT 0;
