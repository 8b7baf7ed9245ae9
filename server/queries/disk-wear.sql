-- How worn solid-state disks are.
-- diagnoses: H04
-- param percent: 90
SELECT /*device*/disk, model, percentage_used, available_spare_percent, media_errors, written_bytes
FROM disk_health
WHERE percentage_used >= :percent OR media_errors > 0
ORDER BY percentage_used DESC
