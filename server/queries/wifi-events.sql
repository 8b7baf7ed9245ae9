-- What the Wi-Fi went through: roams, losses, refusals and wrong keys.
-- diagnoses: N09 N10 N11
SELECT /*device*/interface, kind, code, reason, ssid, count, worst_hour, last_ms, example
FROM wifi_events
WHERE kind NOT IN ('connected', 'left')
ORDER BY last_ms DESC
