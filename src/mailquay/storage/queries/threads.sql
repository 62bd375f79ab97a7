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
