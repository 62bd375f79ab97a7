-- name: thread_links_of sqlite
SELECT link, thread FROM thread_links WHERE account_number = $1 AND link IN (SELECT value FROM json_each($2));

-- name: thread_links_of postgres
SELECT link, thread FROM thread_links WHERE account_number = $1
    AND link = ANY (ARRAY(SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($2 AS TEXT) AS JSON))));

-- name: thread_link_put
INSERT INTO thread_links (account_number, link, thread) VALUES ($1, $2, $3)
ON CONFLICT (account_number, link) DO UPDATE SET thread = excluded.thread;

-- name: thread_sizes sqlite
SELECT value, (SELECT count(*) FROM (SELECT 1 FROM messages WHERE thread = value LIMIT $2)) FROM json_each($1);

-- name: thread_sizes postgres
SELECT root, (SELECT count(*) FROM (SELECT 1 FROM messages WHERE thread = root LIMIT $2) AS counted)
FROM (SELECT CAST(value AS BIGINT) AS root FROM json_array_elements_text(CAST(CAST($1 AS TEXT) AS JSON))) AS roots;

-- name: thread_move
UPDATE messages SET thread = $2 WHERE thread = $1;

-- name: thread_messages
SELECT mailbox_number, uid FROM messages JOIN mailboxes ON mailboxes.number = mailbox_number
WHERE thread = $2 AND account_number = $1 ORDER BY mailbox_number, uid;

-- name: thread_heads
SELECT m.uid FROM messages AS m
WHERE m.mailbox_number = $1 AND (m.thread IS NOT NULL OR m.thread_id IS NOT NULL) AND NOT EXISTS (
    SELECT 1 FROM messages AS n WHERE n.thread = m.thread AND n.mailbox_number = m.mailbox_number AND n.uid > m.uid
) AND NOT EXISTS (
    SELECT 1 FROM messages AS n
    WHERE n.thread_id = m.thread_id AND n.mailbox_number = m.mailbox_number AND n.uid > m.uid
)
ORDER BY m.uid DESC LIMIT $2 OFFSET $3;

-- name: our_thread_sums sqlite
SELECT m.thread, count(*), sum(CASE WHEN replace(lower(m.flags), '\seen', '') = lower(m.flags) THEN 1 ELSE 0 END),
    min(m.internal_date_ms), max(m.internal_date_ms)
FROM messages AS m JOIN mailboxes AS b ON b.number = m.mailbox_number
WHERE b.account_number = $1 AND b.missing_since_ms IS NULL AND m.thread IN (SELECT value FROM json_each($2))
GROUP BY m.thread;

-- name: our_thread_latest sqlite
SELECT * FROM (
    SELECT m.mailbox_number, m.uid, m.flags, m.modseq, m.internal_date_ms, m.size_bytes, m.envelope, m.structure, m.email_id,
        m.thread_id, m.labels, m.thread, m.digested, m.error,
        row_number() OVER (PARTITION BY m.thread ORDER BY m.internal_date_ms DESC, m.mailbox_number, m.uid) AS place
    FROM messages AS m JOIN mailboxes AS b ON b.number = m.mailbox_number
    WHERE b.account_number = $1 AND b.missing_since_ms IS NULL AND m.thread IN (SELECT value FROM json_each($2))
) AS ranked WHERE place <= $3 ORDER BY place;

-- name: our_thread_sums postgres
SELECT m.thread, count(*), sum(CASE WHEN replace(lower(m.flags), '\seen', '') = lower(m.flags) THEN 1 ELSE 0 END),
    min(m.internal_date_ms), max(m.internal_date_ms)
FROM messages AS m JOIN mailboxes AS b ON b.number = m.mailbox_number
WHERE b.account_number = $1 AND b.missing_since_ms IS NULL AND m.thread = ANY (ARRAY(
        SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($2 AS TEXT) AS JSON))))
GROUP BY m.thread;

