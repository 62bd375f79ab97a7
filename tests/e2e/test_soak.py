"""Many accounts whose mail changes all the time: nothing is missed, nothing told twice, and memory stays flat.

Mail comes by LMTP; other clients append, flag, copy, move and expunge, make, rename and delete mailboxes. In the end
every index is compared with its server, by the reconciler and by us.
"""

from __future__ import annotations

import asyncio
import imaplib
import os
import random
import statistics
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bench.world import pid_of, pss_mb
from mailquay.model.account import Account
from mailquay.model.event import EventName
from mailquay.storage.store import Store, open_store
from tests.e2e.server import Server
from tests.servers.dovecot import Dovecot, MailUser

pytestmark = pytest.mark.server
_SEED = int(os.environ.get("MAILQUAY_SOAK_SEED", "7"))
_MINUTES = float(os.environ.get("MAILQUAY_SOAK_MINUTES", "20"))
_ACCOUNTS = int(os.environ.get("MAILQUAY_SOAK_ACCOUNTS", "300"))
_CHANGERS = 3
_SETTLED_SECONDS = 120.0
_REGISTERED_AT_ONCE = 8
_PATHS = ("INBOX", "Archive", "Sent", "Junk", "Trash", "Work", "Work/Old")
_NUMBER = "abcdefghij"


def _mail(name: str) -> bytes:
    text = "All work and no play makes a dull message.\r\n" * 20
    return f"From: a@b.test\r\nSubject: {name}\r\nMessage-ID: <{name}@b.test>\r\n\r\n{text}".encode()


class _Client:
    """Another mail client of a user, which does one thing and leaves."""

    def __init__(self, dovecot: Dovecot, user: MailUser, chance: random.Random) -> None:
        self._chance = chance
        self._imap = imaplib.IMAP4(dovecot.host, dovecot.imap_port, timeout=30)
        self._imap.login(user.login, user.password)

    def change(self, name: str) -> None:
        """Something, somewhere. What a server refuses (no such mailbox, no message) is no change."""
        acts = [self._append, self._flag, self._flag, self._copy, self._move, self._expunge, self._mailboxes]
        with suppress(imaplib.IMAP4.error):
            self._chance.choice(acts)(name)
        with suppress(imaplib.IMAP4.error, OSError):
            self._imap.logout()

    def _open(self) -> list[str]:
        status, _ = self._imap.select(f'"{self._chance.choice(_PATHS)}"')
        if status != "OK":
            return []
        _, [found] = self._imap.uid("SEARCH", "ALL")
        uids = (found or b"").decode().split()
        return self._chance.sample(uids, min(len(uids), self._chance.choice([1, 1, 2, 10])))

    def _append(self, name: str) -> None:
        self._imap.append(f'"{self._chance.choice(_PATHS)}"', "", "", _mail(name))

    def _flag(self, _name: str) -> None:
        if uids := self._open():
            how, flag = self._chance.choice(["+FLAGS", "-FLAGS"]), self._chance.choice(["\\Seen", "\\Flagged", "work"])
            self._imap.uid("STORE", ",".join(uids), how, f"({flag})")

    def _copy(self, _name: str) -> None:
        if uids := self._open():
            self._imap.uid("COPY", ",".join(uids), f'"{self._chance.choice(_PATHS)}"')

    def _move(self, _name: str) -> None:
        if uids := self._open():
            self._imap.uid("MOVE", ",".join(uids), f'"{self._chance.choice(_PATHS)}"')

    def _expunge(self, _name: str) -> None:
        if uids := self._open():
            self._imap.uid("STORE", ",".join(uids), "+FLAGS", "(\\Deleted)")
            self._imap.expunge()

    def _mailboxes(self, _name: str) -> None:
        act = self._chance.randrange(4)
        if act == 0:
            self._imap.rename("Work", f"Work-{self._chance.choice(_NUMBER)}")
        elif act == 1:
            self._imap.delete(f"Work-{self._chance.choice(_NUMBER)}")
        else:
            self._imap.create(self._chance.choice(["Work", "Work/Old"]))


def _change(dovecot: Dovecot, user: MailUser, chance: random.Random, name: str) -> None:
    _Client(dovecot, user, chance).change(name)


async def _indexed(store: Store, account: Account) -> dict[tuple[str, int], str]:
    """The flags of every message that the index holds, by path and UID."""
    boxes = [box for box in await store.mailboxes.of_account(account.number) if box.missing_since_ms is None]
    return {
        (box.listing.path, uid): " ".join(sorted(flags.split()))
        for box in boxes
        for uid, flags, _ in await store.messages.flags(box.number)
    }


