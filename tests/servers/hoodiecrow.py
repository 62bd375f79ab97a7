"""A private hoodiecrow: an IMAP server in JavaScript that keeps everything in memory, and looks like Gmail if asked to.

It has CONDSTORE without QRESYNC, and one tree of mailboxes, which every user sees.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Self

from tests.servers.availability import NODE_MODULES
from tests.servers.dovecot import MailUser
from tests.servers.process import (
    LOOPBACK,
    ServerDidNotStart,
    ServerProcess,
    environment,
    find_program,
    free_ports,
    short_directory,
)

_PROGRAM = Path(__file__).parent / "node/hoodiecrow.js"


class Hoodiecrow:
    """A running hoodiecrow with one user.

    gmail   offer X-GM-EXT-1, with Gmail's mailboxes and a label Work. Labels are kept, and move no message: what is put
            into a mailbox is not in All Mail, and a label given there puts nothing into a mailbox
    """

    def __init__(self, *, gmail: bool = False) -> None:
        self.user = MailUser("ann", "secret-0")
        self.directory = short_directory("hoodiecrow-")
        [self.imap_port] = free_ports(1)
        self._kind = ["gmail"] if gmail else []
        self._process: ServerProcess | None = None

    def start(self) -> Self:
        """Start it and wait until it greets; raises ServerDidNotStart with its output."""
        self._process = ServerProcess(
            [
                *(find_program("node"), _PROGRAM, LOOPBACK, str(self.imap_port)),
                *(self.user.login, self.user.password, *self._kind),
            ],
            directory=self.directory,
            as_server=False,
            env=environment(NODE_PATH=str(NODE_MODULES)),
        )
        try:
            self._process.wait_until_it_listens(LOOPBACK, self.imap_port)
        except ServerDidNotStart as error:
            raise ServerDidNotStart(f"hoodiecrow: {error}") from error
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
