-- Whether the clock is right: not followed, or wrong by more than a second.
-- diagnoses: L11 L12
SELECT /*device*/service, synchronized, offset_ms, source, stratum, sources_reachable, rtc_ahead_s, last_sync_ms
FROM time_sync
WHERE NOT synchronized OR abs(offset_ms) > 1000 OR abs(rtc_ahead_s) > 60
