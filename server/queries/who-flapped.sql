-- Links that went down and came back.
-- diagnoses: N13
-- param since: -1 day
SELECT /*device*/interface, sum(link_downs) AS times_down, max(down_ms) AS longest_ms, max(at_ms) AS last_at_ms
FROM network_changes(:since)
GROUP BY /*device*/interface
HAVING sum(link_downs) > 0
ORDER BY times_down DESC
