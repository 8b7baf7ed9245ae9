-- Which services fill the disk: bytes that each wrote within the time.
-- diagnoses: L01
-- param since: -1 day
SELECT /*device*/path, max(written_bytes) - min(written_bytes) AS written_bytes
FROM cgroups(:since)
WHERE kind = 'service'
GROUP BY /*device*/path
HAVING max(written_bytes) > min(written_bytes)
ORDER BY written_bytes DESC
