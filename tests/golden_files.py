"""Golden files: what a public surface looked like when somebody last looked at it."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def compare(path: Path, text: str, *, rewrite: bool) -> None:
    """Fail unless the file holds exactly this text; with `rewrite` make it so first."""
    if rewrite:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} is missing; `make golden` writes it"
    assert text == path.read_text(encoding="utf-8"), "run `make golden` and review the difference"
