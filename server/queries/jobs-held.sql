-- Jobs that are held, and for what: a password is asked for, or a person holds them.
-- diagnoses: P06
SELECT /*device*/id, printer, state_reasons, hold_until, user, created_ms
FROM print_jobs
WHERE state = 'pending-held'
ORDER BY created_ms
