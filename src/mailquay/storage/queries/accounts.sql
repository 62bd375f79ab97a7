-- name: account_insert
INSERT INTO accounts (id, name, email, state, profile, private, status, revision, known_set, keeps, created_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $10) ON CONFLICT (id) DO NOTHING RETURNING number;

-- name: account_update_profile
UPDATE accounts SET name = $2, email = $3, profile = $4, private = $5, keeps = $6, revision = revision + 1
WHERE number = $1 RETURNING revision;

-- name: account_update_status
UPDATE accounts SET state = $2, status = $3 WHERE number = $1 RETURNING number;

-- name: account_status sqlite
SELECT state, status FROM accounts WHERE number = $1;

-- name: account_status postgres
SELECT state, status FROM accounts WHERE number = $1 FOR UPDATE;

-- name: account_lock sqlite
SELECT number, id, profile, private, state, status, revision, created_ms FROM accounts WHERE id = $1;

-- name: account_lock postgres
SELECT number, id, profile, private, state, status, revision, created_ms FROM accounts WHERE id = $1 FOR UPDATE;

-- name: account_hold sqlite
SELECT 1 FROM accounts WHERE number = $1;

-- name: account_hold postgres
SELECT 1 FROM accounts WHERE number = $1 FOR KEY SHARE;

-- name: account_by_id
SELECT number, id, profile, private, state, status, revision, created_ms FROM accounts WHERE id = $1;

-- name: account_by_number
SELECT number, id, profile, private, state, status, revision, created_ms FROM accounts WHERE number = $1;

-- name: account_several sqlite
SELECT number, id, profile, private, state, status, revision, created_ms FROM accounts
WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id;

-- name: account_several postgres
SELECT number, id, profile, private, state, status, revision, created_ms FROM accounts
WHERE id = ANY (ARRAY(SELECT json_array_elements_text(CAST(CAST($1 AS TEXT) AS JSON)))) ORDER BY id;

-- name: account_page
SELECT number, id, profile, private, state, status, revision, created_ms FROM accounts
WHERE ($1 = '' OR state = $1) AND ($2 = '' OR lower(id || ' ' || name || ' ' || coalesce(email, '')) LIKE $2 ESCAPE '\')
ORDER BY id LIMIT $3 OFFSET $4;

-- name: account_count
SELECT count(*) FROM accounts
WHERE ($1 = '' OR state = $1) AND ($2 = '' OR lower(id || ' ' || name || ' ' || coalesce(email, '')) LIKE $2 ESCAPE '\');

-- name: account_numbers
SELECT number FROM accounts ORDER BY number;

-- name: account_revisions
SELECT number, revision FROM accounts;

-- name: account_states
SELECT state, count(*) FROM accounts GROUP BY state;

-- name: account_delete
DELETE FROM accounts WHERE number = $1;

-- name: known_set_draw
UPDATE positions SET value = value + 1 WHERE name = 'known_sets' RETURNING value;

-- name: account_replace_known_set
UPDATE accounts SET known_set = $2 WHERE number = $1;

-- name: account_purge_messages
INSERT INTO purges (kind, number) SELECT 'messages', number FROM mailboxes WHERE account_number = $1
UNION ALL SELECT 'messages', number FROM retired_mailboxes WHERE account_number = $1 AND replaced_by IS NOT NULL
ON CONFLICT (kind, number) DO NOTHING;

-- name: account_purge_contents
INSERT INTO purges (kind, number) SELECT 'contents', number FROM mailboxes WHERE account_number = $1
UNION ALL SELECT 'contents', number FROM retired_mailboxes WHERE account_number = $1 AND replaced_by IS NOT NULL
ON CONFLICT (kind, number) DO UPDATE SET done_below = 0;

-- name: account_keep_contents
DELETE FROM purges WHERE kind = 'contents' AND number IN (SELECT number FROM mailboxes WHERE account_number = $1
    UNION ALL SELECT number FROM retired_mailboxes WHERE account_number = $1);

-- name: account_purge_texts
INSERT INTO purges (kind, number) SELECT 'texts', number FROM mailboxes WHERE account_number = $1
UNION ALL SELECT 'texts', number FROM retired_mailboxes WHERE account_number = $1 AND replaced_by IS NOT NULL
ON CONFLICT (kind, number) DO NOTHING;

-- name: account_keep_texts
DELETE FROM purges WHERE kind = 'texts' AND number IN (SELECT number FROM mailboxes WHERE account_number = $1
    UNION ALL SELECT number FROM retired_mailboxes WHERE account_number = $1);

-- name: account_lacks_texts
UPDATE mailboxes SET texts_state = CASE WHEN texts_state > 0 THEN 0 ELSE texts_state - 1 END
WHERE account_number = $1;

-- name: account_purge_known
INSERT INTO purges (kind, number) SELECT 'known', known_set FROM accounts WHERE number = $1
UNION ALL SELECT 'bounces', known_set FROM accounts WHERE number = $1
ON CONFLICT (kind, number) DO NOTHING;

-- name: account_delete_mailboxes
DELETE FROM mailboxes WHERE account_number = $1;

-- name: account_lose_sync
UPDATE mailboxes SET synced_at_ms = NULL WHERE account_number = $1;

-- name: account_end_replacements
UPDATE retired_mailboxes SET replaced_by = NULL WHERE account_number = $1 AND replaced_by IS NOT NULL;

-- name: account_delete_retired_mailboxes
DELETE FROM retired_mailboxes WHERE account_number = $1;

-- name: account_delete_counters
DELETE FROM event_counters WHERE account_number = $1;

-- name: account_delete_tokens
DELETE FROM tokens WHERE account = $1;

-- name: account_log_insert
INSERT INTO account_log (account_number, time_ms, entry)
SELECT number, CAST($2 AS BIGINT), CAST($3 AS TEXT) FROM accounts WHERE number = $1;

-- name: account_log_trim
DELETE FROM account_log WHERE account_number = $1 AND n <= (
    SELECT n FROM account_log WHERE account_number = $1 ORDER BY n DESC LIMIT 1 OFFSET $2
);

-- name: account_log_read
SELECT entry FROM account_log WHERE account_number = $1 ORDER BY n;
