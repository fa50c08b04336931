"""A port: one link, one worker thread, and every instrument that shares the line.

Driver calls are handed to ``submit`` and run one after another, so the exchanges of two instruments on one line never
interleave. ``interrupt`` cancels what waits and breaks off what runs, from any thread: then a stop submitted next is
the first thing on the line. A driver that does not return even so is left behind (``go_on_without``): what waits runs
on another thread, and what the one that hangs says later is refused. So is one that keeps others from being stopped
(``pass_over``, which refuses nobody who waits). An inline port (in-process links) runs everything
at once in the caller's thread, so that the order of a virtual campaign is the order of the program.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from .errors import BenchError, LinkInterrupted, LinkTimeout
from .instrument import Codec
from .link import Link, Traffic

_T = TypeVar("_T")

# Real seconds. What was broken off has returned long before; a driver that has not hangs, until its process ends.
LET_GO_S: Final = 2.0
REOPENS_S: Final = 60.0
# What is broken off returns at once, unless its driver does something else than to wait for its line: a stop comes to
# the wire without it then, well within the 250 ms that it may take.
RETURNS_S: Final = 0.1
# Drivers never wait but for their line: one that says nothing for so long hangs. In an exchange it may be its line that
# is slow; the stops of one line have ten seconds together (see lab.SAFE_S), of which one may take half.
SILENT_S: Final = 1.0
LONGEST_S: Final = 5.0


@dataclass(slots=True)
class _Call:
    """A driver call that waits its turn. ``generation``: interrupts seen when it was submitted."""

    run: Callable[[], Any]
    future: "Future[Any]"
    generation: int
    who: str = ""


class Port:
    """One line and the calls on it. ``inline``: no thread, calls run at once in the caller's."""

    def __init__(self, link: Link, *, inline: bool = False) -> None:
        self.link = link
        self.inline = inline
        self._line = threading.RLock()
        self._turn = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._generation = 0
        self._worker: threading.Thread | None = None
        self._running: _Call | None = None
        self._began_s = self._spoke_s = 0.0  # when the call that runs began, and was last through with an exchange
        self._speaking = False
        self._left_behind: set[threading.Thread | None] = set()
        self._closed = False
        self._passed_over = ""  # which call kept others from being stopped, and hangs still, in words
        self.busy_with = ""  # whose call runs

    @property
    def address(self) -> str:
        """The line's address, without what belongs to one instrument."""
        return self.link.address

    @property
    def lost(self) -> bool:
        """Whether the line is gone until reopen() finds it again."""
        return self.link.lost

    @property
    def far(self) -> bool:
        """Whether a network lies between: a connection that stands here may be gone at its other end."""
        return self.link.far

    @property
    def traffic(self) -> tuple[Traffic, ...]:
        """The last exchanges, oldest first, as they were on the wire."""
        return tuple(self.link.traffic)

    def exchange(self, name: str = "", address: str | None = None) -> "PortExchange":
        """What a driver is handed: one exchange on this port. ``name`` goes into its complaints."""
        return PortExchange(self, name, self.address if address is None else address)

    def submit(self, call: Callable[[], _T], who: str = "") -> "Future[_T]":
        """Run a driver call in its turn; its answer or its exception is the future's. ``who``: whose call it is."""
        future: Future[_T] = Future()
        if self.inline:
            self.link.resume()
            _run(call, future)
            return future
        with self._turn:
            if self._closed:
                future.set_exception(LinkInterrupted(f"{self.address} is closed"))
                return future
            self._waiting.append(_Call(call, future, self._generation, who))
            if self._worker is None:
                self._start()
            self._turn.notify_all()
        return future

    def interrupt(self) -> None:
        """Break off the running call and refuse those that wait (LinkInterrupted); later ones run as ever."""
        with self._turn:
            self._generation += 1
            self.link.interrupt()

    def go_on_without(self, returns_s: float) -> None:
        """Where a call that was broken off has not returned in time, run what waits without it: its driver hangs."""
        with self._turn:
            call = self._running
            if call is None or call.generation == self._generation:
                return
            self._leave(call, returns_s)

    def pass_over(self) -> None:
        """Where one call keeps others waiting and hangs, break it off alone, and run what waits without it."""
        with self._turn:
            call, now_s = self._running, time.monotonic()
            if call is None or not self._waiting:
                return
            silent = not self._speaking and now_s - max(self._began_s, self._spoke_s) > SILENT_S
            if silent or now_s - self._began_s > LONGEST_S:
                self.link.interrupt()
                if self._leave(call, RETURNS_S):
                    self._passed_over = f"{self.address}: the driver of {call.who or 'an instrument'} does not return"

    def _leave(self, call: _Call, returns_s: float) -> bool:
        """Within ``_turn``: leave a call that was broken off behind, unless it returns in time; whether it was left."""
        if self._turn.wait_for(lambda: self._running is not call, returns_s):
            return False
        why = f"{self.address}: {self.hanging}"
        self._left_behind.add(self._worker)
        self._running, self._speaking = None, False
        self._start()
        call.future.set_exception(LinkInterrupted(why))
        return True

    @property
    def under_way(self) -> "Future[Any] | None":
        """The call that runs now; it is done when it has returned, or was left behind."""
        with self._turn:
            return None if self._running is None else self._running.future

    def reopen(self, within_s: float = REOPENS_S) -> None:
        """Open a lost line again, in its turn. Raises LinkError while it is away, or a call on it does not return."""

        def renew() -> None:
            with self._line:
                self.link.reopen()

        opened = self.submit(renew)
        try:
            opened.result(within_s)
        except FutureTimeout as error:
            opened.cancel()
            raise LinkTimeout(f"{self.address}: {self.hanging}") from error

    @property
    def hanging(self) -> str:
        """What is to be said of a call that does not return."""
        return f"the driver of {self.busy_with or 'an instrument'} does not return from a call"

    def close(self) -> str:
        """Break off what runs, end the worker, let go of the line; harmless twice. "", or who does not return."""
        self.interrupt()
        with self._turn:
            self._closed = True
            worker = self._worker
            self._turn.notify_all()
        if worker is not None and worker is not threading.current_thread():
            worker.join(LET_GO_S)
            if worker.is_alive():
                with self._turn:
                    waiting, self._waiting = list(self._waiting), deque()
                for call in waiting:
                    _refuse(call, f"{self.address} is closed, and {self.hanging}")
                return f"{self.hanging}; {self.address} is let go when this process ends"
        with self._line:
            self.link.close()
        return self._passed_over

    def _start(self) -> None:
        self._worker = threading.Thread(target=self._work, name=f"port {self.address}", daemon=True)
        self._worker.start()

    def _work(self) -> None:
        with self._line:  # who was left behind has let go of it, and what broke it off stands until then
            pass
        while True:
            with self._turn:
                while not self._waiting and not self._closed:
                    self._turn.wait()
                if not self._waiting:
                    return
                call = self._waiting.popleft()
                current, self.busy_with = call.generation == self._generation, call.who
                if current:
                    self.link.resume()
                    self._running, self._began_s = call, time.monotonic()
            if current:
                self._run(call)
            else:
                _refuse(call, f"{self.address}: stopped before the call began")
            if self.left_behind:
                return

    @property
    def left_behind(self) -> bool:
        """Whether others go on without this thread: it has nothing to say on the line any more."""
        return threading.current_thread() in self._left_behind

    def _run(self, call: _Call) -> None:
        """On the worker: the call, whose end counts only while somebody waits for it."""
        if not call.future.set_running_or_notify_cancel():
            self._ran()
            return
        try:
            said, error = call.run(), None
        except BaseException as raised:  # noqa: BLE001 the caller of result() gets it, whatever it is
            said, error = None, raised
        if not self._ran():
            return
        if error is None:
            call.future.set_result(said)
        else:
            call.future.set_exception(error)

    def _ran(self) -> bool:
        """Whether this thread has still the say; then nothing runs now."""
        with self._turn:
            if self.left_behind:
                return False
            self._running = None
            self._turn.notify_all()
            return True


