-- What CUPS wrote down about failed jobs, the latest first.
-- diagnoses: P01 P07 P10
SELECT /*device*/queue, program, level, count, last_ms, example
FROM print_errors
ORDER BY last_ms DESC
