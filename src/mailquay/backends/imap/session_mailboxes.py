"""Mailboxes as a whole: listing, counting, opening, making and removing them (RFC 9051 §6.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

from mailquay.backends.imap.groupware import is_groupware, with_groupware
from mailquay.backends.imap.mapping import evidence
from mailquay.backends.imap.result import CommandResult
from mailquay.backends.imap.session_base import SessionBase, flag_state, uid_set
from mailquay.backends.imap.special_use import with_labels, with_special_use
from mailquay.backends.interface import MailboxChanges, OpenedMailbox
from mailquay.errors import CommandRejected, MailboxNotFound, PartUnavailable
from mailquay.model.mailbox import ListedMailbox, MailboxEvidence
from mailquay.model.mailbox_state import KnownState, MailboxQuota, UidRanges
from mailquay.wire.imap.command import Noop
from mailquay.wire.imap.command_mailbox import (
    Create,
    Delete,
    List,
    NamespaceCommand,
    Rename,
    Select,
    StatusCommand,
    Subscribe,
    Unselect,
    Unsubscribe,
)
from mailquay.wire.imap.condstore import HighestModSeq, QresyncParameter, Vanished
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.listing import ListKind, ListOptions, ListResponse, ListReturn
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.namespace import NamespaceResponse
from mailquay.wire.imap.quota import MESSAGE, QUOTA_UNIT_BYTES, STORAGE, GetQuotaRoot
from mailquay.wire.imap.quota_data import QuotaResource, QuotaResponse
from mailquay.wire.imap.response import Exists
from mailquay.wire.imap.response_code import MailboxId, PermanentFlags, UidNext, UidValidity
from mailquay.wire.imap.sequence_set import UidSet
from mailquay.wire.imap.status import StatusItem, StatusResponse

_STATUS_ITEMS: Final = (
    StatusItem.MESSAGES,
    StatusItem.UIDNEXT,
    StatusItem.UIDVALIDITY,
    StatusItem.UNSEEN,
)


class SessionMailboxes(SessionBase):
    """The commands on mailboxes."""

    async def list_mailboxes(self) -> list[ListedMailbox]:
        """See MailSession.list_mailboxes."""
        return await self._read_listing(await self._list(()))

    async def survey(self) -> tuple[list[ListedMailbox], dict[str, MailboxEvidence] | None]:
        """See MailSession.survey."""
        if not self._has("LIST-STATUS") or not self._has("LIST-EXTENDED"):
            return await self.list_mailboxes(), None
        if self._selected is not None:
            await self._look_up()
        result = await self._list(self._status_items())
        told = [status for status in result.all(StatusResponse) if status.messages is not None]
        counted = {_path(status.mailbox): evidence(status) for status in told}
        return await self._read_listing(result), counted or None

    async def _list(self, counters: Sequence[StatusItem]) -> CommandResult:
        """LIST of everything, with counters, and with the ids of mailboxes where one command can bring both.

        A list without the ids (RFC 8474 §4) or without the counters is still a list; if that is refused too, the caller
        hears of it.
        """
        extended = self._has("LIST-EXTENDED")
        returns = set()
        if extended:
            returns.add(ListReturn.SUBSCRIBED)
        if self._has("SPECIAL-USE") and extended:
            returns.add(ListReturn.SPECIAL_USE)
        kind = ListKind.XLIST if self._has("XLIST") and not self._has("SPECIAL-USE") else ListKind.LIST
        ids = (StatusItem.MAILBOXID,) if self._has("OBJECTID") and self._has("LIST-STATUS") else ()
        if kind is ListKind.LIST and (ids or counters):
            options = ListOptions(returns=frozenset(returns), status=(*counters, *ids))
            try:
                return await self._connection.execute(List(options=options))
            except (CommandRejected, PartUnavailable):
                if counters:
                    # Perhaps it was the counters, perhaps the ids.
                    return await self._list(())
        return await self._connection.execute(List(options=ListOptions(returns=frozenset(returns)), kind=kind))

    async def _read_listing(self, result: CommandResult) -> list[ListedMailbox]:
        ids = {status.mailbox: status.mailboxid for status in result.all(StatusResponse)}
        listed = {item.mailbox: self._listed(item, ids.get(item.mailbox)) for item in result.all(ListResponse)}
        if not self._has("LIST-EXTENDED"):
            subscribed = await self._connection.execute(List(kind=ListKind.LSUB))
            names = {item.mailbox for item in subscribed.all(ListResponse)}
            listed = {path: dataclasses.replace(box, subscribed=path in names) for path, box in listed.items()}
        found = with_special_use(list(listed.values()))
        if is_groupware(self._connection.greeting.text, self._connection.identity):
            found = with_groupware(found)
        return with_labels(found) if self._has("X-GM-EXT-1") else found

    def _listed(self, item: ListResponse, mailbox_id: str | None) -> ListedMailbox:
        path = _path(item.mailbox)
        self._wire_names[path] = item.argument
        attributes = frozenset(attribute.lower() for attribute in item.attributes)
        return ListedMailbox(
            path=path,
            delimiter=item.delimiter,
            attributes=attributes,
            subscribed="\\subscribed" in attributes,
            mailbox_id=mailbox_id,
        )

    async def status(self, paths: Sequence[str]) -> dict[str, MailboxEvidence]:
        """See MailSession.status."""
        if self._selected in paths:
            await self._look_up()
        items = self._status_items()
        found: dict[str, MailboxEvidence] = {}
        if self._has("LIST-STATUS") and len(paths) > 1:
            result = await self._connection.execute(List(options=ListOptions(status=items)))
            wanted = set(paths)
            for status in result.all(StatusResponse):
                path = _path(status.mailbox)
                if path in wanted:
                    found[path] = evidence(status)
            return found
        trouble: PartUnavailable | None = None
        for path in paths:
            try:
                result = await self._connection.execute(StatusCommand(self._argument(path), items))
            except (CommandRejected, MailboxNotFound, PartUnavailable) as error:
                # One mailbox that the server cannot count must not hide the others.
                trouble = error if isinstance(error, PartUnavailable) else trouble
                continue
            answer = result.last(StatusResponse)
            if answer is not None:
                found[path] = evidence(answer)
        if trouble is not None and not found and len(paths) > 1:
            raise trouble
        return found

    def _status_items(self) -> tuple[StatusItem, ...]:
        return (*_STATUS_ITEMS, StatusItem.HIGHESTMODSEQ) if self._has("CONDSTORE") else _STATUS_ITEMS

    async def _look_up(self) -> None:
        """STATUS of the open mailbox is what it was when last looked at, on Dovecot for ever (RFC 9051 §6.3.11)."""
        if self._has("UNSELECT"):
            self._selected = None
            await self._connection.execute(Unselect())
        else:
            await self._connection.execute(Noop())

    async def open_mailbox(
        self, path: str, *, writable: bool = False, since: KnownState | None = None
    ) -> OpenedMailbox:
        """See MailSession.open_mailbox."""
        qresync = None if since is None else await self._qresync(since)
        self._selected = None
        condstore = self._has("CONDSTORE") and qresync is None
        command = Select(self._argument(path), read_only=not writable, condstore=condstore, qresync=qresync)
        result = await self._connection.execute(command)
        self._selected, self._writable = path, writable
        exists, validity, uidnext = result.last(Exists), result.code(UidValidity), result.code(UidNext)
        self._messages = exists.count if exists is not None else 0
        self._selected_uidvalidity = validity.value if validity is not None else None
        modseq, permanent, object_id = result.code(HighestModSeq), result.code(PermanentFlags), result.code(MailboxId)
        # Where not all is told of the changes, nothing of it helps: they are asked for (RFC 9738 §3).
        whole = result.code(MessageLimit) is None
        told = qresync is not None and modseq is not None and modseq.value > 0 and whole
        same = qresync is not None and validity is not None and validity.value == qresync.uidvalidity
        return OpenedMailbox(
            path=path,
            uidvalidity=self._selected_uidvalidity,
            uidnext=uidnext.value if uidnext is not None else None,
            messages=self._messages,
            highestmodseq=modseq.value if modseq is not None and modseq.value else None,
            permanent_flags=permanent.flags if permanent is not None else None,
            mailbox_id=object_id.object_id if object_id is not None else None,
            changes=_changes(result) if told and same else None,
        )

    async def _qresync(self, since: KnownState) -> QresyncParameter | None:
        """What to say of `since` in SELECT; None when the server does not do QRESYNC, whatever it offers."""
        if not self._has("QRESYNC"):
            return None
        if "QRESYNC" not in self._connection.enabled:
            if self._selected is not None:
                # Enabled while a mailbox is open, it would change what is said of that one (RFC 5161 §3.1).
                if not self._has("UNSELECT"):
                    return None
                self._selected = None
                await self._connection.execute(Unselect())
            try:
                enabled = await self._connection.enable("QRESYNC")
            except CommandRejected:
                # It is one way of several to find out what changed.
                return None
            if "QRESYNC" not in enabled:
                return None
        known = uid_set(since.uids) if since.uids is not None else None
        return QresyncParameter(since.uidvalidity, since.highestmodseq, known)

    async def quota(self, path: str = "INBOX") -> MailboxQuota | None:
        """See MailSession.quota."""
        if not self._has("QUOTA"):
            return None
        result = await self._connection.execute(GetQuotaRoot(self._argument(path)))
        resources = [one for answer in result.all(QuotaResponse) for one in answer.resources]
        storage, messages = _tightest(resources, STORAGE), _tightest(resources, MESSAGE)
        if storage is None and messages is None:
            return None
        return MailboxQuota(
            used_bytes=storage.usage * QUOTA_UNIT_BYTES if storage is not None else None,
            limit_bytes=storage.limit * QUOTA_UNIT_BYTES if storage is not None else None,
            used_messages=messages.usage if messages is not None else None,
            limit_messages=messages.limit if messages is not None else None,
        )

    async def create_mailbox(self, path: str) -> bool:
        """See MailSession.create_mailbox."""
        try:
            await self._connection.execute(Create(path))
        except CommandRejected as error:
            if error.response_code == "ALREADYEXISTS":
                return False
            raise
        await self._connection.execute(Subscribe(path))
        return True

    async def rename_mailbox(self, path: str, new_path: str) -> None:
        """See MailSession.rename_mailbox."""
        await self._connection.execute(Rename(self._argument(path), new_path))

    async def delete_mailbox(self, path: str) -> bool:
        """See MailSession.delete_mailbox."""
        try:
            await self._connection.execute(Delete(self._argument(path)))
        except MailboxNotFound:
            return False
        return True

    async def subscribe(self, path: str, subscribed: bool) -> None:
        """See MailSession.subscribe."""
        command = Subscribe(self._argument(path)) if subscribed else Unsubscribe(self._argument(path))
        await self._connection.execute(command)

    async def namespace(self) -> tuple[str, str | None]:
        """See MailSession.namespace."""
        if self._has("NAMESPACE"):
            answer = (await self._connection.execute(NamespaceCommand())).last(NamespaceResponse)
            if answer is not None and answer.personal:
                return answer.personal[0].prefix, answer.personal[0].delimiter
        return "", None


def _changes(result: CommandResult) -> MailboxChanges:
    """What a SELECT with QRESYNC has told (RFC 7162 §3.2.5)."""
    states = [flag_state(row) for row in result.all(FetchResponse)]
    return MailboxChanges(
        changed=tuple(state for state in states if state is not None),
        vanished=vanished_ranges(result.all(Vanished)),
    )


def vanished_ranges(answers: Iterable[Vanished]) -> UidRanges:
    """All the UIDs that VANISHED responses name."""
    ranges = [one for answer in answers for one in answer.uids.ranges]
    return UidRanges(UidSet(ranges).ranges if ranges else ())


def _tightest(resources: Iterable[QuotaResource], name: str) -> QuotaResource | None:
    """Of several limits on the same thing the one that is reached first."""
    same = [one for one in resources if one.name == name]
    return min(same, key=lambda one: one.limit - one.usage, default=None)


def _path(name: str) -> str:
    return "INBOX" if name.upper() == "INBOX" else name
