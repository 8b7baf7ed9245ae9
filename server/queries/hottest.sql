-- The highest temperature of each sensor.
-- diagnoses: H14
-- param since: -1 day
SELECT /*device*/chip, label, part, max(temperature_celsius) AS highest_celsius, critical_celsius, count(*) AS looks
FROM temperatures(:since)
WHERE temperature_celsius IS NOT NULL
GROUP BY /*device*/chip, sensor
ORDER BY highest_celsius DESC
