"""The checks of `make check` find what they are for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts import check_locks, check_rfcs, check_words, vendor
from tests import golden_files

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", *check_locks.LOCKS):
        shutil.copy(ROOT / name, tmp_path)
    for lock in check_locks.NODE_LOCKS:
        shutil.copytree((ROOT / lock).parent, (tmp_path / lock).parent)
    for name in vendor.FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_our_locks_are_in_order(locks: Path) -> None:
    assert check_locks.faults(locks) == []


def test_a_lock_that_fell_behind_is_found(locks: Path) -> None:
    project = locks / "pyproject.toml"
    project.write_text(project.read_text().replace('"aiohttp>=', '"aiohttp>=9'))
    assert check_locks.faults(locks) == [
        f"{name}: not made from today's pyproject.toml; run `make lock`"
        for name in ("requirements.lock", "requirements-dev.lock")
    ]


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("--index-url example.test", "holds an address"),
        ("pkg @ https://example.test/pkg.whl", "holds an address"),
        ("unhashed==1.0", "pinned without a hash"),
    ],
)
def test_addresses_and_missing_hashes_are_found(locks: Path, added: str, message: str) -> None:
    with (locks / "requirements.lock").open("a") as lock:
        lock.write(f"{added}\n")
    (fault,) = check_locks.faults(locks)
    assert message in fault
    assert fault.startswith("requirements.lock:")


def test_a_lock_with_another_version_is_found(locks: Path) -> None:
    lock = locks / "requirements.lock"
    version = check_locks.pins(lock.read_text())["aiohttp"]
    lock.write_text(lock.read_text().replace(f"aiohttp=={version}", "aiohttp==0.1"))
    assert check_locks.faults(locks) == [f"requirements.lock: aiohttp==0.1, but requirements-dev.lock has {version}"]


def test_a_lock_of_npm_with_addresses_or_of_other_packages_is_found(locks: Path) -> None:
    lock = locks / check_locks.NODE_LOCK
    lock.write_text(lock.read_text().replace('"integrity"', '"resolved"', 1).replace('"2.1.0"', '"2.0.0"', 1))
    package = "node_modules/big.js"
    assert check_locks.faults(locks) == [
        f"{check_locks.NODE_LOCK}: not made from today's package.json",
        f"{check_locks.NODE_LOCK}: holds an address: {package}",
        f"{check_locks.NODE_LOCK}: pinned without a hash: {package}",
    ]


@pytest.mark.parametrize("name", [*vendor.FILES, f"{vendor.SOURCE}/package-lock.json"])
def test_vendored_code_that_was_changed_is_found(locks: Path, name: str) -> None:
    (locks / name).write_text((locks / name).read_text() + "\n")
    assert check_locks.faults(locks) == [f"{vendor.RECORD}: not what lies here; run `make vendor`"]


def test_vendored_code_that_is_missing_is_found(locks: Path) -> None:
    (locks / next(iter(vendor.FILES))).unlink()
    assert check_locks.faults(locks) == [f"{vendor.RECORD}: not what lies here; run `make vendor`"]


def test_a_citation_without_a_row_is_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "src").mkdir()
    rows = "| 5322 | Format | yes | mime |\n| 2047 | Words | perhaps | mime |\n| 2047 | Words | no | x |\n"
    (tmp_path / "docs/rfcs.md").write_text(rows)
    (tmp_path / "src/a.py").write_text('"""RFC 5322 §3, RFC822."""\n# see RFC 9051\n')
    assert check_rfcs.faults(tmp_path) == [
        "docs/rfcs.md: RFC 2047 stands there twice",
        "docs/rfcs.md: RFC 2047 says 'perhaps' instead of one of yes, partly, no",
        "docs/rfcs.md: the rows are not in the order of their numbers",
        "src/a.py:2: RFC 9051 is cited but does not stand in docs/rfcs.md",
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cd " + "/home" + "/ann/code", True),
        ("see " + "/Users" + "/ann/x", True),
        ("<" * 7 + " HEAD", True),
        ("/homepage and https://example.test/home/ann", False),
        ("WORKDIR /app", False),
    ],
)
def test_paths_of_one_machine_are_found(line: str, found: bool) -> None:
    assert bool(check_words.faults_of_text("a.md", f"first\n{line}\n")) is found


def test_a_golden_file_is_compared_and_rewritten_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "folder/a.txt"
    with pytest.raises(AssertionError, match="make golden"):
        golden_files.compare(path, "text\n", rewrite=False)
    golden_files.compare(path, "text\n", rewrite=True)
    golden_files.compare(path, "text\n", rewrite=False)
    with pytest.raises(AssertionError, match="review the difference"):
        golden_files.compare(path, "other\n", rewrite=False)
