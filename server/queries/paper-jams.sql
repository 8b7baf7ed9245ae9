-- How often each queue reported a jam; more than three a week is a matter for an engineer.
-- diagnoses: P04
-- param since: -7 days
SELECT /*device*/name, count(*) AS jams, min(valid_from) AS first_at, max(valid_from) AS last_at
FROM printers_history(:since)
WHERE state_reasons LIKE '%jam%' AND valid_from >= ms(:since)
GROUP BY /*device*/name
ORDER BY jams DESC
