"""Searching one mailbox: what the index knows for certain is looked up there, all else is asked of the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from mailquay.backends.interface import SearchTerms
from mailquay.errors import Unsupported
from mailquay.mime.words import parse_query
from mailquay.model.account import Account
from mailquay.model.mailbox import TEXTS_COMPLETE, Mailbox
from mailquay.model.message import IndexEntry, Uid
from mailquay.services import identifiers
from mailquay.services.message_pages import fetch_entries, relies_on_index
from mailquay.services.messages import MessageReader
from mailquay.services.sequences import sequence_set
from mailquay.services.threads import looked_up
from mailquay.storage.repositories.local_search import LocalTerms
from mailquay.storage.repositories.messages import IndexTerms

_EVERYTHING = SearchTerms()
_LONGEST_SET = 4000
"""Servers end connections over lines of 8000 characters and more; without the set they find too much, and we choose."""
_IDS_TOGETHER = 50
_LONGEST_SEARCH_SECONDS = 30.0
_IN_TEXTS = ("to", "cc", "bcc", "body")


class MessageFinder(MessageReader):
    """Finds messages, and shows pages of what it found."""

    async def search_needs_owner(self, account: Account, path: str, terms: SearchTerms) -> bool:
        """Whether a search can be answered only by the node that owns the account."""
        if terms.flags or await self.needs_owner(account, path):
            return True
        return await self._in_index(account, await self._mailboxes.find(account, path), terms) is None

    async def search(
        self, account: Account, *, path: str, terms: SearchTerms, page: int, page_size: int, timeout_seconds: float
    ) -> dict[str, Any]:
        """One page of the messages to which all terms apply, newest first.

        A thread of ours is found as far as the index has read the mailbox. Raises MailboxNotFound, Unsupported for a
        term that the server or an account without an index does not know, InvalidRequest, NotOperational, Unavailable.
        """
        mailbox, uids = await self._found(account, path, terms, timeout_seconds)
        chosen = sorted(uids, reverse=True)[page * page_size : (page + 1) * page_size]
        entries = await self._shown(account, mailbox, chosen, timeout_seconds)
        return await self._paged(account, mailbox, len(uids), entries, page, page_size)

    async def _found(
        self, account: Account, path: str, terms: SearchTerms, timeout_seconds: float, *, by_words: bool = True
    ) -> tuple[Mailbox, set[int]]:
        """A mailbox, and the UIDs of the messages in it to which all terms apply.

        What never changes of a message may be looked up in the index; of its flags the server alone knows how they are
        at this moment. Without `by_words` a text is what the server says that it is, not the words that we keep of it.
        """
        mailbox = await self._up_to_date(account, path, timeout_seconds)
        thread = None if terms.thread_id is None else identifiers.parse_thread_id(terms.thread_id)
        if thread is not None:
            rest = dataclasses.replace(terms, thread_id=None)
            return mailbox, await self._in_thread(account, mailbox, thread, rest, timeout_seconds)
        lasting = dataclasses.replace(terms, flags={})
        uids = None
        if lasting != _EVERYTHING or not terms.flags:
            uids = await self._found_in_index(account, mailbox, lasting, by_words=by_words)
        if uids is None:
            return mailbox, await self._ask(account, mailbox, terms, timeout_seconds)
        if terms.flags:
            uids = await self._among(account, mailbox, uids, SearchTerms(flags=terms.flags), timeout_seconds)
        return mailbox, uids

    async def _among(
        self, account: Account, mailbox: Mailbox, uids: set[int], terms: SearchTerms, timeout_seconds: float
    ) -> set[int]:
        """Those of some messages to which terms apply, as the server says."""
        if not uids:
            return uids
        named = sequence_set(uids)
        if terms.uid is None and len(named) <= _LONGEST_SET:
            terms = dataclasses.replace(terms, uid=named)
        return uids & await self._ask(account, mailbox, terms, timeout_seconds)

    async def _found_in_index(
        self, account: Account, mailbox: Mailbox, terms: SearchTerms, *, by_words: bool = True
    ) -> set[int] | None:
        """What the index says; None where the server may know better. Raises TimeoutError."""
        looked_for = await self._in_index(account, mailbox, terms)
        if looked_for is None or (isinstance(looked_for, LocalTerms) and not by_words):
            return None
        if isinstance(looked_for, IndexTerms):
            return set(await self._store.messages.search(mailbox.number, looked_for))
        found = await self._store.searches.page(
            {account.number: [mailbox.number]}, looked_for, seconds=_LONGEST_SEARCH_SECONDS
        )
        return {int(place.uid) for place in found.places}

    async def _in_index(self, account: Account, mailbox: Mailbox, terms: SearchTerms) -> IndexTerms | LocalTerms | None:
        """What to look up in the index; None where the server may know better."""
        texts_known = account.profile.keeps_texts and mailbox.texts_state == TEXTS_COMPLETE
        looked_for = index_terms(terms) or (text_terms(terms) if texts_known else None)
        cursor = mailbox.cursor
        if looked_for is None or cursor is None or not mailbox.current or not relies_on_index(account, mailbox):
            return None
        texts = isinstance(looked_for, LocalTerms) or bool(looked_for.subject or looked_for.sender)
        unread, broken = await self._store.messages.unread(mailbox.number)
        if broken or (texts and (unread or not account.profile.keeps_envelopes)):
            return None
        return looked_for

    async def _ask(self, account: Account, mailbox: Mailbox, terms: SearchTerms, timeout_seconds: float) -> set[int]:
        async with self._opened(account, mailbox, timeout_seconds) as session:
            if terms.email_ids is None:
                return set(await session.search(terms))
            found: set[int] = set()
            for start in range(0, len(terms.email_ids), _IDS_TOGETHER):
                some = terms.email_ids[start : start + _IDS_TOGETHER]
                found.update(await session.search(dataclasses.replace(terms, email_ids=some)))
            return found

    async def _in_thread(
        self, account: Account, mailbox: Mailbox, thread: int, rest: SearchTerms, timeout_seconds: float
    ) -> set[int]:
        """The messages of a thread; the server is asked only for what else is wanted of them."""
        if not account.profile.indexed:
            raise Unsupported(
                "an account without an index cannot be searched by a thread that its server does not know"
            )
        [root] = await self._store.threads.roots(account.number, [thread])
        refs = await self._store.threads.messages(account.number, root)
        members = {int(ref.uid) for ref in refs if ref.mailbox == mailbox.number}
        if rest == _EVERYTHING:
            return members
        return await self._among(account, mailbox, members, rest, timeout_seconds)

    async def _shown(
        self, account: Account, mailbox: Mailbox, uids: Sequence[int], timeout_seconds: float
    ) -> list[IndexEntry]:
        """These messages, from the index where it has them; one that has gone meanwhile is left out."""
        if mailbox.cursor is None or not relies_on_index(account, mailbox):
            async with self._opened(account, mailbox, timeout_seconds) as session:
                entries = await fetch_entries(session, uids)
            return await looked_up(self._store, account, mailbox.number, entries)
        known = {entry.uid: entry for entry in await self._store.messages.several(mailbox.number, uids)}
        unknown = {uid: IndexEntry(Uid(uid)) for uid in uids if uid not in known}
        entries = [known.get(Uid(uid)) or unknown[uid] for uid in uids]
        entries = await self._with_envelopes(account, mailbox, entries, timeout_seconds)
        return [entry for entry in entries if entry is not unknown.get(entry.uid)]


def index_terms(terms: SearchTerms) -> IndexTerms | None:
    """The same for the index; None where it does not know, or counts in another way, one of the terms.

    Flags may have changed a moment ago, days are those of the server's time zone, and recipients may stand in fields
    that an envelope does not show.
    """
    rest = dataclasses.replace(terms, text={}, larger=None, smaller=None)
    if rest != _EVERYTHING or not terms.text.keys() <= {"subject", "from"}:
        return None
    return IndexTerms(
        subject=terms.text.get("subject", ""),
        sender=terms.text.get("from", ""),
        larger=-1 if terms.larger is None else terms.larger,
        smaller=2**62 if terms.smaller is None else terms.smaller,
    )


def text_terms(terms: SearchTerms) -> LocalTerms | None:
    """The same for the text index; None where it does not know one of the terms, or a text holds no word."""
    texts = {name: text for name, text in terms.text.items() if name not in _IN_TEXTS}
    rest = index_terms(dataclasses.replace(terms, text=texts))
    words = parse_query(terms.text.get("body", ""))
    if rest is None or ("body" in terms.text and not words):
        return None
    return LocalTerms(
        subject=rest.subject,
        sender=rest.sender,
        to=terms.text.get("to", ""),
        cc=terms.text.get("cc", ""),
        bcc=terms.text.get("bcc", ""),
        words=tuple(words),
        larger=terms.larger,
        smaller=terms.smaller,
    )
