-- Who may come in: machines by enrolment token, technicians by personal token.
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    secret_sha256 BLOB NOT NULL UNIQUE,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE technician (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    secret_sha256 BLOB NOT NULL UNIQUE,
    added_ms INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
