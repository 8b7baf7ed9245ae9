-- Services that failed, or that are started again and again.
-- diagnoses: L05
SELECT /*device*/name, active_state, sub_state, result, restarts, exit_code, exit_meaning, changed_ms
FROM services
WHERE restarts >= 5 OR active_state = 'failed' OR result = 'start-limit-hit'
ORDER BY restarts DESC
