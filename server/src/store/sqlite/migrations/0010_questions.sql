-- Questions in SQL that wait for their device.
CREATE TABLE question (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    ticket INTEGER NOT NULL REFERENCES ticket (number),
    device TEXT NOT NULL,
    -- An encoded message Query.
    query BLOB NOT NULL,
    -- waiting, answered, failed, expired, cancelled.
    state TEXT NOT NULL,
    note TEXT NOT NULL,
    asked_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    evidence TEXT
) STRICT;

CREATE INDEX question_ticket ON question (ticket);
CREATE INDEX question_waiting ON question (device) WHERE state = 'waiting';
