"""Reaching an instrument: asked again where nothing can be done twice by it, and its line opened again when it is lost.

    an exchange fails       it is asked again, TRIES times with growing pauses
    still no answer         the instrument is lost, which is a fact. Its line is opened again and again, with growing
                            pauses, for as long as the lab says (``on_lost: {retry_for: 30 s, then: stop}``)
    it is back              the same instrument must answer; what it did meanwhile is judged by whoever asked; and its
                            settings are sent again before it begins anything new (``unverified``)
    it stays away           ``then: stop``: the run ends safely. ``then: pause``: the campaign pauses until a person
                            says that it may go on, and the line is tried again

Only calls that move nothing, or are harmless twice, come through ``reading``. What begins an act asks in between what
became of the last try (see step).
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from labloop.bench import (
    WHERE_TO_LOOK,
    Action,
    Identity,
    InstrumentFault,
    LinkError,
    LinkInterrupted,
    Permit,
    Port,
    ProtocolError,
)
from labloop.campaign import events as e
from labloop.campaign.lab_spec import OnLost
from labloop.campaign.state import CampaignState

from .clock import Clock

P = ParamSpec("P")
R = TypeVar("R")

# Tries of an exchange that only reads, or that was shown not to have begun anything. Three got through every single
# and double line fault of the fault-injection tests; a cable that is out stays out.
TRIES: Final = 4
BACK_OFF_S: Final = 0.25  # real seconds, doubled each time: 0.25 + 0.5 + 1.0
# Real seconds between two tries to open a lost line: a plug that is put back is seen soon, one that stays out for hours
# costs little.
REOPEN_S: Final = 1.0
REOPEN_MOST_S: Final = 30.0
# A line that is lost so often within one call comes and goes: that is for a person to look at.
MOST_OUTAGES: Final = 3
# Real seconds, counted in tenths: a call is a handful of exchanges, each with a deadline of its own. One that lasts
# longer hangs in its driver; once the bench has been made safe nobody waits so long.
HANGS_S: Final = 300.0
HANGS_SAFE_S: Final = 30.0
# Faults that an exchange may meet once and not again: the instrument was switched off and on, and says so first.
PASSING: Final = "reset"


class InstrumentGone(Exception):
    """An instrument does not answer any more: the run must end safely (exit 3)."""

    def __init__(self, instrument: str, reason: str) -> None:
        self.instrument = instrument
        named = reason.startswith((f"{instrument} on ", f"{instrument}: "))
        super().__init__(reason if named else f"{instrument}: {reason}")


class Ended(Exception):
    """No new step starts: the run is ending."""


class Station(Protocol):
    """One instrument of an open lab, as the runner sees it."""

    @property
    def driver(self) -> Any: ...
    @property
    def port(self) -> Any: ...
    @property
    def declaration(self) -> Any: ...
    @property
    def actions(self) -> Mapping[str, Action]: ...
    def identify(self, *was: str) -> Identity: ...
    def placed(self, error: Exception) -> str: ...
    def prepare(self, permit: Permit, act: str) -> None: ...
    def begin(self, permit: Permit, act: str) -> None: ...

    identity: Any
    stranger: str


class Memory(Protocol):
    """What a step needs of the journal: to write facts, and to read what they add up to."""

    @property
    def state(self) -> CampaignState: ...
    def record(self, *facts: Any) -> None: ...
    def keep(self, data: bytes) -> str: ...


class ByHand(Protocol):
    """An act by hand in a run, whose facts stand in the bench's journal."""

    def asked(self) -> None: ...
    def tell(self) -> None: ...


OnLine = Callable[[str], Mapping[str, Identity]]


def nobody(name: str) -> Mapping[str, Identity]:
    raise LinkError(f"{name}: nobody knows who is on its line")


