"""Lines for the tests of the bench: a small protocol, a scripted device in virtual time, and one behind a real pty.

The protocol: ``value?`` is answered with ``value 25.0``, ``name?`` with ``name box``; ``set 3`` is silent.
"""

import os
import re
import select
import threading
import time
import tty
from collections.abc import Callable
from typing import Any

from labloop.bench import LineFramer, ProtocolError, shown

Script = Callable[[bytes], list[tuple[float, bytes]]]


class WordCodec:
    """``word?`` CR LF -> ``word value`` CR LF; ``stop`` is urgent and answered with ``stopped``."""

    def __init__(self) -> None:
        self._lines = LineFramer(b"\r\n", longest=64)
        self._asked = ""

    def encode(self, command: str) -> list[bytes]:
        self._asked = command.rstrip("?")
        return [command.encode() + b"\r\n"]

    def expects_reply(self, command: str) -> bool:
        return not command.startswith("set")

    def urgent(self, command: str) -> bool:
        return command == "stop"

    def probe(self, command: str) -> str:
        return "value?" if command == "name?" else "name?"

    def reset(self) -> None:
        self._lines.reset()

    def feed(self, data: bytes | list[bytes]) -> str | None:
        self._lines.push(data if isinstance(data, bytes) else b"".join(data))
        line = self._lines.pop()
        if line is None:
            return None
        match = re.fullmatch(rf"{self._asked} (\w[\w.]*)", line.decode("ascii", "replace"))
        if match is None:
            raise ProtocolError(f"{shown(line)} does not answer {self._asked!r}")
        return match[1]


class FakeTime:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.t_s = 0.0

    def now_s(self) -> float:
        return self.t_s

    def advance_to(self, t_s: float) -> None:
        assert t_s >= self.t_s, "time went back"
        self.t_s = t_s


class ScriptedLine:
    """A device in virtual time: each line it hears is answered as the script says, after so many seconds."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.heard: list[bytes] = []
        self._rest = b""
        self._sending: list[tuple[float, bytes]] = []

    def receive(self, data: bytes, now_s: float) -> bytes:
        self._rest += data
        while b"\r\n" in self._rest:
            line, _, self._rest = self._rest.partition(b"\r\n")
            self.heard.append(line)
            self._sending += [(now_s + delay_s, answer) for delay_s, answer in self.script(line)]
        self._sending.sort(key=lambda one: one[0])
        out = b"".join(answer for at_s, answer in self._sending if at_s <= now_s)
        self._sending = [one for one in self._sending if one[0] > now_s]
        return out

    def due(self, now_s: float) -> float | None:
        return self._sending[0][0] if self._sending else None


class PtyDevice:
    """The same device behind a real pty, in a thread of its own; ``path`` is what a port opens."""

    def __init__(self, script: Script) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self.master)
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._line = ScriptedLine(script)
        self.heard = self._line.heard
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._ended.is_set():
            readable, _, _ = select.select([self.master], [], [], 0.002)
            data = os.read(self.master, 4096) if readable else b""
            if out := self._line.receive(data, time.monotonic()):
                os.write(self.master, out)

    def unplug(self) -> None:
        """Take the device away: the pty's other side is closed."""
        self._ended.set()
        self._thread.join()
        for end in (self.master, self._slave):
            if end >= 0:
                os.close(end)
        self.master = self._slave = -1


def answers(delay_s: float = 0.0, **values: Any) -> Script:
    """A script: ``value?`` is answered with the next of its values (or always with the one)."""
    left = {word: list(given) if isinstance(given, list) else given for word, given in values.items()}
    fixed = {"name": "box", "stop": "stopped"}

    def script(line: bytes) -> list[tuple[float, bytes]]:
        word = line.decode().rstrip("?")
        given = left.get(word, fixed.get(word))
        if given is None:
            return []
        value = given.pop(0) if isinstance(given, list) else given
        if isinstance(value, list):
            return value
        return [(delay_s, f"{word} {value}\r\n".encode())]

    return script
