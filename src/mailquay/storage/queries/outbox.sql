-- name: outbox_insert
INSERT INTO outbox (queue_id, account_number, message_id, meta, phase, created_ms, scheduled_ms, next_attempt_ms,
    attempts_made, attempts, size_bytes, progress, body, blob, filing_attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12, $13, 0);

-- name: outbox_by_id
SELECT queue_id, account_number, message_id, meta, phase, created_ms, scheduled_ms, next_attempt_ms, attempts_made,
    attempts, size_bytes, progress FROM outbox
WHERE queue_id = $1 AND EXISTS (SELECT 1 FROM accounts WHERE number = outbox.account_number);

-- name: outbox_lock sqlite
SELECT queue_id, phase, attempts_made, attempts FROM outbox
WHERE queue_id = $1 AND EXISTS (SELECT 1 FROM accounts WHERE number = outbox.account_number);

-- name: outbox_lock postgres
SELECT queue_id, phase, attempts_made, attempts FROM outbox
WHERE queue_id = $1 AND EXISTS (SELECT 1 FROM accounts WHERE number = outbox.account_number) FOR UPDATE;

-- name: outbox_body
SELECT body, blob FROM outbox WHERE queue_id = $1;

-- name: outbox_due
SELECT queue_id, account_number, message_id, meta, phase, created_ms, scheduled_ms, next_attempt_ms, attempts_made,
    attempts, size_bytes, progress FROM outbox
WHERE account_number = $1 AND next_attempt_ms <= $2 ORDER BY next_attempt_ms, queue_id LIMIT $3;

-- name: outbox_next_due
SELECT min(next_attempt_ms) FROM outbox WHERE account_number = $1 AND next_attempt_ms IS NOT NULL;

-- name: outbox_waiting_accounts
SELECT DISTINCT account_number FROM outbox WHERE next_attempt_ms IS NOT NULL;

-- name: outbox_update
UPDATE outbox SET phase = $2, next_attempt_ms = $3, attempts_made = $4, progress = $5, settled_ms = $6,
    filing_due_ms = $7
WHERE queue_id = $1;

-- name: outbox_drop_body
UPDATE outbox SET body = NULL, blob = NULL WHERE queue_id = $1;

-- name: outbox_filing_due
SELECT queue_id, account_number, message_id, meta, phase, created_ms, scheduled_ms, next_attempt_ms, attempts_made,
    attempts, size_bytes, progress, filing_attempts, body IS NOT NULL OR blob IS NOT NULL FROM outbox
WHERE account_number = $1 AND filing_due_ms <= $2 ORDER BY filing_due_ms, queue_id LIMIT 1;

-- name: outbox_filing_accounts
SELECT DISTINCT account_number FROM outbox WHERE filing_due_ms IS NOT NULL;

-- name: outbox_filing_next
SELECT min(filing_due_ms) FROM outbox WHERE account_number = $1 AND filing_due_ms IS NOT NULL;

-- name: outbox_filing_begin
UPDATE outbox SET filing_due_ms = $2, filing_attempts = filing_attempts + 1 WHERE queue_id = $1 AND phase = 'filing'
RETURNING filing_attempts;

-- name: outbox_data_to_uncertain
UPDATE outbox SET phase = 'uncertain', next_attempt_ms = $2 WHERE account_number = $1 AND phase = 'data'
RETURNING queue_id;

-- name: outbox_hurry
UPDATE outbox SET next_attempt_ms = $2 WHERE queue_id = $1 AND phase = 'queued'
    AND EXISTS (SELECT 1 FROM accounts WHERE number = outbox.account_number)
RETURNING account_number;

-- name: outbox_delete
DELETE FROM outbox WHERE queue_id = $1;

-- name: outbox_recent
SELECT queue_id, account_number, message_id, meta, phase, created_ms, scheduled_ms, next_attempt_ms, attempts_made,
    attempts, size_bytes, progress FROM outbox
WHERE account_number = $1 AND created_ms >= $2 AND created_ms <= $3 LIMIT $4;

-- name: outbox_page
SELECT queue_id, account_number, message_id, meta, phase, created_ms, scheduled_ms, next_attempt_ms, attempts_made,
    attempts, size_bytes, progress FROM outbox
WHERE phase NOT IN ('sent', 'filing') AND EXISTS (SELECT 1 FROM accounts WHERE number = outbox.account_number)
ORDER BY CASE WHEN phase IN ('failed', 'uncertain') THEN 3 WHEN phase = 'data' THEN 2 WHEN next_attempt_ms > $3 THEN 0
    ELSE 1 END, next_attempt_ms DESC, queue_id DESC
LIMIT $1 OFFSET $2;

-- name: outbox_count
SELECT count(*) FROM outbox
WHERE phase NOT IN ('sent', 'filing') AND EXISTS (SELECT 1 FROM accounts WHERE number = outbox.account_number);

-- name: outbox_states
SELECT CASE WHEN phase = 'data' THEN 'active' WHEN phase = 'queued' AND next_attempt_ms > $1 THEN 'delayed'
    WHEN phase = 'queued' THEN 'waiting' ELSE phase END AS state, count(*) FROM outbox
WHERE EXISTS (SELECT 1 FROM accounts WHERE number = outbox.account_number) GROUP BY 1;

-- name: outbox_expired
SELECT queue_id, blob FROM outbox WHERE settled_ms IS NOT NULL AND settled_ms < $1 ORDER BY settled_ms LIMIT $2;

-- name: outbox_settled_beyond
SELECT queue_id, blob FROM outbox WHERE phase = $1 AND settled_ms IS NOT NULL ORDER BY settled_ms DESC LIMIT $2 OFFSET $3;

-- name: blob_insert
INSERT INTO blobs (size_bytes, created_ms) VALUES ($1, $2) RETURNING id;

-- name: blob_chunk_insert
INSERT INTO blob_chunks (blob_id, n, data) VALUES ($1, $2, $3);

-- name: blob_chunk
SELECT data FROM blob_chunks WHERE blob_id = $1 AND n = $2;

-- name: blob_delete_chunks
DELETE FROM blob_chunks WHERE blob_id = $1;

-- name: blob_delete
DELETE FROM blobs WHERE id = $1;

-- name: idempotency_get
SELECT response, created_ms FROM idempotency WHERE account_number = $1 AND digest = $2;

-- name: idempotency_put
INSERT INTO idempotency (account_number, digest, response, created_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_number, digest) DO NOTHING RETURNING created_ms;

-- name: idempotency_delete
DELETE FROM idempotency WHERE account_number = $1 AND digest = $2 AND created_ms < $3;

-- name: idempotency_expire
DELETE FROM idempotency WHERE created_ms < $1;
