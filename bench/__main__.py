"""`python -m bench [part …]`: measure, and print tables; all parts without arguments (see PARTS)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from bench import accounts, bodies, imap_fetch, large, merge, mime, render, server, store, text


def _server() -> None:
    asyncio.run(server.main())


def _large() -> None:
    asyncio.run(large.main())


def _accounts() -> None:
    asyncio.run(accounts.main())


def _bodies() -> None:
    asyncio.run(bodies.main())


def _store() -> None:
    asyncio.run(store.main())


def _text() -> None:
    asyncio.run(text.main())


def _render() -> None:
    asyncio.run(render.main())


def _merge() -> None:
    asyncio.run(merge.main())


PARTS: dict[str, Callable[[], None]] = {
    "server": _server,
    "large": _large,
    "accounts": _accounts,
    "bodies": _bodies,
    "store": _store,
    "text": _text,
    "render": _render,
    "merge": _merge,
    "imap": imap_fetch.main,
    "mime": mime.main,
}


def main() -> None:
    """Run the parts named on the command line."""
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        sys.exit(f"bench: there is no {', '.join(unknown)}; parts are {', '.join(PARTS)}")
    sys.argv = sys.argv[:1]
    for name in wanted:
        print(f"\n## {name}\n", flush=True)
        PARTS[name]()


if __name__ == "__main__":
    main()
