-- name: local_search sqlite
WITH chosen AS MATERIALIZED (
    SELECT m.mailbox_number, m.uid FROM json_each($1) AS box CROSS JOIN messages AS m INDEXED BY messages_by_text
    WHERE m.mailbox_number = box.value AND m.subject IS NOT NULL AND ($2 = '' OR instr(m.subject, $2) > 0)
        AND ($3 = '' OR instr(m.sender, $3) > 0)
), found AS MATERIALIZED (
    SELECT coalesce(m.date_ms, m.internal_date_ms, 0) AS at_ms, m.mailbox_number AS mailbox, m.uid AS uid
    FROM chosen CROSS JOIN messages AS m
    WHERE m.mailbox_number = chosen.mailbox_number AND m.uid = chosen.uid
        AND ($4 = '' AND $5 = '' AND $6 = '' OR EXISTS (
            SELECT 1 FROM message_texts AS t WHERE t.id = m.mailbox_number * 4294967296 + m.uid
                AND ($4 = '' OR instr(t.to_text, $4) > 0) AND ($5 = '' OR instr(t.cc_text, $5) > 0)
                AND ($6 = '' OR instr(t.bcc_text, $6) > 0)))
        AND ($7 < 0 OR m.size_bytes > $7) AND ($8 < 0 OR m.size_bytes < $8)
        AND ($9 < 0 OR (CASE WHEN instr(lower(m.flags), '\seen') > 0 THEN 1 ELSE 0 END) = $9)
        AND ($10 < 0 OR (CASE WHEN instr(lower(m.flags), '\flagged') > 0 THEN 1 ELSE 0 END) = $10)
        AND ($11 < 0 OR (CASE WHEN instr(lower(m.flags), '\answered') > 0 THEN 1 ELSE 0 END) = $11)
        AND ($12 < 0 OR (CASE WHEN instr(lower(m.flags), '\draft') > 0 THEN 1 ELSE 0 END) = $12)
        AND ($13 < 0 OR (CASE WHEN instr(lower(m.flags), '\deleted') > 0 THEN 1 ELSE 0 END) = $13)
        AND ($14 IS NULL OR m.internal_date_ms >= $14) AND ($15 IS NULL OR m.internal_date_ms < $15)
        AND ($18 IS NULL OR m.date_ms >= $18) AND ($19 IS NULL OR m.date_ms < $19)
        AND ($22 = '' OR m.thread IN (SELECT value FROM json_each($22)))
        AND ($16 = '' OR m.thread_id = $16) AND ($17 = '' OR m.email_id IN (SELECT value FROM json_each($17)))
)
SELECT count(*), 0, 0 FROM found
UNION ALL
SELECT * FROM (SELECT at_ms, mailbox, uid FROM found ORDER BY at_ms DESC, mailbox DESC, uid DESC LIMIT $20 OFFSET $21) AS page;

