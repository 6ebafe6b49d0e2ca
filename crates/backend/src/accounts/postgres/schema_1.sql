-- Texts hold U+0000 as U+001A 0. Names and addresses are compared in lower case, which is how the unique columns have
-- them. Times are milliseconds since 1970.
CREATE TABLE users (
    user_id        text COLLATE "C" PRIMARY KEY,
    username       text COLLATE "C" NOT NULL,
    email          text,
    email_key      text COLLATE "C",
    display_name   text,
    avatar_file_id text,
    time_zone      text,
    last_seen_to   text NOT NULL,
    quiet_from     smallint,
    quiet_to       smallint,
    permissions    text[] NOT NULL,
    owner          text COLLATE "C",
    created_at     bigint NOT NULL,
    password_hash  text
);
CREATE UNIQUE INDEX users_username ON users (username);
CREATE UNIQUE INDEX users_email ON users (email_key);
CREATE INDEX users_by_owner ON users (owner, user_id) WHERE owner IS NOT NULL;

-- What people are found by: the username, and the display name from each of its words on.
CREATE TABLE user_names (
    name    text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (name, user_id)
);
CREATE INDEX user_names_by_user ON user_names (user_id);

CREATE TABLE sessions (
    session_id text COLLATE "C" PRIMARY KEY,
    user_id    text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    ended_at   bigint
);
CREATE INDEX sessions_living ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended ON sessions (ended_at, session_id) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- A spent token stays until it would have expired, so that its theft is seen.
CREATE TABLE refresh_tokens (
    hash       bytea PRIMARY KEY,
    session_id text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL,
    spent_at   bigint
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE api_keys (
    hash       bytea PRIMARY KEY,
    session_id text COLLATE "C" NOT NULL UNIQUE,
    scopes     text[] NOT NULL
);

CREATE TABLE invites (
    hash       bytea PRIMARY KEY,
    expires_at bigint NOT NULL,
    spent_by   text
);
CREATE INDEX invites_by_expiry ON invites (expires_at);

CREATE TABLE audit (
    entry_id text COLLATE "C" PRIMARY KEY,
    at       bigint NOT NULL,
    actor    text NOT NULL,
    action   text NOT NULL,
    target   text,
    detail   text
);
