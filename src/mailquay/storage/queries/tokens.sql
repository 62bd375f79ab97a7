-- name: token_insert
INSERT INTO tokens (id, account, description, record, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: token_by_id
SELECT record, used_ms, used_ip FROM tokens WHERE id = $1;

-- name: token_delete
DELETE FROM tokens WHERE id = $1 RETURNING id;

-- name: token_delete_log
DELETE FROM token_log WHERE token_id = $1;

-- name: token_delete_window
DELETE FROM token_windows WHERE token_id = $1;

-- name: token_delete_expired
DELETE FROM tokens WHERE expires_ms IS NOT NULL AND expires_ms <= $1;

-- name: token_page
SELECT record, used_ms, used_ip FROM tokens
WHERE ($1 = '' OR account = $1)
    AND ($2 = '' OR lower(id || ' ' || description || ' ' || coalesce(account, '')) LIKE $2 ESCAPE '\')
    AND (expires_ms IS NULL OR expires_ms > $5)
ORDER BY id DESC LIMIT $3 OFFSET $4;

-- name: token_count
SELECT count(*) FROM tokens
WHERE ($1 = '' OR account = $1)
    AND ($2 = '' OR lower(id || ' ' || description || ' ' || coalesce(account, '')) LIKE $2 ESCAPE '\')
    AND (expires_ms IS NULL OR expires_ms > $3);

-- name: token_used
UPDATE tokens SET used_ms = $2, used_ip = $3 WHERE id = $1 AND (used_ms IS NULL OR used_ms < $2);

-- name: token_window_hit
INSERT INTO token_windows (token_id, started, requests) VALUES ($1, $2, 1)
ON CONFLICT (token_id) DO UPDATE SET
    requests = CASE WHEN token_windows.started = excluded.started THEN token_windows.requests + 1 ELSE 1 END,
    started = excluded.started
RETURNING requests;

-- name: token_log_insert
INSERT INTO token_log (token_id, time_ms, entry) VALUES ($1, $2, $3);

-- name: token_log_trim
DELETE FROM token_log WHERE token_id = $1 AND (time_ms < $3 OR n <= (
    SELECT n FROM token_log WHERE token_id = $1 ORDER BY n DESC LIMIT 1 OFFSET $2
));

-- name: token_log_page
SELECT entry FROM token_log WHERE token_id = $1 ORDER BY n DESC LIMIT $2 OFFSET $3;

-- name: token_log_count
SELECT count(*) FROM token_log WHERE token_id = $1;
