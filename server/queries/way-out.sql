-- Where the way to the internet breaks, in one sentence.
-- diagnoses: N01 N04 N07 N15
-- param since: -1 day
SELECT /*device*/_at, outcome, broken_at, found
FROM gateway_path(:since)
WHERE step = 'verdict'
ORDER BY _at DESC
