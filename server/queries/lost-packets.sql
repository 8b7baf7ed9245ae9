-- Where pings were lost or slow.
-- diagnoses: N07
-- param since: -1 day
SELECT /*device*/_at, target, gateway, loss_percent, median_ms, p95_ms, jitter_ms, icmp_error, found
FROM ping(:since)
WHERE step = 'ping' AND (loss_percent >= 2 OR (gateway AND p95_ms > 20))
ORDER BY loss_percent DESC
