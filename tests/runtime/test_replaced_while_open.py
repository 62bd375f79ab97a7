"""A mailbox that a session has open for writing, and that others rename, remove or replace: nothing else is changed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mailquay.errors import CommandRejected, MailboxNotFound, MessageNotFound, Unavailable
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.services.message_request import MessageChanges
from tests.runtime.harness import running_node
from tests.runtime.reading import QUIET, SECONDS, Reader
from tests.runtime.test_behind_our_back import _BASE, _append, _cyrus, _dovecot, _pymap, _session
from tests.servers.certificates import Authority

pytestmark = pytest.mark.server


@pytest.fixture(
    params=[
        pytest.param(partial(_dovecot, capability=_BASE), id="dovecot"),
        pytest.param(_cyrus, id="cyrus"),
        # What stands at the path is what it takes for open.
        pytest.param(_pymap, id="pymap"),
    ]
)
def settings(request: pytest.FixtureRequest, authority: Authority) -> Iterator[ImapSettings]:
    """A user of a server that tells us of no changes meanwhile."""
    with request.param(authority) as user:
        yield user


async def _behind_our_back(settings: ImapSettings, what: str) -> None:
    async with _session(settings) as other:
        if what == "expunged":
            await other.open_mailbox("Work", writable=True)
            await other.expunge(str((await other.uids())[1]))
        elif what == "renamed":
            await other.rename_mailbox("Work", "Elsewhere")
        else:
            await other.delete_mailbox("Work")
        if what in ("renamed", "replaced"):
            await other.create_mailbox("Work")
            for subject in ("stranger", "another"):
                await _append(other, "Work", subject)


async def _flags(settings: ImapSettings) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    async with _session(settings) as other:
        for box in await other.list_mailboxes():
            if box.path in ("Work", "Elsewhere"):
                await other.open_mailbox(box.path)
                async for batch in other.fetch_envelopes("1:*"):
                    found |= {one.envelope.subject or "": tuple(one.flags) for one in batch if one.envelope}
    return found


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ("expunged", {"one": ("\\Flagged",)}),
        ("renamed", {"one": ("\\Flagged",), "two": (), "stranger": (), "another": ()}),
        ("removed", {}),
        ("replaced", {"stranger": (), "another": ()}),
    ],
)
async def test_nothing_is_changed_in_what_is_there_instead(
    settings: ImapSettings, tmp_path: Path, what: str, left: dict[str, tuple[str, ...]]
) -> None:
    async with _session(settings) as other:
        await other.create_mailbox("Work")
        for subject in ("one", "two"):
            await _append(other, "Work", subject)
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=QUIET) as node:
        account = await node.register("ann", AccountProfile(name="x", imap=settings))
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        ann = Reader(node, await node.connected(account))
        ids = {one["subject"]: one["id"] for one in await ann.page("Work")}

        async def flag(subject: str, flag: str) -> None:
            changes = MessageChanges(add=(flag,))
            await ann.service.update(ann.account, ids[subject], changes, timeout_seconds=SECONDS)

        await flag("one", "\\Flagged")
        await _behind_our_back(settings, what)
        # A server may notice with the change itself that the open mailbox is gone; the session is not kept like that.
        with pytest.raises((MessageNotFound, MailboxNotFound, Unavailable, CommandRejected)):
            await flag("two", "\\Answered")
        with pytest.raises((MessageNotFound, MailboxNotFound, Unavailable)):
            await flag("two", "\\Answered")
    assert await _flags(settings) == left
