-- Blocklists; they outlive the accounts that their lists were sent by.

-- name: blocklist_count
SELECT count(DISTINCT list_id) FROM blocklist;

-- name: blocklist_page
SELECT list_id, count(*) FROM blocklist GROUP BY list_id ORDER BY list_id LIMIT $1 OFFSET $2;

-- name: blocklist_entry_count
SELECT count(*) FROM blocklist WHERE list_id = $1;

-- name: blocklist_entry_page
SELECT recipient, account_id, source, reason, created_ms, message_id, remote_address, user_agent FROM blocklist
WHERE list_id = $1 ORDER BY recipient LIMIT $2 OFFSET $3;

-- name: blocklist_blocked sqlite
SELECT recipient, reason FROM blocklist WHERE list_id = $1 AND recipient IN (SELECT value FROM json_each($2));

-- name: blocklist_blocked postgres
SELECT recipient, reason FROM blocklist
WHERE list_id = $1 AND recipient = ANY (ARRAY(SELECT json_array_elements_text(CAST(CAST($2 AS TEXT) AS JSON))));

-- name: blocklist_add
INSERT INTO blocklist (list_id, recipient, account_id, source, reason, created_ms, message_id, remote_address, user_agent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (list_id, recipient) DO NOTHING RETURNING created_ms;

-- name: blocklist_remove
DELETE FROM blocklist WHERE list_id = $1 AND recipient = $2 RETURNING created_ms;
