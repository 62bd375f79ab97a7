"""The written documentation says what the code does."""

from __future__ import annotations

from mailquay.backends.imap.conduct import Conduct
from mailquay.wire.imap.leniency import Leniency
from scripts import quirks_docs, settings_docs


def test_settings_documentation_is_current() -> None:
    assert settings_docs.PATH.read_text(encoding="utf-8") == settings_docs.render(), "run `make docs`"


def test_the_documentation_of_quirks_is_current() -> None:
    assert quirks_docs.PATH.read_text(encoding="utf-8") == quirks_docs.render(), "run `make docs`"


def test_a_quirk_added_to_the_code_makes_it_stale() -> None:
    text = quirks_docs.render()
    assert all(f"`{quirk.value}`" in text for quirk in [*Leniency, *Conduct])
    assert quirks_docs.seen_at(Leniency.ENVELOPE_WRAPPED.value) == ["Domino"]
