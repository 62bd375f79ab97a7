"""Keep out of tracked files what belongs to one machine only: absolute paths of a checkout or of a person's home."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SELF = "scripts/check_words.py"
_FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.~:-])/(?:work|home/(?!app\b)[a-z]\w*|Users/\w+|root)/[\w.]"),
    "the folder of this checkout": re.compile(re.escape(f"{ROOT}/")),
    "an unresolved merge": re.compile(r"^(?:<{7}|>{7}) "),
}


def tracked(root: Path) -> list[str]:
    """List the files under version control."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    return [name for name in listing.stdout.split("\0") if name and name != _SELF]


def faults_of_text(name: str, text: str) -> list[str]:
    """Name each line that holds something forbidden."""
    return [
        f"{name}:{number}: holds {what}: {line.strip()[:100]}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in _FORBIDDEN.items()
        if pattern.search(line)
    ]


def faults(root: Path) -> list[str]:
    """Look through every tracked text file below root."""
    found: list[str] = []
    for name in tracked(root):
        path = root / name
        if not path.is_file() or path.is_symlink():
            continue
        data = path.read_bytes()
        if b"\0" not in data[:8000]:
            found += faults_of_text(name, data.decode("utf-8", errors="replace"))
    return found


def main() -> int:
    found = faults(ROOT)
    print("\n".join(found) if found else "words: no machine's paths in tracked files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
