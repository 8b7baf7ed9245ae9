-- The latest of one table over all devices.
CREATE INDEX latest_table ON latest (table_no, device);
