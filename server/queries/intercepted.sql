-- TLS that somebody opens on its way: certificates from a root that only this machine trusts.
-- diagnoses: N17
-- param since: -7 days
SELECT /*device*/_at, target, subject, issuer, local_root, problem, found
FROM tls(:since)
WHERE local_root OR problem IN ('untrusted', 'unknown-issuer', 'self-signed')
ORDER BY _at DESC
