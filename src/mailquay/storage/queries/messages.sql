-- name: message_upsert
INSERT INTO messages (mailbox_number, uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id,
    thread_id, labels, digest, digested, thread, subject, sender, date_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
ON CONFLICT (mailbox_number, uid) DO UPDATE SET flags = excluded.flags,
    modseq = coalesce(excluded.modseq, messages.modseq),
    internal_date_ms = coalesce(excluded.internal_date_ms, messages.internal_date_ms),
    size_bytes = coalesce(excluded.size_bytes, messages.size_bytes),
    envelope = coalesce(excluded.envelope, messages.envelope),
    structure = coalesce(excluded.structure, messages.structure),
    email_id = coalesce(excluded.email_id, messages.email_id),
    thread_id = coalesce(excluded.thread_id, messages.thread_id),
    labels = coalesce(excluded.labels, messages.labels), digest = coalesce(excluded.digest, messages.digest),
    digested = CASE WHEN excluded.digested = 1 THEN 1 ELSE messages.digested END,
    thread = coalesce(excluded.thread, messages.thread), subject = coalesce(excluded.subject, messages.subject),
    sender = coalesce(excluded.sender, messages.sender), date_ms = coalesce(excluded.date_ms, messages.date_ms),
    error = CASE WHEN excluded.digested = 1 THEN NULL ELSE messages.error END,
    tries = CASE WHEN excluded.digested = 1 THEN NULL ELSE messages.tries END,
    retry_ms = CASE WHEN excluded.digested = 1 THEN NULL ELSE messages.retry_ms END,
    owed = CASE WHEN excluded.digested = 1 THEN NULL ELSE messages.owed END;

-- name: message_fill
UPDATE messages SET internal_date_ms = coalesce($3, internal_date_ms), size_bytes = coalesce($4, size_bytes),
    envelope = coalesce($5, envelope), structure = coalesce($6, structure), email_id = coalesce($7, email_id),
    thread_id = coalesce($8, thread_id), digest = coalesce($9, digest),
    digested = CASE WHEN $10 = 1 THEN 1 ELSE digested END, thread = coalesce($11, thread),
    subject = coalesce($12, subject), sender = coalesce($13, sender), date_ms = coalesce($14, date_ms)
WHERE mailbox_number = $1 AND uid = $2 AND error IS NULL;

-- name: message_update_flags
UPDATE messages SET flags = $3, modseq = coalesce($4, modseq), labels = coalesce($5, labels)
WHERE mailbox_number = $1 AND uid = $2;

-- name: message_delete
DELETE FROM messages WHERE mailbox_number = $1 AND uid = $2 RETURNING uid, size_bytes, email_id, digest;

-- name: message_forget
DELETE FROM messages WHERE mailbox_number = $1 AND uid = $2;

-- name: message_by_uid
SELECT uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id, labels, thread,
    digested, error
FROM messages WHERE mailbox_number = $1 AND uid = $2;

-- name: message_page
SELECT uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id, labels, thread,
    digested, error
FROM messages WHERE mailbox_number = $1 ORDER BY uid DESC LIMIT $2 OFFSET $3;

-- name: message_range
SELECT uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id, labels, thread,
    digested, error
FROM messages WHERE mailbox_number = $1 AND uid >= $2 AND uid <= $3 ORDER BY uid;

-- name: message_several sqlite
SELECT uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id, labels, thread,
    digested, error
FROM messages WHERE mailbox_number = $1 AND uid IN (SELECT value FROM json_each($2)) ORDER BY uid DESC;

-- name: message_several postgres
SELECT uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id, labels, thread,
    digested, error
FROM messages WHERE mailbox_number = $1
    AND uid = ANY (ARRAY(SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($2 AS TEXT) AS JSON))))
ORDER BY uid DESC;

-- name: message_search_text sqlite
SELECT uid FROM messages INDEXED BY messages_by_text
WHERE mailbox_number = $1 AND subject IS NOT NULL AND ($2 = '' OR instr(subject, $2) > 0)
    AND ($3 = '' OR instr(sender, $3) > 0)
ORDER BY uid DESC;

-- name: message_search_text postgres
SELECT uid FROM messages
WHERE mailbox_number = $1 AND ($2 = '' OR strpos(subject, $2) > 0) AND ($3 = '' OR strpos(sender, $3) > 0)
ORDER BY uid DESC;

-- name: message_search sqlite
SELECT uid FROM messages
WHERE mailbox_number = $1 AND ($2 = '' OR instr(subject, $2) > 0) AND ($3 = '' OR instr(sender, $3) > 0)
    AND size_bytes > $4 AND size_bytes < $5
