"""Copy the JavaScript that the package brings along out of npm's packages, exactly as their lock says.

`make vendor` fetches the packages of scripts/node with npm, runs none of their scripts, copies the files that FILES
names, and writes what they hash to into scripts/node/vendored.json; `make check` compares both without any registry.
To take another version: change scripts/node/package.json, run
`npm i --package-lock-only --omit-lockfile-registry-resolved` there, then `make vendor`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "scripts/node"
RECORD = f"{SOURCE}/vendored.json"
_TARGET = "src/mailquay/templating/vendor"
FILES = {
    f"{_TARGET}/handlebars.min.js": "handlebars/dist/handlebars.min.js",
    f"{_TARGET}/handlebars.runtime.min.js": "handlebars/dist/handlebars.runtime.min.js",
    f"{_TARGET}/handlebars.LICENSE.txt": "handlebars/LICENSE",
}
"""Where a file lies here, and where in npm's packages."""


def digest(path: Path) -> str:
    """The SHA-256 of a file in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def record_of(root: Path) -> dict[str, object]:
    """The lock that everything comes from, and what each file hashes to; "missing" for one that is not there."""
    paths = {name: root / name for name in FILES}
    return {
        "lock": digest(root / SOURCE / "package-lock.json"),
        "files": {name: digest(path) if path.is_file() else "missing" for name, path in paths.items()},
    }


def main() -> None:
    """Fetch, copy, record."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / SOURCE / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for target, source in FILES.items():
            (ROOT / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(folder) / "node_modules" / source, ROOT / target)
    (ROOT / RECORD).write_text(json.dumps(record_of(ROOT), indent=2) + "\n")


if __name__ == "__main__":
    main()
