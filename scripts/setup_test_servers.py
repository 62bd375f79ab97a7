"""Make the third-party servers of the test suites available on this machine.

As root on Debian it installs what is missing, keeping every package from starting a daemon: a policy-rc.d that forbids
it stands only while packages are installed (one that was there before is left alone), and units that came with them are
disabled again. A package that conflicts with an installed one is only downloaded and unpacked, into .cache/. Anywhere
else it names what is missing; the tests then skip and say so. With CI=true anything missing is a failure. Packages of
npm are installed into .cache/ wherever there is an npm, exactly as their lock says, and none of their scripts is run.

It also looks at the limits that many mail sessions on one machine run into, and raises those that root may raise.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
CYRUS_TREE = CACHE / "cyrus"
NODE_TREE = CACHE / "node"
NODE_SOURCE = ROOT / "tests/servers/node"
POLICY = Path("/usr/sbin/policy-rc.d")
# Each Dovecot session watches its mailbox with an inotify instance of its own; Debian allows one user 128 of them.
INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES_NEEDED = 1024
OPEN_FILES_NEEDED = 4096


@dataclass(frozen=True)
class Need:
    """One thing that tests run: how to see that it is there, and what brings it on Debian."""

    name: str
    paths: tuple[str, ...]  # found if any of these globs, or a program of this name on the path, exists
    packages: tuple[str, ...]
    units: tuple[str, ...] = ()

    def found(self) -> bool:
        """Tell whether this machine has it."""
        search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        for pattern in self.paths:
            if pattern.startswith("/"):
                if any(Path("/").glob(pattern.lstrip("/"))):
                    return True
            elif shutil.which(pattern, path=search):
                return True
        return False


NEEDS = (
    Need("dovecot", ("/usr/lib/dovecot/imap",), ("dovecot-imapd",), ("dovecot.service", "dovecot.socket")),
    Need("dovecot lmtp", ("/usr/lib/dovecot/lmtp",), ("dovecot-lmtpd",)),
    Need("postfix", ("/usr/lib/postfix/sbin/master",), ("postfix",), ("postfix.service",)),
    Need("postgresql", ("/usr/lib/postgresql/*/bin/initdb",), ("postgresql",), ("postgresql.service",)),
    Need("swaks", ("swaks",), ("swaks", "libnet-ssleay-perl", "libio-socket-ssl-perl", "libauthen-sasl-perl")),
    Need("msmtp", ("msmtp",), ("msmtp",)),
    Need("chromium", ("chromium",), ("chromium",)),
    Need("curl", ("curl",), ("curl",)),
    Need("node", ("node",), ("nodejs",)),
    Need("npm", ("npm",), ("npm",)),
    Need("saslpasswd2", ("saslpasswd2",), ("sasl2-bin", "libsasl2-modules"), ("saslauthd.service",)),
)


def say(text: str) -> None:
    """Tell the person at the terminal, apart from anything a program may read."""
    print(f"test servers: {text}", file=sys.stderr)


def apt(*arguments: str, cwd: Path | None = None) -> None:
    """Run apt-get quietly; its output is shown only when it fails."""
    command = ["apt-get", "-q", "-y", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    result = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{result.stdout[-4000:]}{result.stderr[-4000:]}\ntest servers: failed: {' '.join(command)}")


@contextlib.contextmanager
def no_daemons_started() -> Iterator[None]:
    """Forbid packages to start their daemons while inside, unless the machine has a policy of its own."""
    if POLICY.exists():
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("test servers: terminated"))
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def install(needs: list[Need]) -> None:
    """Install the packages of these needs and see to it that no unit of theirs starts at the next boot."""
    packages = [package for need in needs for package in need.packages]
    say(f"installing {' '.join(packages)}")
    apt("update")
    # Debian's package would make a database cluster for port 5432; tests make their own.
    cluster_options = Path("/etc/postgresql-common/createcluster.d/50-no-main-cluster.conf")
    makes_cluster = "postgresql" in packages and not cluster_options.exists()
    with no_daemons_started():
        if makes_cluster:
            cluster_options.parent.mkdir(parents=True, exist_ok=True)
            cluster_options.write_text("create_main_cluster = false\n")
        try:
            apt("install", "--no-install-recommends", *packages)
        finally:
            if makes_cluster:
                cluster_options.unlink()
    units = [unit for need in needs for unit in need.units]
    if units and shutil.which("systemctl"):
        subprocess.run(["systemctl", "disable", *units], capture_output=True, check=False)


def libraries(archive: Path) -> list[str]:
    """Name the shared libraries a downloaded package depends on, the first of each choice."""
    told = subprocess.run(
        ["dpkg-deb", "-f", str(archive), "Depends"], capture_output=True, text=True, check=True
    ).stdout
    names = [re.split(r"[ |(:]", choice.strip(), maxsplit=1)[0] for choice in told.split(",")]
    return [name for name in names if name.startswith("lib") and not name.endswith("-perl") and "cyrus" not in name]


def unpack_cyrus() -> None:
    """Unpack Cyrus IMAP into .cache/cyrus: as a package it would push Dovecot out."""
    say(f"unpacking cyrus-imapd into {CYRUS_TREE.relative_to(ROOT)}")
    downloads, tree = CACHE / "cyrus-packages", CACHE / "cyrus-unpacking"
    for folder in (downloads, tree):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    # apt-get download runs as its own user where it can, and that user may not write here.
    apt("-o", "APT::Sandbox::User=root", "download", "cyrus-imapd", "cyrus-common", cwd=downloads)
    archives = sorted(downloads.glob("*.deb"))
    for archive in archives:
        subprocess.run(["dpkg", "-x", str(archive), str(tree)], check=True)
    with no_daemons_started():
        apt("install", "--no-install-recommends", *sorted({name for one in archives for name in libraries(one)}))
    shutil.rmtree(CYRUS_TREE, ignore_errors=True)
    tree.rename(CYRUS_TREE)


def install_node_packages() -> bool:
    """Install what tests/servers/node asks for into .cache/node, unless it is there already; tell whether it is."""
    wanted = (NODE_SOURCE / "package-lock.json").read_bytes()
    installed = NODE_TREE / "package-lock.json"
    if installed.exists() and installed.read_bytes() == wanted:
        return True
    npm = shutil.which("npm")
    if npm is None:
        return False
    say(f"installing the packages of {NODE_SOURCE.relative_to(ROOT)} into {NODE_TREE.relative_to(ROOT)}")
    tree = CACHE / "node-installing"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE_SOURCE / name, tree)
    command = [npm, "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
    result = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if result.returncode:
        say(f"{' '.join(command)}: {result.stderr[-4000:]}")
        return False
    shutil.rmtree(NODE_TREE, ignore_errors=True)
    tree.rename(NODE_TREE)
    return True


def check_limits() -> list[str]:
    """Raise the limits we may raise; return a line for each that stays too low."""
    low = []
    if INOTIFY_INSTANCES.exists() and int(INOTIFY_INSTANCES.read_text()) < INOTIFY_INSTANCES_NEEDED:
        try:
            INOTIFY_INSTANCES.write_text(str(INOTIFY_INSTANCES_NEEDED))
        except OSError:
            wanted = f"fs.inotify.max_user_instances={INOTIFY_INSTANCES_NEEDED}"
            now = INOTIFY_INSTANCES.read_text().strip()
            low.append(f"tests with many IMAP sessions want {wanted}, and it is {now} (as root: sysctl {wanted})")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES_NEEDED:
        low.append(f"a process may open only {hard} files; tests want {OPEN_FILES_NEEDED} (see ulimit -Hn)")
    return low


def main() -> int:
    may_install = os.geteuid() == 0 and shutil.which("apt-get") is not None
    missing = [need for need in NEEDS if not need.found()]
    if missing and may_install:
        install(missing)
        missing = [need for need in NEEDS if not need.found()]
    cyrus = CYRUS_TREE / "usr/lib/cyrus/bin/master"
    if not cyrus.exists() and may_install:
        unpack_cyrus()
    lacking = [f"{need.name} (Debian: {' '.join(need.packages)})" for need in missing]
    if not cyrus.exists():
        lacking.append("cyrus (Debian: cyrus-imapd, unpacked into .cache/cyrus as root)")
    if not install_node_packages():
        lacking.append("hoodiecrow and nodemailer (npm packages, installed into .cache/node)")
    for line in check_limits():
        say(line)
    for line in lacking:
        say(f"missing: {line}; its tests will be skipped")
    return 1 if lacking and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
