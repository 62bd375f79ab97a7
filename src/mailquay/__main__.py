"""`python -m mailquay`: the `mailquay` program."""

from __future__ import annotations

from mailquay.cli import main

if __name__ == "__main__":
    main()
