"""What every Link does alike: one exchange at a time, by one deadline, and never a wrong answer.

An exchange drops stale input, sends the command's frames and feeds what comes to the codec until it has a reply or the
deadline of the *whole* exchange is over (a device that trickles a byte now and then cannot stretch it).

The trap of a serial line is the answer that comes too late: it is the right shape, and the next question would take it
for its own; every later one is then off by one. So a link remembers who still owes it an answer (after a time-out, an
interruption or an answer that made no sense), and before the same codec speaks again it finds its place: it waits
until the line is quiet and asks the codec's ``probe``, whose answer cannot be mistaken for the one that is owed.
Instruments answer in order, so when the probe's answer is there nothing older is on the way; and a line that holds one
answer back has half a second to give it up. Finding its place comes before the exchange's own deadline, within one
second and another deadline.

A stop (``codec.urgent``) skips that: it goes out at once, and the debt stands. What is only told (``tell``) goes out at
once as well; the next exchange lets the line fall quiet first.

What is dropped is shown to the codecs whose answer it may be, if they have ``overhears``: nobody waits for the answer
to a brake, and it may be the only one that says that the power was cut.

Some instruments want silence before they are spoken to, or lose what is said (``codec.gap_s``). The link keeps it, a
stop's too: a stop that comes too soon is a stop that was never heard.

Some speak of their own accord, once they were told to (a potentiostat sends its points as it measures them). A command
of which ``codec.listens`` says True only listens: what came since the last exchange is fed to the codec instead of
being thrown away, nothing is sent, and when nothing whole came by the deadline the reply is None.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from labloop.campaign.errors import LabloopError

from .errors import LinkError, LinkInterrupted, LinkTimeout, ProtocolError
from .framing import LONGEST, shown
from .instrument import Codec

# How long a read waits before it looks at interrupt() and the deadline again: a stop gets through within this and one
# exchange (test_transport: interrupt within 250 ms); shorter slices only burn the processor.
SLICE_S = 0.02
# Silence after which nothing more of a late frame is expected: 50 character times at 9600 baud, and longer than the
# 16 ms latency timer of an FTDI adapter.
QUIET_S = 0.05
# The same after a time-out: an adapter, a hub or a busy host that held an answer back gives it up within LATE_S after
# the deadline, and within HELD_S after the question (a stop has a deadline of 0.3 s, and a hub is no faster for it).
# Reliability tests: answers 0.3 s and 1 s late. Costs a run half a second for each lost answer.
LATE_S = 0.5
HELD_S = 1.5
# What a complaint about a missing answer quotes, and how much of one message the hex view keeps (a spectrum of 10 000
# points has 160 kB): a line that gives megabytes without end costs no more memory than these (test_hostile_lines).
SHOWN = 8
KEPT = 256 * 1024
FIND_S = 1.5
# Taking what is told and not waited for; a line that is blocked for longer is blocked.
TELL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What passed on a link, for the hex view. ``kind``: "sent", "received", "dropped" (stale input thrown away)."""

    at_s: float
    kind: str
    data: bytes | list[bytes]


class Link(Protocol):
    """A way to one address. ``interrupt`` may be called from any thread; the rest by one thread at a time."""

    address: str
    traffic: deque[Traffic]
    fence: AbstractContextManager[Any]
    far: bool

    @property
    def lost(self) -> bool: ...
    def exchange(self, codec: Codec, command: Any, deadline_s: float) -> Any: ...
    def tell(self, codec: Codec, command: Any) -> None: ...
    def interrupt(self) -> None: ...
    def resume(self) -> None: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


