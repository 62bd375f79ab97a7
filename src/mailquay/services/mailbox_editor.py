"""Making, renaming, subscribing and deleting mailboxes; the stored list follows at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from mailquay.backends.interface import MailSession
from mailquay.errors import CommandRejected, InvalidRequest, MailboxNotFound
from mailquay.model.account import Account
from mailquay.model.mailbox import SPECIAL_USES, Mailbox
from mailquay.services.mailboxes import MailboxService

_NEVER = re.compile(r"[\x00-\x1f\x7f*%]")
_MAX_PATH_BYTES: Final = 1000
"""Modified UTF-7 makes up to three times as much of it, and servers take lines of 8000 bytes."""


class MailboxEditor(MailboxService):
    """Shows mailboxes and changes them. Changes are answered when the stored list is what the server has."""

    async def create(self, account: Account, names: Sequence[str], *, timeout_seconds: float) -> dict[str, Any]:
        """Make a mailbox, at a path or below one level after the other; says whether it was made or there before.

        Raises InvalidRequest for what is no path, CommandRejected when the server refuses, NotOperational, Unavailable.
        """
        async with self._access.session(account, timeout_seconds=timeout_seconds) as session:
            path = await _whole_path(session, names)
            refusal: CommandRejected | None = None
            created = False
            try:
                created = await session.create_mailbox(path)
            except CommandRejected as error:
                # Not every server says in a form for programs that it is there already.
                refusal = error
        await self._access.relist(account.number, timeout_seconds=timeout_seconds)
        made = await self._at(account, path)
        if made is None and refusal is not None:
            raise refusal
        return {"path": path, "created": created} | _server_id(made)

    async def change(
        self,
        account: Account,
        path: str,
        *,
        new_names: Sequence[str] | None,
        subscribed: bool | None,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        """Rename a mailbox, subscribe to it or unsubscribe; one that is renamed is subscribed to unless told otherwise.

        Raises MailboxNotFound, InvalidRequest, CommandRejected, NotOperational, Unavailable.
        """
        path = (await self.find(account, path)).listing.path
        answer: dict[str, Any] = {"path": path}
        now_at = path
        async with self._access.session(account, timeout_seconds=timeout_seconds) as session:
            if new_names is not None:
                now_at = answer["newPath"] = await _whole_path(session, new_names)
                answer["renamed"] = now_at != path
                if now_at != path:
                    await session.rename_mailbox(path, now_at)
                    subscribed = True if subscribed is None else subscribed
                    await _unsubscribe_former(session, path)
            if subscribed is not None:
                await session.subscribe(now_at, subscribed)
                answer["subscribed"] = subscribed
        await self._access.relist(account.number, timeout_seconds=timeout_seconds)
        return answer | _server_id(await self._at(account, now_at))

    async def delete(self, account: Account, path: str, *, timeout_seconds: float) -> dict[str, Any]:
        """Delete a mailbox with all messages in it; says whether it was still there.

        Raises MailboxNotFound, CommandRejected, NotOperational, Unavailable.
        """
        mailbox = await self.find(account, path)
        path = mailbox.listing.path
        async with self._access.session(account, timeout_seconds=timeout_seconds) as session:
            deleted = await session.delete_mailbox(path)
            await _unsubscribe_former(session, path)
        await self._access.relist(account.number, timeout_seconds=timeout_seconds)
        return {"path": path, "deleted": deleted} | _server_id(mailbox)

    async def _at(self, account: Account, path: str) -> Mailbox | None:
        try:
            return await self.find(account, path)
        except MailboxNotFound:
            return None


async def _whole_path(session: MailSession, names: Sequence[str]) -> str:
    """A path of the server from one, or from the names of levels.

    Raises InvalidRequest for what no server should get: it may mean something else, or many mailboxes.
    """
    prefix, delimiter = await session.namespace()
    path = (delimiter or "/").join(names)
    if path.upper() == "INBOX":
        return "INBOX"
    if prefix and not path.upper().startswith(prefix.upper()):
        path = prefix + path
    if _NEVER.search(path) or path in SPECIAL_USES or len(path.encode("utf-8", "surrogatepass")) > _MAX_PATH_BYTES:
        raise InvalidRequest("that is no path that a mailbox can have")
    if delimiter is not None and not all(path.split(delimiter)):
        raise InvalidRequest(f"a level of the path has no name; {delimiter} separates levels")
    return path


async def _unsubscribe_former(session: MailSession, path: str) -> None:
    """Take the path of a mailbox that has gone off the list: most servers leave it there (RFC 9051 §6.3.8)."""
    try:
        await session.subscribe(path, False)
    except (CommandRejected, MailboxNotFound):
        # It was not on the list, or went with its mailbox.
        return


def _server_id(mailbox: Mailbox | None) -> dict[str, Any]:
    known = mailbox is not None and mailbox.listing.mailbox_id is not None
    return {"mailboxId": mailbox.listing.mailbox_id} if mailbox is not None and known else {}
