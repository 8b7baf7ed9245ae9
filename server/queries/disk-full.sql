-- File systems with little room.
-- diagnoses: L01
-- param percent: 90
SELECT /*device*/mount_point, source, type, used_percent, available_bytes, total_bytes
FROM filesystems
WHERE used_percent >= :percent OR available_bytes < 1073741824
ORDER BY used_percent DESC
