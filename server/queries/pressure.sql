-- How long programs waited for memory, disks and processor, hour by hour.
-- diagnoses: L04
-- param since: -1 day
SELECT /*device*/_at / 3600000 * 3600000 AS hour_at_ms, max(memory_full_60) AS memory_full_percent,
  max(io_full_60) AS io_full_percent, max(cpu_some_60) AS cpu_some_percent, max(load_1) AS load_1
FROM load(:since)
GROUP BY /*device*/hour_at_ms
ORDER BY hour_at_ms DESC
