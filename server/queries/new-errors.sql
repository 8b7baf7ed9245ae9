-- Kinds of errors that were not written down before the last update, or before this start.
-- diagnoses: L05 L06 L09
SELECT /*device*/program, unit, priority, count, first_ms, last_ms, template, example
FROM error_signatures
WHERE new_since_update OR new_since_boot
ORDER BY count DESC
