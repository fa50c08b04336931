"""The signals that end what a person began: Ctrl-C, `kill`, and a terminal that is closed.

Who begins it under ``nohup`` says that a closed terminal shall end nothing: a SIGHUP that is ignored stays ignored.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


class Interrupted(KeyboardInterrupt):
    """A signal has ended it. The message says which, and what became of what was under way."""


def ending() -> list[signal.Signals]:
    """SIGINT, SIGTERM and SIGHUP, as far as they are there and shall end anything here."""
    found = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [one for one in found if one.name != "SIGHUP" or signal.getsignal(one) is not signal.SIG_IGN]


class Heeded:
    """Within, those signals end nothing but what runs in ``at_once``; others wait for it, or for the end.

    So making the bench safe, and writing that down, is never left half done. In another thread than the main one
    signals do what they do anyway.
    """

    def __init__(self) -> None:
        self._why = ""
        self._now = self._heeded = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._came) for number in ending()}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._why and kind is None and not self._heeded:
            raise Interrupted(self._why)

    def heed(self) -> str:
        """Which signal has come ("": none). Whoever asks ends by it: nothing is raised for it at the end."""
        self._heeded = True
        return self._why

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raises Interrupted for a signal that came, or comes within."""
        self._now = True
        try:
            if self._why:
                raise Interrupted(self._why)
            yield
        finally:
            self._now = False

    def _came(self, number: int, _: FrameType | None) -> None:
        self._why = self._why or f"ended by {signal.Signals(number).name}"
        if self._now:
            self._now = False
            raise Interrupted(self._why)
