"""The mailboxes of an account as the server lists them, kept in step with the store and told as events."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mailquay.backends.interface import MailSession
from mailquay.model.account import Account, AccountProfile
from mailquay.model.event import EventName, NewEvent
from mailquay.model.mailbox import ListedMailbox, Mailbox, MailboxEvidence
from mailquay.model.node import Fence
from mailquay.services.ports import Clock
from mailquay.services.presentation import mailbox_event_data
from mailquay.services.renames import renamed_mailboxes
from mailquay.storage.interface import Unit, append_events
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.store import Store

_USER_PATHS = (
    ("\\Sent", "sent_mail_path"),
    ("\\Drafts", "drafts_mail_path"),
    ("\\Junk", "junk_mail_path"),
    ("\\Trash", "trash_mail_path"),
    ("\\Archive", "archive_mail_path"),
)
_MISSING_MS = 24 * 3600 * 1000


class MailboxListing:
    """Refreshes and reads the stored listing."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def refresh(
        self, session: MailSession, account: Account, fence: Fence
    ) -> Mapping[str, MailboxEvidence] | None:
        """List, and commit what is new, changed or gone, with mailboxNew and mailboxDeleted.

        Returns the counters of the mailboxes by path, where the server tells them in the same breath.
        """
        found, counted = await session.survey()
        listed = with_user_choices(found, account.profile)
        stored = {box.listing.path: box for box in await self._store.mailboxes.of_account(account.number)}
        if not any(listing.selectable for listing in listed) and stored:
            # A server in trouble lists nothing; that nobody has deleted everything, INBOX included, is certain.
            return counted
        await self._follow_renames(session, account, fence, listed, stored)
        units: list[Unit[Any]] = []
        # One that cannot be opened is a mere level of the hierarchy; a mailbox that becomes so has vanished.
        for listing in (one for one in listed if one.selectable):
            known = stored.pop(listing.path, None)
            if known is None or known.missing_since_ms is not None:
                # One that returns was told as deleted before; it keeps its number and index.
                units += self._add(account, fence, listing)
            elif known.listing != listing:
                units.append(self._store.mailboxes.update_listing(known.number, listing))
        for gone in stored.values():
            units += self._lose(account, gone)
        if units:
            await self._store.commit(fenced(fence, *units))
        return counted

    async def agrees(self, account: Account, found: Sequence[ListedMailbox]) -> bool:
        """Whether a listing is what is stored: nothing new, changed or gone."""
        stored = await self._store.mailboxes.of_account(account.number)
        listed = {one.path: one for one in with_user_choices(found, account.profile) if one.selectable}
        return listed == {box.listing.path: box.listing for box in stored if box.missing_since_ms is None} and all(
            box.missing_since_ms is None for box in stored
        )

    async def _follow_renames(
        self,
        session: MailSession,
        account: Account,
        fence: Fence,
        listed: Sequence[ListedMailbox],
        stored: dict[str, Mailbox],
    ) -> None:
        """A mailbox under a new path keeps its number and index; `stored` tells by path what is known then."""
        paths = {listing.path for listing in listed if listing.selectable}
        vanished = [box for box in stored.values() if box.listing.path not in paths and box.missing_since_ms is None]
        appeared = [listing for listing in listed if listing.selectable and listing.path not in stored]
        for former, listing in await renamed_mailboxes(self._store, session, vanished, appeared):
            now_ms = self._clock.now_ms()
            rename = self._store.mailboxes.update_listing(former.number, listing)
            events = [
                _event(account, name, box, now_ms)
                for name, box in ((EventName.MAILBOX_DELETED, former.listing), (EventName.MAILBOX_NEW, listing))
                if follows_path(account.profile, box)
            ]
            await self._store.commit(fenced(fence, rename, append_events(events)))
            del stored[former.listing.path]
            stored[listing.path] = dataclasses.replace(former, listing=listing)

    def _add(self, account: Account, fence: Fence, listing: ListedMailbox) -> list[Unit[Any]]:
        now_ms = self._clock.now_ms()
        add = self._store.mailboxes.add(account.number, listing, now_ms, fence.epoch)
        return [add, self._told(account, EventName.MAILBOX_NEW, listing, now_ms)]

    def _lose(self, account: Account, gone: Mailbox) -> list[Unit[Any]]:
        """A mailbox may vanish for a moment and return (a server being repaired): its index goes only later."""
        now_ms = self._clock.now_ms()
        if gone.missing_since_ms is None:
            mark = self._store.mailboxes.mark_missing(gone.number, now_ms)
            return [mark, self._told(account, EventName.MAILBOX_DELETED, gone.listing, now_ms)]
        if now_ms - gone.missing_since_ms > _MISSING_MS:
            return [self._store.mailboxes.remove(gone.number, now_ms)]
        return []

    def _told(self, account: Account, name: EventName, listing: ListedMailbox, now_ms: int) -> Unit[None]:
        followed = follows_path(account.profile, listing)
        return append_events([_event(account, name, listing, now_ms)] if followed else [])

    async def observe(self, mailbox: Mailbox, evidence: MailboxEvidence, fence: Fence) -> Mailbox:
        """Store what STATUS said, if it is news; returns the mailbox with it."""
        [observed] = await self.observe_all([(mailbox, evidence)], fence)
        return observed

    async def observe_all(self, seen: Iterable[tuple[Mailbox, MailboxEvidence]], fence: Fence) -> list[Mailbox]:
        """The same for many mailboxes, in one transaction."""
        now_ms = self._clock.now_ms()
        observed: list[Mailbox] = []
        units: list[Unit[None]] = []
        for mailbox, evidence in seen:
            if (mailbox.evidence, mailbox.evidence_epoch) != (evidence, fence.epoch) or mailbox.evidence_at_ms == 0:
                # Thousands of accounts are swept every minute, and next to nothing changes.
                units.append(self._store.mailboxes.update_evidence(mailbox.number, evidence, now_ms, fence.epoch))
                mailbox = dataclasses.replace(
                    mailbox, evidence=evidence, evidence_at_ms=now_ms, evidence_epoch=fence.epoch
                )
            observed.append(mailbox)
        if units:
            await self._store.commit(fenced(fence, *units))
        return observed

    async def followed(self, account: Account, first: str) -> Sequence[Mailbox]:
        """The mailboxes that the account syncs: `first`, then by special use and path."""
        mailboxes = [
            box
            for box in await self._store.mailboxes.of_account(account.number)
            if box.missing_since_ms is None and box.listing.selectable and self.follows(account, box)
        ]
        return sorted(
            mailboxes, key=lambda box: (box.listing.path != first, box.listing.special_use is None, box.listing.path)
        )

    def follows(self, account: Account, mailbox: Mailbox) -> bool:
        """Whether events are wanted for a mailbox."""
        return follows_path(account.profile, mailbox.listing)


