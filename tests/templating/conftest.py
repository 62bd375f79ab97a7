"""One engine for all tests: a template is not to leave anything in it."""

from __future__ import annotations

import pytest

from mailquay.templating.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    """An engine."""
    return Engine()
