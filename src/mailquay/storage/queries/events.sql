-- name: event_position_lock sqlite
SELECT 1;

-- name: event_position_lock postgres
SELECT pg_advisory_xact_lock(7236270811950342753);

-- name: event_positions_draw
UPDATE positions SET value = value + $1 WHERE name = 'events' RETURNING value;

-- name: event_sequences_draw
INSERT INTO sequences (account_number, account_id, value) VALUES ($1, '', $2)
ON CONFLICT (account_number) DO UPDATE SET value = sequences.value + excluded.value RETURNING value, account_id;

-- name: event_sequence_start
INSERT INTO sequences (account_number, account_id, value) VALUES ($1, $2, 0)
ON CONFLICT (account_number) DO NOTHING;

-- name: event_insert
INSERT INTO events (position, account_number, sequence, event_id, account_id, name, date_ms, path, special_use, facts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: event_content_insert
INSERT INTO event_contents (position, content) VALUES ($1, $2);

-- name: event_counter_add
INSERT INTO event_counters (account_number, name, total) VALUES ($1, $2, $3)
ON CONFLICT (account_number, name) DO UPDATE SET total = event_counters.total + excluded.total;

-- name: event_counters_of_account
SELECT name, total FROM event_counters WHERE account_number = $1;

-- name: event_counter_reset
DELETE FROM event_counters WHERE account_number = $1 AND name = $2;

-- name: events_after
SELECT e.position, e.sequence, e.event_id, e.account_number, e.account_id, e.name, e.date_ms, e.facts, c.content,
    e.path, e.special_use
FROM events e LEFT JOIN event_contents c ON c.position = e.position
WHERE e.position > $1 ORDER BY e.position LIMIT $2;

-- name: events_of_account_after
SELECT e.position, e.sequence, e.event_id, e.account_number, e.account_id, e.name, e.date_ms, e.facts, c.content,
    e.path, e.special_use
FROM events e LEFT JOIN event_contents c ON c.position = e.position
WHERE e.account_number = $1 AND e.sequence > $2 ORDER BY e.sequence LIMIT $3;

-- name: event_facts_of_account_after
SELECT position, sequence, event_id, account_number, account_id, name, date_ms, facts, NULL, path, special_use
FROM events WHERE account_number = $1 AND sequence > $2 ORDER BY sequence LIMIT $3;

-- name: event_content_get
SELECT content FROM event_contents WHERE position = $1;

-- name: event_by_position
SELECT e.position, e.sequence, e.event_id, e.account_number, e.account_id, e.name, e.date_ms, e.facts, c.content,
    e.path, e.special_use
FROM events e LEFT JOIN event_contents c ON c.position = e.position WHERE e.position = $1;

-- name: event_last_sequence
SELECT value FROM sequences WHERE account_number = $1;

-- name: event_contents_settle
DELETE FROM event_contents WHERE position IN (
    SELECT position FROM events WHERE account_number = $1 AND sequence > $2 AND sequence <= $3
) AND position NOT IN (SELECT position FROM parked_deliveries WHERE account_number = $1);

-- name: events_expired
SELECT position FROM events WHERE position < coalesce(
    (SELECT e.position FROM events e WHERE e.date_ms >= $1 AND e.date_ms <= $2 ORDER BY e.position LIMIT 1),
    9223372036854775807
) ORDER BY position LIMIT $3;

-- name: event_delete
DELETE FROM events WHERE position = $1;

-- name: event_content_delete
DELETE FROM event_contents WHERE position = $1;
