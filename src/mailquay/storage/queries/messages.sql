-- name: message_upsert
INSERT INTO messages (mailbox_number, uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id,
    thread_id, labels, error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (mailbox_number, uid) DO UPDATE SET flags = excluded.flags,
    modseq = coalesce(excluded.modseq, messages.modseq),
    internal_date_ms = coalesce(excluded.internal_date_ms, messages.internal_date_ms),
    size_bytes = coalesce(excluded.size_bytes, messages.size_bytes),
    envelope = coalesce(excluded.envelope, messages.envelope),
    structure = coalesce(excluded.structure, messages.structure),
    email_id = coalesce(excluded.email_id, messages.email_id),
    thread_id = coalesce(excluded.thread_id, messages.thread_id),
    labels = coalesce(excluded.labels, messages.labels), error = excluded.error;

-- name: message_update_flags
UPDATE messages SET flags = $3, modseq = coalesce($4, modseq), labels = coalesce($5, labels)
WHERE mailbox_number = $1 AND uid = $2;

-- name: message_delete
DELETE FROM messages WHERE mailbox_number = $1 AND uid = $2 RETURNING uid;

-- name: message_by_uid
SELECT uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id, labels, error
FROM messages WHERE mailbox_number = $1 AND uid = $2;

-- name: message_page
SELECT uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id, labels, error
FROM messages WHERE mailbox_number = $1 ORDER BY uid DESC LIMIT $2 OFFSET $3;

-- name: message_range
SELECT uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id, labels, error
FROM messages WHERE mailbox_number = $1 AND uid >= $2 AND uid <= $3 ORDER BY uid;

-- name: message_flags
SELECT uid, flags, modseq FROM messages WHERE mailbox_number = $1 AND uid >= $2 AND uid <= $3 ORDER BY uid;

-- name: message_without_envelope
SELECT uid FROM messages WHERE mailbox_number = $1 AND envelope IS NULL AND error IS NULL AND uid < $2
ORDER BY uid DESC LIMIT $3;

-- name: message_count
SELECT count(*) FROM messages WHERE mailbox_number = $1;

-- name: message_unseen_count
SELECT count(*) FROM messages WHERE mailbox_number = $1 AND (' ' || flags || ' ') NOT LIKE '% \\Seen %' ESCAPE '\';

-- name: known_message_insert
INSERT INTO known_messages (account_number, digest) VALUES ($1, $2)
ON CONFLICT (account_number, digest) DO NOTHING RETURNING digest;

-- name: known_message_record
INSERT INTO known_messages (account_number, digest) VALUES ($1, $2)
ON CONFLICT (account_number, digest) DO NOTHING;

-- name: known_message_get
SELECT 1 FROM known_messages WHERE account_number = $1 AND digest = $2;
