-- Starts of the machine that did not end well: crashed, or the power went.
-- diagnoses: H09 H13 L07
SELECT /*device*/first_ms, last_ms, kernel, ended, how, reason, last_message
FROM boots
WHERE ended LIKE 'cut_off%' OR ended = 'crashed'
ORDER BY last_ms DESC
