-- Printers whose queue leads to another address than the one that the printer announces.
-- diagnoses: P02
SELECT /*device*/host, queues, addresses, announced_name, announced_addresses, summary
FROM print_devices
WHERE address_changed
