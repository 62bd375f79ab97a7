"""Gateways: kept, changed, shown and removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from mailquay.errors import InvalidRequest, NotFound
from mailquay.model.account import SmtpSettings
from mailquay.model.gateway import Gateway
from mailquay.services import identifiers
from mailquay.services.masks import MASK, unmask
from mailquay.services.presentation import iso
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_DEFAULTS = SmtpSettings()


@dataclass(frozen=True, slots=True)
class GatewayChanges:
    """Changes of a gateway: its name unless None, and `server` by the field names of the model.

    None as a value takes the field's default. With `whole` that also happens to what is not given; with `tls_partial`
    the TLS options are merged into those that are stored, and None removes one.
    """

    name: str | None = None
    server: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False
    tls_partial: bool = False

    def apply(self, gateway: Gateway) -> Gateway:
        """The changed gateway; a masked password that comes back leaves what it stands for.

        Raises InvalidRequest when the result could not work, or when a mask stands for nothing.
        """
        stored, values = gateway.server, dict(self.server)
        if values.get("password") == MASK:
            values["password"] = unmask(MASK, stored.password, MASK, "pass")
        if self.tls_partial and values.get("tls") is not None:
            merged = {**stored.tls, **values["tls"]}
            values["tls"] = {key: value for key, value in merged.items() if value is not None}
        for key, value in values.items():
            if value is None:
                values[key] = getattr(_DEFAULTS, key)
        server = dataclasses.replace(_DEFAULTS if self.whole else stored, **values)
        if server.user is not None and server.password is None:
            raise InvalidRequest('"pass" is required where there is a user')
        return dataclasses.replace(gateway, name=gateway.name if self.name is None else self.name, server=server)


class GatewayService:
    """What the API does with gateways."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, *, page: int, page_size: int) -> tuple[int, list[dict[str, Any]]]:
        """How many there are, and a page of them without their servers, ordered by id."""
        total, found = await self._store.gateways.page(limit=page_size, offset=page * page_size)
        return total, [_entry(gateway) for gateway in found]

    async def get(self, gateway_id: str) -> dict[str, Any]:
        """A gateway in its public form, without its password.

        Raises NotFound.
        """
        gateway = await self._store.gateways.get(gateway_id)
        if gateway is None:
            raise _missing()
        server = gateway.server
        shown = _entry(gateway) | {"host": server.host, "port": server.port, "secure": server.secure}
        shown["user"] = server.user
        if server.password is not None:
            shown["pass"] = MASK
        if server.tls:
            shown["tls"] = dict(server.tls)
        return shown

    async def put(self, gateway_id: str | None, changes: GatewayChanges) -> tuple[str, bool]:
        """Create a gateway, or change the one that has this id; its id, and whether it is new.

        Raises InvalidRequest when the result could not work, or when there are too many.
        """
        chosen = gateway_id or identifiers.new_gateway_id()
        created = await self._store.commit(self._store.gateways.put(chosen, changes.apply))
        _log.info("gateway_kept", gateway=chosen, created=created)
        return chosen, created

    async def update(self, gateway_id: str, changes: GatewayChanges) -> None:
        """Change a gateway.

        Raises NotFound, and InvalidRequest when the result could not work.
        """
        if not await self._store.commit(self._store.gateways.update(gateway_id, changes.apply)):
            raise _missing()

    async def delete(self, gateway_id: str) -> bool:
        """Remove a gateway; False when there is none."""
        deleted = await self._store.commit(self._store.gateways.delete(gateway_id))
        if deleted:
            _log.info("gateway_deleted", gateway=gateway_id)
        return deleted


def _missing() -> NotFound:
    return NotFound("there is no such gateway")


def _entry(gateway: Gateway) -> dict[str, Any]:
    return {
        "gateway": gateway.id,
        "name": gateway.name,
        "deliveries": gateway.deliveries,
        "lastUse": None if gateway.last_use_ms is None else iso(gateway.last_use_ms),
        "lastError": gateway.last_error,
    }
