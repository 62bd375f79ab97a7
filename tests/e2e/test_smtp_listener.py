"""Standard mail clients hand messages to a running server; a submission server receives them."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import re
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mailquay.storage.store import open_store
from tests.e2e.server import Server, free_port
from tests.servers.availability import NODE_MODULES, require_server
from tests.servers.certificates import Authority, Certificate
from tests.servers.process import environment, find_program
from tests.servers.smtp_sink import Received, SmtpSink
from tests.smtpd.listening import in_thread, mail, submit

PASSWORD = "shared secret"
_NODEMAILER = Path(__file__).parents[1] / "servers/node/nodemailer.js"
_SECONDS = 30.0
_EXIT_REFUSED = 28  # swaks: the server refused the log-in


@pytest.fixture
def certificate(authority: Authority) -> Certificate:
    """A certificate that clients of the authority believe."""
    return authority.issue("smtp-listener")


class Listener:
    """A server with the account ann, whose mail goes to the sink."""

    def __init__(self, server: Server, port: int, sink: SmtpSink) -> None:
        self.server = server
        self.port = port
        self.sink = sink

    async def set(self, **settings: object) -> None:
        """Change settings and wait until the node says that it listens as they want it."""
        before = self._listened()
        await self.server.ok("POST", "/v1/settings", settings)
        await self.until_listening(before)

    async def until_listening(self, before: int = 0) -> None:
        """Return when the node has said so more often than `before`."""
        async with asyncio.timeout(_SECONDS):
            while self._listened() <= before:
                await asyncio.sleep(0.02)  # its log is how a process tells others

    def _listened(self) -> int:
        return self.server.log.read_bytes().count(b'"smtp_listening"')


@pytest.fixture
async def listener(tmp_path: Path, smtp_sink: SmtpSink, certificate: Certificate) -> AsyncIterator[Listener]:
    """A running server whose listener offers STARTTLS and asks for a log-in."""
    options: dict[str, Any] = {
        "smtp_server_tls_cert": certificate.certificate_path,
        "smtp_server_tls_key": certificate.key_path,
        "smtp_server_max_message_size": "1M",
    }
    async with Server(tmp_path, **options) as server:
        smtp = {"host": smtp_sink.host, "port": smtp_sink.port, "secure": False}
        body = {"account": "ann", "name": "Ann", "email": "ann@example.com", "smtp": smtp}
        await server.ok("POST", "/v1/account", body)
        found = Listener(server, free_port(), smtp_sink)
        await found.set(smtpServerEnabled=True, smtpServerPort=found.port, smtpServerPassword=PASSWORD)
        yield found


async def run(*command: object, text: str = "", **variables: str) -> tuple[int, str]:
    """Run a client; its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(**variables),
    )
    output, _ = await asyncio.wait_for(process.communicate(text.encode()), _SECONDS)
    return process.returncode or 0, output.decode()


def parsed(received: Received) -> Any:
    """A message as another library reads it."""
    return email.message_from_bytes(received.content, policy=email.policy.default)


# -- the clients -------------------------------------------------------------------------------------


async def _swaks(listener: Listener, *more: object, password: str = PASSWORD) -> tuple[int, str]:
    login = ("--auth-user", "ann", "--auth-password", password)
    where = ("--server", "127.0.0.1", "--port", listener.port, "--helo", "client.test")
    whom = ("--from", "bounces@example.com", "--to", "you@remote.test,other@remote.test")
    return await run(find_program("swaks"), *where, *whom, *login, *more)


@pytest.mark.server
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("tls", [(), ("--tls",)])
async def test_swaks(listener: Listener, mechanism: str, tls: tuple[str, ...]) -> None:
    require_server("swaks")
    code, output = await _swaks(listener, "--auth", mechanism, *tls, "--header", "Subject: from swaks")
    assert code == 0, output
    [received] = await listener.sink.wait_for()
    assert (received.sender, received.recipients) == ("bounces@example.com", ("you@remote.test", "other@remote.test"))
    assert parsed(received)["Subject"] == "from swaks"
    assert re.search(r"250 Message queued for delivery as \w+ \(\d{4}-.*Z\)", output)


@pytest.mark.server
async def test_swaks_is_refused_as_it_should(listener: Listener) -> None:
    require_server("swaks")
    code, output = await _swaks(listener, "--auth", "PLAIN", password="wrong")
    assert code == _EXIT_REFUSED and "535 5.7.8" in output
    bound = {"description": "other", "permissions": {"actions": ["read"]}, "scopes": ["smtp"]}
    token = (await listener.server.ok("POST", "/v1/token", bound))["token"]
    assert (await _swaks(listener, "--auth", "PLAIN", password=token))[0] == _EXIT_REFUSED
    token = await listener.server.command("token", "issue", "-s", "api")
    assert (await _swaks(listener, "--auth", "PLAIN", password=token))[0] == _EXIT_REFUSED
    token = await listener.server.command("token", "issue", "-s", "smtp", "-a", "ann")
    assert (await _swaks(listener, "--auth", "PLAIN", password=token))[0] == 0
    await listener.sink.wait_for()


