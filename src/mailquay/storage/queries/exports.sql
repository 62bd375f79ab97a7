-- name: export_draw
UPDATE positions SET value = value + 1 WHERE name = 'exports' RETURNING value;

-- name: export_counts
SELECT count(*), coalesce(sum(CASE WHEN account_number = $1 THEN 1 ELSE 0 END), 0) FROM exports
WHERE ended_ms IS NULL AND EXISTS (SELECT 1 FROM accounts WHERE number = exports.account_number);

-- name: export_insert
INSERT INTO exports (number, id, account_number, request, secret, status, phase, progress, created_ms)
VALUES ($1, $2, $3, $4, $5, 'queued', 'indexing', $6, $7);

-- name: export_by_id
SELECT number, id, account_number, request, secret, status, phase, progress, place, node_id, error, error_code,
    created_ms, away_since_ms, ended_ms, expires_ms FROM exports WHERE id = $1 AND account_number = $2;

-- name: export_next
SELECT number, id, account_number, request, secret, status, phase, progress, place, node_id, error, error_code,
    created_ms, away_since_ms, ended_ms, expires_ms FROM exports
WHERE account_number = $1 AND ended_ms IS NULL ORDER BY number LIMIT 1;

-- name: export_page
SELECT id, status, created_ms, expires_ms FROM exports WHERE account_number = $1 ORDER BY number DESC LIMIT $2 OFFSET $3;

-- name: export_count
SELECT count(*) FROM exports WHERE account_number = $1;

-- name: export_accounts
SELECT DISTINCT account_number FROM exports WHERE ended_ms IS NULL;

-- name: export_places
SELECT id, place FROM exports
WHERE (ended_ms IS NULL OR status = 'completed')
    AND EXISTS (SELECT 1 FROM accounts WHERE number = exports.account_number);

-- name: export_lock sqlite
SELECT status FROM exports WHERE number = $1;

-- name: export_lock postgres
SELECT status FROM exports WHERE number = $1 FOR UPDATE;

-- name: export_lock_by_id sqlite
SELECT number, status FROM exports WHERE id = $1 AND account_number = $2;

-- name: export_lock_by_id postgres
SELECT number, status FROM exports WHERE id = $1 AND account_number = $2 FOR UPDATE;

-- name: export_update
UPDATE exports SET status = 'processing', phase = $2, progress = $3, away_since_ms = NULL WHERE number = $1;

-- name: export_settle
UPDATE exports SET place = $2, node_id = $3, progress = $4 WHERE number = $1;

-- name: export_away
UPDATE exports SET away_since_ms = coalesce(away_since_ms, $2) WHERE number = $1;

-- name: export_end
UPDATE exports SET status = $2, phase = $3, error = $4, error_code = $5, away_since_ms = NULL, ended_ms = $6,
    expires_ms = $7
WHERE number = $1;

-- name: export_delete
DELETE FROM exports WHERE number = $1;

-- name: export_expired
SELECT number FROM exports WHERE expires_ms IS NOT NULL AND expires_ms < $1 ORDER BY expires_ms LIMIT $2;

-- name: export_folder_insert
INSERT INTO export_folders (export_number, n, path, mailbox_number, uidvalidity, scanned)
VALUES ($1, $2, $3, $4, NULL, 0);

-- name: export_folders_forget
DELETE FROM export_folders WHERE export_number = $1;

-- name: export_folder_scanned
UPDATE export_folders SET uidvalidity = $3, scanned = 1 WHERE export_number = $1 AND n = $2;

-- name: export_folder_renumber
UPDATE export_folders SET mailbox_number = $3 WHERE export_number = $1 AND n = $2;

-- name: export_folders
SELECT n, path, mailbox_number, uidvalidity, scanned FROM export_folders WHERE export_number = $1 ORDER BY n;

-- name: export_message_insert
INSERT INTO export_messages (export_number, date_ms, mailbox_number, uid, size_bytes) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (export_number, date_ms, mailbox_number, uid) DO NOTHING;

-- name: export_messages_count
SELECT count(*) FROM export_messages WHERE export_number = $1;

-- name: export_messages_forget
DELETE FROM export_messages WHERE export_number = $1 AND (date_ms, mailbox_number, uid) IN (
    SELECT date_ms, mailbox_number, uid FROM export_messages WHERE export_number = $1 AND mailbox_number = $2 LIMIT $3
) RETURNING 1;

-- name: export_messages_after
SELECT date_ms, mailbox_number, uid, size_bytes FROM export_messages
WHERE export_number = $1 AND (date_ms, mailbox_number, uid) > ($2, $3, $4)
ORDER BY date_ms, mailbox_number, uid LIMIT $5;

-- name: export_segment_insert
INSERT INTO export_segments (export_number, n, name, messages, content_bytes, directory_bytes)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: export_segments
SELECT n, name, messages, content_bytes, directory_bytes FROM export_segments WHERE export_number = $1 ORDER BY n;

-- name: export_segments_forget
DELETE FROM export_segments WHERE export_number = $1;
