-- Jobs that wait or print for longer than they should, and what their queue says.
-- diagnoses: P01 P02
-- param older: -5 minutes
SELECT /*j.device*/j.id, j.printer, j.state, j.state_reasons, j.message, j.user,
  (ms('now') - j.created_ms) / 1000 AS waiting_s, p.state AS queue_state, p.state_message AS queue_message
FROM print_jobs j LEFT JOIN printers p ON p.name = j.printer /*same p j*/
WHERE j.state IN ('pending', 'processing', 'processing-stopped') AND j.created_ms < ms(:older)
ORDER BY j.created_ms
