from __future__ import annotations

import pytest

from mailquay.backends.smtp.server import SmtpServer
from mailquay.backends.smtp.verify import SmtpVerification, verify_smtp
from mailquay.net.tls import TlsSettings
from mailquay.wire.sasl import Credentials
from tests.backends.smtp.scripted import IMPATIENT, scripted
from tests.net.certificate import make_certificate
from tests.net.test_connect import unused_port
from tests.servers.smtp_sink import SmtpSink


def names(verification: SmtpVerification) -> list[tuple[str, bool]]:
    return [(phase.name, phase.success) for phase in verification.phases]


async def test_everything_works(tmp_path_factory: pytest.TempPathFactory) -> None:
    certificate = make_certificate(tmp_path_factory.mktemp("certificate"))
    async with SmtpSink(ssl_context=certificate.context, credentials={"me": "secret"}) as sink:
        server = SmtpServer(
            host=sink.host,
            port=sink.port,
            secure=False,
            tls=TlsSettings(ca=(certificate.pem,)),
            credentials=Credentials(username="me", password="secret"),
            timeouts=IMPATIENT,
        )
        result = await verify_smtp(server)
    assert names(result) == [("connect", True), ("ehlo", True), ("tls", True), ("auth", True)]
    assert result.success
    assert result.tls_version == "TLSv1.3"
    assert "PLAIN" in result.auth_mechanisms


async def test_each_phase_can_fail() -> None:
    with unused_port() as port:
        result = await verify_smtp(SmtpServer(host="127.0.0.1", port=port, secure=False, timeouts=IMPATIENT))
    assert names(result) == [("connect", False)]
    assert result.error is not None
    assert result.error.code == "ESOCKET"
    async with scripted(greeting="554 no\r\n") as script:
        assert names(await verify_smtp(script.server())) == [("connect", True), ("ehlo", False)]
    async with scripted() as script:
        result = await verify_smtp(script.server(require_tls=True))
        assert names(result)[-1] == ("tls", False)
        credentials = Credentials(username="me", password="wrong")
    async with scripted(extensions=("AUTH PLAIN",), replies={"AUTH": "535 5.7.8 no"}) as script:
        result = await verify_smtp(script.server(credentials=credentials))
        assert names(result)[-1] == ("auth", False)
        assert result.error is not None
        assert (result.error.code, result.error.response) == ("EAUTH", "535 5.7.8 no")
        assert script.verbs()[-1] == "QUIT"
