"""Bring .venv in step with the locks; does nothing when it is already. Called by scripts/setup.

A stamp file holds a hash of everything the environment was made from: locks, pyproject.toml, interpreter, and the
folder, since a moved virtual environment does not work. A file lock keeps two runs in one checkout apart. Once the
test tools are in, a run that asks only for what serving needs keeps them.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "setup-stamp"
BUILD_LOCK = "requirements-build.lock"
LEVELS = {"runtime": "requirements.lock", "dev": "requirements-dev.lock"}


def place() -> str:
    """Hash the folder and the interpreter: an environment made for others cannot be mended, only made again."""
    return hashlib.sha256(f"{ROOT}\n{sys.version}".encode()).hexdigest()


def fingerprint(level: str) -> str:
    """Tell level, place and content of the environment that this level wants, as it stands in the stamp file."""
    digest = hashlib.sha256()
    for name in (BUILD_LOCK, LEVELS[level], "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return f"{level} {place()} {digest.hexdigest()}"


def run(*command: str) -> None:
    """Run one quiet step; its own messages tell what went wrong."""
    result = subprocess.run(command, cwd=ROOT, check=False)
    if result.returncode:
        sys.exit(f"setup: failed: {' '.join(command)}")


def fill(level: str, *, anew: bool) -> None:
    """Create the virtual environment where there is none to mend, then install exactly what the locks say."""
    python, uv = VENV / "bin/python", VENV / "bin/uv"
    if anew or not python.exists():
        venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    if not uv.exists():
        run(str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", BUILD_LOCK)
    target = ("--python", str(python))
    # Compiled here once: where Python may not write its own cache, every start would compile all of it again.
    run(str(uv), "pip", "sync", "-q", *target, "--compile-bytecode", "--require-hashes", BUILD_LOCK, LEVELS[level])
    run(str(uv), "pip", "install", "-q", *target, "--no-deps", "--no-build-isolation", "-e", ".")
    run(str(python), "-m", "compileall", "-q", "src/mailquay")


def main() -> None:
    level = sys.argv[1] if len(sys.argv) > 1 else "runtime"
    if level not in LEVELS:
        sys.exit(f"setup: unknown level {level!r}; use one of {', '.join(LEVELS)}")
    (ROOT / ".cache").mkdir(exist_ok=True)
    with (ROOT / ".cache/setup.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        stamp = STAMP.read_text() if STAMP.exists() else ""
        if stamp.startswith("dev "):
            level = "dev"
        if stamp == fingerprint(level):
            return
        print(f"setup: installing into {VENV} ({LEVELS[level]})", file=sys.stderr)
        STAMP.unlink(missing_ok=True)
        fill(level, anew=bool(stamp) and place() not in stamp)
        STAMP.write_text(fingerprint(level))


if __name__ == "__main__":
    main()
