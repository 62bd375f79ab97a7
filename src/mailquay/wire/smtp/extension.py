"""What a server offers: the EHLO reply (RFC 5321 §4.1.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailquay.wire.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Extensions:
    """Keywords in upper case with their parameters; none of them before EHLO and after STARTTLS."""

    keywords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, reply: Reply) -> Extensions:
        """Read an EHLO reply; the first line greets, each other names an extension.

        `AUTH=` is what servers wrote before RFC 4954; its mechanisms join those of AUTH.
        """
        keywords: dict[str, tuple[str, ...]] = {}
        for line in reply.lines[1:]:
            words = line.replace("AUTH=", "AUTH ", 1).replace("auth=", "AUTH ", 1).split()
            if words:
                name = words[0].upper()
                parameters = tuple(word.upper() for word in words[1:])
                keywords[name] = keywords.get(name, ()) + parameters
        return cls(keywords)

    def __contains__(self, name: str) -> bool:
        return name in self.keywords

    @property
    def auth_mechanisms(self) -> frozenset[str]:
        """SASL mechanisms (RFC 4954 §3)."""
        return frozenset(self.keywords.get("AUTH", ()))

    @property
    def max_size_bytes(self) -> int | None:
        """The largest message (RFC 1870 §3); None when not declared, or declared as 0 for no limit."""
        parameters = self.keywords.get("SIZE", ())
        if parameters and parameters[0].isascii() and parameters[0].isdigit() and len(parameters[0]) <= 20:
            return int(parameters[0]) or None
        return None
