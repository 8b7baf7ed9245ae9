-- Programs that crashed, the most frequent first.
-- diagnoses: L06 L07
SELECT /*device*/kind, program, signal, module, frame, count, first_ms, last_ms, package
FROM crashes
ORDER BY count DESC, last_ms DESC
