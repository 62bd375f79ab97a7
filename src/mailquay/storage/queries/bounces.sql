-- name: bounce_count
SELECT count(*) FROM bounces
WHERE set_number = (SELECT known_set FROM accounts WHERE number = $1) AND original = $2 AND report <> $3;

-- name: bounce_put
INSERT INTO bounces (set_number, original, report, mailbox_number, uid, recipient, action, message, status, date_ms)
SELECT known_set, CAST($2 AS BIGINT), CAST($3 AS BIGINT), CAST($4 AS BIGINT), CAST($5 AS BIGINT), CAST($6 AS TEXT),
    CAST($7 AS TEXT), CAST($8 AS TEXT), CAST($9 AS TEXT), CAST($10 AS BIGINT)
FROM accounts WHERE number = $1
ON CONFLICT (set_number, original, report) DO UPDATE SET mailbox_number = excluded.mailbox_number, uid = excluded.uid;

-- name: bounces_of sqlite
SELECT accounts.number, bounces.original, bounces.mailbox_number, bounces.uid, bounces.recipient, bounces.action,
    bounces.message, bounces.status, bounces.date_ms
FROM json_each($1) AS wanted
JOIN accounts ON accounts.number = json_extract(wanted.value, '$[0]')
JOIN bounces ON bounces.set_number = accounts.known_set AND bounces.original = json_extract(wanted.value, '$[1]')
ORDER BY bounces.date_ms, bounces.report;

-- name: bounces_of postgres
SELECT accounts.number, bounces.original, bounces.mailbox_number, bounces.uid, bounces.recipient, bounces.action,
    bounces.message, bounces.status, bounces.date_ms
FROM json_array_elements(CAST(CAST($1 AS TEXT) AS JSON)) AS wanted
JOIN accounts ON accounts.number = CAST(wanted.value ->> 0 AS BIGINT)
JOIN bounces ON bounces.set_number = accounts.known_set AND bounces.original = CAST(wanted.value ->> 1 AS BIGINT)
ORDER BY bounces.date_ms, bounces.report;
