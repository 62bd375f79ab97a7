"""An account cannot be wedged by its network: faults strike at seeded points while mail comes, changes and goes.

Between a real node and a real Dovecot stands a proxy that cuts, resets, freezes and slows down connections. Once it
stops, the account is connected, its index is the server's, each message was announced once, and the sent message has
one copy.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mailquay.model.event import EventName
from mailquay.storage.store import Store, open_store
from tests.e2e.server import Server
from tests.servers.availability import require_server
from tests.servers.certificates import Authority
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.smtp_sink import SmtpSink
from tests.servers.tcp_proxy import Fault, Strike, TcpProxy

pytestmark = pytest.mark.server
_LOOK_SECONDS = 0.1
_MENDED_SECONDS = 30.0
_AT_ONCE = 10
_QUICK: dict[str, Any] = {
    "imap_connect_timeout": "1s",
    "imap_command_timeout": "1s",
    "imap_idle_restart": "1s",
    "imap_sweep_interval": "500ms",
    "imap_flag_scan_interval": "500ms",
    "imap_command_idle": "2s",
    "reconnect_backoff": "50ms",
    "reconnect_backoff_limit": "500ms",
    "submit_backoff": "100ms",
}
_STEPS = (
    (True, b"* OK"),
    (False, b" AUTHENTICATE"),
    (True, b" OK [CAPABILITY"),
    (False, b" LIST "),
    (True, b"* LIST"),
    (True, b"* STATUS"),
    (False, b" SELECT "),
    (False, b" EXAMINE "),
    (True, b"UIDVALIDITY"),
    (False, b" UID FETCH"),
    (True, b"FETCH ("),
    (True, b"}\r\n"),
    (True, b"VANISHED"),
    (False, b" IDLE"),
    (True, b"+ IDLING"),
    (False, b"DONE"),
    (False, b" NOTIFY "),
    (False, b" APPEND "),
    (True, b"APPENDUID"),
    (False, b" LOGOUT"),
    (True, b""),
    (False, b""),
)
"""Where a fault may strike: what passes in which direction (True: from the server), or any byte."""


@pytest.fixture(scope="module")
def plain_dovecot(authority: Authority) -> Iterator[Dovecot]:
    """A Dovecot without STARTTLS, so that the proxy sees the steps of the dialogue."""
    require_server("dovecot")
    with Dovecot(authority, user_count=300, extra={"ssl": "no"}) as dovecot:
        yield dovecot


def _fault(chance: random.Random) -> Fault:
    from_target, marker = chance.choice(_STEPS)
    after = chance.choice([0, 0, 1, 20, chance.randrange(3000)])
    return Fault(chance.choice(list(Strike)), from_target, marker, after, chance.choice([20, 2000]))


def _mail(name: str) -> bytes:
    return (
        f"From: Ann <ann@remote.test>\r\nSubject: {name}\r\nMessage-ID: <{name}@remote.test>\r\n\r\n"
        f"{name}\r\n" + "All work and no play makes a dull message.\r\n" * 60
    ).encode()


class _Story:
    """What happens in one mailbox while its network fails."""

    def __init__(self, seed: int, server: Server, dovecot: Dovecot, sink: SmtpSink, store: Store) -> None:
        self._name = f"s{seed}"
        self._chance = random.Random(seed)
        self._server, self._dovecot, self._sink, self._store = server, dovecot, sink, store
        self._user: MailUser = dovecot.new_user()
        self._uid = 0
        self._expunged: set[int] = set()

    async def run(self) -> None:
        """The story, then what must be true after it."""
        async with TcpProxy(self._dovecot.imap_port) as proxy:
            proxy.plan(*(_fault(self._chance) for _ in range(3)))
            await self._register(proxy)
            sent_at = self._chance.randrange(4)
            for chapter in range(4):
                if chapter == sent_at:
                    body = {"to": {"address": "x@remote.test"}, "subject": "sent", "text": "x" * 3000, "copy": True}
                    await self._server.ok("POST", f"/v1/account/{self._name}/submit", body)
                await self._change()
                proxy.plan(_fault(self._chance), _fault(self._chance))
                self._chance.choice([lambda: None, lambda: None, proxy.cut, proxy.end, proxy.freeze])()
                await asyncio.sleep(self._chance.uniform(0, 0.4))  # faults at any moment of what the node does then
            proxy.clear()
            await self._mended()
            # That it says connected is one thing, that it hears of the next message another.
            await self._change()
            await self._mended()
            assert proxy.open_connections <= 5, "connections were left open"

    async def _register(self, proxy: TcpProxy) -> None:
        auth = {"user": self._user.login, "pass": self._user.password}
        body = {
            "account": self._name,
            "name": self._name,
            "email": self._user.login,
            "imap": {"auth": auth, "host": proxy.host, "port": proxy.port, "secure": False},
            "smtp": {"host": self._sink.host, "port": self._sink.port, "secure": False},
        }
        await self._server.ok("POST", "/v1/account", body)

    async def _change(self) -> None:
        login, count = self._user.login, self._chance.randrange(1, 3)
        await self._dovecot.deliver(login, *(_mail(f"{self._name}-{self._uid + n}") for n in range(1, count + 1)))
        self._uid += count
        flagged = str(self._chance.randrange(1, self._uid + 1))
        await self._dovecot.doveadm("flags", "add", "-u", login, "\\Flagged", "mailbox", "INBOX", "uid", flagged)
        if self._chance.random() < 0.4:
            gone = self._chance.randrange(1, self._uid + 1)
            await self._dovecot.doveadm("expunge", "-u", login, "mailbox", "INBOX", "uid", str(gone))
            self._expunged.add(gone)

    async def _mended(self) -> None:
        """Wait until nothing is wrong; fail with what still is."""
        changed, wrong = asyncio.Event(), ""
        stop = self._store.database.subscribe(lambda _signals: changed.set())
        try:
            async with asyncio.timeout(_MENDED_SECONDS):
                while wrong := await self._wrong():
                    changed.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), _LOOK_SECONDS * 5)
        except TimeoutError:
            raise AssertionError(f"after {_MENDED_SECONDS:g} s: {wrong}") from None
        finally:
            stop()

    async def _wrong(self) -> str:
        account = await self._store.accounts.get(self._name)
        if account is None:
            return "there is no account"
        if account.status.state.value != "connected":
            return f"the account is {account.status.state.value}"
        events = await self._store.events.of_account_after(account.number, 0, 1000)
        new = [e.facts["uid"] for e in events if e.name is EventName.MESSAGE_NEW and e.path == "INBOX"]
        gone = [e.facts["uid"] for e in events if e.name is EventName.MESSAGE_DELETED and e.path == "INBOX"]
        assert len(set(new)) == len(new), f"announced twice: {new}"
        assert len(set(gone)) == len(gone) and set(gone) <= self._expunged, f"deleted: {gone}, not {self._expunged}"
        sent = any(e.name is EventName.MESSAGE_SENT for e in events)
        inbox = await self._store.mailboxes.by_path(account.number, "INBOX")
        if inbox is None:
            return "there is no INBOX"
        stored = {e.uid: sorted(e.flags) for e in await self._store.messages.page(inbox.number, limit=100, offset=0)}
        missing = set(range(1, self._uid + 1)) - self._expunged - set(new)
        if missing:
            return f"not announced: {missing}"
        there = await self._there()
        if stored != there:
            return f"the index holds {stored}, the server {there}"
        if await self._store.outbox.next_filing_ms(account.number) is not None or not sent:
            return "no copy is filed"
        copies = await self._dovecot.doveadm("fetch", "-u", self._user.login, "hdr.subject", "mailbox", "Sent")
        assert copies.count("hdr.subject: sent") == 1, f"copies: {copies!r}"
        return ""

    async def _there(self) -> dict[int, list[str]]:
        told = await self._dovecot.doveadm(
            "-f", "tab", "fetch", "-u", self._user.login, "uid flags", "mailbox", "INBOX", "all"
        )
        rows = [line.split("\t") for line in told.splitlines()[1:]]
        return {int(uid): sorted(flag for flag in flags.split() if flag != "\\Recent") for uid, flags in rows}


async def _tell(seeds: range, dovecot: Dovecot, sink: SmtpSink, folder: Path) -> None:
    """Run the stories of these seeds, some at once; what fails names its seed."""
    limit = asyncio.Semaphore(_AT_ONCE)
    async with Server(folder, **_QUICK) as server:
        store = await open_store(
            f"sqlite:///{folder}/mailquay.db", key_file=folder / "encryption.key", watch_interval_seconds=_LOOK_SECONDS
        )

        async def one(seed: int) -> str | None:
            async with limit:
                try:
                    await _Story(seed, server, dovecot, sink, store).run()
                except Exception as error:
                    return f"seed {seed}: {type(error).__name__}: {error}"
                return None

        try:
            failed = [why for why in await asyncio.gather(*map(one, seeds)) if why is not None]
        finally:
            await store.close()
        assert not failed, "\n".join(failed)
        assert '"level": "error"' not in server.log.read_text()


async def test_faults_at_twenty_points(plain_dovecot: Dovecot, smtp_sink: SmtpSink, tmp_path: Path) -> None:
    await _tell(range(20), plain_dovecot, smtp_sink, tmp_path)


@pytest.mark.live
async def test_faults_at_two_hundred_points(plain_dovecot: Dovecot, smtp_sink: SmtpSink, tmp_path: Path) -> None:
    await _tell(range(1000, 1200), plain_dovecot, smtp_sink, tmp_path)
