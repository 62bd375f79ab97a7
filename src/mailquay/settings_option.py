"""What a start-up option is; the options themselves stand in `settings_table`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How the text of an option is read."""

    TEXT = "text"
    INTEGER = "whole number"
    BOOLEAN = "true or false"
    DURATION = "duration (10s, 5m, 3d)"
    BYTES = "size (500k, 5M, 1G)"
    LIST = "list"
    CHOICE = "one of"
    CHOICES = "some of"
    NETWORKS = "list of addresses or networks"
    PATH = "path"
    OBJECT = "JSON object"


class BareNumber(Enum):
    """What a number without unit means under the further names of a duration; our own names always want a unit."""

    MILLISECONDS = 0.001
    SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Option:
    """One start-up option.

    `field` is the field of Config; with `first_boot_of` the value goes into Config.initial_settings under that runtime
    setting instead, which it seeds where the setting was never written. `aliases` are environment variables and
    `dotted` a configuration key of the EmailEngine API. `secret` values never appear in messages.
    """

    name: str
    field: str
    kind: Kind
    meaning: str
    aliases: tuple[str, ...] = ()
    dotted: str | None = None
    bare_number: BareNumber = BareNumber.MILLISECONDS
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    secret: bool = False
    first_boot_of: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable of our own name."""
        return f"MAILQUAY_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """The command-line flag of our own name."""
        return f"--{self.name.replace('_', '-')}"
