-- Items that a technician attached: no device sent them, and no collection asked for them.
ALTER TABLE evidence ALTER COLUMN device DROP NOT NULL;
ALTER TABLE evidence ALTER COLUMN collection DROP NOT NULL;

CREATE UNIQUE INDEX evidence_attached ON evidence (ticket, sha256) WHERE collection IS NULL;
