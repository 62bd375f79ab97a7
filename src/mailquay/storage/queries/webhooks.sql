-- name: webhook_cursor_get
SELECT sequence, attempts_made, next_attempt_ms, failing_since_ms, last_error FROM webhook_cursors
WHERE account_number = $1;

-- name: webhook_cursor_put
INSERT INTO webhook_cursors (account_number, sequence, attempts_made, next_attempt_ms, failing_since_ms, last_error)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account_number) DO UPDATE SET sequence = excluded.sequence, attempts_made = excluded.attempts_made,
    next_attempt_ms = excluded.next_attempt_ms, failing_since_ms = excluded.failing_since_ms,
    last_error = excluded.last_error;

-- name: webhook_cursor_delete
DELETE FROM webhook_cursors WHERE account_number = $1;

-- name: webhook_backlog
SELECT s.account_number, s.value - coalesce(c.sequence, 0) FROM sequences s
LEFT JOIN webhook_cursors c ON c.account_number = s.account_number
WHERE s.value > coalesce(c.sequence, 0);

-- name: webhook_orphans
SELECT s.account_number FROM sequences s LEFT JOIN webhook_cursors c ON c.account_number = s.account_number
LEFT JOIN accounts a ON a.number = s.account_number
WHERE a.number IS NULL AND s.value > coalesce(c.sequence, 0);

-- name: parked_insert
INSERT INTO parked_deliveries (position, account_number, target, attempts_made, error, parked_ms)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (position) DO NOTHING;

-- name: parked_of_account
SELECT position, target, attempts_made, error, parked_ms FROM parked_deliveries WHERE account_number = $1
ORDER BY position;

-- name: parked_delete
DELETE FROM parked_deliveries WHERE position = $1;