-- name: local_search postgres
WITH found AS MATERIALIZED (
    SELECT coalesce(m.date_ms, m.internal_date_ms, 0) AS at_ms, m.mailbox_number AS mailbox, m.uid AS uid
    FROM messages AS m
    WHERE m.mailbox_number = ANY (ARRAY(
            SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($1 AS TEXT) AS JSON)) AS box(value)))
        AND ($2 = '' OR strpos(m.subject, $2) > 0) AND ($3 = '' OR strpos(m.sender, $3) > 0)
        AND ($4 = '' AND $5 = '' AND $6 = '' OR EXISTS (
            SELECT 1 FROM message_texts AS t WHERE t.mailbox_number = m.mailbox_number AND t.uid = m.uid
                AND ($4 = '' OR strpos(t.to_text, $4) > 0) AND ($5 = '' OR strpos(t.cc_text, $5) > 0)
                AND ($6 = '' OR strpos(t.bcc_text, $6) > 0)))
        AND ($7 < 0 OR m.size_bytes > $7) AND ($8 < 0 OR m.size_bytes < $8)
        AND ($9 < 0 OR (CASE WHEN strpos(lower(m.flags), '\seen') > 0 THEN 1 ELSE 0 END) = $9)
        AND ($10 < 0 OR (CASE WHEN strpos(lower(m.flags), '\flagged') > 0 THEN 1 ELSE 0 END) = $10)
        AND ($11 < 0 OR (CASE WHEN strpos(lower(m.flags), '\answered') > 0 THEN 1 ELSE 0 END) = $11)
        AND ($12 < 0 OR (CASE WHEN strpos(lower(m.flags), '\draft') > 0 THEN 1 ELSE 0 END) = $12)
        AND ($13 < 0 OR (CASE WHEN strpos(lower(m.flags), '\deleted') > 0 THEN 1 ELSE 0 END) = $13)
        AND (CAST($14 AS BIGINT) IS NULL OR m.internal_date_ms >= $14)
        AND (CAST($15 AS BIGINT) IS NULL OR m.internal_date_ms < $15)
        AND (CAST($18 AS BIGINT) IS NULL OR m.date_ms >= $18) AND (CAST($19 AS BIGINT) IS NULL OR m.date_ms < $19)
        AND ($22 = '' OR m.thread = ANY (ARRAY(
            SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($22 AS TEXT) AS JSON)) AS one(value))))
        AND ($16 = '' OR m.thread_id = $16) AND ($17 = '' OR m.email_id = ANY (ARRAY(SELECT json_array_elements_text(CAST(CAST($17 AS TEXT) AS JSON)))))
)
SELECT count(*), 0, 0 FROM found
UNION ALL
SELECT * FROM (SELECT at_ms, mailbox, uid FROM found ORDER BY at_ms DESC, mailbox DESC, uid DESC LIMIT $20 OFFSET $21) AS page;

-- name: local_search_words sqlite
WITH found AS MATERIALIZED (
    SELECT coalesce(m.date_ms, m.internal_date_ms, 0) AS at_ms, m.mailbox_number AS mailbox, m.uid AS uid
    FROM json_each($23) AS sought CROSS JOIN message_words AS w CROSS JOIN messages AS m
    WHERE w.words MATCH json_extract(sought.value, '$.match')
        AND w.rowid >= json_extract(sought.value, '$.first') * 4294967296
        AND w.rowid < (json_extract(sought.value, '$.last') + 1) * 4294967296
        AND m.mailbox_number = (w.rowid >> 32) AND m.uid = (w.rowid & 4294967295)
        AND m.mailbox_number IN (SELECT value FROM json_each($1))
        AND ($2 = '' OR instr(m.subject, $2) > 0) AND ($3 = '' OR instr(m.sender, $3) > 0)
        AND ($4 = '' AND $5 = '' AND $6 = '' OR EXISTS (
            SELECT 1 FROM message_texts AS t WHERE t.id = m.mailbox_number * 4294967296 + m.uid
                AND ($4 = '' OR instr(t.to_text, $4) > 0) AND ($5 = '' OR instr(t.cc_text, $5) > 0)
                AND ($6 = '' OR instr(t.bcc_text, $6) > 0)))
        AND ($7 < 0 OR m.size_bytes > $7) AND ($8 < 0 OR m.size_bytes < $8)
        AND ($9 < 0 OR (CASE WHEN instr(lower(m.flags), '\seen') > 0 THEN 1 ELSE 0 END) = $9)
        AND ($10 < 0 OR (CASE WHEN instr(lower(m.flags), '\flagged') > 0 THEN 1 ELSE 0 END) = $10)
        AND ($11 < 0 OR (CASE WHEN instr(lower(m.flags), '\answered') > 0 THEN 1 ELSE 0 END) = $11)
        AND ($12 < 0 OR (CASE WHEN instr(lower(m.flags), '\draft') > 0 THEN 1 ELSE 0 END) = $12)
        AND ($13 < 0 OR (CASE WHEN instr(lower(m.flags), '\deleted') > 0 THEN 1 ELSE 0 END) = $13)
        AND ($14 IS NULL OR m.internal_date_ms >= $14) AND ($15 IS NULL OR m.internal_date_ms < $15)
        AND ($18 IS NULL OR m.date_ms >= $18) AND ($19 IS NULL OR m.date_ms < $19)
        AND ($22 = '' OR m.thread IN (SELECT value FROM json_each($22)))
        AND ($16 = '' OR m.thread_id = $16) AND ($17 = '' OR m.email_id IN (SELECT value FROM json_each($17)))
)
SELECT count(*), 0, 0 FROM found
UNION ALL
SELECT * FROM (SELECT at_ms, mailbox, uid FROM found ORDER BY at_ms DESC, mailbox DESC, uid DESC LIMIT $20 OFFSET $21) AS page;

