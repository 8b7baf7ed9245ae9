-- Programs that were killed for want of memory.
-- diagnoses: L03
SELECT /*device*/program, unit, count, last_ms, message
FROM crashes
WHERE kind = 'oom'
ORDER BY last_ms DESC
