"""What a request changes of an account's profile: only what was given, servers as a whole or in part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mailquay.errors import InvalidRequest
from mailquay.model.account import AccountProfile, ImapSettings, ServerSettings, SmtpSettings
from mailquay.services.masks import MASK, mask_url, unmask, unmask_headers

S = TypeVar("S", bound=ServerSettings)


@dataclass(frozen=True, slots=True)
class ServerChanges:
    """Changes of server settings, by the field names of the model. None as a value takes the field's default.

    `partial` merges them into what is stored (`tls` key by key), otherwise they replace it. `remove` takes the server
    away as a whole.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False
    remove: bool = False


@dataclass(frozen=True, slots=True)
class AccountChanges:
    """Changes of a profile: `values` by the field names of the model, and those of the servers where given."""

    values: Mapping[str, Any] = field(default_factory=dict)
    imap: ServerChanges | None = None
    smtp: ServerChanges | None = None

    def apply(self, profile: AccountProfile) -> AccountProfile:
        """The changed profile; masks that come back leave what they stand for.

        Raises InvalidRequest when the result could not work, or when a mask stands for nothing.
        """
        values = dict(self.values)
        for name in ("webhooks", "proxy"):
            if name in values:
                stored: str | None = getattr(profile, name)
                values[name] = unmask(values[name], stored, None if stored is None else mask_url(stored), name)
        if "webhooks_custom_headers" in values:
            values["webhooks_custom_headers"] = unmask_headers(
                values["webhooks_custom_headers"], profile.webhooks_custom_headers
            )
        if self.imap is not None:
            values["imap"] = _changed(self.imap, profile.imap, ImapSettings(), "imap")
        if self.smtp is not None:
            values["smtp"] = _changed(self.smtp, profile.smtp, SmtpSettings(), "smtp")
        return dataclasses.replace(profile, **values)


def _changed(changes: ServerChanges, stored: S | None, defaults: S, name: str) -> S | None:
    if changes.remove:
        return None
    values = dict(changes.values)
    _keep_masked(values, stored, name)
    base = stored if changes.partial and stored is not None else defaults
    if changes.partial and "tls" in values:
        values["tls"] = _merged(base.tls, values["tls"])
    if changes.partial:
        # One of them logs in: giving the other replaces it.
        if values.get("password") is not None:
            values.setdefault("access_token", None)
        if values.get("access_token") is not None:
            values.setdefault("password", None)
    for key, value in values.items():
        if value is None:
            values[key] = getattr(defaults, key)
    result = dataclasses.replace(base, **values)
    check_server(result, name)
    return result


def _keep_masked(values: dict[str, Any], stored: ServerSettings | None, name: str) -> None:
    for key, public in (("password", "pass"), ("access_token", "accessToken")):
        if values.get(key) == MASK:
            known = None if stored is None else getattr(stored, key)
            values[key] = unmask(MASK, known, MASK, f"{name}.auth.{public}")


def _merged(stored: Mapping[str, object], changes: Mapping[str, object] | None) -> dict[str, object]:
    if changes is None:
        return {}
    return {key: value for key, value in {**stored, **changes}.items() if value is not None}


def check_server(settings: ServerSettings, name: str) -> None:
    """See to it that a server can be connected to.

    Raises InvalidRequest that names what is missing.
    """
    if isinstance(settings, ImapSettings) and settings.disabled:
        return
    if settings.host is None:
        raise InvalidRequest(f'"{name}.host" is required')
    if settings.port is None:
        raise InvalidRequest(f'"{name}.port" is required')
    has_secret = settings.password is not None or settings.access_token is not None
    if settings.user is None and isinstance(settings, ImapSettings) and not settings.use_auth_server:
        raise InvalidRequest(f'"{name}.auth" is required')
    if settings.user is not None and not has_secret and not settings.use_auth_server:
        raise InvalidRequest(f'"{name}.auth.pass" is required')
    if settings.password is not None and settings.access_token is not None:
        raise InvalidRequest(f'"{name}.auth" may hold pass or accessToken, not both')
