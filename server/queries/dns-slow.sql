-- Answers of name servers that were late or did not come, as the probe saw them.
-- diagnoses: N04 N05
-- param slow_ms: 100
-- param since: -1 day
SELECT /*device*/_at, target, transport, name, took_ms, slowest_ms, asked, answered, outcome, found
FROM dns(:since)
WHERE step = 'server' AND (slowest_ms > :slow_ms OR took_ms > :slow_ms OR answered < asked)
ORDER BY slowest_ms DESC
