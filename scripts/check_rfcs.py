"""See to it that every RFC cited in the code stands in docs/rfcs.md, once, with a word on how far we follow it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_CITED = re.compile(r"\bRFC[ \u00a0-](\d{3,5})\b")
_ROW = re.compile(r"^\| *(\d{3,5}) *\| *([^|]+?) *\| *([^|]*?) *\| *([^|]*?) *\|$")
_EXTENTS = ("yes", "partly", "no")


def cited(folder: Path) -> dict[str, str]:
    """Map each RFC number cited below the folder to the first place that cites it."""
    found: dict[str, str] = {}
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.sql")]):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for rfc in _CITED.findall(line):
                found.setdefault(rfc, f"{path.relative_to(folder.parent)}:{number}")
    return found


def faults(root: Path) -> list[str]:
    """Name what is wrong with the table below root, a line each."""
    rows = [
        match
        for line in (root / "docs/rfcs.md").read_text(encoding="utf-8").splitlines()
        if (match := _ROW.match(line))
    ]
    numbers = [row[1] for row in rows]
    found = [
        f"docs/rfcs.md: RFC {one} stands there twice" for one in sorted({n for n in numbers if numbers.count(n) > 1})
    ]
    found += [
        f"docs/rfcs.md: RFC {row[1]} says {row[3]!r} instead of one of {', '.join(_EXTENTS)}"
        for row in rows
        if row[3] not in _EXTENTS
    ]
    if numbers != sorted(numbers, key=int):
        found.append("docs/rfcs.md: the rows are not in the order of their numbers")
    return found + [
        f"{place}: RFC {rfc} is cited but does not stand in docs/rfcs.md"
        for rfc, place in sorted(cited(root / "src").items(), key=lambda item: int(item[0]))
        if rfc not in numbers
    ]


def main() -> int:
    found = faults(ROOT)
    print("\n".join(found) if found else "rfcs: every citation stands in docs/rfcs.md")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
