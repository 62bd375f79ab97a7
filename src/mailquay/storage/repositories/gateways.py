"""Gateways. How to reach one, with its credentials, is sealed as one field."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mailquay.errors import InvalidRequest
from mailquay.model.account import SmtpSettings
from mailquay.model.gateway import Gateway
from mailquay.model.submission import Submission
from mailquay.storage.codec import from_json, mapping, to_json, to_json_bytes
from mailquay.storage.interface import Database, Pending, Row, Run, Script, Unit
from mailquay.storage.secrets import Vault

MAX_GATEWAYS = 10_000
Change = Callable[[Gateway], Gateway]
_SERVERS_KEPT = 200


class GatewayRepository:
    """Reads and units of work about gateways."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        # By the sealed field, which is never the same twice: every delivery reads its gateway.
        self._servers: dict[bytes, SmtpSettings] = {}

    async def get(self, gateway_id: str) -> Gateway | None:
        """The gateway with this id."""
        rows = await self._database.point("gateway_by_id", gateway_id)
        return self._gateway(rows[0]) if rows else None

    async def page(self, *, limit: int, offset: int) -> tuple[int, list[Gateway]]:
        """How many there are, and one page of them, ordered by id."""
        [(total,)] = await self._database.fetch("gateway_count")
        rows = await self._database.fetch("gateway_page", limit, offset)
        return int(total), [self._gateway(row) for row in rows]

    def put(self, gateway_id: str, change: Change) -> Unit[bool]:
        """Create a gateway, or change the one that has this id; whether it is new.

        Raises InvalidRequest (TooManyGateways), and whatever `change` raises.
        """

        def script(_pending: Pending) -> Script[bool]:
            existing = yield from self._lock(gateway_id)
            if existing is not None:
                yield self._update(change(existing))
                return False
            [(count,)] = yield Run("gateway_count")
            if count >= MAX_GATEWAYS:
                raise InvalidRequest(f"there are {MAX_GATEWAYS} gateways already", code="TooManyGateways")
            gateway = change(Gateway(gateway_id))
            if not (yield Run("gateway_insert", (gateway.id, gateway.name, self._seal(gateway)))):
                raise InvalidRequest(f"gateway {gateway_id} was made at the same time; try again")
            return True

        return script

    def update(self, gateway_id: str, change: Change) -> Unit[bool]:
        """Change a gateway; False when there is none. Raises whatever `change` raises."""

        def script(_pending: Pending) -> Script[bool]:
            existing = yield from self._lock(gateway_id)
            if existing is None:
                return False
            yield self._update(change(existing))
            return True

        return script

    def delete(self, gateway_id: str) -> Unit[bool]:
        """Remove a gateway; False when there is none."""

        def script(_pending: Pending) -> Script[bool]:
            return bool((yield Run("gateway_delete", (gateway_id,))))

        return script

    def delivered(self, gateway_id: str, submission: Submission, now_ms: int) -> Unit[None]:
        """Count a message that a gateway took. `submission` is as it was before the attempt.

        To be run before the outcome is stored, in the same transaction: an outcome that is stored already, because only
        the answer to its commit was lost, is not counted again.
        """

        def script(_pending: Pending) -> Script[None]:
            rows = yield Run("outbox_lock", (submission.queue_id,))
            if rows and rows[0][2] <= submission.attempts_made:
                yield Run("gateway_delivered", (gateway_id, now_ms))

        return script

    def failed(self, gateway_id: str, error: Mapping[str, object]) -> Unit[None]:
        """Store why a gateway did not take a message, in its public form."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("gateway_failed", (gateway_id, to_json(error)))

        return script

    # -- rows ----------------------------------------------------------------------------------

    def _lock(self, gateway_id: str) -> Script[Gateway | None]:
        rows = yield Run("gateway_lock", (gateway_id,))
        return self._gateway(rows[0]) if rows else None

    def _update(self, gateway: Gateway) -> Run:
        return Run("gateway_update", (gateway.id, gateway.name, self._seal(gateway)))

    def _seal(self, gateway: Gateway) -> bytes:
        plain = to_json_bytes(gateway.server)
        return self._vault.seal(plain, table="gateways", column="private", row=gateway.id)

    def _gateway(self, row: Row) -> Gateway:
        gateway_id, name, sealed, deliveries, last_use_ms, last_error = row
        server = self._servers.get(sealed)
        if server is None:
            if len(self._servers) >= _SERVERS_KEPT:
                self._servers.clear()
            plain = self._vault.open(sealed, table="gateways", column="private", row=gateway_id)
            server = self._servers[sealed] = from_json(plain, SmtpSettings)
        return Gateway(
            id=gateway_id,
            name=name,
            server=server,
            deliveries=deliveries,
            last_use_ms=last_use_ms,
            last_error=None if last_error is None else mapping(last_error),
        )
