-- Readings by device, table and time: lately come ones one by one, older ones in blocks. The readings of before are moved over by the step
-- that follows this text.
ALTER TABLE block RENAME TO batch;
DROP INDEX block_size;

-- One reading. Form 0: an encoded message Reading; 1: the same, zstd. stored_ms is the server's clock, at_ms the device's.
CREATE TABLE loose (
    device INTEGER NOT NULL,
    table_no INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL,
    form INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (device, table_no, at_ms, epoch, seq)
) STRICT, WITHOUT ROWID;

-- Readings of one table out of one record: an encoded message Batch, zstd. stored_ms is that of the reading that arrived last.
CREATE TABLE block (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    device INTEGER NOT NULL,
    table_no INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    size INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;

CREATE INDEX block_time ON block (device, table_no, last_ms, at_ms);

-- What is held of each table of each device, and what is to be done with it.
CREATE TABLE holding (
    device INTEGER NOT NULL,
    table_no INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    -- Readings let go of, ever.
    dropped INTEGER NOT NULL,
    -- When the oldest loose reading arrived; absent where none is loose.
    loose_ms INTEGER,
    -- When the oldest block that may go by age was stored; absent where there is none.
    oldest_ms INTEGER,
    -- The block that further readings may join.
    open INTEGER,
    PRIMARY KEY (device, table_no)
) STRICT, WITHOUT ROWID;

CREATE INDEX holding_loose ON holding (loose_ms) WHERE loose_ms IS NOT NULL;
CREATE INDEX holding_oldest ON holding (table_no, oldest_ms) WHERE oldest_ms IS NOT NULL;