-- name: our_thread_latest postgres
SELECT * FROM (
    SELECT m.mailbox_number, m.uid, m.flags, m.modseq, m.internal_date_ms, m.size_bytes, m.envelope, m.structure, m.email_id,
        m.thread_id, m.labels, m.thread, m.digested, m.error,
        row_number() OVER (PARTITION BY m.thread ORDER BY m.internal_date_ms DESC, m.mailbox_number, m.uid) AS place
    FROM messages AS m JOIN mailboxes AS b ON b.number = m.mailbox_number
    WHERE b.account_number = $1 AND b.missing_since_ms IS NULL AND m.thread = ANY (ARRAY(
        SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($2 AS TEXT) AS JSON))))
) AS ranked WHERE place <= $3 ORDER BY place;

-- name: our_thread_members
SELECT m.mailbox_number, m.uid, m.flags, m.modseq, m.internal_date_ms, m.size_bytes, m.envelope, m.structure, m.email_id,
    m.thread_id, m.labels, m.thread, m.digested, m.error
FROM messages AS m JOIN mailboxes AS b ON b.number = m.mailbox_number
WHERE b.account_number = $1 AND b.missing_since_ms IS NULL AND m.thread = $2
ORDER BY m.internal_date_ms, m.mailbox_number, m.uid LIMIT $3;

-- name: server_thread_sums sqlite
SELECT m.thread_id, count(*), sum(CASE WHEN replace(lower(m.flags), '\seen', '') = lower(m.flags) THEN 1 ELSE 0 END),
    min(m.internal_date_ms), max(m.internal_date_ms)
FROM messages AS m JOIN mailboxes AS b ON b.number = m.mailbox_number
WHERE b.account_number = $1 AND b.missing_since_ms IS NULL AND m.thread_id IN (SELECT value FROM json_each($2))
GROUP BY m.thread_id;

-- name: server_thread_latest sqlite
SELECT * FROM (
    SELECT m.mailbox_number, m.uid, m.flags, m.modseq, m.internal_date_ms, m.size_bytes, m.envelope, m.structure, m.email_id,
        m.thread_id, m.labels, m.thread, m.digested, m.error,
        row_number() OVER (PARTITION BY m.thread_id ORDER BY m.internal_date_ms DESC, m.mailbox_number, m.uid) AS place
    FROM messages AS m JOIN mailboxes AS b ON b.number = m.mailbox_number
    WHERE b.account_number = $1 AND b.missing_since_ms IS NULL AND m.thread_id IN (SELECT value FROM json_each($2))
) AS ranked WHERE place <= $3 ORDER BY place;

-- name: server_thread_sums postgres
SELECT m.thread_id, count(*), sum(CASE WHEN replace(lower(m.flags), '\seen', '') = lower(m.flags) THEN 1 ELSE 0 END),
    min(m.internal_date_ms), max(m.internal_date_ms)
FROM messages AS m JOIN mailboxes AS b ON b.number = m.mailbox_number
WHERE b.account_number = $1 AND b.missing_since_ms IS NULL AND m.thread_id = ANY (ARRAY(
        SELECT value FROM json_array_elements_text(CAST(CAST($2 AS TEXT) AS JSON))))
GROUP BY m.thread_id;

-- name: server_thread_latest postgres
SELECT * FROM (
    SELECT m.mailbox_number, m.uid, m.flags, m.modseq, m.internal_date_ms, m.size_bytes, m.envelope, m.structure, m.email_id,
        m.thread_id, m.labels, m.thread, m.digested, m.error,
        row_number() OVER (PARTITION BY m.thread_id ORDER BY m.internal_date_ms DESC, m.mailbox_number, m.uid) AS place
    FROM messages AS m JOIN mailboxes AS b ON b.number = m.mailbox_number
    WHERE b.account_number = $1 AND b.missing_since_ms IS NULL AND m.thread_id = ANY (ARRAY(
        SELECT value FROM json_array_elements_text(CAST(CAST($2 AS TEXT) AS JSON))))
) AS ranked WHERE place <= $3 ORDER BY place;

-- name: server_thread_members
SELECT m.mailbox_number, m.uid, m.flags, m.modseq, m.internal_date_ms, m.size_bytes, m.envelope, m.structure, m.email_id,
    m.thread_id, m.labels, m.thread, m.digested, m.error
FROM messages AS m JOIN mailboxes AS b ON b.number = m.mailbox_number
WHERE b.account_number = $1 AND b.missing_since_ms IS NULL AND m.thread_id = $2
ORDER BY m.internal_date_ms, m.mailbox_number, m.uid LIMIT $3;