class BaseLink:
    """The exchange itself; a subclass knows how to open, to send, to wait for more and to close.

    Every write is made within ``fence``, which raises LeaseLost when the bench is somebody else's by now.
    Data is ``bytes`` on a stream and a list of frames on a message link; empty data means nothing came.
    """

    slice_s = SLICE_S
    far = False  # whether a network lies between, where the other side can be gone and nothing here tells of it
    byte_s = 0.0  # how long one byte is on its way, where the link knows it

    def __init__(self, address: str, clock: Callable[[], float]) -> None:
        self.address = address
        self.traffic: deque[Traffic] = deque(maxlen=200)
        self._clock = clock
        self._interrupted = threading.Event()
        # By codec: what was asked, and until when its answer may still come (it made no sense, or stayed out).
        self._owed: dict[int, tuple[Codec, Any, float]] = {}
        self._told: dict[int, Codec] = {}  # who said something whose answer nobody waited for
        self._lost = ""
        self._said: tuple[Any, deque[Any]] | None = None  # what was sent last, and what has come back since
        self._busy_until_s = float("-inf")
        self.fence: AbstractContextManager[Any] = nullcontext()
        self._open()

    def exchange(self, codec: Codec, command: Any, deadline_s: float) -> Any:
        """Send ``command`` and return its reply (None when it has none, or when it only listened and nothing came).

        Raises LinkTimeout, LinkInterrupted, LinkError (the line is gone) or ProtocolError (the answer makes no sense).
        """
        if self._lost:
            raise LinkError(self._lost)
        listens = getattr(codec, "listens", None)
        if listens is not None and listens(command):
            return self._listen(codec, command, deadline_s)
        if not codec.urgent(command):
            self._find_place(codec, deadline_s)
        return self._ask(codec, command, deadline_s)

    def tell(self, codec: Codec, command: Any) -> None:
        """Send ``command`` at once and wait for no answer. Before the next exchange the line is let fall quiet.

        Raises LinkInterrupted, LinkError (the line is gone).
        """
        if self._lost:
            raise LinkError(self._lost)
        self._keep_silent(codec)
        if self._interrupted.is_set():
            raise LinkInterrupted(f"{self.address}: stopped before {command!r} was sent")
        self._told[id(codec)] = codec
        self._tell(codec, command, self._clock() + TELL_S)

    @property
    def lost(self) -> bool:
        """Whether the line is gone until reopen() finds it again."""
        return bool(self._lost)

    @property
    def last_said(self) -> str:
        """What was sent last and what has come back since, in words ("": nothing was sent yet)."""
        return _came_back(*self._said) if self._said is not None else ""

    def interrupt(self) -> None:
        """Make the waiting exchange, and any begun before resume(), raise LinkInterrupted."""
        self._interrupted.set()

    def resume(self) -> None:
        """Let exchanges go on after interrupt()."""
        self._interrupted.clear()

    def reopen(self) -> None:
        """Open a line that was lost once more. Raises LinkError while it is away; then it is lost, if it was not."""
        self._renew()
        self._owed.clear()
        self._lost = ""

    def close(self) -> None:
        """Let go of the line; harmless twice."""
        self._lost = self._lost or f"{self.address} is closed"
        self._close()

    def _renew(self) -> None:
        """Begin the line anew. Raises LinkError: it is lost."""
        self._close()
        try:
            self._open()
        except LabloopError as error:  # a key file that cannot be read any more is no reason to forget its line
            self._lost = self._lost or str(error)
            raise error if isinstance(error, LinkError) else LinkError(str(error)) from error

    # --- what a subclass does -----------------------------------------------------------------------------------

    def _open(self) -> None:
        """Open the line. Raises LinkError."""

    def _send(self, frames: list[bytes], end_s: float) -> None:
        """Write, within the fence and as briefly as can be: who takes the bench waits for it. Raises LeaseLost."""
        raise NotImplementedError

    def _read(self, wait_s: float) -> bytes | list[bytes]:
        """What came, or empty data after at most ``wait_s``."""
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError

    # --- the exchange -------------------------------------------------------------------------------------------

    def _ask(self, codec: Codec, command: Any, deadline_s: float) -> Any:
        self._keep_silent(codec)
        if self._interrupted.is_set():
            raise LinkInterrupted(f"{self.address}: stopped before {command!r} was sent")
        end_s = self._clock() + deadline_s
        self._drop(QUIET_S if self._told else 0.0, end_s)
        self._told.clear()
        codec.reset()
        frames = self._tell(codec, command, end_s)
        if not codec.expects_reply(command):
            return None
        stood = id(codec) in self._owed
        if not stood:
            self._owed[id(codec)] = (codec, command, 0.0)
        try:
            reply = self._wait(codec, frames, end_s, deadline_s)
        except LinkTimeout:
            sent_s, now_s = end_s - deadline_s, self._clock()
            self._owed[id(codec)] = (codec, self._owed[id(codec)][1], max(now_s + LATE_S, sent_s + HELD_S))
            raise
        if not stood:  # else it was urgent, this may be the reply that was owed, and its own is still to come
            del self._owed[id(codec)]
        return reply

    def _listen(self, codec: Codec, command: Any, deadline_s: float) -> Any:
        """What came of its own accord since the last exchange, or comes by the deadline. Nothing is sent or owed."""
        codec.encode(command)
        data, end_s = self._read(0.0), self._clock() + deadline_s
        while True:
            if self._interrupted.is_set():
                raise LinkInterrupted(f"{self.address}: interrupted while it was listened to")
            if data:
                self._note("received", data)
                self._busy_until_s = max(self._busy_until_s, self._clock())
            try:
                reply = codec.feed(data)
            except ProtocolError as error:
                raise ProtocolError(f"{self.address}: what it says makes no sense: {error}") from error
            left_s = end_s - self._clock()
            if reply is not None or left_s <= 0.0:
                return reply
            data = self._read(min(self.slice_s, left_s))

    def _tell(self, codec: Codec, command: Any, end_s: float) -> list[bytes]:
        frames = codec.encode(command)
        self._note("sent", frames if len(frames) > 1 else frames[0])
        self._send(frames, end_s)
        self._busy_until_s = self._clock() + self.byte_s * sum(len(frame) for frame in frames)
        return frames

    def _wait(self, codec: Codec, frames: list[bytes], end_s: float, deadline_s: float, forgiving: bool = False) -> Any:
        """The reply. ``forgiving``: what makes no sense is passed over instead of raised."""
        got: list[Any] = []
        while True:
            if self._interrupted.is_set():
                raise LinkInterrupted(f"{self.address}: interrupted while {_text(frames)} waited for its answer")
            left_s = end_s - self._clock()
            if left_s <= 0:
                raise LinkTimeout(
                    f"{self.address}: no whole answer to {_text(frames)} within {deadline_s:g} s"
                    + (f" (received {_text(got)})" if got else " (nothing came)")
                )
            data = self._read(min(self.slice_s, left_s))
            if not data:
                continue
            self._note("received", data)
            self._busy_until_s = max(self._busy_until_s, self._clock())
            if len(got) < SHOWN:
                got.append(_beginning(data, LONGEST))
            try:
                reply = codec.feed(data) if not forgiving else _first_that_fits(codec, data)
            except ProtocolError as error:
                raise ProtocolError(f"{self.address}: the answer to {_text(frames)} makes no sense: {error}") from error
            if reply is not None:
                return reply

    def _find_place(self, codec: Codec, deadline_s: float) -> None:
        """Bring the line back in step when ``codec`` is still owed an answer."""
        owed = self._owed.get(id(codec))
        if owed is None:
            return
        probe = codec.probe(owed[1])
        if probe is not None:
            self._drop(max(owed[2] - self._clock(), QUIET_S), self._clock() + FIND_S)
            self._keep_silent(codec)
            codec.reset()
            if self._interrupted.is_set():
                raise LinkInterrupted(f"{self.address}: interrupted while it waited for the line to be quiet")
            end_s = self._clock() + deadline_s
            frames = self._tell(codec, probe, end_s)
            self._wait(codec, frames, end_s, deadline_s, forgiving=True)
        del self._owed[id(codec)]

    def _keep_silent(self, codec: Codec) -> None:
        """Let the line rest for ``codec.gap_s`` after what passed last; what comes meanwhile is stale."""
        rested_s = self._busy_until_s + float(getattr(codec, "gap_s", 0.0))
        while (left_s := rested_s - self._clock()) > 0.0 and not self._interrupted.is_set():
            if data := self._read(min(self.slice_s, left_s)):
                self._dropped(data)

    def _drop(self, quiet_s: float, end_s: float) -> None:
        """Throw stale input away until nothing comes for ``quiet_s``, by ``end_s`` at the latest."""
        heard_s = self._clock()
        while self._clock() < end_s and not self._interrupted.is_set():
            data = self._read(max(0.0, min(self.slice_s, heard_s + quiet_s - self._clock())))
            if data:
                self._dropped(data)
                heard_s = self._clock()
            elif self._clock() >= heard_s + quiet_s:
                return

    def _dropped(self, data: bytes | list[bytes]) -> None:
        """Show it to those whose answer it may be: it answers no question any more, and may still be news."""
        self._note("dropped", data)
        for codec in {**self._told, **{key: owed[0] for key, owed in self._owed.items()}}.values():
            overhears = getattr(codec, "overhears", None)
            if overhears is not None:
                overhears(data)

    def _note(self, kind: str, data: bytes | list[bytes]) -> None:
        self.traffic.append(Traffic(at_s=self._clock(), kind=kind, data=_beginning(data, KEPT)))
        if kind == "sent":
            self._said = (_beginning(data, LONGEST), deque(maxlen=SHOWN))
        elif kind == "received" and self._said is not None:
            self._said[1].append(_beginning(data, LONGEST))

    def _gone(self, error: Exception) -> LinkError:
        """The line broke: every later exchange says so until the port is opened again."""
        said = self.last_said
        last = f" when {said}" if said else ""
        self._lost = f"{self.address} was lost ({error}){last}. Look at the cable and the power, then open it again."
        self._close()
        return LinkError(self._lost)


