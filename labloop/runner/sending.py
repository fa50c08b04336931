"""Messages to one target: bounded, in order, tried again, and never waited for.

    put      never waits: what is too much is dropped, the least grave first, and the next message says how many
    deliver  takes all that waits as one message and tries it a few times; a try that takes too long is given up

Messages that came while an earlier one was under way become one: a bench that rings every second is one message.
"""

import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from labloop.campaign.errors import LabloopError
from labloop.campaign.text import plain

from .addresses import EXTRA
from .notices import GRAVEST_FIRST, Notice

# What waits for a target that does not answer. A night of alarms is longer, and nobody reads it.
MOST: Final = 50
# After a failed try. A router that starts again takes two minutes; after ten a message is no news any more.
PAUSES_S: Final = (5.0, 30.0, 120.0, 300.0)
DEADLINE_S: Final = 60.0
# Of these, for a server's answer. apprise gives it 4 s; but what is answered later has been sent, and would be sent
# again. An address may say another time (rto=10).
ANSWER_S: Final = 40.0
# Between two messages to one target: what comes meanwhile goes with the second.
GAP_S: Final = 5.0
LONGEST: Final = 1500  # characters: what all services take in one piece

Send = Callable[[str, str, str], str]  # address, title, body -> why not ("": sent)


def send_by_apprise(address: str, title: str, body: str) -> str:
    """Send one message with apprise: why it was not sent ("": it was). Nothing of ``address`` is in the answer."""
    if find_spec("apprise") is None:
        return EXTRA
    apprise = import_module("apprise")
    asset = apprise.AppriseAsset(app_id="labloop", async_mode=False, secure_logging=True, storage_mode="memory")
    service = apprise.Apprise(asset=asset)
    if not service.add(address):
        return "its address is none that apprise knows. `apprise --details` lists what addresses look like"
    for server in service:
        if server.socket_read_timeout == type(server).socket_read_timeout:
            server.socket_read_timeout = ANSWER_S
    with _Heard() as heard:
        sent = service.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
    return "" if sent else masked("; ".join(heard.said) or "it was not taken, and apprise does not say why", address)


def masked(words: str, address: str) -> str:
    """Take every part of an address out of what is said about it."""
    parts = sorted({part for part in re.split(r"[/:@?&=,]+", address) if len(part) > 2}, key=len, reverse=True)
    for part in parts:
        words = words.replace(part, "***")
    return plain(words)


class _Heard(logging.Handler):
    """What apprise says while it sends one message: in this context, which it takes along into its own threads."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if _HEARS.get() is self:
            self.said.append(record.getMessage())

    def __enter__(self) -> "_Heard":
        self._before = _HEARS.set(self)
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)
        _HEARS.reset(self._before)


_HEARS: Final[ContextVar[_Heard | None]] = ContextVar("hears", default=None)


class Outbox:
    """What one target is still to be told. ``say``: told of what was sent, and of what was not and why.

    ``head`` begins every title: which campaign it is, and whether it is simulated.
    """

    def __init__(
        self, name: str, address: Callable[[], str], head: str, say: Callable[[str, str], None],
        send: Send = send_by_apprise, pauses_s: Sequence[float] = PAUSES_S, deadline_s: float = DEADLINE_S,
        gap_s: float = GAP_S,
    ) -> None:  # fmt: skip
        self.name = name
        self._address, self._head, self._say, self._send = address, head, say, send
        self._pauses_s, self._deadline_s, self._gap_s = pauses_s, deadline_s, gap_s
        self._waiting: deque[Notice] = deque()
        self._dropped = 0
        self._changed = threading.Condition()
        self._closed = False
        self._hangs: threading.Thread | None = None
        self._thread = threading.Thread(target=self._work, name=f"notify {name}", daemon=True)

    def start(self) -> None:
        """Deliver from now on, in a thread of its own that no exit of this process waits for."""
        self._thread.start()

    def put(self, notice: Notice) -> None:
        """One thing more to be told; never waits."""
        with self._changed:
            self._waiting.append(notice)
            if len(self._waiting) > MOST:
                least = max(self._waiting, key=lambda one: GRAVEST_FIRST.index(one.about))
                self._waiting.remove(least)
                self._dropped += 1
            self._changed.notify()

    def close(self) -> None:
        """Nothing more comes: the thread ends when all is told, or has failed."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def join(self, within_s: float) -> bool:
        """Wait for that; whether it is so."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
            self.deliver()
            with self._changed:
                self._changed.wait_for(lambda: self._closed, self._gap_s)

    def deliver(self) -> bool:
        """Tell what waits, as one message; try again after each of the pauses. Whether it was sent."""
        title, body = self._take()
        for number, pause_s in enumerate([*self._pauses_s, 0.0], 1):
            why = self._try(title, body)
            if not why:
                self._say(self.name, "")
                return True
            self._say(self.name, f"{title!r} was not sent (try {number}): {why}")
            threading.Event().wait(pause_s)
        return False

    def _take(self) -> tuple[str, str]:
        with self._changed:
            notices, dropped = list(self._waiting), self._dropped
            self._waiting.clear()
            self._dropped = 0
        notices.sort(key=lambda one: GRAVEST_FIRST.index(one.about))
        first, *others = notices
        blocks = [first.words, *(f"{one.title}\n{one.words}" for one in others)]
        title = f"{self._head}: {first.title}" + (f" (and {len(others)} more)" if others else "")
        body = "\n\n".join("\n".join(plain(line) for line in block.splitlines()) for block in blocks if block)
        body = body or plain(first.title)  # apprise sends nothing that has no body
        left_out = f"\n\n{dropped} messages more were dropped" if dropped else ""
        return plain(title)[:200], f"{body[:LONGEST]}{'...' if len(body) > LONGEST else ''}{left_out}"

    def _try(self, title: str, body: str) -> str:
        """One try in a thread that is left behind when it hangs; one that still hangs keeps others from beginning."""
        if self._hangs is not None and self._hangs.is_alive():
            return "an earlier try still hangs"
        answers: list[str] = []

        def attempt() -> None:
            try:
                answers.append(self._send(self._address(), title, body))
            except LabloopError as error:
                answers.append(str(error))
            except Exception as error:  # noqa: BLE001  (a service of apprise may raise anything; it is said)
                answers.append(f"{type(error).__name__} in apprise")  # its words may hold the address

        self._hangs = threading.Thread(target=attempt, name=f"notify {self.name}, one try", daemon=True)
        self._hangs.start()
        self._hangs.join(self._deadline_s)
        return answers[0] if answers else f"no answer within {self._deadline_s:g} s"