class PortExchange:
    """One instrument's way to its port. ``address``: its address as the lab file writes it."""

    def __init__(self, port: Port, name: str, address: str) -> None:
        self.address = address
        self._port = port
        self._name = name

    def __call__(self, codec: Codec, command: Any, deadline_s: float) -> Any:
        """One exchange under the port's lock; complaints begin with the instrument's name."""
        return self._said(lambda link: link.exchange(codec, command, deadline_s))

    def tell(self, codec: Codec, command: Any) -> None:
        """Say something under the port's lock and wait for no answer."""
        self._said(lambda link: link.tell(codec, command))

    def _said(self, say: Callable[[Link], _T]) -> _T:
        with self._port._line:
            try:
                if self._port.left_behind:
                    raise LinkInterrupted(f"{self.address}: it came back too late, others have gone on without it")
                self._port._speaking = True
                try:
                    return say(self._port.link)
                finally:
                    self._port._speaking, self._port._spoke_s = False, time.monotonic()
            except BenchError as error:
                if not self._name:
                    raise
                raise type(error)(f"{self._name} on {error}") from error


def _refuse(call: _Call, why: str) -> None:
    if call.future.set_running_or_notify_cancel():
        call.future.set_exception(LinkInterrupted(why))


def _run(call: Callable[[], _T], future: "Future[_T]") -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 the caller of result() gets it, whatever it is
        future.set_exception(error)
