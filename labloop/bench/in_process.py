"""Links to simulated devices in this process, on a clock that somebody else owns.

Deadlines are in that clock's time. While an exchange waits, nobody else runs, so the link itself moves the clock: to
the moment when the device next has something to say, or to the deadline. Everything is in one thread and in one order,
so a campaign on such links is the same to the last byte each time. A line that says that its cable is out
(``unplugged_until_s``) is lost as a real port is, until it is opened again with the cable in.
"""

from typing import Protocol

from .errors import LinkError
from .link import BaseLink


class SimulatedTime(Protocol):
    """A clock that stands until it is moved; ``advance_to`` never goes back."""

    def now_s(self) -> float: ...
    def advance_to(self, t_s: float) -> None: ...


class Line(Protocol):
    """A simulated serial line: bytes and a time in, bytes out; ``due``: when it will speak of its own accord."""

    def receive(self, data: bytes, now_s: float) -> bytes: ...
    def due(self, now_s: float) -> float | None: ...


class MessageLine(Protocol):
    """A simulated ROUTER: messages of a peer in, messages to peers out."""

    def receive(self, peer: bytes, frames: list[bytes], now_s: float) -> list[tuple[bytes, list[bytes]]]: ...
    def due(self, now_s: float) -> float | None: ...


def _unplugged(line: object, time: SimulatedTime) -> bool:
    until_s: float = getattr(line, "unplugged_until_s", float("-inf"))
    return time.now_s() < until_s


def _move(time: SimulatedTime, due_s: float | None, end_s: float) -> bool:
    """Move the clock to what comes next; False when that is the end of the wait and not the device."""
    now_s = time.now_s()
    if due_s is None or due_s > end_s or due_s <= now_s:  # due now, and it had nothing to say: not for us
        time.advance_to(end_s)
        return False
    time.advance_to(due_s)
    return True


class InProcessLink(BaseLink):
    """Bytes to a simulated line and back."""

    slice_s = float("inf")  # nobody can interrupt from elsewhere: a read may look as far as the deadline

    def __init__(self, address: str, line: Line, time: SimulatedTime) -> None:
        self._line = line
        self._time = time
        self._came = b""
        super().__init__(address, time.now_s)

    def _open(self) -> None:
        if _unplugged(self._line, self._time):
            raise LinkError(f"{self.address}: there is no such port. Is it plugged in and switched on?")

    def _send(self, frames: list[bytes], end_s: float) -> None:
        with self.fence:
            for frame in frames:
                self._came += self._line.receive(frame, self._time.now_s())

    def _read(self, wait_s: float) -> bytes:
        if _unplugged(self._line, self._time):
            raise self._gone(ConnectionError("the cable is out"))
        end_s = self._time.now_s() + wait_s
        self._came += self._line.receive(b"", self._time.now_s())
        while not self._came and _move(self._time, self._line.due(self._time.now_s()), end_s):
            self._came += self._line.receive(b"", self._time.now_s())
        data, self._came = self._came, b""
        return data

    def _close(self) -> None:
        self._came = b""


class InProcessMessageLink(BaseLink):
    """Messages to a simulated ROUTER and back; ``peer`` is the identity that the ROUTER would see."""

    slice_s = float("inf")

    def __init__(self, address: str, line: MessageLine, time: SimulatedTime, peer: bytes = b"labloop") -> None:
        self._line = line
        self._time = time
        self._peer = peer
        self._came: list[list[bytes]] = []
        super().__init__(address, time.now_s)

    def _send(self, frames: list[bytes], end_s: float) -> None:
        with self.fence:
            self._take(self._line.receive(self._peer, frames, self._time.now_s()))

    def _read(self, wait_s: float) -> list[bytes]:
        end_s = self._time.now_s() + wait_s
        while not self._came and _move(self._time, self._line.due(self._time.now_s()), end_s):
            self._take(self._line.receive(self._peer, [], self._time.now_s()))
        return self._came.pop(0) if self._came else []

    def _take(self, messages: list[tuple[bytes, list[bytes]]]) -> None:
        self._came += [frames for peer, frames in messages if peer == self._peer]

    def _close(self) -> None:
        self._came = []