class _Soak:
    def __init__(self, server: Server, dovecot: Dovecot, users: list[MailUser]) -> None:
        self._server, self._dovecot, self._users = server, dovecot, users
        self._chance = random.Random(_SEED)
        self.changes = 0
        self.memory_mb: list[float] = []

    async def run(self, seconds: float, pause_seconds: float) -> None:
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(_CHANGERS):
                group.create_task(self._change_until(until, pause_seconds))
            group.create_task(self._weigh_until(until))

    async def _change_until(self, until: float, pause_seconds: float) -> None:
        while time.monotonic() < until:
            self.changes += 1
            user, name = self._chance.choice(self._users), f"soak-{self.changes}"
            if self._chance.random() < 0.3:
                await self._dovecot.deliver(user.login, _mail(name))
            else:
                chance = random.Random(self._chance.random())
                await asyncio.to_thread(_change, self._dovecot, user, chance, name)
            await asyncio.sleep(self._chance.uniform(0, 2 * pause_seconds))  # the pace of the changes

    async def _weigh_until(self, until: float) -> None:
        while time.monotonic() < until:
            self.memory_mb.append(pss_mb(pid_of(self._server)))
            await asyncio.sleep(5)

    async def register(self) -> None:
        slots = asyncio.Semaphore(_REGISTERED_AT_ONCE)

        async def one(number: int) -> None:
            async with slots:
                await self._server.ok("POST", "/v1/account", self._body(number))

        await asyncio.gather(*map(one, range(len(self._users))))
        async with asyncio.timeout(30 + len(self._users)):
            while (await self._server.ok("GET", "/v1/stats"))["connections"]["connected"] < len(self._users):
                await asyncio.sleep(0.2)  # the API's own way to learn of it without webhooks

    def _body(self, number: int) -> dict[str, Any]:
        user = self._users[number]
        imap = {
            "auth": {"user": user.login, "pass": user.password},
            "host": self._dovecot.host,
            "port": self._dovecot.imap_port,
            "secure": False,
            "tls": {"rejectUnauthorized": False},
        }
        return {"account": f"a{number}", "name": "a", "email": user.login, "imap": imap}

    async def verified(self, since: float, seconds: float) -> None:
        """Wait until every account was compared with its server after a time; none may lack anything."""
        since_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))
        until = time.monotonic() + seconds
        for number in range(len(self._users)):
            while (account := await self._server.ok("GET", f"/v1/account/a{number}")).get(
                "lastVerifiedAt", ""
            ) < since_text:
                assert time.monotonic() < until, f"a{number} was not verified: {account}"
                await asyncio.sleep(0.2)  # nothing tells of a verification
            assert (account["state"], account["coverage"], account["unexplainedMissing"]) == ("connected", 1, 0)

    async def compare(self, store: Store) -> int:
        """Compare every index with its server and the events with themselves; returns how many events there are."""
        total = 0
        for number, user in enumerate(self._users):
            account = await store.accounts.get(f"a{number}")
            assert account is not None
            until = time.monotonic() + _SETTLED_SECONDS
            while (indexed := await _indexed(store, account)) != (there := await self._there(user)):
                # What nobody was told of, such as a mailbox renamed right after it was made, is found by a sweep.
                assert time.monotonic() < until, f"a{number}: {set(indexed.items()) ^ set(there.items())}"
                await asyncio.sleep(0.5)
            events = await store.events.of_account_after(account.number, 0, 1_000_000)
            news = Counter(event.facts["id"] for event in events if event.name is EventName.MESSAGE_NEW)
            assert not [one for one, times in news.items() if times > 1], f"told twice in a{number}"
            total += len(events)
        return total

    async def _there(self, user: MailUser) -> dict[tuple[str, int], str]:
        told = await self._dovecot.doveadm("-f", "tab", "fetch", "-u", user.login, "mailbox uid flags", "all")
        rows = [line.split("\t") for line in told.splitlines()[1:]]
        return {
            (path, int(uid)): " ".join(sorted(flag for flag in flags.split() if flag != "\\Recent"))
            for path, uid, flags in rows
        }


@pytest.mark.parametrize(
    ("accounts", "seconds", "pause_seconds", "sweep_interval", "verify_interval"),
    [
        (6, 8.0, 0.05, "300ms", "3s"),
        pytest.param(_ACCOUNTS, _MINUTES * 60, 0.1, "5s", "4m", marks=pytest.mark.soak),
    ],
)
async def test_changes_without_end_leave_every_index_right_and_memory_flat(
    accounts: int,
    seconds: float,
    pause_seconds: float,
    sweep_interval: str,
    verify_interval: str,
    dovecot: Dovecot,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    users = [dovecot.new_user() for _ in range(accounts)]
    async with Server(
        tmp_path,
        imap_verify_interval=verify_interval,
        imap_verify_pause="10s",
        imap_sweep_interval=sweep_interval,
        log_level="warn",
    ) as server:
        soak = _Soak(server, dovecot, users)
        await soak.register()
        await soak.run(seconds, pause_seconds)
        await soak.verified(time.time(), 60 + seconds)
        store = await open_store(f"sqlite:///{tmp_path}/mailquay.db", key_file=tmp_path / "encryption.key")
        try:
            events = await soak.compare(store)
        finally:
            await store.close()
        assert '"level": "error"' not in server.log.read_text()
    quarter = len(soak.memory_mb) // 4
    if seconds > 300:
        second, last = (statistics.median(soak.memory_mb[n * quarter : (n + 1) * quarter]) for n in (1, 3))
        with capsys.disabled():
            print(
                f"\nsoak: {accounts} accounts, {seconds / 60:g} minutes, {soak.changes:,} changes, {events:,} events; "
                f"memory (PSS) in the second quarter {second:.0f} MB, in the last {last:.0f} MB"
            )
        assert last <= second * 1.1 + 5, f"memory grows: {soak.memory_mb}"
    assert soak.changes > accounts
