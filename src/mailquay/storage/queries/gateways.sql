-- name: gateway_count
SELECT count(*) FROM gateways;

-- name: gateway_page
SELECT id, name, private, deliveries, last_use_ms, last_error FROM gateways ORDER BY id LIMIT $1 OFFSET $2;

-- name: gateway_by_id
SELECT id, name, private, deliveries, last_use_ms, last_error FROM gateways WHERE id = $1;

-- name: gateway_lock sqlite
SELECT id, name, private, deliveries, last_use_ms, last_error FROM gateways WHERE id = $1;

-- name: gateway_lock postgres
SELECT id, name, private, deliveries, last_use_ms, last_error FROM gateways WHERE id = $1 FOR UPDATE;

-- name: gateway_insert
INSERT INTO gateways (id, name, private, deliveries) VALUES ($1, $2, $3, 0) ON CONFLICT (id) DO NOTHING RETURNING id;

-- name: gateway_update
UPDATE gateways SET name = $2, private = $3 WHERE id = $1;

-- name: gateway_delivered
UPDATE gateways SET deliveries = deliveries + 1, last_use_ms = $2, last_error = NULL WHERE id = $1;

-- name: gateway_failed
UPDATE gateways SET last_error = $2 WHERE id = $1;

-- name: gateway_delete
DELETE FROM gateways WHERE id = $1 RETURNING id;
