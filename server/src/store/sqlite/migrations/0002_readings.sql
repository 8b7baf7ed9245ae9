-- Readings as they came: blocks of them, compressed, and where each lies.
CREATE TABLE table_name (
    no INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- One batch: an encoded message Batch, zstd.
CREATE TABLE block (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    device INTEGER NOT NULL REFERENCES device (no),
    stored_ms INTEGER NOT NULL,
    size INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;

CREATE INDEX block_size ON block (size);

CREATE TABLE reading (
    device INTEGER NOT NULL,
    table_no INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    block INTEGER NOT NULL,
    nth INTEGER NOT NULL,
    PRIMARY KEY (device, table_no, at_ms, block, nth)
) STRICT, WITHOUT ROWID;

CREATE INDEX reading_block ON reading (block);

-- The latest of each table, ready: an encoded Reading.
CREATE TABLE latest (
    device INTEGER NOT NULL REFERENCES device (no),
    table_no INTEGER NOT NULL REFERENCES table_name (no),
    checked_ms INTEGER NOT NULL,
    reading BLOB NOT NULL,
    UNIQUE (device, table_no)
) STRICT;

-- Descriptions that agents brought: an encoded TableSchema each.
CREATE TABLE table_schema (
    no INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    hash INTEGER NOT NULL,
    added_ms INTEGER NOT NULL,
    description BLOB NOT NULL,
    UNIQUE (name, hash)
) STRICT;
