-- Batteries that hold less than they did, the worst first.
-- diagnoses: H15
-- param percent: 80
SELECT /*device*/name, status, health_percent, cycles, full_microwatt_hours, design_microwatt_hours, condition, problem
FROM batteries
WHERE health_percent < :percent OR problem <> '' OR condition <> ''
ORDER BY health_percent
