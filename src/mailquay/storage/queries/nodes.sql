-- name: clock_ms sqlite
SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER);

-- name: clock_ms postgres
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- name: node_put
INSERT INTO nodes (id, address, roles, draining, started_ms, expires_ms) VALUES ($1, $2, $3, 0, $4, $5)
ON CONFLICT (id) DO UPDATE SET address = excluded.address, roles = excluded.roles, draining = 0,
    started_ms = CASE WHEN excluded.started_ms > nodes.started_ms THEN excluded.started_ms
        ELSE nodes.started_ms + 1 END,
    expires_ms = excluded.expires_ms
RETURNING started_ms;

-- name: node_renew
UPDATE nodes SET expires_ms = $2 WHERE id = $1 AND started_ms = $3 RETURNING id;

-- name: node_drain
UPDATE nodes SET draining = 1 WHERE id = $1 AND started_ms = $2;

-- name: node_delete
DELETE FROM nodes WHERE id = $1 AND started_ms = $2 RETURNING id;

-- name: nodes_all
SELECT id, address, roles, draining, started_ms, expires_ms FROM nodes ORDER BY id;

-- name: leases_raise
UPDATE leases SET epoch = epoch + 1 WHERE node_id = $1;

-- name: leases_of_node
SELECT account_number, node_id, epoch FROM leases WHERE node_id = $1;

-- name: leases_sums
SELECT count(*), coalesce(sum(account_number), 0), coalesce(sum(epoch), 0) FROM leases WHERE node_id = $1;

-- name: lease_by_account
SELECT account_number, node_id, epoch FROM leases WHERE account_number = $1;

-- name: lease_fence sqlite
SELECT epoch FROM leases WHERE account_number = $1;

-- name: lease_fence postgres
SELECT epoch FROM leases WHERE account_number = $1 FOR SHARE;

-- name: lease_insert
INSERT INTO leases (account_number, node_id, epoch) VALUES ($1, NULL, 0) ON CONFLICT (account_number) DO NOTHING;

-- name: lease_delete
DELETE FROM leases WHERE account_number = $1;

-- name: leases_free
SELECT l.account_number, l.node_id, l.epoch FROM leases l LEFT JOIN nodes n ON n.id = l.node_id
WHERE l.node_id IS NULL OR n.id IS NULL OR n.expires_ms < $1;

-- name: lease_take
UPDATE leases SET node_id = $2, epoch = epoch + 1 WHERE account_number = $1 AND epoch = $3 RETURNING epoch;

-- name: lease_release
UPDATE leases SET node_id = NULL WHERE account_number = $1 AND node_id = $2 AND epoch = $3 RETURNING epoch;

-- name: leases_release_all
UPDATE leases SET node_id = NULL WHERE node_id = $1;

-- name: lease_account_state
UPDATE accounts SET state = $2 WHERE number = $1 AND state IN ('connected', 'syncing', 'connecting') AND state <> $2;

-- name: leases_account_states
UPDATE accounts SET state = $2 WHERE state IN ('connected', 'syncing', 'connecting') AND state <> $2
    AND number IN (SELECT account_number FROM leases WHERE node_id = $1);

-- name: instance_lock_take
INSERT INTO instance_locks (name, holder, expires_ms) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_ms = excluded.expires_ms
WHERE instance_locks.holder = excluded.holder OR instance_locks.expires_ms < $4
RETURNING name;

-- name: instance_lock_release
DELETE FROM instance_locks WHERE name = $1 AND holder = $2;
