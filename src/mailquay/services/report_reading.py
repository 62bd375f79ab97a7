"""Bounces, delivery reports and complaints among new messages: told by envelope and structure, then read whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from mailquay.backends.interface import MailSession
from mailquay.errors import RateLimited, RemoteProtocolError, Unavailable
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry
from mailquay.reports.candidates import Outline, may_be_report
from mailquay.reports.source import read_source
from mailquay.reports.verdict import Verdict, judge
from mailquay.services.bounce_matching import BounceMatching
from mailquay.services.presentation import is_in_inbox
from mailquay.services.sections_apart import fetch_apart
from mailquay.services.sync_context import SyncContext

_log = structlog.get_logger(__name__)
_SOURCE_BYTES: Final = 1024 * 1024
"""So much is read of a report; what it returns at its end may be larger than that."""
_TOGETHER_BYTES: Final = 8 * 1024 * 1024
_MOST_SECONDS: Final = 30.0
"""So long what is read together may keep its messages from being announced."""
_MOST_FAILURES: Final = 1000
_HOPELESS: Final = 3
_JUNK: Final = "\\Junk"


@dataclass(frozen=True, slots=True)
class Report:
    """What a new message tells of another one; `message_id` is that one's, with brackets, None when nobody knows."""

    verdict: Verdict
    message_id: str | None = None

    def announced(self) -> Mapping[str, Any]:
        """The fields that its messageNew has, besides those with addresses."""
        fields: dict[str, Any] = {}
        if self.verdict.bounce is not None:
            fields["isBounce"] = True
        if self.verdict.complaint is not None:
            fields["isComplaint"] = True
        if self.message_id is not None:
            fields["relatedMessageId"] = self.message_id
        return fields


class ReportReader:
    """Reads the candidates among new messages of an open mailbox; whatever goes wrong is logged, and no more."""

    def __init__(self, matching: BounceMatching) -> None:
        self._matching = matching
        # A message that ends the connection whenever it is asked for must not keep the others from being announced,
        # and a connection that ends by chance must not make a bounce an ordinary message.
        self._failures: dict[tuple[int, int], int] = {}

    async def read(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, entries: Sequence[IndexEntry]
    ) -> dict[int, Report]:
        """The reports by UID.

        Raises Unavailable or RemoteProtocolError when the connection has ended meanwhile. What was asked for then is
        asked for once more, alone, and after that is taken for an ordinary message.
        """
        chosen = [entry for entry in entries if is_candidate(mailbox, entry)]
        failed = {entry.uid: self._failures.get((mailbox.number, entry.uid), 0) for entry in chosen}
        together = [entry for entry in chosen if not failed[entry.uid]]
        alone = [[entry] for entry in chosen if failed[entry.uid] == 1]
        reports: dict[int, Report] = {}
        try:
            for batch in [*_batches(together), *alone]:
                try:
                    # Of each batch, and not of all: of many bounces at once none must be lost for the others.
                    async with asyncio.timeout(_MOST_SECONDS):
                        reports |= await self._read(session, context, mailbox, batch)
                except RateLimited:
                    raise
                except (Unavailable, RemoteProtocolError):
                    self._note_failure(mailbox, batch, chosen)
                    raise
        except (Unavailable, RemoteProtocolError):
            raise
        except Exception as error:
            unread = [entry for entry in chosen if entry.uid not in reports]
            uids = [entry.uid for entry in unread]
            _log.error(
                "reports_unread", account=context.account.id, path=mailbox.listing.path, uids=uids, exc_info=error
            )
            if isinstance(error, TimeoutError):
                # What comes next may fail behind the answer that is still awaited, and then all begins anew.
                self._make_room()
                self._failures.update(dict.fromkeys(((mailbox.number, int(entry.uid)) for entry in unread), 2))
        for entry in chosen:
            if failed[entry.uid] == 1 and entry.uid in reports:
                self._failures.pop((mailbox.number, int(entry.uid)), None)
        return reports

    def _make_room(self) -> None:
        if len(self._failures) >= _MOST_FAILURES:
            self._failures.clear()

    def _note_failure(self, mailbox: Mailbox, asked: Sequence[IndexEntry], chosen: Sequence[IndexEntry]) -> None:
        self._make_room()
        for entry in asked:
            key = (mailbox.number, int(entry.uid))
            self._failures[key] = self._failures.get(key, 0) + 1
        keys = [(mailbox.number, int(entry.uid)) for entry in chosen]
        if sum(self._failures.get(key, 0) > 1 for key in keys) >= _HOPELESS:
            # It is not a message or two that the connection does not survive.
            self._failures.update(dict.fromkeys(keys, 2))

    async def _read(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, entries: Sequence[IndexEntry]
    ) -> dict[int, Report]:
        fetched = await fetch_apart(session, [entry.uid for entry in entries], [""], limit_bytes=_SOURCE_BYTES)
        bounces_only = mailbox.listing.special_use == _JUNK
        reports: dict[int, Report] = {}
        for entry in entries:
            sections = fetched.found.get(entry.uid)
            if sections is None:
                continue
            try:
                verdict = await asyncio.to_thread(_judged, sections.bodies.get("", b""), bounces_only=bounces_only)
                related = await self._related(context, entry, verdict)
            except Exception as error:
                _log.error("report_unread", account=context.account.id, uid=entry.uid, exc_info=error)
                continue
            if verdict.bounce is not None or verdict.complaint is not None or verdict.delivery_report is not None:
                reports[entry.uid] = Report(verdict, related)
        if fetched.refused:
            _log.warning("reports_refused", account=context.account.id, uids=sorted(fetched.refused))
        return reports

    async def _related(self, context: SyncContext, entry: IndexEntry, verdict: Verdict) -> str | None:
        if verdict.bounce is not None:
            return await self._matching.original_of(context.account.number, verdict.bounce, entry)
        return verdict.complaint.message_id if verdict.complaint is not None else None


def is_candidate(mailbox: Mailbox, entry: IndexEntry) -> bool:
    """Whether a new message is read whole: by its place, its sender and subject, and the types of its parts."""
    junk = mailbox.listing.special_use == _JUNK
    if entry.error is not None or not (junk or is_in_inbox(mailbox.listing.special_use, entry.labels)):
        return False
    return may_be_report(_outline(entry), bounces_only=junk)


def _outline(entry: IndexEntry) -> Outline:
    envelope, structure = entry.envelope, entry.structure
    types: set[str] = set()
    if structure is not None:
        types.update(part.content_type for part in structure.attachments if not part.encoded_in_message)
        types.update(part.content_type for part in structure.other if part.content_type is not None)
    return Outline(
        [(one.name, one.address) for one in envelope.from_] if envelope is not None else [],
        (envelope.subject or "") if envelope is not None else "",
        frozenset(types),
    )


def _batches(entries: Sequence[IndexEntry]) -> Iterator[Sequence[IndexEntry]]:
    """Runs whose sources fit into memory together."""
    most = _TOGETHER_BYTES // _SOURCE_BYTES
    for start in range(0, len(entries), most):
        yield entries[start : start + most]


def _judged(source: bytes, *, bounces_only: bool) -> Verdict:
    return judge(read_source(source), bounces_only=bounces_only)
