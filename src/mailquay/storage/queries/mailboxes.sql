-- name: mailbox_insert
INSERT INTO mailboxes (account_number, path, listing, seen_at_ms, seen_epoch)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account_number, path)
DO UPDATE SET listing = excluded.listing, missing_since_ms = NULL RETURNING number;

-- name: mailbox_update_listing
UPDATE mailboxes SET path = $2, listing = $3, missing_since_ms = NULL WHERE number = $1;

-- name: mailbox_lose_sync
UPDATE mailboxes SET synced_at_ms = NULL WHERE number = $1;

-- name: index_verification
SELECT min(verified_at_ms), coalesce(sum(verified_messages), 0), coalesce(sum(verified_missing), 0) FROM mailboxes
WHERE missing_since_ms IS NULL AND synced_at_ms IS NOT NULL;

-- name: mailbox_verified
UPDATE mailboxes SET verified_at_ms = $2, verified_messages = $3, verified_missing = $4 WHERE number = $1;

-- name: mailbox_update_cursor
UPDATE mailboxes SET uidvalidity = $2, uidnext = $3, highestmodseq = $4, messages = $5, initial_uidnext = $6,
    synced_at_ms = $7, seen_uidvalidity = $2, seen_uidnext = $3, seen_highestmodseq = $4, seen_messages = $5,
    seen_at_ms = $7, seen_epoch = $8
WHERE number = $1;

-- name: mailbox_count_down
UPDATE mailboxes SET messages = messages - $2 WHERE number = $1 AND messages IS NOT NULL;

-- name: mailbox_doubt
UPDATE mailboxes SET seen_at_ms = 0 WHERE number = $1;

-- name: mailbox_update_evidence
UPDATE mailboxes SET seen_uidvalidity = $2, seen_uidnext = $3, seen_messages = $4, seen_unseen = $5,
    seen_highestmodseq = $6, seen_at_ms = $7, seen_epoch = $8
WHERE number = $1;

-- name: mailbox_mark_missing
UPDATE mailboxes SET missing_since_ms = $2 WHERE number = $1;

-- name: mailbox_hold sqlite
SELECT accounts.number, keeps FROM accounts JOIN mailboxes ON accounts.number = account_number
WHERE mailboxes.number = $1;

-- name: mailbox_hold postgres
SELECT accounts.number, keeps FROM accounts JOIN mailboxes ON accounts.number = account_number
WHERE mailboxes.number = $1 FOR KEY SHARE;

-- name: mailbox_by_number
SELECT number, account_number, listing, uidvalidity, uidnext, highestmodseq, messages, initial_uidnext, synced_at_ms,
    seen_uidvalidity, seen_uidnext, seen_messages, seen_unseen, seen_highestmodseq, seen_at_ms, seen_epoch,
    missing_since_ms, verified_at_ms, verified_messages, verified_missing, texts_state
FROM mailboxes WHERE number = $1;

-- name: mailbox_by_path
SELECT number, account_number, listing, uidvalidity, uidnext, highestmodseq, messages, initial_uidnext, synced_at_ms,
    seen_uidvalidity, seen_uidnext, seen_messages, seen_unseen, seen_highestmodseq, seen_at_ms, seen_epoch,
    missing_since_ms, verified_at_ms, verified_messages, verified_missing, texts_state
FROM mailboxes WHERE account_number = $1 AND path = $2;

-- name: mailboxes_of_account
SELECT number, account_number, listing, uidvalidity, uidnext, highestmodseq, messages, initial_uidnext, synced_at_ms,
    seen_uidvalidity, seen_uidnext, seen_messages, seen_unseen, seen_highestmodseq, seen_at_ms, seen_epoch,
    missing_since_ms, verified_at_ms, verified_messages, verified_missing, texts_state
FROM mailboxes WHERE account_number = $1 ORDER BY path;

-- name: mailbox_retire
INSERT INTO retired_mailboxes (number, account_number, path, uidvalidity, retired_ms)
SELECT number, account_number, path, uidvalidity, $2 FROM mailboxes WHERE number = $1
ON CONFLICT (number) DO NOTHING;

-- name: mailbox_replace
INSERT INTO retired_mailboxes (number, account_number, path, uidvalidity, retired_ms, replaced_by, synced_at_ms)
SELECT number, account_number, path, uidvalidity, $2, $3, synced_at_ms FROM mailboxes WHERE number = $1;

-- name: mailbox_returns
SELECT number FROM retired_mailboxes WHERE account_number = $1 AND path = $2 AND uidvalidity = $3
    AND (replaced_by IS NOT NULL OR synced_at_ms IS NOT NULL)
ORDER BY retired_ms DESC, number DESC LIMIT 1;

-- name: mailbox_unretire
DELETE FROM retired_mailboxes WHERE number = $1;

-- name: mailbox_restore
INSERT INTO mailboxes (number, account_number, path, listing, seen_at_ms, seen_epoch)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account_number, path)
DO UPDATE SET listing = excluded.listing, missing_since_ms = NULL RETURNING number;

-- name: mailbox_successor_changed
UPDATE retired_mailboxes SET replaced_by = $2 WHERE replaced_by = $1;

-- name: mailbox_predecessors
SELECT number, uidvalidity, synced_at_ms FROM retired_mailboxes WHERE replaced_by = $1 ORDER BY retired_ms DESC, number DESC;

-- name: mailbox_successor
SELECT replaced_by FROM retired_mailboxes WHERE number = $1 AND replaced_by IS NOT NULL;

-- name: mailbox_purge_predecessors
INSERT INTO purges (kind, number) SELECT 'messages', number FROM retired_mailboxes WHERE replaced_by = $1
ON CONFLICT (kind, number) DO NOTHING;

-- name: mailbox_begin
UPDATE mailboxes SET uidvalidity = $2 WHERE number = $1;

-- name: mailbox_delete
DELETE FROM mailboxes WHERE number = $1;
