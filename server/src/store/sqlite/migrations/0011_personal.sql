-- A technician's tokens lie beside the technician, each with a time of its own. Those of before are good for 90 days more.
CREATE TABLE credential (
    -- What it is looked up by, lower-case hex.
    id TEXT PRIMARY KEY,
    technician TEXT NOT NULL,
    -- token, session.
    kind TEXT NOT NULL,
    -- In the PHC string format; "sha256:" and hex in those of before.
    hash TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL DEFAULT 0,
    -- What a session is renewed with, sealed by its own token; empty for none.
    renewal BLOB NOT NULL DEFAULT x''
) STRICT, WITHOUT ROWID;

CREATE INDEX credential_technician ON credential (technician);

INSERT INTO credential (id, technician, kind, hash, made_ms, expires_ms)
    SELECT lower(hex(substr(secret_sha256, 1, 8))), name, 'token', 'sha256:' || lower(hex(secret_sha256)), added_ms,
           (unixepoch() + 90 * 86400) * 1000
    FROM technician WHERE revoked = 0;

CREATE TABLE person (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    -- Who it is at the identity provider, as "issuer subject"; empty where it knows nobody of this name.
    subject TEXT NOT NULL DEFAULT '',
    added_ms INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO person (name, role, added_ms, revoked) SELECT name, role, added_ms, revoked FROM technician;
DROP TABLE technician;
ALTER TABLE person RENAME TO technician;
CREATE UNIQUE INDEX technician_subject ON technician (subject) WHERE subject <> '';
