"""A private Cyrus IMAP 3.6 from its unpacked packages: a second dialect, with OBJECTID.

Other than Dovecot it tells its capabilities in the greeting and in the LOGIN reply, has no NOTIFY, and makes a user's
mailboxes at the first login; LMTP refuses him before.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import smtplib
from pathlib import Path
from typing import Self

from tests.servers.availability import CYRUS_TREE
from tests.servers.dovecot import DOMAIN, SPECIAL_MAILBOXES, MailUser
from tests.servers.process import (
    LOOPBACK,
    ServerDidNotStart,
    ServerProcess,
    environment,
    find_program,
    free_ports,
    give_away,
    run,
    server_user,
    short_directory,
)

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""The largest message that it takes, which it says by APPENDLIMIT."""

_CONFIG_FOLDERS = ("db", "user", "quota", "log", "msg", "proc", "lock", "socket", "ptclient", "sync", "rpm", "sieve")


class Cyrus:
    """A running Cyrus with a few users, handed out by `new_user`; each of them costs a run of saslpasswd2 (20 ms)."""

    def __init__(self, *, user_count: int = 20) -> None:
        self.host = LOOPBACK
        self.directory = short_directory("cyrus-")
        self.imap_port, self.lmtp_port = free_ports(2)
        self.users = {f"user{number}@{DOMAIN}": f"secret-{number}" for number in range(user_count)}
        self._unused = itertools.islice(self.users.items(), user_count)
        self._process: ServerProcess | None = None
        # As root it runs as another user, for whom a checkout under /root is out of reach.
        self._tree = self.directory / "tree"
        shutil.copytree(CYRUS_TREE / "usr", self._tree / "usr", symlinks=True)

    def start(self) -> Self:
        """Start it and wait until IMAP answers; raises ServerDidNotStart with its output."""
        configuration = self.directory / "imapd.conf"
        if not configuration.exists():
            self._write_configuration(configuration)
        libraries = next((self._tree / "usr/lib").glob("*-linux-gnu"))
        self._process = ServerProcess(
            [
                *(self._tree / "usr/lib/cyrus/bin/master", "-D", "-C", configuration),
                *("-M", self.directory / "cyrus.conf", "-p", self.directory / "pid"),
            ],
            directory=self.directory,
            env=environment(LD_LIBRARY_PATH=str(libraries), CYRUS_USER=server_user()[0]),
        )
        try:
            self._process.wait_until_it_listens(LOOPBACK, self.imap_port)
        except ServerDidNotStart as error:
            raise ServerDidNotStart(f"cyrus: {error}") from error
        return self

    def close(self) -> None:
        """Stop it and remove its directory."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def new_user(self) -> MailUser:
        """Hand out a user whom no other test has; his mailboxes appear when he logs in."""
        login, password = next(self._unused)
        return MailUser(login, password)

    async def deliver(self, recipient: str, message: bytes) -> None:
        """Deliver a message by LMTP; raises smtplib.SMTPException if it is refused."""

        def deliver() -> None:
            with smtplib.LMTP(LOOPBACK, self.lmtp_port, timeout=20) as session:
                session.sendmail("", [recipient], message)

        await asyncio.to_thread(deliver)

    def _write_configuration(self, configuration: Path) -> None:
        for name in ("conf", "spool/stage.", "proc", "lock", "sock", "sieve"):
            (self.directory / name).mkdir(parents=True)
        for name in _CONFIG_FOLDERS:
            (self.directory / "conf" / name).mkdir()
        passwords = self.directory / "sasldb2"
        saslpasswd = find_program("saslpasswd2")
        for login, password in self.users.items():
            name = login.removesuffix(f"@{DOMAIN}")
            options = ["-p", "-c", "-f", str(passwords), "-u", DOMAIN]
            run([saslpasswd, *options, name], cwd=self.directory, as_server=False, text=f"{password}\n")
        configuration.write_text("".join(f"{name}: {value}\n" for name, value in self._settings().items()))
        binaries = self._tree / "usr/lib/cyrus/bin"
        (self.directory / "cyrus.conf").write_text(
            f'START {{\n  recover cmd="{binaries}/ctl_cyrusdb -C {configuration} -r"\n}}\n'
            "SERVICES {\n"
            f'  imap cmd="{binaries}/imapd -C {configuration}"'
            f' listen="{LOOPBACK}:{self.imap_port}" prefork=1 maxchild=300\n'
            f'  lmtp cmd="{binaries}/lmtpd -C {configuration} -a"'
            f' listen="{LOOPBACK}:{self.lmtp_port}" prefork=0 maxchild=20\n'
            "}\n"
            "EVENTS {\n}\n"
            f'DAEMON {{\n  idled cmd="{binaries}/idled -C {configuration}"\n}}\n'
        )
        give_away(self.directory)

    def _settings(self) -> dict[str, str]:
        user, group = server_user()
        folders = " | ".join(SPECIAL_MAILBOXES)
        return {
            "configdirectory": f"{self.directory}/conf",
            "partition-default": f"{self.directory}/spool",
            "defaultpartition": "default",
            "admins": "cyrus",
            "sasl_pwcheck_method": "auxprop",
            "sasl_auxprop_plugin": "sasldb",
            "sasl_sasldb_path": f"{self.directory}/sasldb2",
            "sasl_mech_list": "PLAIN LOGIN SCRAM-SHA-256",
            "allowplaintext": "yes",
            "virtdomains": "userid",
            "unixhierarchysep": "yes",
            "altnamespace": "yes",
            "hashimapspool": "no",
            "conversations": "yes",
            "specialusealways": "yes",
            "autocreate_quota": "0",
            "maxmessagesize": str(MAX_MESSAGE_BYTES),
            "autocreate_inbox_folders": folders,
            "autocreate_subscribe_folders": folders,
            **{f"xlist-{name.lower()}": name for name in SPECIAL_MAILBOXES},
            "proc_path": f"{self.directory}/proc",
            "mboxname_lockpath": f"{self.directory}/lock",
            "lmtpsocket": f"{self.directory}/sock/lmtp",
            "idlesocket": f"{self.directory}/sock/idle",
            "notifysocket": f"{self.directory}/sock/notify",
            "sievedir": f"{self.directory}/sieve",
            "cyrus_user": user,
            "cyrus_group": group,
        }
