-- Gateways that fell silent or came back with another hardware address.
-- diagnoses: N03 N07
-- param since: -1 day
SELECT /*device*/at_ms, interface, change, address, before, after, message
FROM network_changes(:since)
WHERE change IN ('gateway silent', 'gateway mac', 'address duplicate', 'default route removed')
ORDER BY at_ms DESC
