"""The same story on servers that differ: with mod-sequences and without, poor ones, another make."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from tests.runtime.harness import SystemClock, running_node
from tests.servers.availability import require_server
from tests.servers.certificates import Authority
from tests.servers.cyrus import Cyrus
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.server
_QUICK = Config(imap_sweep_interval_seconds=0.5, reconnect_backoff_seconds=0.05, imap_flag_scan_interval_seconds=0.5)
_POOR = "IMAP4rev1 IDLE NAMESPACE"
_MIDDLING = "IMAP4rev1 IDLE UIDPLUS MOVE LITERAL+ ENABLE LIST-EXTENDED SPECIAL-USE"


@pytest.fixture(
    params=[
        pytest.param({"capability": _POOR}, id="poor"),
        pytest.param({"capability": _MIDDLING}, id="without-modseq", marks=pytest.mark.live),
        pytest.param({"special_use": False}, id="without-special-use", marks=pytest.mark.live),
        pytest.param({}, id="everything", marks=pytest.mark.live),
        pytest.param({"compress": False, "capability": "IMAP4rev1"}, id="without-idle", marks=pytest.mark.live),
    ]
)
def dialect(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Dovecot]:
    require_server("dovecot")
    options: dict[str, Any] = request.param
    with Dovecot(authority, user_count=5, **options) as server:
        yield server


def _mail(subject: str) -> bytes:
    return f"From: a@b.test\r\nSubject: {subject}\r\nMessage-ID: <{subject}@b.test>\r\n\r\nx\r\n".encode()


async def test_the_story_on_every_dialect(dialect: Dovecot, tmp_path: Path) -> None:
    user = dialect.new_user()
    imap = ImapSettings(host=dialect.host, port=dialect.imap_port, user=user.login, password=user.password)
    imap = dataclasses.replace(imap, tls={"disabled": True})
    profile = AccountProfile(name="x", imap=imap, notify_from_ms=SystemClock().now_ms() + 60_000)
    await dialect.deliver(user.login, *[_mail(f"old{n}") for n in range(3)])
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await dialect.deliver(user.login, _mail("fresh"))
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account, seconds=50)
        assert new.facts["uid"] == 4
        await dialect.doveadm("flags", "add", "-u", user.login, "\\Flagged", "mailbox", "INBOX", "uid", "1")
        [updated] = await node.wait_for(EventName.MESSAGE_UPDATED, account=account, seconds=50)
        assert updated.facts["uid"] == 1
        await dialect.doveadm("expunge", "-u", user.login, "mailbox", "INBOX", "uid", "2")
        [deleted] = await node.wait_for(EventName.MESSAGE_DELETED, account=account, seconds=50)
        assert deleted.facts["uid"] == 2
    await dialect.doveadm("flags", "add", "-u", user.login, "\\Answered", "mailbox", "INBOX", "uid", "3")
    await dialect.doveadm("expunge", "-u", user.login, "mailbox", "INBOX", "uid", "1")
    await dialect.deliver(user.login, _mail("while-away"))
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        await node.wait_for(EventName.MESSAGE_NEW, account=account, uid=5)
        await node.wait_for(EventName.MESSAGE_UPDATED, account=account, uid=3)
        await node.wait_for(EventName.MESSAGE_DELETED, account=account, uid=1)
        events = await node.store.events.of_account_after(account.number, 0, 1000)
        news = [event.facts["uid"] for event in events if event.name is EventName.MESSAGE_NEW]
        assert news == [4, 5]


async def test_cyrus_tells_its_own_ids(cyrus: Cyrus, tmp_path: Path) -> None:
    user = cyrus.new_user()
    imap = ImapSettings(host="127.0.0.1", port=cyrus.imap_port, user=user.login, password=user.password)
    profile = AccountProfile(name="x", imap=imap, notify_from_ms=SystemClock().now_ms())
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", profile)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        await cyrus.deliver(user.login, _mail("fresh"))
        [new] = await node.wait_for(EventName.MESSAGE_NEW, account=account)
        assert new.facts["emailId"]
        assert new.facts["threadId"]
