-- Conversations are known by 16 bytes of their ids' hash everywhere, so that a row is a function of its fact alone:
-- nothing is looked up to write it, and two writers cannot number one conversation differently. Users stand by
-- their ids. Two views, `messages` and `participants`, are for people:
--   SELECT * FROM messages WHERE conversation = conversation_key('d:ann:bob') ORDER BY seq DESC LIMIT 20;
CREATE FUNCTION conversation_key(id text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT encode(substr(sha256(convert_to(id, 'UTF8')), 1, 16), 'hex')::uuid $$;

-- A head changes with nearly every event. No index has what changes, and pages keep room, so that only the row is
-- written (a "heap-only" update) and its old forms go with the next one.
CREATE TABLE conversations (
    key            uuid PRIMARY KEY,
    id             text COLLATE "C" NOT NULL,
    name           text,
    created_by     text COLLATE "C",
    created_at     bigint,
    history        text,
    about_position bigint NOT NULL DEFAULT -1,
    seq            bigint,
    n              bigint,
    sender         text COLLATE "C",
    sender_seq     bigint,
    other_seq      bigint,
    participants   bigint,
    admins         bigint,
    time           bigint,
    head_position  bigint NOT NULL DEFAULT -1
) WITH (fillfactor = 60);

-- The events that are messages, and all others: so a page of messages reads nothing else, and an event stands in one
-- index by its seq. `content` is the text (U+0000 as U+001A 0) and `rest` what comes with it; both go when the
-- message is deleted.
CREATE TABLE message_events (
    seq          bigint NOT NULL,
    position     bigint NOT NULL,
    time         bigint NOT NULL,
    conversation uuid NOT NULL,
    id           uuid,
    actor        text COLLATE "C" NOT NULL,
    content      text,
    body         bytea NOT NULL,
    rest         bytea,
    PRIMARY KEY (conversation, seq)
);
CREATE INDEX message_events_by_id ON message_events (id) WHERE id IS NOT NULL;

CREATE TABLE other_events (
    seq          bigint NOT NULL,
    position     bigint NOT NULL,
    time         bigint NOT NULL,
    conversation uuid NOT NULL,
    id           uuid,
    actor        text COLLATE "C" NOT NULL,
    content      text,
    body         bytea NOT NULL,
    rest         bytea,
    PRIMARY KEY (conversation, seq)
);
CREATE INDEX other_events_by_id ON other_events (id) WHERE id IS NOT NULL;

-- What became of a message, if anything did.
CREATE TABLE changes (
    conversation   uuid NOT NULL,
    seq            bigint NOT NULL,
    state          bytea,
    state_position bigint NOT NULL,
    text           text,
    text_position  bigint NOT NULL,
    PRIMARY KEY (conversation, seq)
) WITH (fillfactor = 80);

CREATE TABLE reactions (
    conversation uuid NOT NULL,
    seq          bigint NOT NULL,
    user_id      text COLLATE "C" NOT NULL,
    emoji        text COLLATE "C" NOT NULL,
    since        bigint,
    position     bigint NOT NULL,
    PRIMARY KEY (conversation, seq, user_id, emoji)
);

-- The user `all` is everybody, as in what was written.
CREATE TABLE mentions (
    seq          bigint NOT NULL,
    conversation uuid NOT NULL,
    user_id      text COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, conversation, seq)
);

CREATE TABLE members (
    conversation uuid NOT NULL,
    user_id      text COLLATE "C" NOT NULL,
    since        bigint NOT NULL,
    role         text NOT NULL,
    from_seq     bigint NOT NULL,
    from_n       bigint NOT NULL,
    to_seq       bigint,
    to_n         bigint,
    other_seq    bigint NOT NULL,
    joined_at    bigint NOT NULL,
    position     bigint NOT NULL,
    PRIMARY KEY (conversation, user_id, since)
);
CREATE INDEX members_present ON members (conversation, joined_at, user_id) WHERE to_seq IS NULL;
CREATE INDEX members_by_user ON members (user_id);

