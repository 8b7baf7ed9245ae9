-- Graphics processors that hung.
-- diagnoses: H16
SELECT /*device*/address, vendor, model, driver, driver_version, hangs, last_hang_ms, last_hang
FROM gpus
WHERE hangs > 0
