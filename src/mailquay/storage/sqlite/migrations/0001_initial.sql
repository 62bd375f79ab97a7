-- The tables of the first release.

CREATE TABLE migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    key_id TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    salt TEXT,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE positions (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT,
    secret BLOB
) STRICT;

CREATE TABLE queues (
    queue TEXT PRIMARY KEY,
    paused INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    email TEXT,
    state TEXT NOT NULL,
    profile TEXT NOT NULL,
    private BLOB NOT NULL,
    status TEXT NOT NULL,
    revision INTEGER NOT NULL,
    known_set INTEGER NOT NULL,
    keeps TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE sequences (
    account_number INTEGER PRIMARY KEY,
    account_id TEXT NOT NULL,
    value INTEGER NOT NULL
) STRICT;

CREATE TABLE nodes (
    id TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    roles TEXT NOT NULL,
    draining INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE leases (
    account_number INTEGER PRIMARY KEY,
    node_id TEXT,
    epoch INTEGER NOT NULL
) STRICT;
CREATE INDEX leases_by_node ON leases (node_id);

CREATE TABLE instance_locks (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE mailboxes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    account_number INTEGER NOT NULL,
    path TEXT NOT NULL,
    listing TEXT NOT NULL,
    uidvalidity INTEGER,
    uidnext INTEGER,
    highestmodseq INTEGER,
    messages INTEGER,
    initial_uidnext INTEGER,
    synced_at_ms INTEGER,
    seen_uidvalidity INTEGER,
    seen_uidnext INTEGER,
    seen_messages INTEGER,
    seen_unseen INTEGER,
    seen_highestmodseq INTEGER,
    seen_at_ms INTEGER NOT NULL,
    seen_epoch INTEGER NOT NULL,
    missing_since_ms INTEGER,
    verified_at_ms INTEGER,
    verified_messages INTEGER,
    verified_missing INTEGER,
    texts_state INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account_number, path)
) STRICT;

CREATE TABLE retired_mailboxes (
    number INTEGER PRIMARY KEY,
    account_number INTEGER NOT NULL,
    path TEXT NOT NULL,
    uidvalidity INTEGER,
    retired_ms INTEGER NOT NULL,
    replaced_by INTEGER,
    synced_at_ms INTEGER
) STRICT;
CREATE INDEX retired_mailboxes_by_successor ON retired_mailboxes (replaced_by) WHERE replaced_by IS NOT NULL;
CREATE INDEX retired_mailboxes_by_account ON retired_mailboxes (account_number);

CREATE TABLE message_aliases (
    mailbox_number INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    now_mailbox_number INTEGER NOT NULL,
    now_uid INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (mailbox_number, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_aliases_by_place ON message_aliases (now_mailbox_number, now_uid);
CREATE INDEX message_aliases_by_expiry ON message_aliases (expires_ms);

CREATE TABLE messages (
    mailbox_number INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    flags TEXT NOT NULL,
    modseq INTEGER,
    internal_date_ms INTEGER,
    size_bytes INTEGER,
    date_ms INTEGER,
    envelope TEXT,
    structure TEXT,
    email_id TEXT,
    thread_id TEXT,
    labels TEXT,
    thread INTEGER,
    digest INTEGER,
    digested INTEGER NOT NULL,
    error TEXT,
    tries INTEGER,
    retry_ms INTEGER,
    owed INTEGER,
    subject TEXT,
    sender TEXT,
    PRIMARY KEY (mailbox_number, uid)
) STRICT, WITHOUT ROWID;

CREATE INDEX messages_without_envelope
ON messages (mailbox_number, digested, coalesce(internal_date_ms, 9223372036854775807), uid)
WHERE envelope IS NULL AND error IS NULL;
CREATE INDEX messages_with_error ON messages (mailbox_number, retry_ms) WHERE error IS NOT NULL;
CREATE INDEX messages_by_text ON messages (mailbox_number, uid, subject, sender) WHERE subject IS NOT NULL;
CREATE INDEX messages_by_thread ON messages (thread, mailbox_number, uid) WHERE thread IS NOT NULL;
CREATE INDEX messages_by_server_thread ON messages (thread_id, mailbox_number, uid) WHERE thread_id IS NOT NULL;

CREATE TABLE message_texts (
    id INTEGER PRIMARY KEY,
    account_number INTEGER NOT NULL,
    to_text TEXT NOT NULL,
    cc_text TEXT NOT NULL,
    bcc_text TEXT NOT NULL,
    words BLOB NOT NULL
) STRICT;
CREATE INDEX message_texts_by_recipient ON message_texts (id, to_text, cc_text, bcc_text);

CREATE VIRTUAL TABLE message_words USING fts5 (words, content = '', columnsize = 0, tokenize = 'ascii');

CREATE TRIGGER message_texts_added AFTER INSERT ON message_texts
BEGIN INSERT INTO message_words (rowid, words) VALUES (new.id, scoped_words(new.words, new.account_number)); END;

CREATE TRIGGER message_texts_moved AFTER UPDATE OF id ON message_texts
BEGIN INSERT INTO message_words (message_words, rowid, words)
    VALUES ('delete', old.id, scoped_words(old.words, old.account_number)); INSERT INTO message_words (rowid, words)
    VALUES (new.id, scoped_words(new.words, new.account_number)); END;

CREATE TRIGGER message_texts_removed AFTER DELETE ON message_texts
BEGIN INSERT INTO message_words (message_words, rowid, words)
    VALUES ('delete', old.id, scoped_words(old.words, old.account_number)); END;

CREATE TRIGGER messages_removed AFTER DELETE ON messages
BEGIN DELETE FROM message_texts WHERE id = old.mailbox_number * 4294967296 + old.uid; END;

CREATE TABLE thread_links (
    account_number INTEGER NOT NULL,
    link INTEGER NOT NULL,
    thread INTEGER NOT NULL,
    PRIMARY KEY (account_number, link)
) STRICT, WITHOUT ROWID;

CREATE TABLE known_messages (
    set_number INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    seen_day INTEGER NOT NULL,
    PRIMARY KEY (set_number, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE bounces (
    set_number INTEGER NOT NULL,
    original INTEGER NOT NULL,
    report INTEGER NOT NULL,
    mailbox_number INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    action TEXT NOT NULL,
    message TEXT,
    status TEXT,
    date_ms INTEGER NOT NULL,
    PRIMARY KEY (set_number, original, report)
) STRICT, WITHOUT ROWID;

CREATE TABLE passing_messages (
    account_number INTEGER NOT NULL,
    arrived INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    mailbox_number INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    path TEXT NOT NULL,
    special_use TEXT,
    size_bytes INTEGER,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_number, arrived, digest, mailbox_number, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX passing_messages_by_age ON passing_messages (at_ms);

CREATE TABLE purges (
    kind TEXT NOT NULL,
    number INTEGER NOT NULL,
    done_below INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    account_number INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    name TEXT NOT NULL,
    date_ms INTEGER NOT NULL,
    path TEXT,
    special_use TEXT,
    facts TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_account ON events (account_number, sequence);

CREATE TABLE event_contents (
    position INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

CREATE TABLE event_counters (
    account_number INTEGER NOT NULL,
    name TEXT NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (account_number, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE webhook_cursors (
    account_number INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    attempts_made INTEGER NOT NULL,
    next_attempt_ms INTEGER,
    failing_since_ms INTEGER,
    last_error TEXT
) STRICT;

CREATE TABLE parked_deliveries (
    position INTEGER NOT NULL,
    account_number INTEGER NOT NULL,
    target BLOB NOT NULL,
    attempts_made INTEGER NOT NULL,
    error TEXT NOT NULL,
    parked_ms INTEGER NOT NULL,
    PRIMARY KEY (position)
) STRICT;
CREATE INDEX parked_by_account ON parked_deliveries (account_number);

CREATE TABLE outbox (
    queue_id TEXT PRIMARY KEY,
    account_number INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    meta BLOB NOT NULL,
    phase TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    scheduled_ms INTEGER NOT NULL,
    next_attempt_ms INTEGER,
    attempts_made INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    progress TEXT NOT NULL,
    body BLOB,
    blob INTEGER,
    settled_ms INTEGER,
    filing_due_ms INTEGER,
    filing_attempts INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_due ON outbox (account_number, next_attempt_ms);
CREATE INDEX outbox_filing ON outbox (account_number, filing_due_ms) WHERE filing_due_ms IS NOT NULL;
CREATE INDEX outbox_settled ON outbox (settled_ms) WHERE settled_ms IS NOT NULL;

CREATE TABLE blobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    size_bytes INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE blob_chunks (
    blob_id INTEGER NOT NULL,
    n INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (blob_id, n)
) STRICT;

CREATE TABLE idempotency (
    account_number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    response BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (account_number, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_ms);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    account TEXT,
    description TEXT NOT NULL,
    record TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    used_ms INTEGER,
    used_ip TEXT
) STRICT;
CREATE INDEX tokens_by_account ON tokens (account);

CREATE TABLE token_windows (
    token_id TEXT PRIMARY KEY,
    started INTEGER NOT NULL,
    requests INTEGER NOT NULL
) STRICT;

CREATE TABLE token_log (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    token_id TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    entry TEXT NOT NULL
) STRICT;
CREATE INDEX token_log_by_token ON token_log (token_id, n);

CREATE TABLE account_log (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    account_number INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    entry TEXT NOT NULL
) STRICT;
CREATE INDEX account_log_by_account ON account_log (account_number, n);

CREATE TABLE stats (
    minute INTEGER NOT NULL,
    key TEXT NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (minute, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE exports (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    account_number INTEGER NOT NULL,
    request TEXT NOT NULL,
    secret BLOB NOT NULL,
    status TEXT NOT NULL,
    phase TEXT NOT NULL,
    progress TEXT NOT NULL,
    place TEXT,
    node_id TEXT,
    error TEXT,
    error_code TEXT,
    created_ms INTEGER NOT NULL,
    away_since_ms INTEGER,
    ended_ms INTEGER,
    expires_ms INTEGER
) STRICT;
CREATE INDEX exports_by_account ON exports (account_number, number);
CREATE INDEX exports_active ON exports (account_number, number) WHERE ended_ms IS NULL;
CREATE INDEX exports_by_expiry ON exports (expires_ms) WHERE expires_ms IS NOT NULL;

CREATE TABLE export_folders (
    export_number INTEGER NOT NULL,
    n INTEGER NOT NULL,
    path TEXT NOT NULL,
    mailbox_number INTEGER NOT NULL,
    uidvalidity INTEGER,
    scanned INTEGER NOT NULL,
    PRIMARY KEY (export_number, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE export_messages (
    export_number INTEGER NOT NULL,
    date_ms INTEGER NOT NULL,
    mailbox_number INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (export_number, date_ms, mailbox_number, uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE export_segments (
    export_number INTEGER NOT NULL,
    n INTEGER NOT NULL,
    name TEXT NOT NULL,
    messages INTEGER NOT NULL,
    content_bytes INTEGER NOT NULL,
    directory_bytes INTEGER NOT NULL,
    PRIMARY KEY (export_number, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE templates (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    account_number INTEGER NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    format TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER,
    revision INTEGER NOT NULL,
    subject TEXT,
    text TEXT,
    html TEXT,
    preview_text TEXT
) STRICT;
CREATE INDEX templates_by_account ON templates (account_number, number);

CREATE TABLE blocklist (
    list_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    account_id TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    message_id TEXT,
    remote_address TEXT,
    user_agent TEXT,
    PRIMARY KEY (list_id, recipient)
) STRICT, WITHOUT ROWID;

CREATE TABLE gateways (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    private BLOB NOT NULL,
    deliveries INTEGER NOT NULL,
    last_use_ms INTEGER,
    last_error TEXT
) STRICT;

INSERT INTO positions (name, value) VALUES ('events', 0), ('known_sets', 0), ('exports', 0), ('ids', 0);
