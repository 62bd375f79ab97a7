"""Finding the mail servers of an address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.api.operation import Call, Operation
from mailquay.api.schemas.autoconfig import AutoconfigQuery, DiscoveredServers


async def _discover(call: Call) -> Mapping[str, Any]:
    return await call.services.autoconfig.discover(call.parameters(AutoconfigQuery).email)


OPERATIONS = (
    Operation(
        "getV1Autoconfig",
        "GET",
        "/v1/autoconfig",
        "Settings",
        "Find the mail servers of an address",
        _discover,
        "read",
        "diagnostics",
        query=AutoconfigQuery,
        answer=DiscoveredServers,
        description="By the domain's mail exchanger, else by what the domain and the ISP database publish. "
        "Nothing is tried out.",
    ),
)
