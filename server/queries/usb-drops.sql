-- USB ports whose devices come and go, or draw too much.
-- diagnoses: H17
SELECT /*device*/port, vendor, name, disconnects_last_day, disconnects_worst_hour, errors_last_day,
  over_currents_last_day, last_trouble_ms, message
FROM usb_devices
WHERE disconnects_worst_hour >= 3 OR errors_last_day > 0 OR over_currents_last_day > 0
ORDER BY disconnects_worst_hour DESC
