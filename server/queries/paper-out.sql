-- Trays without paper.
-- diagnoses: P03
SELECT /*device*/host, queues, name, media, level, capacity, status
FROM print_trays
WHERE "empty"
