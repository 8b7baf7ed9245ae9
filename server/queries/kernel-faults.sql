-- What the kernel said about its own faults.
-- diagnoses: L08
-- param since: -7 days
SELECT /*device*/at_ms, message
FROM log_events(:since)
WHERE program = 'kernel' AND (message LIKE '%Oops:%' OR message LIKE 'BUG:%' OR message LIKE '%soft lockup%'
  OR message LIKE '%blocked for more than%' OR message LIKE '%Kernel panic%')
ORDER BY at_ms DESC
