"""Where and how it listens: TLS, the PROXY protocol, settings that change, addresses that are taken, the end."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.model.token import Restrictions
from mailquay.smtpd.server import ListenerState
from tests.servers.certificates import Authority, Certificate
from tests.smtpd.listening import LOGIN, Listening, Talk, in_thread, listening, mail

_PROXY_2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 9, 127, 0, 0, 1]) + b"\x12\x34\x09\xdd"


def _client(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca_path))


def _config(certificate: Certificate, **more: object) -> Config:
    return Config(
        smtp_server_tls_cert=certificate.certificate_path,
        smtp_server_tls_key=certificate.key_path,
        **more,  # type: ignore[arg-type]
    )


# -- TLS --------------------------------------------------------------------------------------------


async def test_starttls(tmp_path: Path, authority: Authority) -> None:
    async with listening(tmp_path, _config(authority.issue("smtp"))) as listener:
        assert (await listener.send(mail(), starttls=_client(authority)))[0] == 250
        assert (await listener.send(mail()))[0] == 250
        first, second = [await listener.body(one) for one in await listener.queued()]
        assert {b" with ESMTPSA;" in first, b" with ESMTPSA;" in second} == {True, False}


async def test_nothing_said_in_the_clear_counts_over_tls(tmp_path: Path, authority: Authority) -> None:
    """RFC 3207 §6: what somebody in between put behind STARTTLS must not be carried out as if it came encrypted."""
    async with listening(tmp_path, _config(authority.issue("smtp"))) as listener, await listener.talk() as talk:
        await talk.say("EHLO test")
        await talk.raw(b"STARTTLS\r\nMAIL FROM:<evil@example.com>\r\n")
        assert [(await talk.reply())[:3] for _ in range(2)] == ["220", ""]


async def test_tls_from_the_start(tmp_path: Path, authority: Authority) -> None:
    async with listening(tmp_path, _config(authority.issue("smtp")), smtpServerTLSEnabled=True) as listener:
        assert (await listener.send(mail(), implicit=_client(authority)))[0] == 250
        assert b" with ESMTPSA;" in await listener.body((await listener.queued())[0])
        with pytest.raises((OSError, smtplib.SMTPServerDisconnected)):
            await listener.send(mail())


async def test_passwords_only_over_tls_where_that_is_asked_for(tmp_path: Path, authority: Authority) -> None:
    config = _config(authority.issue("smtp"), smtp_server_require_tls=True)
    async with listening(tmp_path, config) as listener:
        async with await listener.talk() as talk:
            [offers, *replies] = await talk.say("EHLO test", LOGIN, "MAIL FROM:<>")
            assert "STARTTLS" in offers and "AUTH" not in offers
            assert [reply[:3] for reply in replies] == ["530", "530"]
        assert (await listener.send(mail(), starttls=_client(authority)))[0] == 250


async def test_a_renewed_certificate_counts_for_the_next_connection(tmp_path: Path, authority: Authority) -> None:
    first, second = authority.issue("first"), authority.issue("second")

    def serial(port: int) -> str:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.starttls(context=_client(authority))
            assert isinstance(client.sock, ssl.SSLSocket)
            return str((client.sock.getpeercert() or {})["serialNumber"])

    files = Certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    for one, target in ((first.certificate_path, files.certificate_path), (first.key_path, files.key_path)):
        target.write_bytes(one.read_bytes())
    async with listening(tmp_path, _config(files)) as listener:
        before = await in_thread(lambda: serial(listener.port))
        files.certificate_path.write_bytes(b"half a file")
        assert await in_thread(lambda: serial(listener.port)) == before
        files.certificate_path.write_bytes(second.certificate_path.read_bytes())
        files.key_path.write_bytes(second.key_path.read_bytes())
        assert await in_thread(lambda: serial(listener.port)) != before


async def test_tls_without_a_certificate_is_no_listener_in_the_clear(listener: Listening) -> None:
    await listener.desk.settings.write({"smtpServerTLSEnabled": True})
    await listener.gauges.wait_for("failed")
    assert listener.server.error is not None and "smtp_server_tls_cert" in listener.server.error
    assert listener.port == 0
    await listener.change(smtpServerTLSEnabled=False)
    assert (await listener.send(mail()))[0] == 250


# -- the PROXY protocol ------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.9 127.0.0.1 4660 2525\r\n", _PROXY_2])
@pytest.mark.parametrize("implicit", [False, True])
async def test_the_address_behind_a_proxy(tmp_path: Path, authority: Authority, header: bytes, implicit: bool) -> None:
    """The header comes in the same packet as whatever follows it, also before a TLS handshake."""
    config = _config(authority.issue("smtp"))
    async with listening(tmp_path, config, smtpServerProxy=True, smtpServerTLSEnabled=implicit) as listener:
        value = await listener.token()

        def send() -> int:
            with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as connection:
                connection.sendall(header)
                stream = (
                    _client(authority).wrap_socket(connection, server_hostname="localhost") if implicit else connection
                )
                with smtplib.SMTP() as client:
                    client.sock = stream
                    assert client.getreply()[0] == 220
                    client.login("ann", value)
                    client.mail("ann@example.com")
                    client.rcpt("you@remote.test")
                    return client.data(mail())[0]

        assert await in_thread(send) == 250
        [(_, use)] = (await listener.tokens.page(limit=10, offset=0))[1]
        assert use.ip == "192.0.2.9"


async def test_without_the_setting_a_header_is_no_command_and_with_it_nothing_else_is_heard(
    listener: Listening,
) -> None:
    async with await listener.talk() as talk:
        assert (await talk.say("PROXY TCP4 192.0.2.9 127.0.0.1 4660 2525"))[0].startswith("502 ")
    await listener.change(smtpServerProxy=True)
    talk = await listener.talk()
    await talk.raw(b"EHLO test\r\n")
    assert await talk.ended()
    talk.writer.close()


# -- settings that change ----------------------------------------------------------------------------


async def test_it_follows_the_settings(listener: Listening) -> None:
    first = listener.port
    async with await listener.talk() as idle:
        await listener.change(smtpServerAuthEnabled=False)
        assert (await idle.reply()).startswith("421 4.3.2 ")  # who had nothing under way is sent away
    assert (await listener.send(mail("a", "X-EE-Account: bob"), login=None))[0] == 250
    await listener.change(smtpServerEnabled=False)
    assert listener.port == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", first)
    await listener.change(smtpServerEnabled=True, smtpServerHost="::1", smtpServerAuthEnabled=True)
    reader, writer = await asyncio.open_connection("::1", listener.port)
    async with Talk(reader, writer):
        pass


async def test_an_address_is_the_same_on_a_socket_for_both_kinds(listener: Listening) -> None:
    await listener.change(smtpServerHost="::")
    value = await listener.token(restrictions=Restrictions(addresses=("127.0.0.0/8",)))
    assert (await listener.send(mail(), login=("ann", value)))[0] == 250


async def test_settings_that_are_none_of_its_business_leave_it_alone(listener: Listening) -> None:
    async with await listener.talk() as talk:
        states = list(listener.gauges.states)
        await listener.desk.settings.write({"inboxNewOnly": True})
        assert (await talk.say("NOOP"))[0].startswith("250 ")
        assert listener.gauges.states == states


async def test_a_message_under_way_is_finished_when_the_settings_change(listener: Listening) -> None:
    async with await listener.talk() as talk:
        await talk.say("EHLO test", LOGIN, "MAIL FROM:<>", "RCPT TO:<b@remote.test>", "DATA")
        await talk.raw(b"Subject: half\r\n")
        await listener.change(smtpServerPassword="another")
        await talk.raw(b"\r\nthe other half\r\n.\r\n")
        assert (await talk.reply()).startswith("250 ")
        assert [(await talk.reply())[:3] for _ in range(2)] == ["421", ""]
    assert len(await listener.queued()) == 1


async def test_a_restart_cuts_no_message_off(tmp_path: Path) -> None:
    """However long it takes: the time of `drain_timeout` is for the end of the process."""
    async with listening(tmp_path, Config(drain_timeout_seconds=0.01)) as listener, await listener.talk() as talk:
        await talk.say("EHLO test", LOGIN, "MAIL FROM:<>", "RCPT TO:<b@remote.test>")
        for password in ("one", "two", "three"):
            await listener.change(smtpServerPassword=password)
        assert (await talk.say("DATA"))[0].startswith("354 ")
        await talk.raw(mail() + b".\r\n")
        assert [(await talk.reply())[:3] for _ in range(2)] == ["250", "421"]
        assert len(await listener.queued()) == 1


async def test_an_address_that_is_taken_is_tried_again(listener: Listening) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        await listener.desk.settings.write({"smtpServerPort": port})
        await listener.gauges.wait_for("failed")
        assert listener.server.state is ListenerState.FAILED
        assert listener.server.error == f"127.0.0.1:{port}: Address already in use"
    await listener.gauges.wait_for("listening", after=listener.gauges.states.index("failed"))
    assert listener.port == port and not listener.server.error
    assert (await listener.send(mail()))[0] == 250


async def test_stopping_waits_for_a_message_but_not_for_ever(tmp_path: Path) -> None:
    config = Config(drain_timeout_seconds=0.5)
    async with listening(tmp_path, config) as listener:
        talks = [await listener.talk() for _ in range(3)]
        async with talks[0] as quick, talks[1] as stuck, talks[2] as idle:
            for talk in (quick, stuck):
                await talk.say("EHLO test", LOGIN, "MAIL FROM:<>", "RCPT TO:<b@remote.test>", "DATA")
            port = listener.port
            stopping = asyncio.create_task(listener.server.stop())
            assert (await idle.reply()).startswith("421 4.3.2 ")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            await quick.raw(mail() + b".\r\n")
            assert (await quick.reply()).startswith("250 ")
            await stopping
            assert len(await listener.queued()) == 1
            assert await stuck.ended()
