-- What the kernel said about disks that did not answer.
-- diagnoses: H05 H06
-- param since: -1 day
SELECT /*device*/at_ms, message
FROM log_events(:since)
WHERE program = 'kernel' AND (message LIKE '%nvme%timeout%' OR message LIKE '%controller is down%'
  OR message LIKE '%SATA link down%' OR message LIKE '%ICRC%' OR message LIKE '%I/O error%')
ORDER BY at_ms DESC