def _event(account: Account, name: EventName, listing: ListedMailbox, now_ms: int) -> NewEvent:
    data = mailbox_event_data(listing)
    return NewEvent(account.number, name, now_ms, data, None, listing.path, listing.special_use)


def follows_path(profile: AccountProfile, listing: ListedMailbox) -> bool:
    """Whether a mailbox is among those that an account names, special-use tags allowed.

    Without a choice it is all but labels, whose messages stand in another mailbox, and but what holds no mail.
    """
    if not profile.path or "*" in profile.path:
        return not listing.label and not listing.groupware
    return listing.path in profile.path or (listing.special_use is not None and listing.special_use in profile.path)


def is_mere_label(profile: AccountProfile, listing: ListedMailbox) -> bool:
    """Whether a mailbox is a label that the account does not follow as a mailbox: it is shown from the server alone."""
    return listing.label and not follows_path(profile, listing)


def with_user_choices(listed: Sequence[ListedMailbox], profile: AccountProfile) -> list[ListedMailbox]:
    """Special use as the user has set it wins over what the server says; one mailbox per use."""
    if profile.imap is None:
        return list(listed)
    chosen = {use: getattr(profile.imap, name) for use, name in _USER_PATHS if getattr(profile.imap, name)}
    result = []
    for listing in listed:
        use = next((use for use, path in chosen.items() if path == listing.path), None)
        if use is not None:
            listing = dataclasses.replace(listing, special_use=use, special_use_source="user")
        elif listing.special_use in chosen:
            listing = dataclasses.replace(listing, special_use=None, special_use_source=None)
        result.append(listing)
    return result
