"""Sessions against a real Dovecot: what one connection sees of what others do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.model.account import ImapSettings
from tests.servers.availability import require_server
from tests.servers.certificates import Authority
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.server
_MAIL = b"From: a@b.test\r\nSubject: x\r\nMessage-ID: <x@b.test>\r\n\r\nx\r\n"


@pytest.fixture(params=["", "IMAP4rev1 LIST-EXTENDED LIST-STATUS"], ids=["unselect", "noop"])
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Dovecot]:
    """A server that offers UNSELECT, and one that does not."""
    require_server("dovecot")
    with Dovecot(authority, user_count=1, **({"capability": request.param} if request.param else {})) as running:
        yield running


async def test_counters_of_the_open_mailbox_are_those_of_now(server: Dovecot) -> None:
    user = server.new_user()
    settings = ImapSettings(
        host=server.host, port=server.imap_port, user=user.login, password=user.password, tls={"disabled": True}
    )
    options = ImapOptions(
        connect_seconds=10, command_seconds=20, idle_restart_seconds=60, poll_seconds=1, client_id={"name": "mailquay"}
    )
    session = await ImapBackend(settings, options).open_session()
    await session.open_mailbox("INBOX")
    await server.deliver(user.login, _MAIL)
    for paths in (["INBOX"], ["INBOX", "Sent"]):
        assert (await session.status(paths))["INBOX"].messages == 1
        await session.open_mailbox("INBOX")
    await session.close()
