"""Pages from the index and the mailbox as another client sees it: the same, whatever was done to it before."""

from __future__ import annotations

import asyncio
import imaplib
import random
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.header import Header, decode_header, make_header
from functools import partial
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.model.account import AccountProfile, ImapSettings
from mailquay.model.event import EventName
from tests.runtime.harness import SystemClock, running_node
from tests.runtime.reading import Reader
from tests.servers.availability import require_server
from tests.servers.certificates import Authority
from tests.servers.cyrus import Cyrus
from tests.servers.dovecot import Dovecot
from tests.servers.pymap import Pymap

pytestmark = pytest.mark.server
_PATHS = ("INBOX", "Work")
_SIZES = (1, 2, 3, 7, 20, 1000)
_FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Later")
_WORDS = ("Rechnung", "Grüße", "再見", "plain", "a" * 70, "")
_NUMBERS = re.compile(rb"UID (\d+).*?RFC822\.SIZE (\d+)|RFC822\.SIZE (\d+).*?UID (\d+)", re.DOTALL)
_SECONDS = 20.0


@dataclass(frozen=True)
class _Message:
    uid: int
    flags: frozenset[str]
    size: int
    subject: str


class _Client:
    """Somebody else's client: the standard library's."""

    def __init__(self, at: ImapSettings, seed: int) -> None:
        self._imap = imaplib.IMAP4(str(at.host), int(at.port or 143), timeout=_SECONDS)
        self._imap.login(str(at.user), str(at.password))
        self._chance = random.Random(seed)
        self._appended = 0

    def begin(self) -> None:
        """Make the other mailbox, and put some mail into both."""
        self._imap.create("Work")
        for path in _PATHS * 6:
            self._append(path)

    def change(self) -> None:
        """Do something to one of the mailboxes, or several things."""
        for _ in range(self._chance.choice((1, 1, 2, 5))):
            path, other = self._chance.sample(_PATHS, 2)
            self._imap.select(path)
            [found] = self._imap.uid("SEARCH", "ALL")[1]
            uids = (found or b"").split()
            few = b",".join(self._chance.sample(uids, min(len(uids), self._chance.randrange(1, 5)))).decode()
            kind = self._chance.random()
            if kind < 0.35 or not few:
                self._append(path)
            elif kind < 0.75:
                sign = self._chance.choice(("+FLAGS", "-FLAGS", "FLAGS"))
                flags = self._chance.sample(_FLAGS, self._chance.randrange(3))
                self._imap.uid("STORE", few, sign, f"({' '.join(flags)})")
            else:
                if kind < 0.9:
                    self._imap.uid("COPY", few, other)
                if kind >= 0.8:
                    self._imap.uid("STORE", few, "+FLAGS", "(\\Deleted)")
                    self._imap.expunge()

    def _append(self, path: str) -> None:
        self._appended += 1
        subject = f"{self._chance.choice(_WORDS)} {self._appended}".strip()
        header = Header(subject, "utf-8", header_name="Subject").encode(linesep="\r\n")
        body = "x" * self._chance.randrange(300)
        raw = f"From: a@b.test\r\nSubject: {header}\r\nMessage-ID: <{self._appended}@x>\r\n\r\n{body}\r\n"
        at = self._chance.randrange(1_500_000_000, 1_790_000_000)
        flags = " ".join(self._chance.sample(_FLAGS, self._chance.randrange(3)))
        done, told = self._imap.append(path, f"({flags})", imaplib.Time2Internaldate(at), raw.encode())
        assert done == "OK", told

    def seen(self, path: str) -> list[_Message]:
        """A mailbox as it is now, the newest first."""
        self._imap.select(path, readonly=True)
        asked = "(UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
        rows = self._imap.fetch("1:*", asked)[1] if self._imap.response("EXISTS")[1] != [b"0"] else []
        return sorted((_message(row) for row in rows if isinstance(row, tuple)), key=lambda one: -one.uid)

    def close(self) -> None:
        """Log out."""
        self._imap.logout()


