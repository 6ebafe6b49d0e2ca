-- Ids stand once each; everywhere else their number.
CREATE TABLE users (no INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE conversations (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    about BLOB,
    about_position INTEGER NOT NULL DEFAULT -1,
    head BLOB,
    head_position INTEGER NOT NULL DEFAULT -1
) STRICT;

-- An event, in the order of arrival: full pages, whereas a table in the order of conversations would be split
-- all over. Measured with 1 M messages of 200 B in 50 conversations: 329 B each, indexes and a UUID as client id
-- included; a page of 50 in 0.2 ms, p99 0.6. `place` is seq * 2, plus 1 for a message, so that a page of messages is picked in the index alone.
-- `key` is 8 of an id's 16 bytes, see event.rs. `content` goes when the message is deleted.
CREATE TABLE events (
    no INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    place INTEGER NOT NULL,
    key INTEGER,
    body BLOB NOT NULL,
    content BLOB
) STRICT;
CREATE UNIQUE INDEX events_by_place ON events (conversation, place);
CREATE INDEX events_by_key ON events (key) WHERE key IS NOT NULL;

-- What became of a message, if anything did.
CREATE TABLE changes (
    conversation INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    state BLOB,
    state_position INTEGER NOT NULL DEFAULT -1,
    text TEXT,
    text_position INTEGER NOT NULL DEFAULT -1,
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE reactions (
    conversation INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    user INTEGER NOT NULL,
    emoji TEXT NOT NULL,
    since INTEGER,
    position INTEGER NOT NULL,
    PRIMARY KEY (conversation, seq, user, emoji)
) STRICT, WITHOUT ROWID;

-- User 0 is everybody.
CREATE TABLE mentions (
    user INTEGER NOT NULL,
    conversation INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (user, conversation, seq)
) STRICT, WITHOUT ROWID;

-- `id` is the user's once more: members are listed in its order. Role 1 is an admin's.
CREATE TABLE members (
    conversation INTEGER NOT NULL,
    user INTEGER NOT NULL,
    since INTEGER NOT NULL,
    id TEXT NOT NULL,
    role INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    from_n INTEGER NOT NULL,
    to_seq INTEGER,
    to_n INTEGER,
    other_seq INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (conversation, user, since)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_present ON members (conversation, joined_at, id) WHERE to_seq IS NULL;
CREATE INDEX members_by_user ON members (user);

-- Markers move all the time, so no index has their position: a user's few rows are read instead.
CREATE TABLE own (
    user INTEGER NOT NULL,
    conversation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    delivered_seq INTEGER NOT NULL DEFAULT 0,
    delivered_n INTEGER NOT NULL DEFAULT 0,
    read_seq INTEGER NOT NULL DEFAULT 0,
    read_n INTEGER NOT NULL DEFAULT 0,
    markers_time INTEGER NOT NULL DEFAULT 0,
    markers_position INTEGER NOT NULL DEFAULT -1,
    settings BLOB,
    settings_time INTEGER NOT NULL DEFAULT 0,
    settings_position INTEGER NOT NULL DEFAULT -1,
    PRIMARY KEY (user, conversation)
) STRICT, WITHOUT ROWID;
CREATE INDEX own_by_conversation ON own (conversation);

CREATE TABLE rises (
    conversation INTEGER NOT NULL,
    user INTEGER NOT NULL,
    marker INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    PRIMARY KEY (conversation, user, marker, seq)
) STRICT, WITHOUT ROWID;

-- In the order of arrival, which is about that of time, so that the oldest are found for pruning.
CREATE TABLE rejections (
    no INTEGER PRIMARY KEY,
    user INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    part INTEGER NOT NULL,
    time INTEGER NOT NULL,
    fact BLOB NOT NULL,
    UNIQUE (user, partition, position, part)
) STRICT;

CREATE TABLE dead_letters (
    position INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    part INTEGER NOT NULL,
    dead BLOB NOT NULL,
    replayed_at INTEGER,
    PRIMARY KEY (position, partition, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE progress (partition INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT;

CREATE TABLE terms (
    partition INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (partition, epoch, offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE readers (
    name TEXT NOT NULL,
    partition INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (name, partition)
) STRICT, WITHOUT ROWID;
