-- The name servers in their order, and those that can not be reached or are not asked.
-- diagnoses: N04 N06
SELECT /*device*/source, kind, value, position, interface, current, ignored, unreachable
FROM resolvers
WHERE kind IN ('nameserver', 'fallback', 'search', 'routing')
ORDER BY source, interface, kind, position
