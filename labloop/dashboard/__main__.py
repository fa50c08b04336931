"""One dashboard whose screen is a browser: ``python -P -m labloop.dashboard [RUN] [--by NAME] [--read-only]``.

Started by ``labloop watch --web``, once for each page that is opened (see web).
"""

import argparse
import sys
from pathlib import Path

from .app import show


def main(arguments: list[str] | None = None) -> int:
    """Show it until the page is closed."""
    parser = argparse.ArgumentParser(prog="python -m labloop.dashboard", description="A dashboard in a browser.")
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--by", default="")
    parser.add_argument("--read-only", action="store_true")
    given = parser.parse_args(arguments)
    return show(given.run, given.read_only, given.by)


if __name__ == "__main__":
    sys.exit(main())
