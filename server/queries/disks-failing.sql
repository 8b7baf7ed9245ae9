-- Disks that predict their failure, or have bad sectors.
-- diagnoses: H01 H02 H03
SELECT /*device*/disk, model, passed, critical_warnings, reallocated_sectors, pending_sectors,
  offline_uncorrectable_sectors, reported_uncorrectable_errors, media_errors
FROM disk_health
WHERE passed = 0 OR critical_warning & 13 OR reallocated_sectors > 0 OR pending_sectors > 0
  OR offline_uncorrectable_sectors > 0 OR reported_uncorrectable_errors > 0
  OR available_spare_percent < available_spare_threshold_percent
