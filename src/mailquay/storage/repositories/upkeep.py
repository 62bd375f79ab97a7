"""What goes in small steps: rows of accounts and mailboxes that are gone, and what is too old to be of use.

Removing an account, a mailbox or an index is one small transaction, after which nothing of it can be found any more. So
is the wish that an index keeps less of messages: nothing of it is added from then on.
What it leaves behind may be millions of rows; they are noted in `purges` and deleted here, so many at a time that
another writer never waits long, by whichever node gets to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.storage.interface import EXPORT_FILES_DUE, PURGE_DUE, Database, Pending, Run, RunMany, Script, Unit

PURGE_ROWS = 2000
_PURGE_BYTES = 32 * 1024 * 1024
"""How much of large bodies is deleted at a time; at least one is."""
_PURGE_EXPORTS = 100
_DAY_MS = 24 * 3600 * 1000
_PURGED_TEXTS = 100
"""Each has hundreds of words, which are taken out of the full-text index one by one."""
_MERGED_PAGES = 250
_PURGED_TEMPLATES = 4
"""Each may have 10 MB."""

_PURGES = {
    "known": "purge_known",
    "bounces": "purge_bounces",
    "threads": "purge_threads",
    "idempotency": "purge_idempotency",
    "log": "purge_log",
    "parked": "purge_parked",
    "passing": "purge_passing",
    "export messages": "purge_export_messages",
    "export folders": "purge_export_folders",
    "export segments": "purge_export_segments",
}
"""The statements that delete what is kept under a number: of a mailbox, a set of digests, an account, an export."""

OF_ACCOUNT = ("outbox", "idempotency", "log", "parked", "threads", "passing", "exports", "templates")
"""What an account leaves behind under its own number."""


def detach(kind: str, number: int, pending: Pending) -> Script[None]:
    """Note, in the transaction that makes something vanish, that its rows are to be deleted."""
    yield Run("purge_add", (kind, number))
    pending.signal(PURGE_DUE)


def forget_export_plan(number: int, pending: Pending) -> Script[None]:
    """An export is over: which messages it was to hold is of no use any more."""
    yield from detach("export messages", number, pending)
    yield from detach("export folders", number, pending)


def drop_export(number: int, pending: Pending) -> Script[None]:
    """Forget an export with all that belongs to it."""
    yield from forget_export_plan(number, pending)
    yield from detach("export segments", number, pending)
    yield Run("export_delete", (number,))
    pending.signal(EXPORT_FILES_DUE)


@dataclass(frozen=True, slots=True)
class KnownPlace:
    """A place among the digests of known messages, in the order of their key."""

    set_number: int
    digest: int


FIRST_PLACE = KnownPlace(0, 0)


class UpkeepRepository:
    """Units of work that delete what nobody can find or needs any more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def purge_some(self, rows: int = PURGE_ROWS) -> Unit[bool]:
        """Delete about so many rows of what was removed; False when nothing is left, or others are at what is left."""

        def script(pending: Pending) -> Script[bool]:
            found = yield Run("purge_next")
            if not found:
                return False
            kind, number, done_below = found[0]
            if kind == "contents":
                more = yield from _purge_contents(number, done_below, rows)
            elif kind == "texts":
                more = yield from _purge_texts(number, rows)
            elif kind == "messages":
                # Their texts would go with them, and make the step a long one.
                more = (yield from _purge_texts(number, rows)) or bool((yield Run("purge_messages", (number, rows))))
            elif kind == "words":
                more = yield from _merge_words(number, done_below)
            elif kind == "outbox":
                more = yield from _purge_outbox(number, rows)
            elif kind == "templates":
                more = bool((yield Run("purge_templates", (number, _PURGED_TEMPLATES))))
            elif kind == "exports":
                more = yield from _purge_exports(number, pending)
            else:
                more = bool((yield Run(_PURGES[kind], (number, rows))))
            if not more:
                yield Run("purge_done", (kind, number))
            return True

        return script

    async def forget_known(self, after: KnownPlace, seen_before_ms: int, rows: int) -> tuple[int, KnownPlace]:
        """Forget the known messages among the next `rows` that were first seen before a time.

        Returns how many those were, and where to go on; FIRST_PLACE when the end was reached. There is no index by age,
        which would be as large as the table: a walk along the key finds them in time.
        """
        found = await self._database.fetch("known_messages_window", after.set_number, after.digest, rows - 1)
        last = KnownPlace(*found[0]) if found else None
        end = last or KnownPlace(2**63 - 1, 2**63 - 1)
        key = (after.set_number, after.digest, end.set_number, end.digest, seen_before_ms // _DAY_MS)

        def script(_pending: Pending) -> Script[int]:
            return len((yield Run("known_messages_expire", key)))

        return await self._database.commit(script), last or FIRST_PLACE

    def forget_retired(self, retired_before_ms: int) -> Unit[None]:
        """Forget mailboxes that were removed before a time; nobody asks for their ids any more."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("retired_mailboxes_expire", (retired_before_ms,))

        return script

    def forget_nodes(self, silent_ms: int) -> Unit[None]:
        """Forget nodes that have been dead for so long and own nothing. The time is the database's own."""

        def script(_pending: Pending) -> Script[None]:
            [(now_ms,)] = yield Run("clock_ms")
            yield Run("nodes_expire", (now_ms - silent_ms,))

        return script

    async def orphaned_token_logs(self) -> list[str]:
        """Some tokens that are gone and whose audit logs are still there."""
        return [token_id for (token_id,) in await self._database.fetch("token_logs_orphaned")]

    def purge_token_log(self, token_id: str, rows: int = PURGE_ROWS) -> Unit[bool]:
        """Delete so many lines of an audit log; False when none was left."""

        def script(_pending: Pending) -> Script[bool]:
            return bool((yield Run("token_log_purge", (token_id, rows))))

        return script


def _purge_contents(mailbox: int, first: int, rows: int) -> Script[bool]:
    """Take what messages say out of the next rows of an index, and note how far that is done."""
    following = yield Run("purge_contents_window", (mailbox, first, rows))
    end = following[0][0] if following else 2**32
    yield Run("purge_contents", (mailbox, first, end))
    yield Run("purge_done_below", ("contents", mailbox, end))
    return bool(following)


def _purge_exports(account: int, pending: Pending) -> Script[bool]:
    found = yield Run("purge_exports_some", (account, _PURGE_EXPORTS))
    for (number,) in found:
        yield from drop_export(number, pending)
    return bool(found)


def _purge_texts(mailbox: int, rows: int) -> Script[bool]:
    """Delete some texts of a mailbox; what the full-text index still holds of them is to be merged away afterwards."""
    if not (yield Run("purge_texts", (mailbox, min(rows, _PURGED_TEXTS)))):
        return False
    yield Run("purge_words_add")
    return True


def _merge_words(number: int, done_below: int) -> Script[bool]:
    """Rewrite some pages of the full-text index without what was deleted; nothing where rows are all there is.

    Its turn comes after all other purges, so that one pass does for everything that was removed.
    """
    [(before,)] = yield Run("text_merge_extent")
    yield Run("text_merge", (-_MERGED_PAGES if not done_below else _MERGED_PAGES,))
    [(after,)] = yield Run("text_merge_extent")
    yield Run("purge_done_below", ("words", number, 1))
    # FTS5 says by a single change that there was nothing to merge.
    return bool(after - before >= 2)


def _purge_outbox(account: int, rows: int) -> Script[bool]:
    chosen: list[tuple[str, int | None]] = []
    size_bytes = 0
    for queue_id, blob, size in (yield Run("purge_outbox_some", (account, rows))):
        chosen.append((queue_id, blob))
        size_bytes += 0 if blob is None else size
        if size_bytes >= _PURGE_BYTES:
            break
    blobs = [(blob,) for _, blob in chosen if blob is not None]
    for name in ("blob_delete_chunks", "blob_delete"):
        yield RunMany(name, blobs)
    yield RunMany("outbox_delete", [(queue_id,) for queue_id, _ in chosen])
    return bool(chosen)
