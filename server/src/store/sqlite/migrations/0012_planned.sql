-- When a collection is planned for, server's clock (0: it was asked for at once), and what for.
ALTER TABLE collection ADD COLUMN planned_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collection ADD COLUMN why TEXT NOT NULL DEFAULT '';