-- name: local_search_words postgres
WITH hits AS MATERIALIZED (
    SELECT hit.mailbox_number, hit.uid
    FROM json_array_elements(CAST(CAST($23 AS TEXT) AS JSON)) AS sought(query) CROSS JOIN LATERAL (
        SELECT w.mailbox_number, w.uid FROM message_texts AS w
        WHERE array_to_tsvector(string_to_array(w.scope || replace(w.words, ' ', ' ' || w.scope), ' '))
                @@ CAST(sought.query ->> 'lexemes' AS tsquery)
            AND NOT EXISTS (SELECT 1 FROM json_array_elements_text(sought.query -> 'phrases') AS one(phrase)
                WHERE strpos(' ' || w.words || ' ', one.phrase) = 0)
    ) AS hit
    WHERE hit.mailbox_number = ANY (ARRAY(
        SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($1 AS TEXT) AS JSON)) AS box(value)))
), found AS MATERIALIZED (
    SELECT coalesce(m.date_ms, m.internal_date_ms, 0) AS at_ms, m.mailbox_number AS mailbox, m.uid AS uid
    FROM hits CROSS JOIN LATERAL (
        -- OFFSET: looked up by their key, since the planner takes hits for many and would read all messages.
        SELECT * FROM messages WHERE mailbox_number = hits.mailbox_number AND uid = hits.uid OFFSET 0
    ) AS m
    WHERE ($2 = '' OR strpos(m.subject, $2) > 0) AND ($3 = '' OR strpos(m.sender, $3) > 0)
        AND ($4 = '' AND $5 = '' AND $6 = '' OR EXISTS (
            SELECT 1 FROM message_texts AS t WHERE t.mailbox_number = m.mailbox_number AND t.uid = m.uid
                AND ($4 = '' OR strpos(t.to_text, $4) > 0) AND ($5 = '' OR strpos(t.cc_text, $5) > 0)
                AND ($6 = '' OR strpos(t.bcc_text, $6) > 0)))
        AND ($7 < 0 OR m.size_bytes > $7) AND ($8 < 0 OR m.size_bytes < $8)
        AND ($9 < 0 OR (CASE WHEN strpos(lower(m.flags), '\seen') > 0 THEN 1 ELSE 0 END) = $9)
        AND ($10 < 0 OR (CASE WHEN strpos(lower(m.flags), '\flagged') > 0 THEN 1 ELSE 0 END) = $10)
        AND ($11 < 0 OR (CASE WHEN strpos(lower(m.flags), '\answered') > 0 THEN 1 ELSE 0 END) = $11)
        AND ($12 < 0 OR (CASE WHEN strpos(lower(m.flags), '\draft') > 0 THEN 1 ELSE 0 END) = $12)
        AND ($13 < 0 OR (CASE WHEN strpos(lower(m.flags), '\deleted') > 0 THEN 1 ELSE 0 END) = $13)
        AND (CAST($14 AS BIGINT) IS NULL OR m.internal_date_ms >= $14)
        AND (CAST($15 AS BIGINT) IS NULL OR m.internal_date_ms < $15)
        AND (CAST($18 AS BIGINT) IS NULL OR m.date_ms >= $18) AND (CAST($19 AS BIGINT) IS NULL OR m.date_ms < $19)
        AND ($22 = '' OR m.thread = ANY (ARRAY(
            SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($22 AS TEXT) AS JSON)) AS one(value))))
        AND ($16 = '' OR m.thread_id = $16) AND ($17 = '' OR m.email_id = ANY (ARRAY(SELECT json_array_elements_text(CAST(CAST($17 AS TEXT) AS JSON)))))
)
SELECT count(*), 0, 0 FROM found
UNION ALL
SELECT * FROM (SELECT at_ms, mailbox, uid FROM found ORDER BY at_ms DESC, mailbox DESC, uid DESC LIMIT $20 OFFSET $21) AS page;

