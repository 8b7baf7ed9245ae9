-- Programs that hold most memory.
-- diagnoses: L03 L04
SELECT /*device*/name, count(*) AS processes, sum(resident_bytes) AS resident_bytes, max(cpu_percent) AS cpu_percent
FROM processes
GROUP BY /*device*/name
ORDER BY sum(resident_bytes) DESC
LIMIT 20
