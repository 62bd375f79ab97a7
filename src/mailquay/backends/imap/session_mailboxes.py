"""Mailboxes as a whole: listing, counting, making and removing them (RFC 9051 §6.3)."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.groupware import is_groupware, with_groupware
from mailquay.backends.imap.mapping import evidence, newer
from mailquay.backends.imap.result import CommandResult
from mailquay.backends.imap.session_base import SessionBase
from mailquay.backends.imap.special_use import with_labels, with_special_use
from mailquay.backends.interface import Survey
from mailquay.errors import CommandRejected, MailboxNotFound, PartUnavailable
from mailquay.model.mailbox import ListedMailbox, MailboxEvidence
from mailquay.model.mailbox_state import MailboxQuota
from mailquay.wire.imap.command import Noop
from mailquay.wire.imap.command_mailbox import (
    Create,
    Delete,
    List,
    NamespaceCommand,
    Rename,
    StatusCommand,
    Subscribe,
    Unselect,
    Unsubscribe,
)
from mailquay.wire.imap.listing import ListKind, ListOptions, ListResponse, ListReturn
from mailquay.wire.imap.namespace import NamespaceResponse
from mailquay.wire.imap.quota import MESSAGE, QUOTA_UNIT_BYTES, STORAGE, GetQuotaRoot
from mailquay.wire.imap.quota_data import QuotaResource, QuotaResponse
from mailquay.wire.imap.status import StatusItem, StatusResponse

_STATUS_ITEMS: Final = (
    StatusItem.MESSAGES,
    StatusItem.UIDNEXT,
    StatusItem.UIDVALIDITY,
    StatusItem.UNSEEN,
)
_NOT_UNDERSTOOD: Final = frozenset([None, "CANNOT", "CLIENTBUG"])
"""The codes with which a command is refused for what it asks, and not for the trouble that the server has."""


class SessionMailboxes(SessionBase):
    """The commands on mailboxes."""

    def __init__(self, connection: ImapConnection) -> None:
        super().__init__(connection)
        self._uncountable: set[str] = set()
        self._counts_in_lists = True
        """Until it turns out that LIST-STATUS is offered and not there."""
        self._extended_refused = False
        """It has turned out that LIST-EXTENDED is offered and not there."""

    async def list_mailboxes(self) -> list[ListedMailbox]:
        """See MailSession.list_mailboxes."""
        return await self._read_listing(await self._list(()))

    async def survey(self) -> Survey:
        """See MailSession.survey."""
        if not self._has("LIST-STATUS") or not self._extended or not self._counts_in_lists:
            return await self._without_absent(await self.list_mailboxes(), {}), None
        if self._selected is not None:
            await self._look_up()
        result = await self._list(self._status_items())
        counted = _counters(result)
        listed = await self._without_absent(await self._read_listing(result), counted)
        return listed, counted or None

    async def _without_absent(
        self, listed: list[ListedMailbox], counted: dict[str, MailboxEvidence]
    ) -> list[ListedMailbox]:
        """The listing, mailboxes that the server shows and does not have marked as such; adds to `counted`.

        Conduct.PARENTS_UNMARKED. Asked about are those that this server could not find before, and those that it did
        not count with the others.
        """
        suspects = self._absent.union(
            box.path for box in listed if counted and box.path not in counted and box.path not in self._uncountable
        )
        for path in [box.path for box in listed if box.selectable and box.path in suspects]:
            try:
                found = await self._count(path)
            except (MailboxNotFound, PartUnavailable):
                # Not there, or not to be had at this moment: asked about again the next time.
                continue
            except CommandRejected:
                self._uncountable.add(path)
            else:
                counted.update({path: found} if found is not None else {})
        return [
            dataclasses.replace(box, attributes=box.attributes | {"\\nonexistent"}) if box.path in self._absent else box
            for box in listed
        ]

    async def _list(self, counters: Sequence[StatusItem]) -> CommandResult:
        """LIST of everything, with counters, and with the ids of mailboxes where one command can bring both.

        A list without the ids (RFC 8474 §4), the counters and whatever is asked for besides is still a list; if that is
        refused too, the caller hears of it.
        """
        extended = self._extended
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
        try:
            return await self._connection.execute(List(options=ListOptions(returns=frozenset(returns)), kind=kind))
        except CommandRejected as error:
            if not returns or error.response_code not in _NOT_UNDERSTOOD:
                raise
        plain = await self._connection.execute(List(kind=kind))
        self._extended_refused = True
        return plain

    @property
    def _extended(self) -> bool:
        return self._has("LIST-EXTENDED") and not self._extended_refused

    async def _subscribed(self) -> set[str] | None:
        """What LSUB lists; None where the server refuses it."""
        try:
            answer = await self._connection.execute(List(kind=ListKind.LSUB))
        except (CommandRejected, PartUnavailable):
            return None
        return {item.mailbox for item in answer.all(ListResponse)}

    async def _read_listing(self, result: CommandResult) -> list[ListedMailbox]:
        ids = {status.mailbox: status.mailboxid for status in result.all(StatusResponse)}
        listed = {item.mailbox: self._listed(item, ids.get(item.mailbox)) for item in result.all(ListResponse)}
        if not self._extended:
            names = await self._subscribed()
            listed = {
                name: dataclasses.replace(box, subscribed=names is None or name in names)
                for name, box in listed.items()
            }
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
        found: dict[str, MailboxEvidence] = {}
        if self._has("LIST-STATUS") and len(paths) > 1 and self._counts_in_lists:
            told = await self._counted_together()
            if told:
                return {path: told[path] for path in paths if path in told}
        trouble: PartUnavailable | None = None
        for path in paths:
            try:
                counters = await self._count(path)
            except (CommandRejected, MailboxNotFound, PartUnavailable) as error:
                # One mailbox that the server cannot count must not hide the others.
                trouble = error if isinstance(error, PartUnavailable) else trouble
                continue
            if counters is not None:
                found[path] = counters
        if trouble is not None and not found and len(paths) > 1:
            raise trouble
        return found

    async def _counted_together(self) -> dict[str, MailboxEvidence]:
        """The counters of all mailboxes by LIST-STATUS (RFC 5819); none where the server refuses or ignores that."""
        try:
            result = await self._connection.execute(List(options=ListOptions(status=self._status_items())))
        except PartUnavailable:
            # Perhaps it is one mailbox alone.
            return {}
        except CommandRejected:
            self._counts_in_lists = False
            return {}
        told = _counters(result)
        self._counts_in_lists = bool(told) or not result.all(ListResponse)
        return told

    async def _count(self, path: str) -> MailboxEvidence | None:
        """STATUS of one mailbox; None when the server says OK and nothing else."""
        command = StatusCommand(self._argument(path), self._status_items())
        result = await self._on_existing(path, self._connection.execute(command))
        answer = result.last(StatusResponse)
        return evidence(answer) if answer is not None else None

    async def still_selected(self) -> bool:
        """See MailSession.still_selected."""
        if self._selected is None:
            return False
        count = StatusCommand(self._argument(self._selected), (StatusItem.UIDVALIDITY,))
        # Either may tell: some servers find that the open mailbox has gone, others only what stands at its path now,
        # and go on with that under the same name.
        answers = await asyncio.gather(
            self._connection.execute(Noop()), self._connection.execute(count), return_exceptions=True
        )
        validity: int | None = None
        for answer in answers:
            if isinstance(answer, (CommandRejected, MailboxNotFound, PartUnavailable)):
                return False
            if isinstance(answer, BaseException):
                raise answer
            for counted in answer.all(StatusResponse):
                validity = counted.uidvalidity or 0
        return validity == (self._selected_uidvalidity or 0)

    def _status_items(self) -> tuple[StatusItem, ...]:
        return (*_STATUS_ITEMS, StatusItem.HIGHESTMODSEQ) if self._has("CONDSTORE") else _STATUS_ITEMS

    async def _look_up(self) -> None:
        """STATUS of the open mailbox is what it was when last looked at, on Dovecot for ever (RFC 9051 §6.3.11)."""
        if self._has("UNSELECT"):
            self._selected = None
            await self._connection.execute(Unselect())
        else:
            await self._connection.execute(Noop())

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
        await self._let_go_of(path)
        await self._connection.execute(Rename(self._argument(path), new_path))

    async def delete_mailbox(self, path: str) -> bool:
        """See MailSession.delete_mailbox."""
        await self._let_go_of(path)
        try:
            await self._connection.execute(Delete(self._argument(path)))
        except MailboxNotFound:
            return False
        return True

    async def _let_go_of(self, path: str) -> None:
        """Close a mailbox that is about to go: not every server takes one away that is open."""
        if self._selected == path:
            self._selected = None
            if self._has("UNSELECT"):
                await self._connection.execute(Unselect())

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


def _counters(result: CommandResult) -> dict[str, MailboxEvidence]:
    """What was said last of each mailbox that was counted: news of the same moment may stand between the answers."""
    counted: dict[str, MailboxEvidence] = {}
    for status in result.all(StatusResponse):
        said, path = evidence(status), _path(status.mailbox)
        counted[path] = newer(counted.get(path), said) or said
    return {path: said for path, said in counted.items() if said.messages is not None}


def _tightest(resources: Iterable[QuotaResource], name: str) -> QuotaResource | None:
    """Of several limits on the same thing the one that is reached first."""
    same = [one for one in resources if one.name == name]
    return min(same, key=lambda one: one.limit - one.usage, default=None)


def _path(name: str) -> str:
    return "INBOX" if name.upper() == "INBOX" else name
