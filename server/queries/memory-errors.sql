-- Memory modules with errors that were corrected, or not.
-- diagnoses: H10 H12
SELECT /*device*/controller, module, label, location, corrected, uncorrected, looks_with_more
FROM memory_errors
WHERE uncorrected > 0 OR corrected > 0
ORDER BY uncorrected DESC, corrected DESC
