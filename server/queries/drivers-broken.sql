-- Queues whose driver lacks a filter or can not be read.
-- diagnoses: P07 P08
SELECT /*device*/queue, kind, nickname, missing_filters, problem
FROM print_drivers
WHERE problem <> '' OR missing_filters <> '[]'
