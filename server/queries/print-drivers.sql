-- Which drivers the queues use; over the fleet, how many devices use each version.
-- diagnoses: P07 P09
SELECT kind, nickname, file_version, count(*) AS queues, min(queue) AS example
FROM print_drivers
GROUP BY kind, nickname, file_version
ORDER BY nickname, file_version
