-- The kinds of errors that are written most.
-- diagnoses: L05 L06
SELECT /*device*/program, unit, priority, hourly_peak, count, last_ms, example
FROM error_signatures
WHERE priority <= 3
ORDER BY count DESC
LIMIT 30