-- name: local_entries sqlite
SELECT m.mailbox_number, m.uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id,
    labels, thread, digested, error
FROM json_each($1) AS place CROSS JOIN messages AS m
WHERE m.mailbox_number = json_extract(place.value, '$[0]') AND m.uid = json_extract(place.value, '$[1]');

-- name: local_entries postgres
SELECT m.mailbox_number, m.uid, flags, modseq, internal_date_ms, size_bytes, envelope, structure, email_id, thread_id,
    labels, thread, digested, error
FROM json_array_elements(CAST(CAST($1 AS TEXT) AS JSON)) AS place(pair)
JOIN messages AS m ON m.mailbox_number = CAST(place.pair ->> 0 AS BIGINT) AND m.uid = CAST(place.pair ->> 1 AS BIGINT);

-- name: local_mailboxes sqlite
SELECT number, account_number, listing, uidvalidity, uidnext, highestmodseq, messages, initial_uidnext, synced_at_ms,
    seen_uidvalidity, seen_uidnext, seen_messages, seen_unseen, seen_highestmodseq, seen_at_ms, seen_epoch,
    missing_since_ms, verified_at_ms, verified_messages, verified_missing, texts_state
FROM mailboxes WHERE account_number IN (SELECT value FROM json_each($1)) ORDER BY number;

-- name: local_mailboxes postgres
SELECT number, account_number, listing, uidvalidity, uidnext, highestmodseq, messages, initial_uidnext, synced_at_ms,
    seen_uidvalidity, seen_uidnext, seen_messages, seen_unseen, seen_highestmodseq, seen_at_ms, seen_epoch,
    missing_since_ms, verified_at_ms, verified_messages, verified_missing, texts_state
FROM mailboxes WHERE account_number = ANY (ARRAY(
    SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($1 AS TEXT) AS JSON)) AS one(value)))
ORDER BY number;

-- name: local_unread sqlite
SELECT value FROM json_each($1) AS box
WHERE EXISTS (
        SELECT 1 FROM messages INDEXED BY messages_without_envelope
        WHERE mailbox_number = box.value AND envelope IS NULL AND error IS NULL
    )
    OR EXISTS (
        SELECT 1 FROM messages INDEXED BY messages_with_error WHERE mailbox_number = box.value AND error IS NOT NULL
    );

-- name: local_unread postgres
SELECT CAST(value AS BIGINT) FROM json_array_elements_text(CAST(CAST($1 AS TEXT) AS JSON)) AS box(value)
WHERE EXISTS (SELECT 1 FROM messages WHERE mailbox_number = CAST(value AS BIGINT) AND envelope IS NULL AND error IS NULL)
    OR EXISTS (SELECT 1 FROM messages WHERE mailbox_number = CAST(value AS BIGINT) AND error IS NOT NULL);

-- name: local_threads sqlite
WITH RECURSIVE way (account_number, thread) AS (
    SELECT value, $2 FROM json_each($1)
    UNION
    SELECT l.account_number, l.thread FROM way JOIN thread_links AS l
        ON l.account_number = way.account_number AND l.link = way.thread
)
SELECT DISTINCT thread FROM way;

-- name: local_threads postgres
WITH RECURSIVE way (account_number, thread) AS (
    SELECT CAST(value AS BIGINT), CAST($2 AS BIGINT)
    FROM json_array_elements_text(CAST(CAST($1 AS TEXT) AS JSON)) AS one(value)
    UNION
    SELECT l.account_number, l.thread FROM way JOIN thread_links AS l
        ON l.account_number = way.account_number AND l.link = way.thread
)
SELECT DISTINCT thread FROM way;
