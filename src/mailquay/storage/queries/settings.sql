-- name: settings_all
SELECT key, value, secret FROM settings;

-- name: setting_put
INSERT INTO settings (key, value, secret) VALUES ($1, $2, $3)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, secret = excluded.secret;

-- name: setting_put_if_absent
INSERT INTO settings (key, value, secret) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING;

-- name: setting_delete
DELETE FROM settings WHERE key = $1;

-- name: queue_pause
INSERT INTO queues (queue, paused) VALUES ($1, $2) ON CONFLICT (queue) DO UPDATE SET paused = excluded.paused;

-- name: queues_all
SELECT queue, paused FROM queues;

-- name: key_insert
INSERT INTO keys (key_id, fingerprint, salt, created_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (key_id) DO NOTHING;

-- name: keys_all
SELECT key_id, fingerprint, salt FROM keys ORDER BY created_ms;

-- name: key_delete
DELETE FROM keys WHERE key_id = $1;

-- name: stat_add
INSERT INTO stats (minute, key, total) VALUES ($1, $2, $3)
ON CONFLICT (minute, key) DO UPDATE SET total = stats.total + excluded.total;

-- name: stats_since
SELECT key, sum(total) FROM stats WHERE minute >= $1 GROUP BY key;

-- name: stats_expire
DELETE FROM stats WHERE minute < $1;
