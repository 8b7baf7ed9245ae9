-- Leases from a server that is new here, or where two servers answer.
-- diagnoses: N02
SELECT /*device*/interface, state, address, server, other_servers, server_before, server_changed_ms, router_outside
FROM dhcp
WHERE other_servers <> '[]' OR (server_before <> '' AND server_before <> server) OR router_outside
