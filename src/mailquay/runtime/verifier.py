"""Logging in for real, to try settings out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mailquay.backends.smtp.verify import verify_smtp
from mailquay.model.account import AccountProfile, ImapSettings, ServerSettings, SmtpSettings
from mailquay.model.mailbox import ListedMailbox
from mailquay.runtime.transports import Transports
from mailquay.services.settings import SettingsService
from mailquay.services.verify import Note, VerifyPhase, VerifyRoute


class TransportVerifier:
    """See services.verify.MailVerifier."""

    def __init__(self, transports: Transports, settings: SettingsService) -> None:
        self._transports = transports
        self._settings = settings

    async def imap(
        self, settings: ImapSettings, route: VerifyRoute, note: Note, *, list_mailboxes: bool
    ) -> Sequence[ListedMailbox]:
        """See MailVerifier.imap."""
        await self._settings.refresh()
        if settings.use_auth_server:
            note(VerifyPhase.LOGIN)
            settings = await self._transports.imap_login(settings, _stands_for(settings))
            settings = dataclasses.replace(settings, use_auth_server=False)
        backend = self._transports.imap_for(settings, route.proxy, _stands_for(settings))
        note(VerifyPhase.CONNECT)
        session = await backend.open_session(on_login=lambda: note(VerifyPhase.LOGIN))
        try:
            note(VerifyPhase.LIST)
            return await session.list_mailboxes() if list_mailboxes else []
        finally:
            await session.close()

    async def smtp(self, settings: SmtpSettings, route: VerifyRoute, note: Note) -> None:
        """See MailVerifier.smtp."""
        await self._settings.refresh()
        profile = AccountProfile(smtp_ehlo_name=route.ehlo_name)
        if settings.use_auth_server:
            note(VerifyPhase.LOGIN)
            settings = await self._transports.smtp_login(settings, _stands_for(settings))
            note(VerifyPhase.CONNECT)
        server = await self._transports.smtp_for(settings, profile, _stands_for(settings), proxy=route.proxy)
        result = await verify_smtp(server)
        if any(phase.name == "tls" and phase.success for phase in result.phases) or result.success:
            note(VerifyPhase.LOGIN)
        if result.error is not None:
            raise result.error


def _stands_for(settings: ServerSettings) -> str:
    """Nothing is registered yet: the user name stands for the account that may come of it."""
    return settings.user or ""
