"""The written documentation says what the code does."""

from __future__ import annotations

from scripts import settings_docs


def test_settings_documentation_is_current() -> None:
    assert settings_docs.PATH.read_text(encoding="utf-8") == settings_docs.render(), "run `make docs`"
