-- Packages that were installed, upgraded or removed, the latest first.
-- diagnoses: L09 L10
-- param since: -7 days
SELECT /*device*/at_ms, action, package, from_version, to_version, command, error
FROM software_changes
WHERE at_ms >= ms(:since)
ORDER BY at_ms DESC
