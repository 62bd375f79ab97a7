"""What is built holds what the server needs, from a checkout as from a source archive."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _build(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    [built] = folder.iterdir()
    return built


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_a_wheel_carries_the_documentation(tmp_path: Path) -> None:
    """From the source archive, which is made from the checkout: what is missing in either is missing in the end."""
    source = _build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(source) as archive:
        # Python knows the argument `filter` from 3.11.4 on, and needs none for an archive of our own.
        archive.extraction_filter = staticmethod(lambda member, _path: member)
        archive.extractall(tmp_path / "unpacked")
    [unpacked] = (tmp_path / "unpacked").iterdir()
    names = _names(_build(unpacked, "wheel", tmp_path / "wheel"))
    pages = {f"mailquay/{path.relative_to(ROOT)}" for path in (ROOT / "docs").rglob("*.md")}
    assert pages and pages <= names
    assert {"mailquay/api/static/page.css", "mailquay/api/static/swagger-ui-bundle.js"} <= names
    scripts = (ROOT / "src/mailquay/templating").rglob("*.*s")
    assert {f"mailquay/{path.relative_to(ROOT / 'src/mailquay')}" for path in scripts if path.suffix == ".js"} <= names
    assert "mailquay/templating/vendor/handlebars.LICENSE.txt" in names
    code = {f"mailquay/{path.relative_to(ROOT / 'src/mailquay')}" for path in (ROOT / "src/mailquay").rglob("*.py")}
    assert code <= names


def test_pages_are_found_in_an_installed_wheel(tmp_path: Path) -> None:
    """The package as it lies in a wheel, away from the checkout."""
    with zipfile.ZipFile(_build(ROOT, "wheel", tmp_path / "wheel")) as archive:
        archive.extractall(tmp_path / "installed")
    script = (
        "from mailquay.api import documentation as d; "
        "print(d.__file__, d.read_page('README').title, len(d.page_names()))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r}); {script}"]
    output = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
    assert output[0].startswith(str(tmp_path))
    assert output[1:] == ["Documentation", str(len(list((ROOT / "docs").rglob("*.md"))))]
