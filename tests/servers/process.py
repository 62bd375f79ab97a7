"""What the server starters share: ports, directories, users, child processes."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ServerDidNotStart(RuntimeError):
    """A server ended, or stayed silent, before it listened; the message holds its output."""


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Ask the kernel for `count` different TCP ports that are free now, all held until all are known."""
    sockets = []
    try:
        for _ in range(count):
            one = socket.socket()
            sockets.append(one)
            one.bind((host, 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def short_directory(prefix: str) -> Path:
    """Make a directory with a short path: that of a unix socket may not exceed 107 bytes, and tmp_path often does."""
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    directory.chmod(0o755)
    return directory


def server_user() -> tuple[str, str]:
    """Name the (user, group) a server runs as: ourselves, or nobody when we are root."""
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid())
        return me.pw_name, grp.getgrgid(me.pw_gid).gr_name
    return "nobody", grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name


def give_away(directory: Path) -> None:
    """Hand a directory tree to the user that servers run as."""
    if os.geteuid() == 0:
        user, group = server_user()
        for path in (directory, *directory.rglob("*")):
            shutil.chown(path, user, group)


def find_program(name: str) -> str:
    """Find a program, also in the sbin folders that a plain user's PATH lacks; raise FileNotFoundError without it."""
    search = os.pathsep.join([os.environ.get("PATH", ""), _SYSTEM_PATH])
    if found := shutil.which(name, path=search):
        return found
    raise FileNotFoundError(name)


def environment(**extra: str) -> dict[str, str]:
    """Make the environment of a server: nothing of ours, so that no variable of the developer changes a test."""
    return {"PATH": _SYSTEM_PATH, "LC_ALL": "C.UTF-8", **extra}


def run(command: Sequence[str | Path], *, cwd: Path, as_server: bool = True, text: str | None = None) -> str:
    """Run a tool to its end within a minute and return what it printed; raise CalledProcessError when it fails."""
    user, group = server_user()
    drop = as_server and os.geteuid() == 0
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment(),
        input=text,
        stdin=None if text is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        user=user if drop else None,
        group=group if drop else None,
        extra_groups=[] if drop else None,
    ).stdout


class ServerProcess:
    """A server in the foreground as our child, its output in `directory`/stdout."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        directory: Path,
        as_server: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> None:
        user, group = server_user()
        drop = as_server and os.geteuid() == 0
        self._output = directory / "stdout"
        with self._output.open("ab") as output:
            # A session of its own: a server that signals its process group must not reach the test runner.
            self.process = subprocess.Popen(
                [str(word) for word in command],
                cwd=directory,
                env=dict(env or environment()),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user if drop else None,
                group=group if drop else None,
                extra_groups=[] if drop else None,
            )

    def wait_until_it_listens(self, host: str, port: int) -> None:
        """Wait until the server greets on this port; raises ServerDidNotStart as `wait_until` does."""

        def greets() -> bool:
            try:
                with socket.create_connection((host, port), timeout=2) as connection:
                    return bool(connection.recv(512))
            except OSError:
                return False

        self.wait_until(greets, f"greeting on {host}:{port}")

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_seconds: float = 20) -> None:
        """Ask `ready` until it says yes.

        Raises ServerDidNotStart when the process ends first or the time is over.
        """
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if time.monotonic() > deadline:
                self.stop()
                raise ServerDidNotStart(f"no {what}: {self.output()}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)
                raise ServerDidNotStart(f"ended with {self.process.returncode}: {self.output()}")

    def output(self) -> str:
        """Return what the server wrote to its terminal so far."""
        return self._output.read_text(errors="replace")

    def stop(self, timeout_seconds: float = 5) -> None:
        """Ask the server to end, and make it end if it does not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