-- Markers move all the time, so no index has their position: a user's few rows are read instead.
CREATE TABLE markers (
    user_id       text COLLATE "C" NOT NULL,
    conversation  uuid NOT NULL,
    partition     bigint NOT NULL,
    delivered_seq bigint NOT NULL,
    delivered_n   bigint NOT NULL,
    read_seq      bigint NOT NULL,
    read_n        bigint NOT NULL,
    time          bigint NOT NULL,
    position      bigint NOT NULL,
    PRIMARY KEY (user_id, conversation)
) WITH (fillfactor = 60);
CREATE INDEX markers_by_conversation ON markers (conversation, user_id);

CREATE TABLE settings (
    user_id      text COLLATE "C" NOT NULL,
    conversation uuid NOT NULL,
    partition    bigint NOT NULL,
    muted_until  bigint,
    archived     boolean NOT NULL,
    pinned       boolean NOT NULL,
    time         bigint NOT NULL,
    position     bigint NOT NULL,
    PRIMARY KEY (user_id, conversation)
);

CREATE TABLE rises (
    seq          bigint NOT NULL,
    time         bigint NOT NULL,
    conversation uuid NOT NULL,
    user_id      text COLLATE "C" NOT NULL,
    marker       text COLLATE "C" NOT NULL,
    PRIMARY KEY (conversation, user_id, marker, seq)
);

CREATE TABLE rejections (
    user_id   text COLLATE "C" NOT NULL,
    partition bigint NOT NULL,
    position  bigint NOT NULL,
    part      bigint NOT NULL,
    time      bigint NOT NULL,
    fact      bytea NOT NULL,
    PRIMARY KEY (user_id, partition, position, part)
);
CREATE INDEX rejections_by_time ON rejections (time);

CREATE TABLE dead_letters (
    position    bigint NOT NULL,
    partition   bigint NOT NULL,
    part        bigint NOT NULL,
    dead        bytea NOT NULL,
    replayed_at bigint,
    PRIMARY KEY (position, partition, part)
);

-- Whoever projects a partition locks its row here first: so two at once follow each other, and no two transactions
-- of ours wait for each other.
CREATE TABLE progress (
    partition bigint PRIMARY KEY,
    epoch     bigint NOT NULL,
    next      bigint NOT NULL,
    value     bytea NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE terms (
    partition    bigint NOT NULL,
    epoch        bigint NOT NULL,
    log_offset   bigint NOT NULL,
    PRIMARY KEY (partition, epoch, log_offset)
);

CREATE TABLE readers (
    name      text COLLATE "C" NOT NULL,
    partition bigint NOT NULL,
    epoch     bigint NOT NULL,
    next      bigint NOT NULL,
    value     bytea NOT NULL,
    PRIMARY KEY (name, partition)
) WITH (fillfactor = 10);

CREATE VIEW messages AS
SELECT c.id AS conversation_id,
       m.seq,
       rtrim(translate(encode(uuid_send(m.id), 'base64'), '+/', '-_'), '=') AS message_id,
       to_timestamp(m.time / 1000.0) AS sent_at,
       m.actor AS sender_id,
       coalesce(h.text, m.content) AS content,
       coalesce(h.text_position >= 0 AND h.text IS NULL, false) AS deleted,
       m.conversation
FROM message_events m
JOIN conversations c ON c.key = m.conversation
LEFT JOIN changes h ON h.conversation = m.conversation AND h.seq = m.seq;

CREATE VIEW participants AS
SELECT c.id AS conversation_id,
       m.user_id,
       m.role,
       to_timestamp(m.joined_at / 1000.0) AS joined_at,
       m.to_seq IS NULL AS present,
       m.conversation
FROM members m
JOIN conversations c ON c.key = m.conversation;
