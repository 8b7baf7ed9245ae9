-- The print server and its spool: does it answer, and is there room.
-- diagnoses: P10 P11
SELECT /*device*/answers, problem, version, error_policy, spool, spool_bytes, spool_free_bytes
FROM print_server
WHERE NOT answers OR problem <> '' OR spool_free_bytes < 1073741824
