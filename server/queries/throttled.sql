-- Whether heat or a power cap slows the processor.
-- diagnoses: H14
SELECT /*device*/recent_throttles, recent_throttled_ms, core_throttles, package_throttles, limit_max_hz,
  hardware_max_hz, governor, platform_profile
FROM cpu_throttling
WHERE recent_throttles > 0 OR core_throttles > 0 OR package_throttles > 0 OR limit_max_hz < hardware_max_hz
