-- Legal holds, deletions that have begun, and copies of evidence.
CREATE TABLE hold (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    ticket INTEGER NOT NULL,
    evidence TEXT,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    released_ms INTEGER NOT NULL DEFAULT 0,
    released TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TRIGGER hold_stays BEFORE DELETE ON hold
BEGIN SELECT raise(ABORT, 'a hold is released, and stays known'); END;

CREATE TABLE deletion (
    evidence TEXT PRIMARY KEY REFERENCES evidence (id),
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    begun_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE derived (
    evidence TEXT PRIMARY KEY REFERENCES evidence (id),
    source TEXT NOT NULL REFERENCES evidence (id),
    recipe TEXT NOT NULL
) STRICT, WITHOUT ROWID;
