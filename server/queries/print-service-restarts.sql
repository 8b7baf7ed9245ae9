-- Whether the print service or what announces printers dies again and again.
-- diagnoses: P11
SELECT /*device*/name, active_state, sub_state, result, restarts, exit_meaning, changed_ms
FROM services
WHERE (name LIKE 'cups%' OR name LIKE 'avahi%') AND (restarts > 0 OR active_state = 'failed')
