-- The packages that take most room.
-- diagnoses: L01
SELECT /*device*/name, version, size_bytes
FROM packages
ORDER BY size_bytes DESC
LIMIT 30
