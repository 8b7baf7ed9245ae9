-- Jobs that ended without paper: aborted, or a filter or backend crashed.
-- diagnoses: P07 P10
SELECT /*device*/id, printer, state, state_reasons, message, document_format, completed_ms
FROM print_jobs
WHERE state = 'aborted' OR state_reasons LIKE '%crashed%' OR state_reasons LIKE '%document-format-error%'
ORDER BY completed_ms DESC
