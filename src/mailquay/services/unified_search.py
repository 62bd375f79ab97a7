"""One search over the mailboxes of many accounts, answered by what we keep of them: no mail server is asked."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mailquay.backends.interface import SearchTerms
from mailquay.errors import InvalidRequest
from mailquay.mime.words import parse_query
from mailquay.model.account import Account, AccountNumber, AccountState
from mailquay.model.mailbox import SPECIAL_USES, TEXTS_COMPLETE, ListedMailbox, Mailbox
from mailquay.services import identifiers, presentation
from mailquay.services.mailbox_listing import follows_path, is_mere_label
from mailquay.services.report_events import with_bounces
from mailquay.storage.repositories.local_search import LocalTerms
from mailquay.storage.store import Store

_ACCOUNTS_TOGETHER = 200
_LONGEST_SECONDS = 30.0
"""Whatever the caller would wait for: searches of a node take turns."""
_OPPOSITE = "unseen"
_EVERYTHING = SearchTerms()


@dataclass(frozen=True, slots=True)
class UnifiedRequest:
    """What is searched. No `accounts`: all; no `paths`: all mailboxes that hold mail. `only`: the one account that is
    seen at all, where the caller is bound to one.
    """

    terms: SearchTerms
    accounts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    only: str | None = None
    page: int = 0
    page_size: int = 20


@dataclass(slots=True)
class _Scope:
    """Where is searched, and what is to be said of the rest."""

    accounts: dict[int, Account] = field(default_factory=dict)
    mailboxes: dict[int, Mailbox] = field(default_factory=dict)
    skipped: list[dict[str, str]] = field(default_factory=list)
    incomplete: list[dict[str, str]] = field(default_factory=list)

    def by_account(self) -> dict[int, list[int]]:
        """The numbers of the mailboxes by those of their accounts."""
        numbers: dict[int, list[int]] = defaultdict(list)
        for number, mailbox in self.mailboxes.items():
            numbers[mailbox.account].append(number)
        return numbers


class UnifiedSearch:
    """Searches what is stored, on whichever node."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def search(self, request: UnifiedRequest, *, timeout_seconds: float) -> dict[str, Any]:
        """One page of the messages to which all terms apply, the last dated first.

        Raises InvalidRequest (UnsupportedSearchTerm) for a term that only a mail server knows, TimeoutError.
        """
        terms = local_terms(request.terms)
        scope = await self._scope(request, terms)
        terms = await self._with_threads(scope, request.terms, terms)
        total = 0
        messages: list[tuple[AccountNumber, dict[str, Any]]] = []
        if scope.mailboxes:
            found = await self._store.searches.page(
                scope.by_account(),
                terms,
                limit=request.page_size,
                offset=request.page * request.page_size,
                seconds=min(timeout_seconds, _LONGEST_SECONDS),
            )
            total = found.total
            entries = await self._store.searches.entries(found.places)
            for place in found.places:
                # One that has gone between the two reads is left out.
                if (entry := entries.get(place)) is not None:
                    mailbox = scope.mailboxes[place.mailbox]
                    shown = presentation.message_entry(place.mailbox, entry)
                    account = scope.accounts[mailbox.account]
                    messages.append((account.number, self._shown(account, mailbox.listing, shown, entry.labels)))
            await with_bounces(self._store, messages)
        return {
            "total": total,
            "page": request.page,
            "pages": max(1, math.ceil(total / request.page_size)),
            "accounts": list(request.accounts),
            "paths": list(request.paths),
            "messages": [message for _, message in messages],
            "skipped": scope.skipped,
            "incomplete": scope.incomplete,
        }

    def _shown(
        self, account: Account, listing: ListedMailbox, shown: Mapping[str, Any], labels: Sequence[str] | None
    ) -> dict[str, Any]:
        entry = {"account": account.id, "path": listing.path, **shown}
        if (use := presentation.message_special_use(listing, labels)) is not None:
            entry["messageSpecialUse"] = use
        return entry

    async def _scope(self, request: UnifiedRequest, terms: LocalTerms) -> _Scope:
        scope = _Scope()
        for account in await self._accounts(request, scope):
            if (reason := _not_searchable(account, terms)) is not None:
                scope.skipped.append({"account": account.id, "reason": reason})
            else:
                scope.accounts[account.number] = account
        chosen: dict[int, list[Mailbox]] = {number: [] for number in scope.accounts}
        for mailbox in await self._store.searches.mailboxes(list(scope.accounts)) if scope.accounts else ():
            if _is_meant(scope.accounts[mailbox.account], mailbox, request.paths):
                chosen[mailbox.account].append(mailbox)
        scope.mailboxes = {mailbox.number: mailbox for several in chosen.values() for mailbox in several}
        unread = await self._store.searches.with_unread(list(scope.mailboxes)) if scope.mailboxes else set()
        for number, mailboxes in chosen.items():
            account = scope.accounts[number]
            if not mailboxes:
                reason = "mailboxNotFound" if request.paths else "notSynced"
                scope.skipped.append({"account": account.id, "reason": reason})
            elif (reason := _behind(account, mailboxes, terms, unread)) is not None:
                scope.incomplete.append({"account": account.id, "reason": reason})
        return scope

    async def _accounts(self, request: UnifiedRequest, scope: _Scope) -> list[Account]:
        """The accounts that are meant and may be seen; for one that may not be, it is as if there were none."""
        wanted = dict.fromkeys(request.accounts)
        if not wanted and request.only is None:
            found: list[Account] = []
            while True:
                total, page = await self._store.accounts.page(limit=_ACCOUNTS_TOGETHER, offset=len(found))
                found += page
                if len(found) >= total or not page:
                    return found
        if request.only is not None and not wanted:
            wanted = {request.only: None}
        visible = [one for one in wanted if request.only in (None, one)]
        known = {account.id: account for account in await self._store.accounts.several(visible)}
        scope.skipped += [{"account": one, "reason": "accountNotFound"} for one in wanted if one not in known]
        return list(known.values())

    async def _with_threads(self, scope: _Scope, given: SearchTerms, terms: LocalTerms) -> LocalTerms:
        thread = None if given.thread_id is None else identifiers.parse_thread_id(given.thread_id)
        if thread is None or not scope.accounts:
            return terms
        threads = await self._store.searches.threads(list(scope.accounts), thread)
        return dataclasses.replace(terms, thread_id=None, threads=threads)


