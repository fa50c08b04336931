"""The planner's process: ``python -m labloop.planner``. Lines of wire.py on stdin and stdout, talk on stderr."""

import os
import sys
import threading
from importlib import import_module
from queue import SimpleQueue
from typing import BinaryIO

from .process import ONE_THREAD

# Before numpy is loaded, which happens in .service only.
os.environ.update(ONE_THREAD)


def main() -> None:
    """Answer until stdin ends, which is when the runner closes it or dies."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is talk, never a reply
    inbox: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, inbox), daemon=True, name="listener").start()
    # Loads numpy and scipy; the listener is there already, so that the runner never waits for a full pipe.
    serve = import_module("labloop.planner.service").serve
    serve(inbox.get, replies.write)


def _listen(stdin: BinaryIO, inbox: "SimpleQueue[bytes]") -> None:
    for line in stdin:
        inbox.put(line)
    # Nobody is left to answer: end at once, in mid-fit too.
    os._exit(0)


if __name__ == "__main__":
    main()
