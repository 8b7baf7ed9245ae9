-- Access points of the same network that would serve better than the one in use.
-- diagnoses: N08 N09
SELECT /*device*/interface, ssid, bssid, signal_dbm, better_bssid, better_by_db, roaming
FROM wifi
WHERE better_bssid <> ''
