-- Addresses that another machine uses too.
-- diagnoses: N03
SELECT /*device*/interface, address, flags, source
FROM addresses
WHERE flags LIKE '%duplicate%'
