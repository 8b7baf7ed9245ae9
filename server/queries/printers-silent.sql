-- Printers of this machine's queues that do not answer, port by port.
-- diagnoses: P01 P02 P12
SELECT /*device*/host, queues, reachable, queue_port, queue_port_state, port_631, port_9100, port_515, snmp, summary
FROM print_devices
WHERE NOT reachable OR queue_port_state NOT IN ('open', '')
