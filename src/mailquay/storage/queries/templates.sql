-- Templates; those of account 0 are for all accounts.

-- name: id_draw
UPDATE positions SET value = value + 1 WHERE name = 'ids' RETURNING value;

-- name: template_count
SELECT count(*) FROM templates WHERE account_number = $1;

-- name: template_page
SELECT t.id, a.id, t.name, t.description, t.format, t.created_ms, t.updated_ms, t.revision
FROM templates t LEFT JOIN accounts a ON a.number = t.account_number
WHERE t.account_number = $1 ORDER BY t.number DESC LIMIT $2 OFFSET $3;

-- name: template_insert
INSERT INTO templates (number, id, account_number, name, description, format, created_ms, updated_ms, revision,
    subject, text, html, preview_text)
VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, 1, $8, $9, $10, $11);

-- name: template_by_id
SELECT t.id, a.id, t.name, t.description, t.format, t.created_ms, t.updated_ms, t.revision,
    t.subject, t.text, t.html, t.preview_text
FROM templates t LEFT JOIN accounts a ON a.number = t.account_number
WHERE t.id = $1 AND (t.account_number = 0 OR a.number IS NOT NULL);

-- name: template_usable
SELECT revision FROM templates WHERE id = $1 AND account_number IN (0, $2);

-- name: template_update
UPDATE templates SET name = coalesce($2, name),
    description = CASE WHEN CAST($3 AS TEXT) IS NULL THEN description ELSE nullif(CAST($3 AS TEXT), '') END,
    format = coalesce($4, format), updated_ms = $5, revision = revision + 1
WHERE id = $1 AND (account_number = 0 OR EXISTS (SELECT 1 FROM accounts WHERE number = account_number))
RETURNING account_number;

-- name: template_update_content
UPDATE templates SET subject = $2, text = $3, html = $4, preview_text = $5 WHERE id = $1;

-- name: template_account
SELECT id FROM accounts WHERE number = $1;

-- name: template_delete
DELETE FROM templates
WHERE id = $1 AND (account_number = 0 OR EXISTS (SELECT 1 FROM accounts WHERE number = account_number))
RETURNING account_number;

-- name: template_newest
SELECT coalesce(max(number), 0) FROM templates WHERE account_number = $1;

-- name: template_delete_some
DELETE FROM templates WHERE number IN (
    SELECT number FROM templates WHERE account_number = $1 AND number <= $2 ORDER BY number LIMIT $3
) RETURNING 1;
