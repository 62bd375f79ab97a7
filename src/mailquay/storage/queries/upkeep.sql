-- name: purge_add
INSERT INTO purges (kind, number) VALUES ($1, $2) ON CONFLICT (kind, number) DO NOTHING;

-- name: purge_next sqlite
SELECT kind, number, done_below FROM purges ORDER BY kind, number LIMIT 1;

-- name: purge_next postgres
SELECT kind, number, done_below FROM purges ORDER BY kind, number LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: purge_done
DELETE FROM purges WHERE kind = $1 AND number = $2;

-- name: purge_contents_window
SELECT uid FROM messages WHERE mailbox_number = $1 AND uid >= $2 ORDER BY uid LIMIT 1 OFFSET $3;

-- name: purge_contents
UPDATE messages SET envelope = NULL, structure = NULL, subject = NULL, sender = NULL, date_ms = NULL
WHERE mailbox_number = $1 AND uid >= $2 AND uid < $3 AND (envelope IS NOT NULL OR structure IS NOT NULL);

-- name: purge_done_below
UPDATE purges SET done_below = $3 WHERE kind = $1 AND number = $2;

-- name: purge_texts sqlite
DELETE FROM message_texts WHERE id IN (
    SELECT id FROM message_texts WHERE id >= $1 * 4294967296 AND id < ($1 + 1) * 4294967296 ORDER BY id LIMIT $2
) RETURNING 1;

-- name: purge_texts postgres
DELETE FROM message_texts WHERE mailbox_number = $1 AND uid IN (
    SELECT uid FROM message_texts WHERE mailbox_number = $1 ORDER BY uid LIMIT $2
) RETURNING 1;

-- name: purge_words_add
INSERT INTO purges (kind, number) VALUES ('words', 0) ON CONFLICT (kind, number) DO UPDATE SET done_below = 0;

-- name: purge_messages
DELETE FROM messages WHERE mailbox_number = $1 AND uid < coalesce(
    (SELECT uid FROM messages WHERE mailbox_number = $1 ORDER BY uid LIMIT 1 OFFSET $2), 9223372036854775807
) RETURNING 1;

-- name: purge_known
DELETE FROM known_messages WHERE set_number = $1 AND digest <= coalesce(
    (SELECT digest FROM known_messages WHERE set_number = $1 ORDER BY digest LIMIT 1 OFFSET $2), 9223372036854775807
) RETURNING 1;

-- name: purge_bounces
DELETE FROM bounces WHERE set_number = $1 AND (original, report) IN (
    SELECT original, report FROM bounces WHERE set_number = $1 ORDER BY original, report LIMIT $2
) RETURNING 1;

-- name: purge_threads
DELETE FROM thread_links WHERE account_number = $1 AND link <= coalesce(
    (SELECT link FROM thread_links WHERE account_number = $1 ORDER BY link LIMIT 1 OFFSET $2), 9223372036854775807
) RETURNING 1;

-- name: purge_idempotency
DELETE FROM idempotency WHERE account_number = $1 AND digest IN (
    SELECT digest FROM idempotency WHERE account_number = $1 ORDER BY digest LIMIT $2
) RETURNING 1;

-- name: purge_log
DELETE FROM account_log WHERE n IN (SELECT n FROM account_log WHERE account_number = $1 ORDER BY n LIMIT $2) RETURNING 1;

-- name: purge_parked
DELETE FROM parked_deliveries WHERE position IN (
    SELECT position FROM parked_deliveries WHERE account_number = $1 ORDER BY position LIMIT $2
) RETURNING 1;

-- name: purge_passing
DELETE FROM passing_messages WHERE account_number = $1 AND (arrived, digest, mailbox_number, uid) IN (
    SELECT arrived, digest, mailbox_number, uid FROM passing_messages WHERE account_number = $1 LIMIT $2
) RETURNING 1;

-- name: purge_outbox_some
SELECT queue_id, blob, size_bytes FROM outbox WHERE account_number = $1 LIMIT $2;

-- name: known_messages_window
SELECT set_number, digest FROM known_messages WHERE (set_number, digest) > ($1, $2)
ORDER BY set_number, digest LIMIT 1 OFFSET $3;

-- name: known_messages_expire
DELETE FROM known_messages WHERE (set_number, digest) > ($1, $2) AND (set_number, digest) <= ($3, $4) AND seen_day < $5
RETURNING 1;

-- name: retired_mailboxes_expire
DELETE FROM retired_mailboxes WHERE retired_ms < $1 AND replaced_by IS NULL;

-- name: nodes_expire
DELETE FROM nodes WHERE expires_ms < $1 AND NOT EXISTS (SELECT 1 FROM leases WHERE node_id = nodes.id);

-- name: token_logs_orphaned
SELECT DISTINCT token_id FROM token_log WHERE NOT EXISTS (SELECT 1 FROM tokens WHERE id = token_log.token_id) LIMIT 100;

-- name: token_log_purge
DELETE FROM token_log WHERE n IN (SELECT n FROM token_log WHERE token_id = $1 ORDER BY n LIMIT $2) RETURNING 1;

-- name: purge_export_messages
DELETE FROM export_messages WHERE export_number = $1 AND (date_ms, mailbox_number, uid) IN (
    SELECT date_ms, mailbox_number, uid FROM export_messages WHERE export_number = $1 LIMIT $2
) RETURNING 1;

-- name: purge_export_folders
DELETE FROM export_folders WHERE export_number = $1 AND n IN (
    SELECT n FROM export_folders WHERE export_number = $1 ORDER BY n LIMIT $2
) RETURNING 1;

-- name: purge_export_segments
DELETE FROM export_segments WHERE export_number = $1 AND n IN (
    SELECT n FROM export_segments WHERE export_number = $1 ORDER BY n LIMIT $2
) RETURNING 1;

-- name: purge_exports_some
SELECT number FROM exports WHERE account_number = $1 ORDER BY number LIMIT $2;

-- name: purge_templates
DELETE FROM templates WHERE number IN (
    SELECT number FROM templates WHERE account_number = $1 ORDER BY number LIMIT $2
) RETURNING 1;
