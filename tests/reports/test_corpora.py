"""Reports of others: nearly all bounces are found, with recipient and status, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailquay.reports.classification import classify
from mailquay.reports.source import read_source
from mailquay.reports.verdict import Verdict, judge
from tests import golden_files

OWN = Path(__file__).parent.parent / "corpus" / "reports"
FOREIGN = os.environ.get("MAILQUAY_CORPORA")
FOUND_SHARE = 0.97
STATUS_SHARE = 0.95
NOT_MESSAGES = {".json", ".md", ".golden", ".txt"}
# What Sisimai makes up where a bounce states no code: no server sends those.
MADE_UP = re.compile(r"[45]\.0\.9\d\d")
NO_BOUNCE = ("arf-", "fbl_", "rfc3834-")
# A bounce, whatever its name says.
BOUNCE_AFTER_ALL = {"fbl_hotmail_002.eml"}
TELLING = (b"message/delivery-status", b"mailer-daemon", b"postmaster@", b"x-failed-recipients")

foreign_only = pytest.mark.skipif(FOREIGN is None, reason="MAILQUAY_CORPORA names no folder")


@dataclass(frozen=True)
class Row:
    """What we make of one file, and what others do."""

    name: str
    verdict: Verdict
    expected: Sequence[str]

    @property
    def kind(self) -> str:
        if self.verdict.delivery_report is not None:
            return "report"
        if self.verdict.complaint is not None:
            return "complaint"
        return "bounce" if self.verdict.bounce is not None else "-"

    @property
    def recipient(self) -> str | None:
        if self.verdict.bounce is not None:
            return self.verdict.bounce.recipient
        report = self.verdict.delivery_report or {}
        named = report.get("finalRecipient") or report.get("originalRecipient")
        return named["value"] if isinstance(named, dict) else named

    @property
    def status(self) -> str | None:
        if self.verdict.bounce is not None:
            return self.verdict.bounce.status
        stated = (self.verdict.delivery_report or {}).get("status", "").split()
        return stated[0] if stated else None

    @property
    def line(self) -> str:
        bounce = self.verdict.bounce
        words = [self.kind, self.recipient or "-", self.status or "-", " ".join(self.expected) or "-"]
        if bounce is not None:
            category = classify(bounce.message, bounce.status).category
            words += [bounce.action, category, "original" if bounce.message_id else "no original"]
        return f"{self.name}: {', '.join(words)}"


def rows_of(folders: Sequence[Path]) -> list[Row]:
    rows: list[Row] = []
    for folder in folders:
        path = folder / "expected.json"
        expected = json.loads(path.read_text()) if path.exists() else {}
        for file in sorted(folder.glob("**/*.eml")):
            source = file.read_bytes()
            statuses = [row[0] for row in expected.get(file.name, ())]
            # A status that others have found counts where it stands in the message.
            stated = [status for status in statuses if status and not MADE_UP.match(status)]
            stated = [status for status in stated if status.encode() in source]
            rows.append(Row("/".join(file.relative_to(folder.parent).parts), judge(read_source(source)), stated))
    return rows


def is_bounce(row: Row) -> bool:
    name = row.name.rpartition("/")[2]
    return name in BOUNCE_AFTER_ALL or not name.startswith(NO_BOUNCE)


def check(rows: list[Row]) -> None:
    bounces = [row for row in rows if is_bounce(row)]
    found = [row for row in bounces if row.kind in ("bounce", "report") and row.recipient]
    stated = [row for row in bounces if row.expected]
    right = [row for row in stated if row.status in row.expected]
    told = f"{len(found)} of {len(bounces)} bounces found, {len(right)} of {len(stated)} statuses right"
    sys.stdout.write("\n".join([*(row.line for row in rows), told, ""]))
    assert len(found) >= FOUND_SHARE * len(bounces), told
    assert len(right) >= STATUS_SHARE * len(stated), told
    assert [row.name for row in rows if not is_bounce(row) and row.kind in ("bounce", "report")] == []


def table(rows: list[Row]) -> str:
    return "".join(f"{row.line}\n" for row in rows)


def test_own_reports(golden: Callable[[str, str], None]) -> None:
    rows = rows_of([OWN / "sisimai"])
    check(rows)
    golden("reports.txt", table(rows))


@pytest.fixture(scope="module")
def foreign_rows() -> list[Row]:
    return rows_of(sorted(Path(FOREIGN or "").glob("bounces-*")))


@foreign_only
def test_all_reports(foreign_rows: list[Row]) -> None:
    check(foreign_rows)


@foreign_only
def test_table(foreign_rows: list[Row], golden: Callable[[str, str], None], request: pytest.FixtureRequest) -> None:
    kept = golden_files.FOLDER / "reports-corpora.txt"
    names = [line.partition(": ")[0] for line in kept.read_text().splitlines()] if kept.exists() else []
    if names != [row.name for row in foreign_rows] and not request.config.getoption("--rewrite-golden"):
        pytest.skip("these are other files than those of the table")
    # Some of the addresses are somebody's.
    golden("reports-corpora.txt", re.sub(r" [^@ ,]*@", " …@", table(foreign_rows)))


@foreign_only
def test_other_mail_is_no_bounce() -> None:
    """Among the messages of parsers are bounces: those have what only a bounce has."""
    folder = Path(FOREIGN or "")
    files = [path for path in sorted(folder.glob("**/*")) if path.is_file() and "bounces-" not in str(path)]
    files += sorted(folder.glob("bounces-*/not/**/*"))
    wrong: list[str] = []
    for file in files:
        if not file.is_file() or (file.suffix in NOT_MESSAGES and file.suffix != ".txt"):
            continue
        source = file.read_bytes()
        verdict = judge(read_source(source))
        telling = any(mark in source.lower() for mark in TELLING) and "not" not in file.parts
        if (verdict.bounce is not None or verdict.delivery_report is not None) and not telling:
            wrong.append(str(file.relative_to(folder)))
    assert wrong == []


def test_automatic_answers_are_told_from_bounces() -> None:
    [answer] = [row for row in rows_of([OWN / "sisimai"]) if "rfc3834" in row.name]
    assert (answer.kind, answer.verdict.auto_reply) == ("-", True)
