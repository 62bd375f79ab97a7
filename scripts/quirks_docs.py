"""Write docs/quirks.md from the leniencies and conducts in the code; `--check` tells whether it is current."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from mailquay.backends.imap.conduct import Conduct
from mailquay.wire.imap.leniency import Leniency

ROOT = Path(__file__).resolve().parent.parent
PATH = ROOT / "docs/quirks.md"
_CORPUS = ROOT / "tests/corpus/imap"
_SEEN_AT = {
    "bridge": "Proton Bridge",
    "courier": "Courier",
    "cyrus": "Cyrus",
    "domino": "Domino",
    "dovecot": "Dovecot",
    "exchange": "Exchange",
    "freefr": "free.fr",
    "gmail": "Gmail",
    "gmx": "GMX",
    "hoodiecrow": "hoodiecrow",
    "icloud": "iCloud",
    "mailru": "Mail.ru",
    "netease": "163.com",
    "outlook": "Outlook",
    "qq": "QQ Mail",
    "yahoo": "Yahoo",
    "yandex": "Yandex",
    "zoho": "Zoho",
}
_INTRODUCTION = """\
# Habits of IMAP servers

<!-- Written by `make docs` from src/mailquay; change it there. -->

Mail servers differ from the RFCs and from each other. Whatever we do about it has a name, a transcript of such a server
in `tests/corpus/imap`, and a line here. Servers are named where the habit was first reported; others share it.

Whatever is not listed is taken at its word: a message that cannot be understood is reported as such and costs nothing
but itself, a stream that cannot be trusted any more is closed, and everything that a server can send has a limit.
"""
_GRAMMAR = """\
## Answers that break the grammar

They are read all the same. Each connection remembers which of these it has met.
"""
_CONDUCT = """\
## Answers in good order that mean something else

The grammar is kept, and still one has to know.
"""


def seen_at(name: str) -> list[str]:
    """The servers whose transcripts need a leniency or conduct."""
    found = set()
    for path in sorted(_CORPUS.rglob("*.transcript")):
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        if name in first.partition(":")[2].replace(",", " ").split():
            found.add(_SEEN_AT.get(path.stem.partition("-")[0], ""))
    return sorted(found - {""})


def _table(entries: Iterable[tuple[str, str]]) -> list[str]:
    lines = ["| name | what servers do, and what we do | seen at |", "| --- | --- | --- |"]
    for name, explanation in entries:
        text = (explanation[0].upper() + explanation[1:]).replace("|", "\\|")
        lines.append(f"| `{name}` | {text}. | {', '.join(seen_at(name))} |")
    return [*lines, ""]


def render() -> str:
    """Return the whole document."""
    lines = [_INTRODUCTION, _GRAMMAR]
    lines += _table((leniency.value, leniency.explanation) for leniency in Leniency)
    lines += [_CONDUCT]
    lines += _table((conduct.value, conduct.explanation) for conduct in Conduct)
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    if "--check" not in arguments:
        PATH.write_text(render(), encoding="utf-8")
        return 0
    current = PATH.read_text(encoding="utf-8") == render()
    print("quirks: docs/quirks.md is current" if current else "docs/quirks.md: not current; run `make docs`")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
