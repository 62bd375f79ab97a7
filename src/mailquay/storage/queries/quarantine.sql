-- retry_ms is never NULL where there is an error; SQLite takes the index only when it is compared.

-- name: quarantine_marks sqlite
SELECT uid, error, tries, owed FROM messages
WHERE mailbox_number = $1 AND uid IN (SELECT value FROM json_each($2));

-- name: quarantine_marks postgres
SELECT uid, error, tries, owed FROM messages WHERE mailbox_number = $1
    AND uid = ANY (ARRAY(SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($2 AS TEXT) AS JSON))));

-- name: quarantine_put
INSERT INTO messages (mailbox_number, uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id,
    thread_id, labels, digest, digested, error, tries, retry_ms, owed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13, $14, $15, $16)
ON CONFLICT (mailbox_number, uid) DO UPDATE SET modseq = coalesce(excluded.modseq, messages.modseq),
    internal_date_ms = coalesce(excluded.internal_date_ms, messages.internal_date_ms),
    size_bytes = coalesce(excluded.size_bytes, messages.size_bytes),
    envelope = coalesce(excluded.envelope, messages.envelope),
    structure = coalesce(excluded.structure, messages.structure),
    email_id = coalesce(excluded.email_id, messages.email_id),
    thread_id = coalesce(excluded.thread_id, messages.thread_id),
    labels = coalesce(excluded.labels, messages.labels), digest = coalesce(excluded.digest, messages.digest),
    error = excluded.error, tries = excluded.tries, retry_ms = excluded.retry_ms, owed = excluded.owed;

-- name: quarantine_tried
UPDATE messages SET tries = $3, retry_ms = $4 WHERE mailbox_number = $1 AND uid = $2 AND error IS NOT NULL;

-- name: quarantine_due
SELECT uid, tries, owed, size_bytes FROM messages
WHERE mailbox_number = $1 AND error IS NOT NULL AND retry_ms <= $2 ORDER BY retry_ms LIMIT $3;

-- name: quarantine_all
SELECT uid, tries, owed, size_bytes FROM messages
WHERE mailbox_number = $1 AND error IS NOT NULL AND retry_ms > 0 ORDER BY tries, uid LIMIT $2;

-- name: quarantine_unknown
SELECT uid FROM messages
WHERE mailbox_number = $1 AND error IS NOT NULL AND retry_ms > 0 AND size_bytes IS NULL;

-- name: quarantine_turns
SELECT path, min(retry_ms) FROM mailboxes JOIN messages ON mailbox_number = mailboxes.number
WHERE account_number = $1 AND missing_since_ms IS NULL AND error IS NOT NULL AND retry_ms > 0 AND retry_ms < $2
GROUP BY path ORDER BY path;
