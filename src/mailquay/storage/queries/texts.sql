-- name: text_put sqlite
INSERT INTO message_texts (id, account_number, to_text, cc_text, bcc_text, words)
SELECT mailbox_number * 4294967296 + uid, $3, $4, $5, $6, packed_words($7) FROM messages
WHERE mailbox_number = $1 AND uid = $2 AND envelope IS NOT NULL
ON CONFLICT (id) DO NOTHING;

-- name: text_put postgres
INSERT INTO message_texts (mailbox_number, uid, scope, to_text, cc_text, bcc_text, words)
SELECT mailbox_number, uid, CAST(CAST($3 AS BIGINT) AS TEXT) || '·', $4, $5, $6, $7 FROM messages
WHERE mailbox_number = $1 AND uid = $2 AND envelope IS NOT NULL
ON CONFLICT (mailbox_number, uid) DO NOTHING;

-- name: text_follow sqlite
UPDATE message_texts SET id = $3 * 4294967296 + $4
WHERE id = $1 * 4294967296 + $2 AND NOT EXISTS (SELECT 1 FROM message_texts WHERE id = $3 * 4294967296 + $4)
    AND EXISTS (SELECT 1 FROM messages WHERE mailbox_number = $3 AND uid = $4 AND envelope IS NOT NULL);

-- name: text_follow postgres
UPDATE message_texts SET mailbox_number = $3, uid = $4
WHERE mailbox_number = $1 AND uid = $2
    AND NOT EXISTS (SELECT 1 FROM message_texts WHERE mailbox_number = $3 AND uid = $4)
    AND EXISTS (SELECT 1 FROM messages WHERE mailbox_number = $3 AND uid = $4 AND envelope IS NOT NULL);

-- name: text_lacking sqlite
SELECT uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id, labels, thread,
    digested, error
FROM messages
WHERE mailbox_number = $1 AND uid < $2 AND envelope IS NOT NULL AND error IS NULL
    AND coalesce(internal_date_ms, 9223372036854775807) >= $3
    AND NOT EXISTS (SELECT 1 FROM message_texts WHERE id = mailbox_number * 4294967296 + messages.uid)
ORDER BY uid DESC LIMIT $4;

-- name: text_lacking postgres
SELECT uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id, labels, thread,
    digested, error
FROM messages
WHERE mailbox_number = $1 AND uid < $2 AND envelope IS NOT NULL AND error IS NULL
    AND coalesce(internal_date_ms, 9223372036854775807) >= $3
    AND NOT EXISTS (SELECT 1 FROM message_texts
        WHERE message_texts.mailbox_number = $1 AND message_texts.uid = messages.uid)
ORDER BY uid DESC LIMIT $4;

-- name: mailbox_lacks_texts
UPDATE mailboxes SET texts_state = CASE WHEN texts_state > 0 THEN 0 ELSE texts_state - 1 END WHERE number = $1;

-- name: mailbox_has_texts
UPDATE mailboxes SET texts_state = $3 WHERE number = $1 AND texts_state = $2 RETURNING number;

-- name: text_merge sqlite
INSERT INTO message_words (message_words, rank) VALUES ('merge', $1);

-- name: text_merge postgres
SELECT 1 WHERE CAST($1 AS BIGINT) IS NULL;

-- name: text_merge_extent sqlite
SELECT total_changes();

-- name: text_merge_extent postgres
SELECT 0;
