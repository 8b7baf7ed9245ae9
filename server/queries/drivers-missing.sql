-- Devices without the driver or the firmware that they need.
-- diagnoses: H18
SELECT /*device*/address, class, vendor, name, id, driver, firmware_missing, problems
FROM pci_devices
WHERE (needs_driver AND driver = '') OR firmware_missing <> '[]' OR problems <> '[]'
