-- Toner, ink and waste boxes that run out.
-- diagnoses: P05
-- param percent: 10
SELECT /*device*/host, queues, name, kind, color, part_number, percent_left, percent_full, level_said
FROM print_supplies
WHERE low OR percent_left <= :percent OR percent_full >= 100 - :percent
ORDER BY percent_left
