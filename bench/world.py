"""What the benches of whole servers share: mail, accounts, a server in a folder of its own, figures of processes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.server import Server
from tests.servers.certificates import Authority
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.process import short_directory

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_DELIVERED_TOGETHER = 500


@contextmanager
def bench_dovecot(*, tls: bool = False) -> Iterator[tuple[Path, Dovecot]]:
    """A Dovecot without limits that would matter, and a folder for data; both are gone afterwards."""
    folder, authority = Path(tempfile.mkdtemp(prefix="bench-")), short_directory("bench-ca-")
    try:
        extra: dict[str, str | Mapping[str, str | int]] = {
            "ssl": "yes" if tls else "no",
            "mail_max_userip_connections": "1000",
            "default_process_limit": "3000",
            "default_client_limit": "8000",
            "service imap": {"vsz_limit": "1G", "process_limit": 3000},
            "auth_verbose": "no",
        }
        with Dovecot(Authority(authority), extra=extra) as dovecot:
            print(f"| {os.cpu_count()} cores, everything on one machine | |\n| --- | --- |")
            yield folder, dovecot
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(authority, ignore_errors=True)


def row(name: str, value: str) -> None:
    """Print one line of a table."""
    print(f"| {name} | {value} |", flush=True)


def mail(n: int) -> bytes:
    """A message of usual form; the same for the same number."""
    text = f"Line of a message of usual length, number {n}.\r\n" * 20
    return (
        f"From: Sender {n % 50} <s{n % 50}@example.org>\r\nTo: you@example.test\r\nSubject: Message number {n}\r\n"
        f"Message-ID: <{n}@bench.example>\r\nDate: Thu, 01 Jan 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/alternative; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
        f"{text}\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>{text}</p>\r\n--b--\r\n"
    ).encode()


async def fill(dovecot: Dovecot, user: MailUser, messages: int) -> None:
    """Deliver so many messages to a user."""
    for start in range(0, messages, _DELIVERED_TOGETHER):
        stop = min(start + _DELIVERED_TOGETHER, messages)
        await dovecot.deliver(user.login, *[mail(n) for n in range(start, stop)])


def server_in(folder: Path, name: str, **options: str) -> Server:
    """A server with an empty data directory of its own, and further options."""
    own = folder / name
    own.mkdir()
    options = {"log_level": "warn", "imap_sweep_interval": "60s", "webhook_egress_policy": "off", **options}
    return Server(own, port=None, database=None, **options)


def account_body(dovecot: Dovecot, user: MailUser, name: str, *, tls: bool = False) -> dict[str, Any]:
    """What `POST /v1/account` takes for a user of Dovecot."""
    imap = {
        "auth": {"user": user.login, "pass": user.password},
        "host": dovecot.host,
        "port": dovecot.imaps_port if tls else dovecot.imap_port,
        "secure": tls,
        "tls": {"rejectUnauthorized": False},
    }
    return {"account": name, "name": name, "email": user.login, "imap": imap}


def pid_of(server: Server) -> int:
    """The process of a running server."""
    assert server.process is not None
    return server.process.pid


def pss_mb(pid: int) -> float:
    """Proportional set size of a process; Linux only."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used; Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def quantile(values: list[float], percent: int) -> float:
    """The value below which so many percent lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def unfilled(folder: Path) -> bool:
    """Whether a message of the index still lacks its envelope."""
    with sqlite3.connect(f"file:{folder}/mailquay.db?mode=ro", uri=True) as database:
        query = "SELECT 1 FROM messages WHERE envelope IS NULL AND error IS NULL LIMIT 1"
        return database.execute(query).fetchone() is not None
