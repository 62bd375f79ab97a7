"""See to it that no start-up option is silently accepted: the code must read each field of Config somewhere."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

from mailquay.config import Config

ROOT = Path(__file__).resolve().parent.parent
# Read inside Config itself, by its properties.
_READ_BY_PROPERTIES = {
    "database_url": ("uses_postgres", "sqlite_path"),
    "encryption_key_file": ("key_file",),
    "export_dir": ("export_folder",),
}


def unread_fields(root: Path) -> list[str]:
    """Name the fields that no module outside the configuration reads."""
    texts = [
        path.read_text(encoding="utf-8") for path in (root / "src/mailquay").rglob("*.py") if path.name != "config.py"
    ]
    source = "\n".join(texts)
    names = {field.name: (field.name, *_READ_BY_PROPERTIES.get(field.name, ())) for field in dataclasses.fields(Config)}
    return [
        name for name, read_as in names.items() if not any(re.search(rf"config\.{one}\b", source) for one in read_as)
    ]


def main() -> int:
    unread = unread_fields(ROOT)
    for name in unread:
        print(f"settings: Config.{name} is accepted but nothing reads it")
    if not unread:
        print("settings: every start-up option is read")
    return 1 if unread else 0


if __name__ == "__main__":
    sys.exit(main())
