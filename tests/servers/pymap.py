"""A private pymap: an IMAP server in Python that keeps everything in memory, with OBJECTID and without mod-sequences.

It has one user, no SPECIAL-USE, no UNSELECT and no NAMESPACE, and keeps nothing from one start to the next.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Self

from tests.servers.dovecot import MailUser
from tests.servers.process import (
    LOOPBACK,
    ServerDidNotStart,
    ServerProcess,
    environment,
    free_ports,
    short_directory,
)


class Pymap:
    """A running pymap. Its one user is made at its start, with an empty INBOX."""

    def __init__(self) -> None:
        self.user = MailUser("ann", "secret-0")
        self.directory = short_directory("pymap-")
        [self.imap_port] = free_ports(1)
        self._process: ServerProcess | None = None

    def start(self) -> Self:
        """Start it and wait until it greets; raises ServerDidNotStart with its output."""
        self._process = ServerProcess(
            [
                *(Path(sys.executable).with_name("pymap"), "--host", LOOPBACK, "--port", str(self.imap_port)),
                *("--no-tls", "dict", "--demo-user", self.user.login, "--demo-password", self.user.password),
            ],
            directory=self.directory,
            as_server=False,
            env=environment(),
        )
        try:
            self._process.wait_until_it_listens(LOOPBACK, self.imap_port)
        except ServerDidNotStart as error:
            raise ServerDidNotStart(f"pymap: {error}") from error
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
