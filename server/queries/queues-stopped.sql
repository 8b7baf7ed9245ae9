-- Queues that stand still or take no jobs, who stopped them, and how many jobs wait.
-- diagnoses: P01
SELECT /*device*/name, state, paused_by, state_reasons, state_message, waiting_jobs, state_changed_ms, device_uri
FROM printers
WHERE state = 'stopped' OR NOT accepting_jobs
ORDER BY waiting_jobs DESC
