-- Which proxies are set, where, and who heeds them; several that differ explain why only some programs work.
-- diagnoses: N16
SELECT /*device*/consumer, scheme, value, host, port, credentials, source
FROM proxies
ORDER BY consumer, scheme
