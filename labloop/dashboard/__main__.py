"""One dashboard whose screen is a browser: ``python -P -m labloop.dashboard [RUN] [--by NAME] [--read-only]``.

Started by ``labloop watch --web``, once for each page that is opened (see web). The page's keys come through stdin,
whose other end is the server's alone: once nobody holds it, this process ends, whatever else it does just then. Killing
a dashboard changes nothing in a run, and one that nobody sees any more is only in the way.
"""

import argparse
import os
import select
import sys
from pathlib import Path
from threading import Thread
from typing import Final

from .app import show

STDIN: Final = 0
HUNG_UP: Final = 129  # as a shell says of a process that SIGHUP ended


def main(arguments: list[str] | None = None) -> int:
    """Show it until the page is closed."""
    parser = argparse.ArgumentParser(prog="python -m labloop.dashboard", description="A dashboard in a browser.")
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--by", default="")
    parser.add_argument("--read-only", action="store_true")
    given = parser.parse_args(arguments)
    if hasattr(select, "poll"):  # Windows has none
        Thread(target=end_with_the_server, daemon=True, name="hang-up").start()
    return show(given.run, given.read_only, given.by)


def end_with_the_server() -> None:
    """Wait until nobody can write into stdin any more, then end at once."""
    stdin = select.poll()
    stdin.register(STDIN, 0)  # nothing but a hang-up wakes it
    stdin.poll()
    os._exit(HUNG_UP)


if __name__ == "__main__":
    sys.exit(main())
