-- name: passing_find sqlite
SELECT digest, mailbox_number, uid, path, special_use, size_bytes FROM passing_messages
WHERE account_number = $1 AND arrived = $2 AND at_ms >= $3 AND digest IN (SELECT value FROM json_each($4))
    AND mailbox_number <> $6
ORDER BY digest, mailbox_number, uid LIMIT $5;

-- name: passing_find postgres
SELECT found.digest, mailbox_number, uid, path, special_use, size_bytes
FROM (SELECT CAST(value AS BIGINT) AS digest FROM json_array_elements_text(CAST($4 AS JSON))) AS wanted
CROSS JOIN LATERAL (
    SELECT * FROM passing_messages
    WHERE account_number = $1 AND arrived = $2 AND digest = wanted.digest AND at_ms >= $3
        AND mailbox_number <> $6
    ORDER BY mailbox_number, uid LIMIT $5
) AS found
ORDER BY found.digest, mailbox_number, uid LIMIT $5;

-- name: passing_take
DELETE FROM passing_messages
WHERE account_number = $1 AND arrived = $2 AND digest = $3 AND mailbox_number = $4 AND uid = $5;

-- name: passing_keep sqlite
INSERT INTO passing_messages (account_number, arrived, mailbox_number, path, special_use, at_ms, digest, uid, size_bytes)
SELECT $1, $2, $3, $4, $5, $6, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
FROM json_each($7) WHERE true
ON CONFLICT (account_number, arrived, digest, mailbox_number, uid) DO UPDATE SET at_ms = excluded.at_ms;

-- name: passing_keep postgres
INSERT INTO passing_messages (account_number, arrived, mailbox_number, path, special_use, at_ms, digest, uid, size_bytes)
SELECT $1, $2, $3, $4, $5, $6, CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT), CAST(value ->> 2 AS BIGINT)
FROM json_array_elements(CAST($7 AS JSON))
ON CONFLICT (account_number, arrived, digest, mailbox_number, uid) DO UPDATE SET at_ms = excluded.at_ms;

-- name: passing_expire sqlite
DELETE FROM passing_messages WHERE (account_number, arrived, digest, mailbox_number, uid) IN
    (SELECT account_number, arrived, digest, mailbox_number, uid FROM passing_messages WHERE at_ms < $1 LIMIT $2)
RETURNING 1;

-- name: passing_expire postgres
DELETE FROM passing_messages WHERE (account_number, arrived, digest, mailbox_number, uid) IN
    (SELECT account_number, arrived, digest, mailbox_number, uid FROM passing_messages WHERE at_ms < $1 LIMIT $2
    FOR UPDATE SKIP LOCKED)
RETURNING 1;