class Reach:
    """The way to the instruments of one lab. ``on_line``: identify all that share an instrument's line.

    ``halt``: set while the bench is being made safe; nobody is waited for then. ``on_gone``: told of an instrument that
    is given up. ``on_away``: waits, for ``then: pause``, until a person says that it may go on.
    """

    def __init__(
        self,
        stations: Mapping[str, Station],
        memory: Memory,
        clock: Clock,
        halt: asyncio.Event,
        on_lost: OnLost,
        on_line: OnLine = nobody,
    ) -> None:
        self.stations = stations
        self.unverified: set[str] = set()
        self.on_gone: Callable[[InstrumentGone], None] = lambda gone: None
        self.on_away: Callable[[str], Awaitable[None]] | None = None
        self._memory = memory
        self._clock = clock
        self._halt = halt
        self._on_lost = on_lost
        self._on_line = on_line
        self._outages: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)  # by port
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by instrument
        self._by_hand: dict[str, ByHand] = {}  # by instrument
        self._returns: Counter[int] = Counter()
        self.made_safe = asyncio.Event()  # nobody waits long any more for a driver that does not return
        self._hanging: dict[int, Future[Any] | None] = {}  # by port: the call that does not return
        self._given_up: set[int] = set()
        self._recovering: dict[int, asyncio.Task[None]] = {}

    async def call(self, instrument: str, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """One call of a driver on its port's own thread (at once, on an in-process bench).

        What it was told once meanwhile, or has lost, becomes a fact before anything else is done.
        """
        safe = self._halt.is_set()
        async with self._turns[instrument]:  # else the next one might be told what this one's answer is held against
            if self._halt.is_set() and not safe:  # it waited while the bench was made safe: nothing begins after that
                raise LinkInterrupted(f"{instrument}: stopped before the call began")
            future = self.stations[instrument].port.submit(partial(method, *args, **kwargs), instrument)
            try:
                if not future.done():
                    await self._returned(instrument, asyncio.wrap_future(future))
                result: R = future.result()
            except LinkInterrupted:  # its answer may still come, and be heard while the bench is made safe
                raise
            except BaseException:
                self.heard(instrument)
                raise
            self.heard(instrument)
            return result

    async def _returned(self, name: str, call: "asyncio.Future[Any]") -> None:
        """Wait until a call has returned, but not for ever. Raises InstrumentGone, LinkInterrupted."""
        port = self.stations[name].port
        hung = self._hanging.get(id(port))
        hangs = hung is not None and not hung.done()  # made safe, the others on this line go on without that call
        over = asyncio.ensure_future(self.made_safe.wait())
        try:
            for _ in range(0 if hangs or self.made_safe.is_set() else 10):
                await asyncio.wait((call, over), timeout=HANGS_S / 10, return_when=asyncio.FIRST_COMPLETED)
                if call.done() or self.made_safe.is_set():
                    break
            for _ in range(10 if self.made_safe.is_set() and not hangs else 0):
                if not call.done():
                    await asyncio.wait((call,), timeout=HANGS_SAFE_S / 10)
        finally:
            over.cancel()
            if not call.done():
                call.cancel()
            elif not call.cancelled():
                call.exception()  # looked at: who called is told by the port's own future
        if call.cancelled():
            self._hanging[id(port)] = port.under_way
            why = f"{name}: {port.hanging}"
            if self._halt.is_set():
                raise LinkInterrupted(why)
            raise self.give_up(name, why)

    @contextmanager
    def by_hand(self, name: str, act: ByHand) -> Iterator[None]:
        """While ``act`` is under way there: it too is written down what the instrument was asked, and told once."""
        self._by_hand[name] = act
        try:
            yield
        finally:
            del self._by_hand[name]

    def heard(self, name: str) -> None:
        """Write down what was told once, or lost (see Driver.taken, .alarm): after a crash it cannot be heard again."""
        if name in self._by_hand:
            self._by_hand[name].tell()
        driver, known = self.stations[name].driver, self._memory.state.heard.get(name, ())
        if not self.unsettled(name):
            return
        for kind, said in ((e.ActTaken, driver.taken), (e.AlarmHeard, driver.alarm)):
            if said and not any(said in (one or "") for one in known):
                self._memory.record(kind(instrument=name, said=said))

    def unsettled(self, name: str) -> bool:
        """Whether something was begun there of which nobody knows yet what it came to."""
        return any(step.begun.instrument == name for step in self._memory.state.running.values())

    async def reading(self, name: str, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A call that moves nothing (or is harmless twice), tried again when the line fails it.

        Raises InstrumentFault, InstrumentGone, LinkInterrupted.
        """
        trouble = self.trouble(name)
        while True:
            try:
                return await self.call(name, method, *args, **kwargs)
            except LinkInterrupted:
                raise
            except (LinkError, ProtocolError) as error:
                await trouble.met(error)

    async def named(self, name: str, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A reading outside a step: a fault names the instrument, and one that is passing is tried again.

        Raises InstrumentFault, InstrumentGone, LinkInterrupted.
        """
        for last in (False, False, True):
            try:
                return await self.reading(name, method, *args, **kwargs)
            except InstrumentFault as fault:
                if last or fault.kind != PASSING:
                    raise InstrumentFault(f"{name}: {fault}", fault.kind) from fault
        raise AssertionError("the last try raises or returns")

    async def verify(self, name: str) -> None:
        """Send an instrument that was away its settings again, before it begins anything."""
        if name in self.unverified:
            await self.configure(name)

    async def configure(self, name: str) -> None:
        """Send an instrument the lab's settings, which is a fact. Raises as ``named`` does."""
        driver = self.stations[name].driver
        try:
            await self.named(name, driver.configure)
        finally:  # what it changed for good stays changed, whatever became of the rest
            if said := driver.changed():
                self._memory.record(e.NoteTaken(text=f"{name} was set up: {said}"))
        self._memory.record(e.InstrumentConfigured(instrument=name))
        self.unverified.discard(name)

    def trouble(self, name: str) -> "Trouble":
        """The count of what goes wrong within one call."""
        return Trouble(self, name, self._returns[id(self.stations[name].port)])

    async def wait(self, seconds: float) -> None:
        """Wait real ``seconds``; less when the bench is being made safe."""
        await self._clock.wait(self._halt, seconds * self._clock.speed)

    def give_up(self, name: str, why: str) -> InstrumentGone:
        """The run must end: say so to whoever ends it."""
        gone = InstrumentGone(name, why)
        self.on_gone(gone)
        return gone

    async def regain(self, name: str, error: Exception, returns: int) -> int:
        """Wait for a lost instrument until it is back; how often its line has come back by now.

        Raises InstrumentGone, LinkInterrupted.
        """
        port = id(self.stations[name].port)
        async with self._outages[port]:
            if self._returns[port] != returns:  # another instrument on the line has seen to it
                return self._returns[port]
            if port in self._given_up:
                raise InstrumentGone(name, str(error)) from error
            self._given_up.add(port)  # until it is back
            why = self.stations[name].placed(error)
            self._memory.record(e.InstrumentLost(instrument=name, reason=why))
            while not await self._comes_back(name):
                if self._on_lost.then == "stop" or self.on_away is None:
                    raise self.give_up(name, self._given_up_for(name, why)) from error
                await self.on_away(f"{name} is lost: {why}")
            self._given_up.discard(port)
            self._returns[port] += 1
            return self._returns[port]

    def is_away(self, name: str) -> bool:
        """Whether an instrument's line is lost, and waited for."""
        return id(self.stations[name].port) in self._given_up

    def returns(self, names: Iterable[str]) -> int:
        """How often the lines of these instruments were lost and have come back."""
        return sum(self._returns[port] for port in {id(self.stations[name].port) for name in names})

    def _given_up_for(self, name: str, said: str) -> str:
        """Why it is given up; where it has not answered once in this run, with what to look at."""
        if name in self._memory.state.identities:
            return said
        if WHERE_TO_LOOK in said:
            return said
        return f"{said.rstrip('.')}. It has never answered in this run: {WHERE_TO_LOOK}"

    def recover(self, name: str, error: Exception) -> None:
        """Win a lost line back beside everything else, for who only looks in passing (once at a time for each line)."""
        port = self.stations[name].port
        if port.lost and id(port) not in self._recovering:
            task = asyncio.ensure_future(self._recover(name, error))
            self._recovering[id(port)] = task
            task.add_done_callback(lambda done: self._recovering.pop(id(port), None))

    async def _recover(self, name: str, error: Exception) -> None:
        # Whoever ends the run, or makes the bench safe, has been told already.
        with suppress(InstrumentGone, LinkInterrupted, Ended):
            await self.regain(name, error, self._returns[id(self.stations[name].port)])

    async def _comes_back(self, name: str) -> bool:
        pause_s, left_s = REOPEN_S, self._on_lost.retry_for_s
        while left_s > 0.0:
            wait_s = min(pause_s, left_s)
            await self.wait(wait_s)
            if self._halt.is_set():
                raise LinkInterrupted(f"{name}: the bench is being made safe, nobody waits for its line any longer")
            left_s -= wait_s
            pause_s = min(2.0 * pause_s, REOPEN_MOST_S)
            try:
                found = await self._open_again(name)
            except LinkInterrupted:
                raise
            except (LinkError, ProtocolError):
                continue
            except InstrumentFault as fault:
                if fault.kind == "identity":
                    raise self.give_up(name, str(fault)) from fault
                continue
            self.unverified |= found.keys()
            self._memory.record(
                *(
                    e.InstrumentIdentified(
                        instrument=one, model=identity.model, firmware=identity.firmware, serial=identity.serial,
                        first_reply=identity.first_reply,
                    )
                    for one, identity in found.items()
                )
            )  # fmt: skip
            return True
        return False

    async def _open_again(self, name: str) -> Mapping[str, Identity]:
        """Open the line and ask who is on it; each of them may say now what it says once."""
        port = self.stations[name].port
        await self._beside(port, port.reopen)
        sharing = [one for one, station in self.stations.items() if station.port is port]
        self._asking(sharing)
        try:
            return await self._beside(port, partial(self._on_line, name))
        finally:
            for one in sharing:
                self.heard(one)

    def _asking(self, names: Sequence[str]) -> None:
        heard = self._memory.state.heard
        silent = [one for one in names if self.unsettled(one) and heard.get(one, [])[-1:] != [None]]
        self._memory.record(*(e.InstrumentAsked(instrument=one) for one in silent))
        for one in self._by_hand.keys() & set(names):
            self._by_hand[one].asked()

    @staticmethod
    async def _beside(port: Port, call: Callable[[], R]) -> R:
        """What waits for a port, beside everything else."""
        return call() if port.inline else await asyncio.to_thread(call)


class Trouble:
    """What went wrong within one call, and what is done about it: wait and try again, or win the line back."""

    def __init__(self, reach: Reach, name: str, returns: int) -> None:
        self._reach = reach
        self._name = name
        self._returns = returns
        self._tries = self._outages = 0

    async def met(self, error: Exception) -> None:
        """Returns when it is worth trying again. Raises InstrumentGone, LinkInterrupted."""
        self._tries += 1
        if self._tries < TRIES:
            await self._reach.wait(BACK_OFF_S * 2 ** (self._tries - 1))
            return
        self._outages += 1
        if self._outages > MOST_OUTAGES:
            raise self._reach.give_up(self._name, f"its line comes and goes; last: {error}") from error
        self._returns = await self._reach.regain(self._name, error, self._returns)
        self._tries = 0
