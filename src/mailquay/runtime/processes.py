"""Several nodes on one machine: a parent that starts them, passes signals on, and ends when one of them does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

import structlog

_log = structlog.get_logger(__name__)
CHILD_VARIABLE = "_MAILQUAY_PROCESS"  # not an option: it begins with another letter
_RESTART_SECONDS = 1.0


def is_child(environ: dict[str, str]) -> bool:
    """Whether this process was started by `run_processes`."""
    return CHILD_VARIABLE in environ


def run_processes(count: int, arguments: Sequence[str]) -> int:
    """Run `count` copies of this program until a signal ends them; the exit code of the first that failed.

    A node that dies is started again: the others keep serving meanwhile.
    """
    stopping = False
    children: dict[int, subprocess.Popen[bytes]] = {}

    def start(index: int) -> None:
        environment = {**os.environ, CHILD_VARIABLE: str(index)}
        children[index] = subprocess.Popen([sys.executable, "-m", "mailquay", *arguments], env=environment)  # noqa: S603

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for child in children.values():
            child.send_signal(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for index in range(count):
        start(index)
    code = 0
    while children:
        pid, status = os.wait()
        found = [index for index, child in children.items() if child.pid == pid]
        if not found:
            continue
        index = found[0]
        child = children.pop(index)
        child.returncode = os.waitstatus_to_exitcode(status)
        if stopping:
            code = code or max(child.returncode, 0)
        else:
            _log.error("process_ended", index=index, code=child.returncode)
            time.sleep(_RESTART_SECONDS)
            start(index)
    return code
