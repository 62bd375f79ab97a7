"""Names of blocklists in the words of a refusal."""

from __future__ import annotations

import re

_NAMED: tuple[tuple[str, str, re.Pattern[str]], ...] = tuple(
    (name, kind, re.compile(pattern))
    for name, kind, pattern in (
        ("Spamhaus DBL", "domain", r"\bdbl\.spamhaus|spamhaus dbl|\bdbl\b"),
        ("Spamhaus SBL", "ip", r"\bsbl\.spamhaus|spamhaus sbl|\bsbl\d{0,8}\b"),
        ("Spamhaus XBL", "ip", r"\bxbl\.spamhaus|spamhaus xbl|\bxbl\b"),
        ("Spamhaus PBL", "ip", r"\bpbl\.spamhaus|spamhaus pbl|\bpbl\b"),
        ("Spamhaus ZEN", "ip", r"\bzen\.spamhaus|spamhaus zen|\bzen\.dq\.spamhaus"),
        ("Barracuda", "ip", r"barracuda"),
        ("SORBS", "ip", r"\bsorbs\b"),
        ("SpamCop", "ip", r"spamcop"),
        ("URIBL", "uri", r"\b(?:uribl|surbl)\b"),
        ("Cloudmark", "ip", r"cloudmark"),
        ("Proofpoint", "ip", r"proofpoint"),
        ("Mimecast", "ip", r"mimecast"),
        (
            "Microsoft Blocklist",
            "ip",
            r"\bs3150\b|microsoft blocklist|sender\.office\.com|delist\.messaging\.microsoft",
        ),
        ("Invaluement", "ip", r"invaluement"),
        ("Hostkarma", "ip", r"hostkarma"),
        ("Trend Micro", "ip", r"trend ?micro|\bmail-abuse\.com"),
    )
)
_SPAMHAUS = re.compile(r"spamhaus")
_GENERIC = (
    ("DNSBL", re.compile(r"dnsbl")),
    ("RBL", re.compile(r"\brbls?\b")),
    ("Blocklist", re.compile(r"\bbl(?:ock|ack) ?list(?:ed|s)?\b")),
)


def find_blocklists(text: str) -> list[dict[str, str]]:
    """Every blocklist that a text in lower case names; what is no more than a list counts only where none is named."""
    found = [{"name": name, "type": kind} for name, kind, pattern in _NAMED if pattern.search(text)]
    if _SPAMHAUS.search(text) and not any(one["name"].startswith("Spamhaus") for one in found):
        found.insert(0, {"name": "Spamhaus", "type": "ip"})
    if found:
        return found
    return next(([{"name": name, "type": "ip"}] for name, pattern in _GENERIC if pattern.search(text)), [])
