-- Package managers that could not finish, and packages that are half installed.
-- diagnoses: L10
SELECT /*device*/manager, last_failure, last_failure_ms, last_success_ms, pending, pending_security, interrupted, '' AS package
FROM updates
WHERE interrupted OR last_failure_ms > coalesce(last_success_ms, 0)
UNION ALL
SELECT /*device*/manager, status, installed_ms, NULL, NULL, NULL, NULL, name
FROM packages
WHERE status NOT IN ('', 'config-files')