def _beginning(data: bytes | list[bytes], most: int) -> bytes | list[bytes]:
    """The data, or of a longer one the beginning: what a line gives without end must not fill the memory."""
    if isinstance(data, bytes):
        return data[:most]
    kept: list[bytes] = []
    for frame in data:
        if most <= 0:
            break
        kept.append(frame[:most])
        most -= len(frame)
    return kept


def told(traffic: Sequence[Traffic], most: int) -> str:
    """The last questions and what came back on each, in words; those said again in the same words once."""
    asked: list[tuple[Any, list[Any]]] = []
    for one in traffic:
        if one.kind == "sent":
            asked.append((one.data, []))
        elif one.kind == "received" and asked and len(asked[-1][1]) < SHOWN:
            asked[-1][1].append(one.data)
    words = dict.fromkeys(_came_back(sent, got) for sent, got in asked)
    return "; ".join(list(words)[-most:])


def _came_back(sent: bytes | list[bytes], got: Iterable[Any]) -> str:
    return f"{shown(sent)} was sent and {_text(list(got)) if got else 'nothing'} came back"


def _first_that_fits(codec: Codec, data: bytes | list[bytes]) -> Any | None:
    """The reply in ``data``, past what makes no sense. Every ProtocolError takes at least a byte out of the codec."""
    for _ in range(LONGEST):
        try:
            return codec.feed(data)
        except ProtocolError:
            data = b""
    return None


def _text(data: list[Any]) -> str:
    """What was sent or received, for a message."""
    if data and all(isinstance(part, bytes) for part in data):
        return shown(b"".join(data))
    return shown(data)
