"""Hold the lock files to their promises, without asking any registry.

Each lock must have been made from today's dependency lists of pyproject.toml, pin every package with hashes, contain no
address of any package index, and agree with requirements-dev.lock on every version they share. npm's locks are made by
`npm i --package-lock-only --omit-lockfile-registry-resolved` in their folders, and must hold hashes and no address
either. What scripts/vendor.py copied out of npm's packages must be as it recorded it.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts import vendor  # noqa: E402  (the path must be set first)

# Which dependency lists of pyproject.toml each lock is made from; "" is the package's own list.
LOCKS: dict[str, tuple[str, ...]] = {
    "requirements.lock": ("",),
    "requirements-dev.lock": ("", "dev"),
    "requirements-build.lock": ("build",),
}

NODE_LOCK = "tests/servers/node/package-lock.json"
NODE_LOCKS = (NODE_LOCK, f"{vendor.SOURCE}/package-lock.json")

_ADDRESS = re.compile(r"://|--(?:extra-)?index-url|--find-links|\bfile:", re.IGNORECASE)
_PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[[^]]*])?==(?P<version>[^\s;\\]+)", re.IGNORECASE)


def inputs_line(root: Path, groups: tuple[str, ...]) -> str:
    """Return the first line of a lock made from these dependency groups of root/pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    lists = [
        project["project"]["dependencies"] if group == "" else project["dependency-groups"][group] for group in groups
    ]
    told = json.dumps([project["project"]["requires-python"], lists]).encode()
    return f"# made by `make lock` from dependency lists sha256:{hashlib.sha256(told).hexdigest()}"


def pins(text: str) -> dict[str, str]:
    """Map package name -> pinned version(s); a name with several markers has its versions joined."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _PIN.match(line):
            name = match["name"].lower()
            found[name] = f"{found[name]},{match['version']}" if name in found else match["version"]
    return found


def faults_of_lock(root: Path, name: str) -> list[str]:
    """Name everything that is wrong with one lock, a line each."""
    path = root / name
    if not path.exists():
        return [f"{name}: missing; run `make lock`"]
    text = path.read_text()
    lines = text.splitlines()
    faults = []
    if not lines or lines[0] != inputs_line(root, LOCKS[name]):
        faults.append(f"{name}: not made from today's pyproject.toml; run `make lock`")
    faults += [
        f"{name}:{number}: holds an address: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if _ADDRESS.search(line)
    ]
    for index, line in enumerate(lines):
        if _PIN.match(line) and not (index + 1 < len(lines) and lines[index + 1].strip().startswith("--hash=sha256:")):
            faults.append(f"{name}:{index + 1}: pinned without a hash: {line.strip()}")
    return faults


def faults_of_node_lock(root: Path, lock: str) -> list[str]:
    """Name what is wrong with a lock of npm: each package needs its hash, and none says where it came from."""
    packages = json.loads((root / lock).read_text())["packages"]
    wanted = json.loads((root / lock).with_name("package.json").read_text())["dependencies"]
    found = [] if packages.pop("")["dependencies"] == wanted else [f"{lock}: not made from today's package.json"]
    for name, package in packages.items():
        if "resolved" in package:
            found.append(f"{lock}: holds an address: {name}")
        if not str(package.get("integrity", "")).startswith("sha512-"):
            found.append(f"{lock}: pinned without a hash: {name}")
    return found


def faults_of_vendored(root: Path) -> list[str]:
    """Name what was not copied from the packages that the lock names today, or was changed since."""
    recorded, present = json.loads((root / vendor.RECORD).read_text()), vendor.record_of(root)
    if recorded == present:
        return []
    return [f"{vendor.RECORD}: not what lies here; run `make vendor`"]


def faults(root: Path) -> list[str]:
    """Name everything that is wrong with the locks below root."""
    found = [fault for name in LOCKS for fault in faults_of_lock(root, name)]
    found += [fault for lock in NODE_LOCKS for fault in faults_of_node_lock(root, lock)]
    found += faults_of_vendored(root)
    if found:
        return found
    reference = pins((root / "requirements-dev.lock").read_text())
    for name in LOCKS:
        for package, version in pins((root / name).read_text()).items():
            if package in reference and reference[package] != version:
                found.append(f"{name}: {package}=={version}, but requirements-dev.lock has {reference[package]}")
    return found


def main() -> int:
    found = faults(ROOT)
    print(
        "\n".join(found)
        if found
        else f"locks: {len(LOCKS)} in step with pyproject.toml, {len(NODE_LOCKS)} with package.json"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
