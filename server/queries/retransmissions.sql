-- How many segments of TCP had to be sent again, hour by hour.
-- diagnoses: N07 N14
-- param since: -1 day
SELECT /*device*/_at / 3600000 * 3600000 AS hour_at_ms, max(retransmitted_percent) AS worst_percent,
  sum(retransmitted) AS retransmitted, sum(timeouts) AS timeouts, sum(mtu_probes_failed) AS mtu_probes_failed
FROM tcp_stats(:since)
GROUP BY /*device*/hour_at_ms
ORDER BY hour_at_ms DESC
