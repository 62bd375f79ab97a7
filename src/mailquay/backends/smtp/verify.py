"""Try submission settings for real: connect, TLS, EHLO, login; and say which of them failed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mailquay.backends.smtp.driver import SmtpConnection
from mailquay.backends.smtp.server import SmtpServer
from mailquay.errors import SubmissionRejected


@dataclass(frozen=True, slots=True)
class VerifiedPhase:
    """One phase: its name, and the error when it failed; later phases are not tried then."""

    name: str
    error: SubmissionRejected | None = None

    @property
    def success(self) -> bool:
        """Whether the phase went through."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class SmtpVerification:
    """The phases that were tried, in order: connect, ehlo, tls, auth."""

    phases: tuple[VerifiedPhase, ...]
    tls_version: str | None = None
    auth_mechanisms: tuple[str, ...] = ()
    max_size_bytes: int | None = None

    @property
    def success(self) -> bool:
        """Whether a message could be handed over now."""
        return all(phase.success for phase in self.phases)

    @property
    def error(self) -> SubmissionRejected | None:
        """What went wrong."""
        return self.phases[-1].error if self.phases else None


async def verify_smtp(server: SmtpServer) -> SmtpVerification:
    """Log in to `server` and leave again; never raises for what the server or the network does."""
    try:
        connection = await SmtpConnection.open(server)
    except SubmissionRejected as error:
        return SmtpVerification((VerifiedPhase("connect", error),))
    phases = [VerifiedPhase("connect")]
    steps: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
        ("ehlo", connection.greet),
        ("tls", connection.start_tls),
        ("auth", connection.authenticate),
    )
    try:
        for name, step in steps:
            try:
                await step()
            except SubmissionRejected as error:
                phases.append(VerifiedPhase(name, error))
                break
            phases.append(VerifiedPhase(name))
        version = connection.info("tls_version")
        return SmtpVerification(
            tuple(phases),
            tls_version=str(version) if version else None,
            auth_mechanisms=tuple(sorted(connection.extensions.auth_mechanisms)),
            max_size_bytes=connection.extensions.max_size_bytes,
        )
    finally:
        await connection.close()
