-- Devices on the PCI bus with errors.
-- diagnoses: H11
SELECT /*device*/address, name, driver, correctable_an_hour, correctable, nonfatal, fatal, kinds, last_ms
FROM pcie_errors
WHERE fatal > 0 OR nonfatal > 0 OR correctable_an_hour > 100 OR logged > 0
