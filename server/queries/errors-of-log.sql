-- Errors in the log, the latest first.
-- diagnoses: L05 L06 L08
-- param since: -1 hour
SELECT /*device*/at_ms, coalesce(nullif(program, ''), unit) AS program, priority, message
FROM log_events(:since)
WHERE priority <= 3
ORDER BY at_ms DESC
LIMIT 200