def _message(row: tuple[bytes, bytes]) -> _Message:
    numbers = _NUMBERS.search(row[0])
    assert numbers is not None, row
    uid, size = (numbers[1], numbers[2]) if numbers[1] else (numbers[4], numbers[3])
    flags = {flag.decode() for flag in imaplib.ParseFlags(row[0])} - {"\\Recent"}
    subject = make_header(decode_header(message_from_bytes(row[1])["Subject"]))
    return _Message(int(uid), frozenset(flags), int(size), str(subject))


@contextmanager
def _dovecot(authority: Authority, capability: str | None = None) -> Iterator[ImapSettings]:
    require_server("dovecot")
    with Dovecot(authority, user_count=1, capability=capability) as server:
        user = server.new_user()
        yield _plainly(server.host, server.imap_port, user.login, user.password)


@contextmanager
def _cyrus(_authority: Authority) -> Iterator[ImapSettings]:
    require_server("cyrus")
    with Cyrus(user_count=1) as server:
        user = server.new_user()
        yield _plainly(server.host, server.imap_port, user.login, user.password)


@contextmanager
def _pymap(_authority: Authority) -> Iterator[ImapSettings]:
    with Pymap() as server:
        yield _plainly("127.0.0.1", server.imap_port, server.user.login, server.user.password)


def _plainly(host: str, port: int, user: str, password: str) -> ImapSettings:
    return ImapSettings(host, port, tls={"disabled": True}, user=user, password=password)


_WITHOUT_MODSEQ = "IMAP4rev1 IDLE UIDPLUS MOVE UNSELECT ESEARCH"


@pytest.mark.parametrize(
    ("served", "states"),
    [
        pytest.param(_dovecot, 25, id="dovecot"),
        pytest.param(_cyrus, 15, id="cyrus"),
        pytest.param(_dovecot, 400, id="dovecot-long", marks=pytest.mark.live),
        pytest.param(partial(_dovecot, capability=_WITHOUT_MODSEQ), 300, id="without-modseq", marks=pytest.mark.live),
        pytest.param(_cyrus, 200, id="cyrus-long", marks=pytest.mark.live),
        pytest.param(_pymap, 100, id="pymap", marks=pytest.mark.live),
    ],
)
async def test_a_page_is_what_another_client_sees(
    authority: Authority,
    tmp_path: Path,
    served: Callable[[Authority], AbstractContextManager[ImapSettings]],
    states: int,
) -> None:
    chance, compared = random.Random(states), 0
    config = Config(imap_sweep_interval_seconds=1, reconnect_backoff_seconds=0.05, imap_flag_scan_interval_seconds=0.1)
    with served(authority) as imap:
        client = await asyncio.to_thread(_Client, imap, states)
        await asyncio.to_thread(client.begin)
        async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=config) as node:
            profile = AccountProfile(name="Ann", imap=imap, notify_from_ms=SystemClock().now_ms())
            account = await node.register("ann", profile)
            await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
            ann = Reader(node, await node.connected(account))
            for _ in range(states):
                await asyncio.to_thread(client.change)
                await node.access.catch_up(account.number, list(_PATHS), timeout_seconds=_SECONDS)
                for path in _PATHS:
                    size, number = chance.choice(_SIZES), chance.randrange(4)
                    there = await asyncio.to_thread(client.seen, path)
                    answer = await ann.service.page(
                        ann.account, path=path, page=number, page_size=size, timeout_seconds=_SECONDS
                    )
                    shown = [
                        _Message(one["uid"], frozenset(one.get("flags", ())), one["size"], one.get("subject", ""))
                        for one in answer["messages"]
                    ]
                    assert (answer["total"], shown) == (len(there), there[number * size :][:size])
                    compared += len(shown)
        await asyncio.to_thread(client.close)
    assert compared > states
