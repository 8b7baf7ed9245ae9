-- The supplies of all printers that the fleet knows, the emptiest first, each printer once.
-- diagnoses: P05
-- scope: fleet
SELECT host, name, color, part_number, min(percent_left) AS percent_left, count(DISTINCT device) AS devices
FROM print_supplies
WHERE NOT receptacle AND percent_left IS NOT NULL
GROUP BY host, name, color, part_number
ORDER BY min(percent_left)
