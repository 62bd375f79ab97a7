"""Several nodes on one machine: a parent that starts them, passes signals on, and starts again what dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence

import structlog

_log = structlog.get_logger(__name__)
CHILD_VARIABLE = "_MAILQUAY_PROCESS"  # not an option: it begins with another letter
_READY_VARIABLE = "_MAILQUAY_READY"
_PAUSE_SECONDS = 1.0
_STABLE_SECONDS = 5.0
_FAILURES_UNTIL_END = 3


def is_child(environ: Mapping[str, str]) -> bool:
    """Whether this process was started by `run_processes`."""
    return CHILD_VARIABLE in environ


def tell_ready(environ: Mapping[str, str]) -> None:
    """Tell the process that started this one, if there is one, that the start is over."""
    if _READY_VARIABLE in environ:
        os.write(int(environ[_READY_VARIABLE]), b"+")


async def run_processes(count: int, arguments: Sequence[str]) -> int:
    """Run `count` copies of this program until a signal ends them; the exit code of one that failed, else 0.

    One that dies is started again, the others keep serving meanwhile; one that cannot start at all ends all of them.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    codes = await asyncio.gather(*(_keep_running(index, arguments, stop) for index in range(count)))
    return next((code for code in codes if code), 0)


async def _keep_running(index: int, arguments: Sequence[str], stop: asyncio.Event) -> int:
    failures = 0
    while True:
        began = asyncio.get_running_loop().time()
        code, started = await _run_once(index, arguments, stop)
        if stop.is_set():
            return max(code, 0)
        # How long a start that fails takes says nothing: a busy machine needs its time for that too.
        stable = started and asyncio.get_running_loop().time() - began > _STABLE_SECONDS
        failures = 0 if stable else failures + 1
        _log.error("process_ended", index=index, code=code)
        if failures >= _FAILURES_UNTIL_END:
            stop.set()
            return code or 1
        try:
            async with asyncio.timeout(_PAUSE_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue
        return max(code, 0)


async def _run_once(index: int, arguments: Sequence[str], stop: asyncio.Event) -> tuple[int, bool]:
    """Run a child until it ends; its exit code, and whether it had told that its start was over."""
    ready, told = os.pipe()
    try:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mailquay", *arguments),
            env={**os.environ, CHILD_VARIABLE: str(index), _READY_VARIABLE: str(told)},
            pass_fds=(told,),
        )
        os.close(told)
        told = -1
        code = await _until_end(child, stop)
        # Nobody holds the other end any more: this does not wait.
        return code, bool(os.read(ready, 1))
    finally:
        os.close(ready)
        if told >= 0:
            os.close(told)


async def _until_end(child: asyncio.subprocess.Process, stop: asyncio.Event) -> int:
    """Wait for a child; when we are to stop, it is told so."""
    ended, stopping = asyncio.create_task(child.wait()), asyncio.create_task(stop.wait())
    await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not ended.done() and child.returncode is None:
        child.terminate()
    stopping.cancel()
    return await ended