def local_terms(terms: SearchTerms) -> LocalTerms:
    """The terms as the index knows them; days are those of UTC.

    Raises InvalidRequest for those that it does not know, all of them named, and for a text without a word.
    """
    known = dataclasses.replace(
        _EVERYTHING,
        flags=terms.flags,
        text=terms.text,
        larger=terms.larger,
        smaller=terms.smaller,
        dates=terms.dates,
        email_id=terms.email_id,
        email_ids=terms.email_ids,
        thread_id=terms.thread_id,
    )
    if terms != known:
        names = {"labels": "labels", "without_labels": "labels", "gmail_raw": "gmailRaw", "headers": "header"}
        fields = [one.name for one in dataclasses.fields(terms) if getattr(terms, one.name) != getattr(known, one.name)]
        shown = ", ".join(sorted({names.get(name, name) for name in fields}))
        raise InvalidRequest(f"only a mail server can search for {shown}", code="UnsupportedSearchTerm")
    words = parse_query(terms.text.get("body", ""))
    if "body" in terms.text and not words:
        raise InvalidRequest('"search.body" holds no word', code="UnsupportedSearchTerm")
    flags = {name: wanted for name, wanted in terms.flags.items() if name != _OPPOSITE}
    nothing = False
    if _OPPOSITE in terms.flags:
        nothing = flags.setdefault("seen", not terms.flags[_OPPOSITE]) == terms.flags[_OPPOSITE]
    ids = None if terms.email_ids is None else tuple(terms.email_ids)
    if terms.email_id is not None:
        ids = (terms.email_id,) if ids is None or terms.email_id in ids else ()
    days = {name: _day_ms(day) for name, day in terms.dates.items()}
    return LocalTerms(
        subject=terms.text.get("subject", ""),
        sender=terms.text.get("from", ""),
        to=terms.text.get("to", ""),
        cc=terms.text.get("cc", ""),
        bcc=terms.text.get("bcc", ""),
        words=tuple(words),
        larger=terms.larger,
        smaller=terms.smaller,
        flags=flags,
        received_from_ms=days.get("since"),
        received_before_ms=days.get("before"),
        dated_from_ms=days.get("sentSince"),
        dated_before_ms=days.get("sentBefore"),
        thread_id=terms.thread_id,
        # No message is both seen and unseen.
        email_ids=() if nothing else ids,
    )


def _day_ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000


def _not_searchable(account: Account, terms: LocalTerms) -> str | None:
    """Why an account keeps nothing that could be searched; None when it does."""
    profile = account.profile
    if not profile.has_imap:
        return "noMailboxes"
    if not profile.indexed:
        return "noIndex"
    if not profile.keeps_envelopes:
        return "identifiersOnly"
    return "noTexts" if terms.needs_texts and not profile.keeps_texts else None


def _is_meant(account: Account, mailbox: Mailbox, paths: Sequence[str]) -> bool:
    listing = mailbox.listing
    if mailbox.missing_since_ms is not None or not listing.selectable or is_mere_label(account.profile, listing):
        return False
    if not paths:
        return follows_path(account.profile, listing)
    return any(listing.special_use == path if path in SPECIAL_USES else listing.path == _plain(path) for path in paths)


def _plain(path: str) -> str:
    return "INBOX" if path.upper() == "INBOX" else path


def _behind(account: Account, mailboxes: Sequence[Mailbox], terms: LocalTerms, unread: set[int]) -> str | None:
    """Why there may be messages that are not found; None when there are none, as far as is known here."""
    if account.status.state is not AccountState.CONNECTED:
        return "notConnected"
    for mailbox in mailboxes:
        lacking = terms.needs_texts and mailbox.texts_state != TEXTS_COMPLETE
        if mailbox.cursor is None or not mailbox.current or mailbox.number in unread or lacking:
            return "notRead"
    return None
