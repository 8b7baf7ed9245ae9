-- The custody log, in which the audit log goes on: each entry carries the hash of the one before, and of the one before of its ticket.
CREATE TABLE custody_log (
    number INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    role TEXT NOT NULL,
    peer TEXT NOT NULL,
    what TEXT NOT NULL,
    device TEXT NOT NULL,
    ticket INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    words TEXT NOT NULL,
    before TEXT NOT NULL,
    ticket_before TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE INDEX custody_log_ticket ON custody_log (ticket, number) WHERE ticket <> 0;

CREATE TRIGGER custody_log_is_immutable BEFORE UPDATE ON custody_log
BEGIN SELECT raise(ABORT, 'the custody log is append-only'); END;

CREATE TRIGGER custody_log_stays BEFORE DELETE ON custody_log
BEGIN SELECT raise(ABORT, 'the custody log is append-only'); END;
