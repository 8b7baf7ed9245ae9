-- What changed in printing and network after the last change of packages.
-- diagnoses: P02 P07 L09
SELECT /*c.device*/c.at, c.table_name, c.row_key, c.column_name, c.old, c.new
FROM changes c
WHERE c.at > (SELECT max(s.at_ms) FROM software_changes s WHERE 1 /*same s c*/)
  AND c.family IN ('printing', 'network')
ORDER BY c.at
