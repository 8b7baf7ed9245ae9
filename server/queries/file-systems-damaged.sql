-- File systems that turned read-only, or in which errors were found.
-- diagnoses: H07 H08
SELECT /*device*/mount_point, source, type, read_only, remounted_read_only, errors, last_error_ms
FROM mounts
WHERE remounted_read_only OR errors > 0
