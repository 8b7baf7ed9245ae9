-- Enrolled machines, and the record that each of their sessions reads from.
CREATE TABLE device (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    machine TEXT NOT NULL,
    os TEXT NOT NULL DEFAULT '',
    agent_version TEXT NOT NULL,
    boot_id TEXT NOT NULL DEFAULT '',
    enrolled_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL DEFAULT 0,
    clock_offset_ms INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    -- JSON: table name to the hash of the description that the device has.
    schemas TEXT NOT NULL DEFAULT '{}',
    revoked_ms INTEGER,
    -- Ascends with each revocation, so that a server can ask what is new.
    revoked_no INTEGER UNIQUE
) STRICT;

CREATE INDEX device_name ON device (name COLLATE NOCASE);
CREATE INDEX device_machine ON device (machine);

-- The highest number that is kept of each record. Epochs are unsigned numbers of 64 bits, here with their sign.
CREATE TABLE stream (
    device INTEGER NOT NULL REFERENCES device (no),
    epoch INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    PRIMARY KEY (device, epoch)
) STRICT, WITHOUT ROWID;
