-- Pages of sealed fields, and writing one back unless it changed meanwhile.

-- name: reseal_accounts
SELECT number, private, id FROM accounts WHERE number > $1 ORDER BY number LIMIT $2;

-- name: reseal_account
UPDATE accounts SET private = $2 WHERE number = $1 AND private = $3;

-- name: reseal_settings
SELECT key, secret FROM settings WHERE key > $1 AND secret IS NOT NULL ORDER BY key LIMIT $2;

-- name: reseal_setting
UPDATE settings SET secret = $2 WHERE key = $1 AND secret = $3;

-- name: reseal_contents
SELECT c.position, c.content, e.event_id FROM event_contents c JOIN events e ON e.position = c.position
WHERE c.position > $1 ORDER BY c.position LIMIT $2;

-- name: reseal_content
UPDATE event_contents SET content = $2 WHERE position = $1 AND content = $3;

-- name: reseal_parked
SELECT position, target FROM parked_deliveries WHERE position > $1 ORDER BY position LIMIT $2;

-- name: reseal_parked_one
UPDATE parked_deliveries SET target = $2 WHERE position = $1 AND target = $3;

-- name: reseal_metas
SELECT queue_id, meta FROM outbox WHERE queue_id > $1 ORDER BY queue_id LIMIT $2;

-- name: reseal_meta
UPDATE outbox SET meta = $2 WHERE queue_id = $1 AND meta = $3;

-- name: reseal_bodies
SELECT queue_id, body FROM outbox WHERE queue_id > $1 ORDER BY queue_id LIMIT $2;

-- name: reseal_body
UPDATE outbox SET body = $2 WHERE queue_id = $1 AND body = $3;

-- name: reseal_chunks
SELECT blob_id, n, data FROM blob_chunks WHERE blob_id > $1 OR (blob_id = $1 AND n > $2) ORDER BY blob_id, n LIMIT $3;

-- name: reseal_chunk
UPDATE blob_chunks SET data = $3 WHERE blob_id = $1 AND n = $2 AND data = $4;

-- name: reseal_responses
SELECT account_number, digest, response FROM idempotency
WHERE account_number > $1 OR (account_number = $1 AND digest > $2) ORDER BY account_number, digest LIMIT $3;

-- name: reseal_response
UPDATE idempotency SET response = $3 WHERE account_number = $1 AND digest = $2 AND response = $4;

-- name: reseal_exports
SELECT id, secret FROM exports WHERE id > $1 ORDER BY id LIMIT $2;

-- name: reseal_export
UPDATE exports SET secret = $2 WHERE id = $1 AND secret = $3;

-- name: reseal_gateways
SELECT id, private FROM gateways WHERE id > $1 ORDER BY id LIMIT $2;

-- name: reseal_gateway
UPDATE gateways SET private = $2 WHERE id = $1 AND private = $3;
