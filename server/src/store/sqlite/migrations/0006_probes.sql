-- Probes of a collection: name and arguments separated by blanks, one a line.
ALTER TABLE collection ADD COLUMN probes TEXT NOT NULL DEFAULT '';
