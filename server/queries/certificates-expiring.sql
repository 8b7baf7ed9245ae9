-- Certificates of this machine that end soon, or have ended.
-- diagnoses: L13
-- param days: 14
SELECT /*device*/file, purpose, subject, issuer, not_after_ms, (not_after_ms - ms('now')) / 86400000 AS days_left
FROM certificates
WHERE not_after_ms < ms('now') + :days * 86400000
ORDER BY not_after_ms
