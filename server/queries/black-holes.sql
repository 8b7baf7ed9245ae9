-- Ways on which large packets vanish without a word.
-- diagnoses: N14
-- param since: -7 days
SELECT /*device*/_at, target, size, link_mtu, path_mtu, black_hole, found
FROM mtu(:since)
WHERE step = 'verdict' AND (black_hole OR path_mtu < link_mtu)
ORDER BY _at DESC