@pytest.mark.server
async def test_swaks_behind_a_proxy(listener: Listener) -> None:
    require_server("swaks")
    token = await listener.server.ok(
        "POST",
        "/v1/token",
        {
            "account": "ann",
            "description": "from one network",
            "scopes": ["smtp"],
            "restrictions": {"addresses": ["192.0.2.0/24"]},
        },
    )
    await listener.set(smtpServerProxy=True)
    binary = ("AF_INET", "--proxy-protocol", "STREAM", "--proxy-command", "PROXY")
    for version, family in (("1", ("TCP4",)), ("2", binary)):
        for source, expected in (("192.0.2.7", 0), ("198.51.100.7", _EXIT_REFUSED)):
            proxy = ("--proxy-version", version, "--proxy-family", *family, "--proxy-source", source)
            ports = ("--proxy-source-port", "4660", "--proxy-dest", "127.0.0.1", "--proxy-dest-port", listener.port)
            code, output = await _swaks(listener, *proxy, *ports, "--auth", "PLAIN", password=token["token"])
            assert code == expected, output
    await listener.sink.wait_for(2)


@pytest.mark.server
@pytest.mark.parametrize("implicit", [False, True])
async def test_msmtp(listener: Listener, authority: Authority, tmp_path: Path, implicit: bool) -> None:
    """With TLS of both kinds, its certificate checked, and wishes for reports."""
    require_server("msmtp")
    if implicit:
        await listener.set(smtpServerTLSEnabled=True)
    config = tmp_path / "msmtprc"
    config.write_text(
        f"account default\nhost 127.0.0.1\nport {listener.port}\nfrom ann@example.com\nauth plain\nuser ann\n"
        f"password {PASSWORD}\ntls on\ntls_starttls {'off' if implicit else 'on'}\n"
        f"tls_trust_file {authority.ca_path}\nset_from_header off\ndsn_notify failure,delay\ndsn_return headers\n"
    )
    config.chmod(0o600)
    text = (
        "From: ann@example.com\nTo: you@remote.test\nBcc: hidden@remote.test\nSubject: from msmtp\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nHällo\n.\n"
    )
    code, output = await run(find_program("msmtp"), "-C", config, "-t", text=text, HOME=str(tmp_path))
    assert code == 0, output
    [received] = await listener.sink.wait_for()
    assert sorted(received.recipients) == ["hidden@remote.test", "you@remote.test"]
    message = parsed(received)
    assert (message["Subject"], message["Bcc"]) == ("from msmtp", None)
    assert message.get_content().replace("\r\n", "\n") == "Hällo\n.\n"


async def _nodemailer(listener: Listener, messages: list[dict[str, Any]], **transport: Any) -> list[dict[str, Any]]:
    require_server("nodemailer")
    options = {
        "transport": {
            "host": "127.0.0.1",
            "port": listener.port,
            "auth": {"user": "ann", "pass": PASSWORD},
            "tls": {"rejectUnauthorized": False},
            **transport,
        },
        "messages": messages,
    }
    node = find_program("node")
    code, output = await run(node, _NODEMAILER, text=json.dumps(options), NODE_PATH=str(NODE_MODULES))
    assert code == 0, output
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.server
async def test_nodemailer(listener: Listener) -> None:
    """A pool that keeps its connection: a good message, one that is too large, one with a wrong field, a good one."""
    base = {"from": "Ann <ann@example.com>", "to": "Jürgen <you@remote.test>", "text": "Grüße"}
    attachment = {"filename": "a.bin", "content": "00" * 700_000, "encoding": "hex"}
    answers = await _nodemailer(
        listener,
        [
            {**base, "subject": "eins", "bcc": "hidden@remote.test", "html": "<p>Grüße</p>"},
            {**base, "subject": "zwei", "attachments": [attachment, {**attachment, "filename": "b.bin"}]},
            {**base, "subject": "drei", "headers": {"X-EE-Send-At": "soon"}},
            {**base, "subject": "vier", "dsn": {"id": "v1", "return": "headers", "notify": "success"}},
        ],
    )
    assert [answer.get("code") for answer in answers] == [None, 552, 554, None]
    assert "X-EE-Send-At" in answers[2]["response"]
    received = {str(parsed(one)["Subject"]): one for one in await listener.sink.wait_for(2)}
    assert sorted(received) == ["eins", "vier"]
    assert set(received["eins"].recipients) == {"you@remote.test", "hidden@remote.test"}
    assert parsed(received["eins"])["Bcc"] is None


@pytest.mark.server
async def test_nodemailer_over_tls(listener: Listener) -> None:
    await listener.set(smtpServerTLSEnabled=True)
    message = {"from": "ann@example.com", "to": "you@remote.test", "subject": "tls", "text": "x"}
    [answer] = await _nodemailer(listener, [message], secure=True)
    assert answer["response"].startswith("250 Message queued")
    await listener.sink.wait_for()


