-- Disks with errors on the way to them and none on the medium: a cable, a dock.
-- diagnoses: H05
SELECT /*device*/disk, model, interface_crc_errors, interface_crc_errors_gained
FROM disk_health
WHERE interface_crc_errors > 0 AND coalesce(reallocated_sectors, 0) = 0 AND coalesce(pending_sectors, 0) = 0
