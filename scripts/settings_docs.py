"""Write docs/settings.md from the tables in the code; `make docs` runs it and a test holds the result to the tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from mailquay.config import Config
from mailquay.model.setting import SettingDefinition
from mailquay.model.setting_catalogue import SETTING_AREAS
from mailquay.settings_foreign import FOREIGN_NAMES
from mailquay.settings_option import Kind, Option
from mailquay.settings_table import SECTIONS

PATH = Path(__file__).resolve().parent.parent / "docs/settings.md"

_INTRODUCTION = """\
# Settings

<!-- Written by `make docs` from src/mailquay; change it there. -->

Two kinds of settings exist: *start-up options*, read once by `mailquay serve` and the other commands, and *runtime
settings*, kept in the database and changed with `POST /v1/settings`.

Each is marked: **works** (it does what is said), **accepted without effect** (it may be given, changes nothing, and
the log of the start says why), or **later** (what it belongs to is not in this release). Nothing else is accepted: an
unknown or wrong start-up option stops the start with one line that names it, and an unknown runtime setting is refused.

## How a start-up option is given

The option `command_timeout`, for example, as

1. a flag: `mailquay serve --command-timeout 20s`, or by its dotted name `--service.commandTimeout 20s`;
2. an environment variable: `MAILQUAY_COMMAND_TIMEOUT=20s`, or `MAILQUAY_COMMAND_TIMEOUT_FILE=/run/secrets/timeout`, a
   file that holds the value;
3. the same variables in a file `.env` in the working directory (other programs' names in it are left alone);
4. the TOML file `mailquay.toml` in the working directory, or the one that `--config` or `MAILQUAY_CONFIG` names:
   `command_timeout = "20s"` or `[service] commandTimeout = "20s"`;

and otherwise its default counts. What stands further up in this list wins; for the EmailEngine API this is a deviation,
where variables win over flags. An empty variable counts as not given. Of two variables for one option the first in the
table wins, and the log says so when they differ.

- A duration is a number and a unit: `250ms`, `10s`, `5m`, `12h`, `3d`. Under the names of the EmailEngine API the unit
  may be missing and is then milliseconds, or seconds where marked.
- A size is a number with `k`, `M` or `G` (powers of 1024), or bytes.
- A list is separated by commas or spaces, or an array in TOML.
- true is also `y`, `yes`, `1`, `on`; false is also `n`, `no`, `0`, `off`.
"""


def _shown(value: object) -> str:
    if value is None or value in ((), {}, ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{' '.join(map(str, value))}`"
    if isinstance(value, Mapping):
        return f"`{dict(value)}`"
    return f"`{value}`"


def _seconds(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"`{seconds / length:g}{unit}`"
    return f"`{seconds:g}s`"


def _size(size: int) -> str:
    return f"`{size // 1024**2}M`" if size % 1024**2 == 0 else f"`{size}`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(header: tuple[str, ...], rows: Iterable[str]) -> list[str]:
    return [_row(*header), _row(*("---" for _ in header)), *rows, ""]


def _default(option: Option) -> str:
    if option.first_boot_of:
        return ""
    field = next(field for field in dataclasses.fields(Config) if field.name == option.field)
    value = field.default
    if value is dataclasses.MISSING:
        return ""
    if option.kind is Kind.DURATION and isinstance(value, (int, float)):
        return _seconds(value)
    if option.kind is Kind.BYTES and isinstance(value, int):
        return _size(value)
    return _shown(value)


def _option_row(option: Option) -> str:
    bare = " (seconds)" if option.kind is Kind.DURATION and option.bare_number.value == 1 else ""
    names = [f"`{alias}`{bare}" for alias in option.aliases] + ([f"`{option.dotted}`"] if option.dotted else [])
    kind = f"{option.kind.value} {', '.join(f'`{choice}`' for choice in option.choices)}".strip()
    first = f" Seeds the runtime setting `{option.first_boot_of}`." if option.first_boot_of else ""
    return _row(f"`{option.name}`", kind, _default(option), option.meaning + first, ", ".join(names))


def _setting_row(definition: SettingDefinition) -> str:
    kind = definition.kind.value
    if definition.choices:
        kind += f": {', '.join(f'`{choice}`' for choice in definition.choices)}"
    remarks = [definition.meaning]
    if definition.minimum is not None or definition.maximum is not None:
        low = "" if definition.minimum is None else f"{definition.minimum:g}"
        high = "" if definition.maximum is None else f"{definition.maximum:g}"
        remarks.append(f"({low} to {high})" if high else f"(from {low})")
    remarks += ["Encrypted."] if definition.encrypted else []
    remarks += ["Secret parts read back as `******`."] if definition.masked else []
    key, default = f"`{definition.key}`", _shown(definition.default)
    return _row(key, kind, default, definition.status.value, definition.visibility.value, " ".join(remarks))


def render() -> str:
    """Return the whole document."""
    lines = [_INTRODUCTION, "## Start-up options", "", "All of these work.", ""]
    for title, options in SECTIONS:
        lines += [f"### {title}", ""]
        lines += _table(("option", "kind", "default", "meaning", "further names"), map(_option_row, options))
    lines += ["### Names of the EmailEngine API that fill no option", ""]
    lines += ["A *refused* one stops the start while its value asks for something.", ""]
    lines += _table(
        ("variable", "dotted name", "status", "why"),
        (
            _row(f"`{one.variable}`", f"`{one.dotted}`" if one.dotted else "", one.status.value, one.why)
            for one in FOREIGN_NAMES
        ),
    )
    lines += ["## Runtime settings", ""]
    lines += ["Access: `rw` read and write over the API, `rw-hidden` the same but not in its reference, `r` read only,"]
    lines += ["`internal` neither.", ""]
    for title, definitions in SETTING_AREAS:
        lines += [f"### {title}", ""]
        lines += _table(("key", "kind", "default", "status", "access", "meaning"), map(_setting_row, definitions))
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(render(), encoding="utf-8")
