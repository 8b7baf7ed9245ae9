-- Errors of processor, memory and bus, as the machine reports them.
-- diagnoses: H09 H10
SELECT /*device*/kind, severity, cpu, bank, count, last_day, first_ms, last_ms, message
FROM machine_checks
ORDER BY last_ms DESC
