-- What changed on the machine, newest first.
-- param since: -1 day
SELECT /*device*/at, family, table_name, row_key, column_name, old, new
FROM changes(:since)
ORDER BY at DESC
