"""Mails of others in a real mailbox, read over the API: everything is answered, and is what others see in them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import Server
from tests.servers.dovecot import Dovecot, MailUser

pytestmark = pytest.mark.server

CORPUS = Path(__file__).parent.parent / "corpus" / "mime"
# Expectations of others that we do not share: by file, with the reason.
DIFFERENCES = CORPUS / "differences.json"
_NOT_MESSAGES = {".json", ".md", ".golden", ".tnef", ".list", ".png", ".bind9", ".crt"}
_MAX_FILE_BYTES = 5_000_000
_MAX_ATTACHMENTS = 20


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path) as running:
        yield running


class Reading:
    """An account whose mailbox holds files of a corpus, and what the API tells of them."""

    def __init__(self, server: Server, dovecot: Dovecot, user: MailUser) -> None:
        self._server = server
        self._dovecot = dovecot
        self._user = user
        self.failures: list[str] = []

    async def fill(self, paths: list[Path], *, failing: Collection[str] = ()) -> dict[Path, str]:
        """Put the files into the mailbox as they are; the ids of the messages.

        Only those whose names are among `failing` may be, and are, listed as unreadable.
        """
        self._dovecot.fill(self._user.login, [path.read_bytes() for path in paths])
        imap = {
            "auth": {"user": self._user.login, "pass": self._user.password},
            "host": self._dovecot.host,
            "port": self._dovecot.imap_port,
            "secure": False,
            "tls": {"rejectUnauthorized": False},
        }
        await self._server.ok("POST", "/v1/account", {"account": "ann", "name": "Ann", "imap": imap})
        await self._server.wait_connected("ann")
        ids: dict[Path, str] = {}
        while len(ids) < len(paths):
            page = len(ids) // 250
            listed = await self._server.ok("GET", f"/v1/account/ann/messages?path=INBOX&pageSize=250&page={page}")
            assert listed["messages"]
            for entry in listed["messages"]:
                path = paths[entry["uid"] - 1]
                assert (entry.get("status") == "failed") == (path.name in failing), entry
                ids[path] = entry["id"]
        return ids

    async def get(self, path: Path, url: str) -> Any:
        """The answer to a request about a file, None when it failed."""
        status, answer = await self._server.request("GET", f"/v1/account/ann/{url}")
        if status != 200:
            self.failures.append(f"{path}: {url} {status} {answer}")
            return None
        return answer

    async def facts(self, path: Path, message_id: str) -> dict[str, Any]:
        """Read everything of a message, in every form; what is worth comparing."""
        message = await self.get(path, f"message/{message_id}?textType=*")
        safe = await self.get(path, f"message/{message_id}?webSafeHtml=true")
        if message is None or safe is None:
            return {}
        text = await self.get(path, f"text/{message['text']['id']}")
        assert text == {key: value for key, value in message["text"].items() if key in ("plain", "html", "hasMore")}
        attachments = []
        for one in message.get("attachments", [])[:_MAX_ATTACHMENTS]:
            content = await self._content(path, one)
            attachments.append([one["contentType"], one.get("filename"), _marks(one), len(content), _digest(content)])
        return {
            "subject": message.get("subject"),
            "from": message.get("from"),
            "to": message.get("to"),
            "plain": text.get("plain"),
            "html": text.get("html"),
            "attachments": attachments,
        }

    async def _content(self, path: Path, attachment: dict[str, Any]) -> bytes:
        answer = await self.get(path, f"attachment/{attachment['id']}")
        if isinstance(answer, bytes):
            return answer
        return b"" if answer is None else json.dumps(answer).encode()


def _marks(attachment: dict[str, Any]) -> str:
    return " ".join(name for name in ("embedded", "inline", "encodedInMessage") if attachment[name])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _own_files() -> list[Path]:
    return sorted([*CORPUS.glob("**/*.eml"), *CORPUS.glob("**/*.raw")])


def _foreign_files() -> list[Path]:
    folder = os.environ.get("MAILQUAY_CORPORA")
    found = sorted(Path(folder).glob("**/*")) if folder else []
    return [
        path
        for path in found
        if path.is_file() and path.suffix not in _NOT_MESSAGES and 0 < path.stat().st_size < _MAX_FILE_BYTES
    ]


def _shown(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as a golden file holds them: of long texts the beginning and a digest."""
    return {
        key: f"{value[:200]}… {len(value)} {_digest(value.encode())}"
        if isinstance(value, str) and len(value) > 240
        else value
        for key, value in facts.items()
    }


def _expected_plain(path: Path) -> str | None:
    """The plain text that another parser found, where it wrote that down; parts joined as ours are."""
    written = path.with_suffix(".json")
    if path.suffix != ".eml" or not written.exists():
        return None
    parts = json.loads(written.read_text())["parts"]
    texts = [
        part["body"]["Text"].replace("\r\n", "\n")
        for part in parts
        if "Text" in part["body"] and _is_plain(part["headers"])
    ]
    return "\n".join(texts)


def _is_plain(headers: list[dict[str, Any]]) -> bool:
    types = {
        header["name"]: header["value"]["ContentType"] for header in headers if "ContentType" in header.get("value", {})
    }
    declared = types.get("content_type") or {"c_type": "text", "c_subtype": "plain"}
    disposition = types.get("content_disposition", {}).get("c_type", "")
    kind = (declared["c_type"].lower(), (declared.get("c_subtype") or "").lower())
    return kind == ("text", "plain") and disposition.lower() != "attachment"


async def _check(reading: Reading, paths: list[Path], root: Path) -> dict[str, dict[str, Any]]:
    """Read all the files; what was told of each. Fails for any that could not be read, or is seen otherwise."""
    ids = await reading.fill(paths)
    reasons: dict[str, str] = json.loads(DIFFERENCES.read_text())
    facts, differing = {}, {}
    for path in paths:
        name = "/".join(path.relative_to(root).parts)
        facts[name] = await reading.facts(path, ids[path])
        expected = _expected_plain(path)
        if expected is not None and (facts[name].get("plain") or "").strip() != expected.strip():
            differing[name] = (expected, facts[name].get("plain"))
    assert reading.failures == []
    known = {name.removeprefix("stalwart/") for name in reasons}
    assert {name: pair for name, pair in differing.items() if name.partition("/")[2] not in known} == {}
    there = {name.partition("/")[2]: name for name in facts}
    assert {there[name] for name in known if name in there} == set(differing), "a reason is not needed any more"
    return facts


async def test_mails_of_others_are_read_as_they_were(
    server: Server, dovecot: Dovecot, golden: Callable[[str, str], None]
) -> None:
    facts = await _check(Reading(server, dovecot, dovecot.new_user()), _own_files(), CORPUS)
    shown = {name: _shown(one) for name, one in facts.items()}
    golden("corpus-reading.json", json.dumps(shown, indent=1, ensure_ascii=False) + "\n")


@pytest.mark.live
@pytest.mark.skipif(not _foreign_files(), reason="MAILQUAY_CORPORA names no folder with messages")
async def test_every_mail_of_others_is_read(server: Server, dovecot: Dovecot) -> None:
    started = time.monotonic()
    paths = _foreign_files()
    facts = await _check(Reading(server, dovecot, dovecot.new_user()), paths, Path(os.environ["MAILQUAY_CORPORA"]))
    assert len(facts) == len(paths)
    assert time.monotonic() - started < 600
