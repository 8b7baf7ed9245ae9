-- Tickets of other help desks, what is still to be said there, and the hooks that came.
CREATE TABLE foreign_ticket (
    desk TEXT NOT NULL,
    id TEXT NOT NULL,
    ticket INTEGER NOT NULL REFERENCES ticket (number),
    number TEXT NOT NULL,
    url TEXT NOT NULL,
    escalated INTEGER NOT NULL,
    requester TEXT NOT NULL,
    asked INTEGER NOT NULL,
    linked_ms INTEGER NOT NULL,
    PRIMARY KEY (desk, id)
) STRICT;

CREATE INDEX foreign_ticket_ticket ON foreign_ticket (ticket);
CREATE INDEX foreign_ticket_requester ON foreign_ticket (desk, requester) WHERE requester <> '';

CREATE TABLE outbox (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    desk TEXT NOT NULL,
    foreign_id TEXT NOT NULL,
    ticket INTEGER NOT NULL REFERENCES ticket (number),
    kind TEXT NOT NULL,
    about TEXT NOT NULL,
    body TEXT NOT NULL,
    evidence TEXT,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    why TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    UNIQUE (desk, foreign_id, about)
) STRICT;

CREATE INDEX outbox_waiting ON outbox (no) WHERE state = 'waiting';

CREATE TABLE hook_delivery (
    desk TEXT NOT NULL,
    delivery TEXT NOT NULL,
    foreign_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    done INTEGER NOT NULL,
    PRIMARY KEY (desk, delivery)
) STRICT;

CREATE INDEX hook_delivery_open ON hook_delivery (at_ms) WHERE done = 0;
