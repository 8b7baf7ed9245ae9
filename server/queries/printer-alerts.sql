-- What printers complain about on their own display: jams, open doors, missing toner.
-- diagnoses: P03 P04
SELECT /*a.device*/a.host, a.queues, a.severity, a.code, a.description, d.display
FROM print_alerts a LEFT JOIN print_devices d ON d.host = a.host /*same d a*/
ORDER BY a.severity
