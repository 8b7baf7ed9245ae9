-- How many devices run which system and kernel.
-- scope: fleet
SELECT pretty_name, kernel, count(*) AS devices, min(device) AS example
FROM os
GROUP BY pretty_name, kernel
ORDER BY devices DESC
