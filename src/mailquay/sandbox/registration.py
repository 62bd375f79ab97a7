"""Making the sandbox's mailboxes known as accounts."""

from __future__ import annotations

import dataclasses

from mailquay.model.account import AccountId, AccountProfile, ImapSettings, SmtpSettings
from mailquay.sandbox.world import SandboxAccount, SandboxWorld
from mailquay.services.ports import Clock
from mailquay.storage.store import Store


async def register_sandbox(store: Store, clock: Clock, world: SandboxWorld) -> None:
    """Register the accounts of a world that has started, or point those of an earlier start to its new ports.

    What the user has changed besides (webhooks, logs, languages) stays. Mail from before now is not announced as new.
    """
    for account in world.accounts:
        now_ms = clock.now_ms()

        def change(profile: AccountProfile, account: SandboxAccount = account, now_ms: int = now_ms) -> AccountProfile:
            return _profile(profile, account, now_ms)

        await store.commit(store.accounts.upsert(AccountId(account.id), change, now_ms))


def _profile(profile: AccountProfile, account: SandboxAccount, now_ms: int) -> AccountProfile:
    imap = ImapSettings(
        host=account.imap_host,
        port=account.imap_port,
        user=account.user,
        password=account.password,
    )
    smtp = SmtpSettings(
        host=account.smtp_host,
        port=account.smtp_port,
        user=account.user,
        password=account.password,
    )
    return dataclasses.replace(
        profile,
        name=profile.name or account.name,
        email=profile.email or account.email,
        imap=imap,
        smtp=smtp,
        notify_from_ms=now_ms,
    )
