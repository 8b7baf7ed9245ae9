-- Items of evidence and their custody. Neither is ever changed or taken away; the database itself refuses.
CREATE TABLE evidence (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    ticket INTEGER NOT NULL,
    device TEXT NOT NULL,
    collection TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    stored_ms INTEGER NOT NULL,
    location TEXT NOT NULL
) STRICT;

CREATE INDEX evidence_ticket ON evidence (ticket);

CREATE TABLE custody (
    no INTEGER PRIMARY KEY,
    evidence TEXT NOT NULL REFERENCES evidence (id),
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    words TEXT NOT NULL
) STRICT;

CREATE INDEX custody_evidence ON custody (evidence);

CREATE TRIGGER evidence_is_immutable BEFORE UPDATE ON evidence
BEGIN SELECT raise(ABORT, 'evidence is immutable'); END;

CREATE TRIGGER evidence_stays BEFORE DELETE ON evidence
BEGIN SELECT raise(ABORT, 'evidence is not taken away'); END;

CREATE TRIGGER custody_is_immutable BEFORE UPDATE ON custody
BEGIN SELECT raise(ABORT, 'custody is append-only'); END;

CREATE TRIGGER custody_stays BEFORE DELETE ON custody
BEGIN SELECT raise(ABORT, 'custody is append-only'); END;
