-- Tickets, their story, the collections for them, and the audit log.
CREATE TABLE ticket (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    status TEXT NOT NULL,
    level INTEGER NOT NULL,
    assignee TEXT NOT NULL DEFAULT '',
    opened_by TEXT NOT NULL,
    opened_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX ticket_open ON ticket (number) WHERE status <> 'closed';

CREATE TABLE ticket_device (
    no INTEGER PRIMARY KEY,
    ticket INTEGER NOT NULL REFERENCES ticket (number),
    device TEXT NOT NULL,
    UNIQUE (ticket, device)
) STRICT;

CREATE INDEX ticket_device_device ON ticket_device (device);

CREATE TABLE ticket_event (
    no INTEGER PRIMARY KEY,
    ticket INTEGER NOT NULL REFERENCES ticket (number),
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    words TEXT NOT NULL
) STRICT;

CREATE INDEX ticket_event_ticket ON ticket_event (ticket);

CREATE TABLE collection (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    ticket INTEGER NOT NULL REFERENCES ticket (number),
    device TEXT NOT NULL,
    state TEXT NOT NULL,
    note TEXT NOT NULL,
    recipe TEXT NOT NULL,
    -- Names, separated by spaces; empty for all.
    tables TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL,
    asked_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    asked_by TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    -- An encoded message UploadBegin of which only the parts are set.
    parts BLOB NOT NULL,
    evidence TEXT
) STRICT;

CREATE INDEX collection_ticket ON collection (ticket);
CREATE INDEX collection_open ON collection (no) WHERE state IN ('waiting', 'running');

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    device TEXT NOT NULL,
    ticket INTEGER NOT NULL,
    words TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TRIGGER ticket_event_is_immutable BEFORE UPDATE ON ticket_event
BEGIN SELECT raise(ABORT, 'the story of a ticket is append-only'); END;

CREATE TRIGGER ticket_event_stays BEFORE DELETE ON ticket_event
BEGIN SELECT raise(ABORT, 'the story of a ticket is append-only'); END;

CREATE TRIGGER audit_is_immutable BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
