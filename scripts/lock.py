"""Rewrite the lock files from pyproject.toml: versions with hashes, no addresses.

Three locks come out, each a subset of the same resolution:

    requirements-build.lock   what fills a virtual environment and builds the package
    requirements.lock         what serving needs
    requirements-dev.lock     what serving and tests need

The first line of each holds a hash of the dependency lists it was made from, so that `make check` can tell offline
whether a lock has fallen behind pyproject.toml. Pass --upgrade to take newer versions.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.check_locks import LOCKS, inputs_line  # noqa: E402  (the path must be set first)


def compile_lock(name: str, *arguments: str) -> None:
    """Run `uv pip compile` into the named lock, keeping the versions that stand there already."""
    path = ROOT / name
    subprocess.run(
        [
            str(ROOT / ".venv/bin/uv"),
            *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"),
            *arguments,
            *("-o", str(path)),
        ],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    path.write_text(inputs_line(ROOT, LOCKS[name]) + "\n" + path.read_text())


def main() -> None:
    upgrade = [argument for argument in sys.argv[1:] if argument == "--upgrade"]
    compile_lock("requirements-dev.lock", "pyproject.toml", "--group", "dev", *upgrade)
    for name, source in (
        ("requirements.lock", ["pyproject.toml"]),
        ("requirements-build.lock", ["--group", "pyproject.toml:build"]),
    ):
        compile_lock(name, *source, "-c", "requirements-dev.lock", *upgrade)


if __name__ == "__main__":
    main()
