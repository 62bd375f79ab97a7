"""Accounts in their public form, secrets masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.model.account import Account, AccountState, ImapSettings, ServerSettings
from mailquay.model.mailbox import IndexVerification
from mailquay.services.masks import MASK, mask_headers, mask_url
from mailquay.services.presentation import iso

_MAILBOX_PATHS = (
    ("sentMailPath", "sent_mail_path"),
    ("draftsMailPath", "drafts_mail_path"),
    ("junkMailPath", "junk_mail_path"),
    ("trashMailPath", "trash_mail_path"),
    ("archiveMailPath", "archive_mail_path"),
)


def account_info(
    account: Account, counters: Mapping[str, int], connections: int | None, verified: IndexVerification | None
) -> dict[str, Any]:
    """An account with everything that may be told; `connections` None: only its owner, another node, knows."""
    profile, status = account.profile, account.status
    shown: dict[str, Any] = {"account": account.id, "name": profile.name}
    _add(shown, ("email", profile.email), ("expectedEmail", profile.expected_email), ("copy", profile.copy))
    shown["logs"] = profile.logs
    shown["notifyFrom"] = None if profile.notify_from_ms is None else iso(profile.notify_from_ms)
    shown["syncFrom"] = None if profile.sync_from_ms is None else iso(profile.sync_from_ms)
    shown["path"] = list(profile.path) if profile.path else "*"
    if profile.subconnections:
        shown["subconnections"] = list(profile.subconnections)
    _add_routing(shown, account)
    if profile.webhooks_custom_headers:
        shown["webhooksCustomHeaders"] = mask_headers(profile.webhooks_custom_headers)
    _add(shown, ("imapIndexer", profile.imap_indexer))
    shown["index"] = profile.index
    shown["whenUncertain"] = profile.when_uncertain
    _add(shown, ("locale", profile.locale), ("tz", profile.tz))
    if profile.imap is not None:
        shown["imap"] = imap_settings(profile.imap)
    if profile.smtp is not None:
        shown["smtp"] = server_settings(profile.smtp)
    shown["state"] = status.state.value
    _add(shown, ("connections", connections))
    if profile.smtp is not None and not profile.has_imap:
        shown["sendOnly"] = True
    shown["lastError"] = last_error(account)
    shown["smtpStatus"] = status.smtp_status
    _add(shown, ("syncError", status.sync_error))
    if status.sync_time_ms is not None:
        shown["syncTime"] = iso(status.sync_time_ms)
    if verified is not None and verified.at_ms is not None:
        shown["coverage"] = verified.coverage
        shown["lastVerifiedAt"] = iso(verified.at_ms)
        shown["unexplainedMissing"] = verified.missing
    shown["type"] = profile.account_type
    shown["counters"] = {"events": counters}
    return shown


def account_entry(account: Account, counters: Mapping[str, int]) -> dict[str, Any]:
    """An account as lists show it."""
    profile, status = account.profile, account.status
    shown: dict[str, Any] = {"account": account.id, "name": profile.name}
    _add(shown, ("email", profile.email))
    shown["type"] = profile.account_type
    shown["state"] = status.state.value
    _add_routing(shown, account)
    shown["counters"] = {"events": counters}
    if status.sync_time_ms is not None:
        shown["syncTime"] = iso(status.sync_time_ms)
    shown["lastError"] = last_error(account)
    return shown


def last_error(account: Account) -> Mapping[str, object] | None:
    """What keeps the account from working; None while it is connected."""
    return None if account.status.state is AccountState.CONNECTED else account.status.last_error


def server_settings(settings: ServerSettings) -> dict[str, Any]:
    """Settings of a server, without what nobody set."""
    shown: dict[str, Any] = {"useAuthServer": True} if settings.use_auth_server else {}
    if settings.user is not None:
        auth = {"user": settings.user}
        if settings.password is not None:
            auth["pass"] = MASK
        if settings.access_token is not None:
            auth["accessToken"] = MASK
        shown["auth"] = auth
    _add(shown, ("host", settings.host), ("port", settings.port))
    shown["secure"] = settings.secure
    if settings.tls:
        shown["tls"] = dict(settings.tls)
    return shown


def imap_settings(settings: ImapSettings) -> dict[str, Any]:
    """Settings of an IMAP server."""
    shown = server_settings(settings)
    if settings.disabled:
        shown["disabled"] = True
    if settings.disable_imap4rev2:
        shown["disableIMAP4rev2"] = True
    shown["resyncDelay"] = settings.resync_delay_seconds
    _add(shown, *((public, getattr(settings, name)) for public, name in _MAILBOX_PATHS))
    return shown


def _add_routing(shown: dict[str, Any], account: Account) -> None:
    profile = account.profile
    if profile.webhooks is not None:
        shown["webhooks"] = mask_url(profile.webhooks)
    if profile.proxy is not None:
        shown["proxy"] = mask_url(profile.proxy)
    _add(shown, ("smtpEhloName", profile.smtp_ehlo_name))


def _add(shown: dict[str, Any], *fields: tuple[str, object]) -> None:
    """Add the fields that have a value."""
    shown.update((key, value) for key, value in fields if value is not None)
