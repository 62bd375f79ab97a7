"""Build hook: docs/ goes into wheels as mailquay/docs, where the server finds what it shows at /docs.

An editable install gets no copy, which would grow old: the server reads the checkout's docs/ itself.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PackageDocs(BuildHookInterface[Any]):
    """See the module."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder to a wheel; `version` is "editable" when none is built to be passed on."""
        if version == "standard":
            build_data["force_include"]["docs"] = "mailquay/docs"