# -- the server ---------------------------------------------------------------------------------------


async def test_settings_change_while_it_runs(listener: Listener) -> None:
    """AUTH off, another port, off altogether: each without a restart, and metrics tell of it."""
    other = free_port()
    await listener.set(smtpServerAuthEnabled=False, smtpServerPort=other)
    listener.port, former = other, listener.port
    code, text = await in_thread(lambda: submit(other, mail("open", "X-EE-Account: ann"), login=None))
    assert code == 250, text
    [received] = await listener.sink.wait_for()
    assert b"x-ee-account" not in received.content.lower()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", former)
    assert (await in_thread(lambda: submit(other, mail("nobody"), login=None)))[0] == 451
    _, metrics = await listener.server.request("GET", "/metrics")
    assert b'smtp_listener{status="listening"} 1' in metrics
    stats = await listener.server.ok("GET", "/v1/outbox")
    assert stats["total"] == 0


async def test_the_outbox_says_where_a_message_came_from(listener: Listener) -> None:
    later = mail("later", "X-EE-Send-At: 2035-01-01T00:00:00Z", "X-EE-Idempotency-Key: k1")
    first = await in_thread(lambda: submit(listener.port, later, login=("ann", PASSWORD)))
    assert await in_thread(lambda: submit(listener.port, later, login=("ann", PASSWORD))) == first
    page = await listener.server.ok("GET", "/v1/outbox")
    [entry] = page["messages"]
    assert (entry["source"], entry["idempotencyKey"], entry["scheduled"]) == ("smtp", "k1", "2035-01-01T00:00:00.000Z")
    assert entry["queueId"] in first[1]


async def test_what_was_acknowledged_survives_a_crash(listener: Listener, tmp_path: Path) -> None:
    """SIGKILL in the middle of a row of messages: each that got its 250 is there, once."""
    acknowledged: list[str] = []

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", listener.port, timeout=_SECONDS) as client:
            client.login("ann", PASSWORD)
            for number in range(10_000):
                later = mail(f"row {number}", "X-EE-Send-At: 2035-01-01T00:00:00Z")
                client.sendmail("ann@example.com", ["you@remote.test"], later)
                acknowledged.append(f"row {number}")

    sending = asyncio.create_task(in_thread(send))
    async with asyncio.timeout(_SECONDS):
        while len(acknowledged) < 50:
            await asyncio.sleep(0.01)  # the client in its thread tells nobody how far it is
    await listener.server.kill()
    with pytest.raises((smtplib.SMTPException, OSError)):
        await sending
    store = await open_store(f"sqlite:///{tmp_path}/mailquay.db", key_file=tmp_path / "encryption.key")
    _, entries = await store.outbox.page(0, limit=10_000, offset=0)
    await store.close()
    stored = [str(entry.options.subject) for entry in entries]
    assert len(stored) == len(set(stored)) and set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 1


async def test_the_first_start_seeds_the_settings(tmp_path: Path) -> None:
    port = free_port()
    seeds: dict[str, Any] = {"smtp_server_enabled": True, "smtp_server_port": port, "smtp_server_password": PASSWORD}
    async with Server(tmp_path, **seeds) as server:
        body = {
            "account": "ann",
            "name": "Ann",
            "email": "ann@example.com",
            "smtp": {"host": "127.0.0.1", "port": 1, "secure": False},
        }
        await server.ok("POST", "/v1/account", body)
        shown = await server.ok(
            "GET", "/v1/settings?smtpServerEnabled=true&smtpServerPort=true&smtpServerPassword=true"
        )
        assert shown == {"smtpServerEnabled": True, "smtpServerPort": port, "smtpServerPassword": True}
        await Listener(server, port, SmtpSink()).until_listening()
        assert (await in_thread(lambda: submit(port, mail(), login=("ann", PASSWORD))))[0] == 250
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await reader.readline()).startswith(b"220 ")
        assert await server.stop() == 0
        assert (await reader.read()).startswith(b"421 4.3.2 ")
        writer.close()


async def test_every_process_of_a_machine_listens(tmp_path: Path) -> None:
    """Two processes share the port, and both follow the settings."""
    port = free_port()
    async with Server(tmp_path, processes=2) as server:
        listener = Listener(server, port, SmtpSink())
        await server.ok("POST", "/v1/settings", {"smtpServerEnabled": True, "smtpServerPort": port})
        await listener.until_listening(1)
        await server.ok("POST", "/v1/settings", {"smtpServerPassword": PASSWORD})
        await listener.until_listening(3)
        smtp = {"host": "127.0.0.1", "port": 1, "secure": False}
        body = {"account": "ann", "name": "Ann", "email": "ann@example.com", "smtp": smtp}
        await server.ok("POST", "/v1/account", body)
        for _ in range(8):
            code, text = await in_thread(lambda: submit(port, mail(), login=("ann", PASSWORD)))
            assert code == 250, text
