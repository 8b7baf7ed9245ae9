-- The Wi-Fi's signal and repetitions; weak is -75 dBm and below, or more than a fifth repeated.
-- diagnoses: N08
-- param since: -1 hour
SELECT /*device*/interface, bssid, count(*) AS looks, min(signal_dbm) AS worst_dbm, avg(signal_dbm) AS mean_dbm,
  max(retry_percent) AS worst_retry_percent, min(tx_mcs) AS lowest_mcs
FROM wifi_link(:since)
GROUP BY /*device*/interface, bssid
HAVING min(signal_dbm) <= -75 OR max(retry_percent) > 20
