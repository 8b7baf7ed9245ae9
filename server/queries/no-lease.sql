-- Interfaces that got no address, or gave themselves one.
-- diagnoses: N01
SELECT /*i.device*/i.name, i.state, i.carrier, a.address, a.source, d.state AS dhcp, d.server
FROM interfaces i LEFT JOIN addresses a ON a.interface = i.name AND a.family = 'inet' /*same a i*/
  LEFT JOIN dhcp d ON d.interface = i.name AND d.family = 'inet' /*same d i*/
WHERE i.admin_up AND i.carrier AND i.kind <> 'loopback'
  AND (a.link_local OR a.address IS NULL OR d.state IN ('expired', 'asking', 'failed'))
