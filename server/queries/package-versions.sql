-- Which versions of a package the fleet has.
-- diagnoses: P09 L10
-- scope: fleet
-- param package: cups
SELECT name, version, count(*) AS devices, min(device) AS example
FROM packages
WHERE name = :package
GROUP BY name, version
ORDER BY devices DESC
