"""Whether a real server can run here, and what a test does when it cannot: one place decides."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_CACHE = Path(__file__).resolve().parents[2] / ".cache"
CYRUS_TREE = _CACHE / "cyrus"
NODE_MODULES = _CACHE / "node/node_modules"
_PROGRAMS = ("curl", "swaks", "msmtp")
_NODE_PACKAGES = {"hoodiecrow": "hoodiecrow-imap", "nodemailer": "nodemailer"}


def _postgres_missing() -> bool:
    return not any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def _why_not(name: str) -> str | None:
    if name == "dovecot" and not Path("/usr/lib/dovecot/lmtp").exists():
        return "dovecot-imapd or dovecot-lmtpd is not installed"
    if name == "postfix":
        if not Path("/usr/lib/postfix/sbin/master").exists():
            return "postfix is not installed"
        if os.geteuid() != 0:
            return "postfix starts only as root"
    if name == "postgres" and _postgres_missing():
        return "postgresql is not installed"
    if name in _PROGRAMS and shutil.which(name) is None:
        return f"{name} is not installed"
    if name == "cyrus" and not (CYRUS_TREE / "usr/lib/cyrus/bin/master").exists():
        return "cyrus-imapd is not unpacked in .cache/cyrus"
    if name in _NODE_PACKAGES:
        return _node_package_missing(_NODE_PACKAGES[name])
    return None


def _node_package_missing(package: str) -> str | None:
    if shutil.which("node") is None:
        return "node is not installed"
    return None if (NODE_MODULES / package).exists() else f"{package} is not installed in .cache/node"


def require_server(name: str) -> None:
    """Skip the asking test, with the reason, if the server cannot run here; with CI=true fail it instead."""
    reason = _why_not(name)
    if reason is None:
        return
    reason = f"{name} cannot run here: {reason} (scripts/setup-test-servers)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
