CREATE TABLE accounts (
    user_id        TEXT PRIMARY KEY,
    username       TEXT NOT NULL UNIQUE,
    email          TEXT,
    email_key      TEXT UNIQUE,
    display_name   TEXT,
    avatar_file_id TEXT,
    time_zone      TEXT,
    last_seen_to   TEXT NOT NULL,
    quiet_from     INTEGER,
    quiet_to       INTEGER,
    permissions    TEXT NOT NULL,
    owner          TEXT,
    created_at     INTEGER NOT NULL,
    password_hash  TEXT
) STRICT;
CREATE INDEX accounts_by_owner ON accounts (owner, user_id) WHERE owner IS NOT NULL;

-- What people are found by: the username, and the display name from each of its words on.
CREATE TABLE names (
    name    TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (name, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX names_by_user ON names (user_id);

CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;
CREATE INDEX sessions_living ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended ON sessions (ended_at, session_id) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- A spent token stays until it would have expired, so that its theft is seen.
CREATE TABLE refresh_tokens (
    hash       BLOB PRIMARY KEY,
    session_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    spent_at   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE keys (
    hash       BLOB PRIMARY KEY,
    session_id TEXT NOT NULL UNIQUE,
    scopes     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE invites (
    hash       BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    spent_by   TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX invites_by_expiry ON invites (expires_at);

CREATE TABLE audit (
    entry_id TEXT PRIMARY KEY,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    target   TEXT,
    detail   TEXT
) STRICT;