ORDER BY uid DESC;

-- name: message_search postgres
SELECT uid FROM messages
WHERE mailbox_number = $1 AND ($2 = '' OR strpos(subject, $2) > 0) AND ($3 = '' OR strpos(sender, $3) > 0)
    AND size_bytes > $4 AND size_bytes < $5
ORDER BY uid DESC;

-- name: message_unread sqlite
SELECT EXISTS (
        SELECT 1 FROM messages INDEXED BY messages_without_envelope
        WHERE mailbox_number = $1 AND envelope IS NULL AND error IS NULL
    ),
    EXISTS (SELECT 1 FROM messages INDEXED BY messages_with_error WHERE mailbox_number = $1 AND error IS NOT NULL);

-- name: message_unread postgres
SELECT EXISTS (SELECT 1 FROM messages WHERE mailbox_number = $1 AND envelope IS NULL AND error IS NULL),
    EXISTS (SELECT 1 FROM messages WHERE mailbox_number = $1 AND error IS NOT NULL);

-- name: message_flags
SELECT uid, flags, modseq FROM messages WHERE mailbox_number = $1 AND uid >= $2 AND uid <= $3 ORDER BY uid;

-- name: message_marks
SELECT uid, flags, labels FROM messages WHERE mailbox_number = $1 AND uid >= $2 AND uid <= $3 ORDER BY uid;

-- name: message_uids
SELECT uid FROM messages WHERE mailbox_number = $1 AND uid >= $2 AND uid <= $3 ORDER BY uid LIMIT $4;

-- name: message_without_envelope
SELECT coalesce(internal_date_ms, 9223372036854775807), uid FROM messages
WHERE mailbox_number = $1 AND digested = $2 AND envelope IS NULL AND error IS NULL
    AND coalesce(internal_date_ms, 9223372036854775807) >= $3 AND coalesce(internal_date_ms, 9223372036854775807) <= $4
    AND (coalesce(internal_date_ms, 9223372036854775807) < $4 OR uid < $5)
ORDER BY mailbox_number DESC, digested DESC, coalesce(internal_date_ms, 9223372036854775807) DESC, uid DESC LIMIT $6;

-- name: message_count
SELECT count(*) FROM messages WHERE mailbox_number = $1;

-- name: message_unseen_count
SELECT count(*) FROM messages WHERE mailbox_number = $1 AND (' ' || flags || ' ') NOT LIKE '% \\Seen %' ESCAPE '\';

-- name: known_message_insert
INSERT INTO known_messages (set_number, digest, seen_day)
SELECT known_set, CAST($2 AS BIGINT), CAST($3 AS BIGINT) FROM accounts WHERE number = $1
ON CONFLICT (set_number, digest) DO NOTHING RETURNING digest;

-- name: known_message_record
INSERT INTO known_messages (set_number, digest, seen_day)
SELECT known_set, CAST($2 AS BIGINT), CAST($3 AS BIGINT) FROM accounts WHERE number = $1
ON CONFLICT (set_number, digest) DO NOTHING;

-- name: known_message_get
SELECT 1 FROM known_messages WHERE set_number = (SELECT known_set FROM accounts WHERE number = $1) AND digest = $2;

-- name: message_identities
SELECT uid, flags, internal_date_ms, size_bytes, email_id, digest, thread
FROM messages WHERE mailbox_number = $1 AND uid > $2 ORDER BY uid LIMIT $3;

-- name: message_alias_insert
INSERT INTO message_aliases (mailbox_number, uid, now_mailbox_number, now_uid, expires_ms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (mailbox_number, uid) DO UPDATE SET now_mailbox_number = excluded.now_mailbox_number,
    now_uid = excluded.now_uid, expires_ms = excluded.expires_ms;

-- name: message_alias_follow
UPDATE message_aliases SET now_mailbox_number = $3, now_uid = $4 WHERE now_mailbox_number = $1 AND now_uid = $2;

-- name: message_alias_get
SELECT now_mailbox_number, now_uid FROM message_aliases WHERE mailbox_number = $1 AND uid = $2;

-- name: message_alias_count
SELECT count(DISTINCT now_uid) FROM message_aliases WHERE now_mailbox_number = $1;

-- name: message_alias_expire sqlite
DELETE FROM message_aliases WHERE (mailbox_number, uid) IN
    (SELECT mailbox_number, uid FROM message_aliases WHERE expires_ms < $1 LIMIT $2) RETURNING uid;

-- name: message_alias_expire postgres
DELETE FROM message_aliases WHERE (mailbox_number, uid) IN
    (SELECT mailbox_number, uid FROM message_aliases WHERE expires_ms < $1 LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING uid;
