-- Queues whose device URI changed after the last upgrade of packages.
-- diagnoses: P02
SELECT /*c.device*/c.row_key AS queue, c.at, c.old AS was, c.new AS is_now
FROM changes c
WHERE c.table_name = 'printers' AND c.column_name = 'device_uri'
  AND c.at > (SELECT max(s.at_ms) FROM software_changes s WHERE s.action IN ('upgrade', 'install') /*same s c*/)
ORDER BY c.at DESC
