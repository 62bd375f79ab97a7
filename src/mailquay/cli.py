"""Entry of the `mailquay` program: answers for the version at once, everything else is a command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run as the `mailquay` program."""
    arguments = sys.argv[1:]
    if arguments in (["version"], ["--version"], ["-v"]):
        from mailquay.version import __version__

        print(__version__)
        return
    from mailquay.commands import run

    sys.exit(run(arguments))
