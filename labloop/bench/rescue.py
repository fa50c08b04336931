"""The safe state from cold: nobody holds the ports any more, and nobody knows what the instruments are doing.

On every line, all lines at once and none waiting for another:

    open the port          again and again for OPEN_S: what a dead process held is let go within milliseconds, a device
                           server that serves one client may take longer
    ask and read           who is there, then the counters, then the readings; READ_S for the whole line, then enough
    brake, stop            all but what is kept and what is something else
    stop once more         where no port is exclusive: the dead process's last bytes may still have been on the way
    read the counters      again, now that all stands: the evidence of what the broken-off acts came to

and when every line is through, or LIST_AFTER_S later, the lab's own list; then what stands there now that somebody may
change by hand, to be compared at the next start: STANDS_S for all lines together. Nothing is set, nothing is cleared.

An instrument that its driver does not recognise gets no word but the question who it is: nobody knows what the bytes of
a stop would mean to it. One of the same kind with another serial number is stopped (a stop is never wrong there) and
named. One that does not answer is stopped unasked: it may hear well and have a broken wire for its answers.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.events import Amount, Reading, Stand
from labloop.campaign.flags import believed, no_number, plain_amounts, sound_stands
from labloop.campaign.lab_spec import LabSpec

from .address import parse_address
from .declared import EVERYTHING, declare_to_stop, kept_of, port_keys
from .errors import BenchError, InstrumentFault, LinkError, LinkInterrupted, LinkTimeout
from .instrument import Identity
from .lab import (
    CLOSE_S,
    LIST_AFTER_S,
    SAFE_S,
    Connect,
    safe_state_of,
    trouble,
    wait_past,
)
from .permit import Permit
from .port import RETURNS_S, Port
from .station import Station, stop

OPEN_S: Final = 5.0
AGAIN_S: Final = 0.05
# Five pumps on one line of 19200 baud have told all within 0.4 s (test_rescue); a line that is silent costs the pumps
# on it this much more motion.
READ_S: Final = 0.8
# The bench is safe by then, and nothing waits for this but the guard's own word. Eight questions to a circulator that
# wants a quarter of a second of silence before each take half of it.
STANDS_S: Final = 4.0
# A byte that was on its way through a device server when its sender died is there within this.
SETTLE_S: Final = 0.3

STOPPED: Final = "stopped"
NOT_STOPPED: Final = "not stopped"
KEPT: Final = "kept"
OTHER: Final = "something else"
AWAY: Final = "not reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One instrument: what became of it, who it said it is, and its counters ``before`` the stop and ``after`` it.

    ``first_reply``: an alarm that stood is told once, to whoever asks first, and is evidence.

    ``state``: stopped, not stopped, kept, something else, not reached. ``stands``: what somebody may change by hand, as
    it stood at the end. ``notes``: what could not be asked, in words.
    """

    state: str
    identity: str = ""
    first_reply: str = ""
    before: Mapping[str, Amount] = field(default_factory=dict)
    after: Mapping[str, Amount] = field(default_factory=dict)
    readings: Mapping[str, Reading] = field(default_factory=dict)
    stands: Mapping[str, Stand] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescued:
    """What came of it, by instrument, and ``errors``: why the bench is not safe (none: it is)."""

    found: Mapping[str, Found]
    errors: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Case:
    """One instrument while it is seen to."""

    station: Station
    earlier: str = ""  # what was told, or lost, before the line had to be opened again
    state: str = AWAY
    identity: Identity | None = None
    before: Mapping[str, Amount] = field(default_factory=dict)
    after: Mapping[str, Amount] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    stands: Mapping[str, Stand] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def told(self) -> str:
        """Its first reply and its alarm; an answer that was lost may have been one."""
        told = self.earlier
        for said in (self.identity.first_reply if self.identity else "", getattr(self.station.driver, "alarm", "")):
            told += f" {said}" if said not in told else ""
        return told.strip()

    def found(self) -> Found:
        who = " ".join(filter(None, (self.identity.model, self.identity.serial))) if self.identity else ""
        before, after, notes = plain_amounts(self.before), plain_amounts(self.after), [*self.notes]
        if doubtful := no_number(before) or no_number(after):  # evidence of nothing
            before, after = {}, {}
            notes.append(f"{self.station.name}: its counter says {doubtful}")
        return Found(
            state=self.state, identity=who, first_reply=self.told(), before=before, after=after,
            readings={name: believed(one) for name, one in self.readings.items()}, stands=self.stands,
            notes=tuple(notes),
        )  # fmt: skip


class Rescue:
    """A lab that will be made safe from cold. Made early: what takes time (loading drivers) is done here.

    ``connect`` opens a port; ``known``: (model, serial) of who was there. An instrument whose entry is refused (a later
    version may ask for more) is told as not reached, and the others are stopped. Raises SpecError for ports, or with
    every entry sound a list, that make no sense.
    """

    def __init__(self, lab: LabSpec, connect: Connect, known: Mapping[str, tuple[str, str]] | None = None) -> None:
        self.lab = lab
        self.known = dict(known or {})
        self.connect = connect
        self._declared, refused = declare_to_stop(lab)
        self._errors = [
            f"{name}: {AWAY}, for its entry is refused: {error if isinstance(error, SpecError) else repr(error)}"
            for name, error in refused.items()
            if name not in self._declared
        ]
        self._safe_state = self._list(bool(refused))
        self._lines: dict[str, list[str]] = {}
        for name, key in port_keys(lab).items():
            if name in self._declared:
                self._lines.setdefault(key, []).append(name)

    def _list(self, parted: bool) -> tuple[Permit, ...]:
        """The lab's own list; where an entry is refused, what is left of it."""
        try:
            return safe_state_of(self.lab, self._declared)
        except SpecError as error:
            if not parted:
                raise
            self._errors.append(f"safe_state: not done, for it cannot be permitted without what is refused: {error}")
            return ()

    def run(self) -> Rescued:
        """Make the bench safe, going on past every error."""
        lines = [_Line(self, key, names, self.connect) for key, names in self._lines.items()]
        for line in lines:
            line.start()
        until_s = time.monotonic() + LIST_AFTER_S
        for line in lines:
            line.through.wait(max(0.0, until_s - time.monotonic()))
        by_name = {name: line for line in lines for name in line.names}
        for permit in self._safe_state:
            by_name[permit.instrument].do(permit)
        until_s = time.monotonic() + SAFE_S
        self._note_what_stands(lines, until_s)
        found: dict[str, Found] = {}
        for line in lines:
            found |= line.end(until_s)
        errors = [*self._errors, *(error for line in lines for error in line.errors)]
        away = Found(state=AWAY)
        return Rescued(found={name: found.get(name, away) for name in self.lab.instruments}, errors=tuple(errors))

    def _note_what_stands(self, lines: "list[_Line]", until_s: float) -> None:
        """Once nothing else is asked on any line. What does not say in time is not noted, and then not compared."""
        for line in lines:
            line.wait(until_s)
        asked = {line: line.ask_what_stands() for line in lines}
        _, late = wait([future for futures in asked.values() for future in futures], STANDS_S)
        for line, futures in asked.items():
            if late & set(futures):
                line.break_off()

    def station(self, name: str, port: Port) -> Station:
        """One instrument on its open port."""
        declared = self._declared[name]
        exchange = port.exchange(name, self.lab.instruments[name].port or "")
        return Station(name=name, driver=declared.driver(exchange, **declared.options), port=port, declaration=declared)


class _Line:
    """One line and the instruments on it. ``through``: set when all on it is stopped, or nothing more can be done."""

    def __init__(self, rescue: Rescue, key: str, names: list[str], connect: Connect) -> None:
        self.names = names
        self.through = threading.Event()
        self._counting = threading.Lock()  # what is late is broken off, with whatever the list does on this line
        self._rescue = rescue
        self._kept = kept_of(rescue.lab)
        self.connect = connect
        self._address = rescue.lab.instruments[names[0]].port or ""
        self._cases: dict[str, _Case] = {}
        self._port: Port | None = None
        self._why_away = "its line was not opened in time"
        self._lost = False
        self.errors: list[str] = []
        self._thread = threading.Thread(target=self._work, name=f"rescue {key}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _work(self) -> None:
        try:
            if not self._reach() or self._port is None:
                return
            stopping = [one for one in self._cases.values() if one.state not in (KEPT, OTHER)]
            self._halt(stopping)
            if not exclusive(self._address):
                time.sleep(SETTLE_S)
                self._halt(stopping)
            with self._counting:
                self.through.set()
                self._everywhere(stopping, self._count_again, READ_S, self._port)
        except Exception as error:  # noqa: BLE001 a driver's own mistake must not keep other lines from being stopped
            self._why_away = f"{type(error).__name__}: {error}"
        finally:
            self.through.set()

    def do(self, permit: Permit) -> None:
        """One step of the lab's own list, once nothing else is asked here: what is late is broken off with all that
        waits on its port."""
        what = f"{permit.instrument}.{permit.action}"
        free = self._counting.acquire(timeout=LIST_AFTER_S)
        try:
            case = self._cases.get(permit.instrument)
            if case is None or self._port is None or case.state == OTHER:
                self.errors.append(f"{what}: not done")
                return
            future = self._port.submit(partial(case.station.begin, permit, "safe"), permit.instrument)
            wait_past([self._port], [future], time.monotonic() + LIST_AFTER_S)
            self.errors += trouble(what, future, time.monotonic())
        finally:
            if free:
                self._counting.release()

    def wait(self, until_s: float) -> None:
        """Wait until nothing is asked any more."""
        self._thread.join(max(0.0, until_s - time.monotonic()))

    def ask_what_stands(self) -> "list[Future[None]]":
        """Ask each instrument that stands still, or is kept, what somebody may change there by hand."""
        port = self._port
        if port is None or self._thread.is_alive():
            return []
        resting = [case for case in self._cases.values() if case.state in (STOPPED, KEPT)]
        return [port.submit(partial(self._what_stands, case)) for case in resting]

    def break_off(self) -> None:
        """Ask no more."""
        if self._port is not None:
            self._port.interrupt()

    def end(self, until_s: float) -> dict[str, Found]:
        """Wait for the rest, say goodbye, let go of the line; what was found, by instrument."""
        self.wait(until_s)
        if self._port is not None:
            leaving = [self._port.submit(case.station.driver.close) for case in self._cases.values()]
            wait(leaving, CLOSE_S)
            self._port.close()
        for name in self.names:
            state = self._cases[name].state if name in self._cases else AWAY
            if state == AWAY:
                self.errors.append(f"{name}: {AWAY}: {self._why_away}")
            elif state == OTHER:
                self.errors.append(f"{name}: {OTHER} answers there, and was left alone")
        return {name: self._cases[name].found() if name in self._cases else Found(state=AWAY) for name in self.names}

    # --- ask and read ---------------------------------------------------------------------------------------------

    def _reach(self) -> bool:
        """Open the line and ask what is on it; False: nobody can."""
        until_s = time.monotonic() + OPEN_S
        while True:
            try:
                port = self.connect(self._address)
            except LabloopError as error:
                self._why_away = str(error)
            else:
                earlier = {name: case.told() for name, case in self._cases.items()}
                self._cases = {
                    name: _Case(station=self._rescue.station(name, port), earlier=earlier.get(name, ""))
                    for name in self.names
                }
                self._look(port, list(self._cases.values()))
                if time.monotonic() > until_s or not self._turned_away():
                    self._port = port
                    return True
                port.close()
            if time.monotonic() > until_s:
                return False
            time.sleep(AGAIN_S)

    def _turned_away(self) -> bool:
        """Whether the line itself was gone before anybody answered: a server that still has its former client."""
        return self._lost and all(case.identity is None and case.state == AWAY for case in self._cases.values())

    def _look(self, port: Port, cases: list[_Case]) -> None:
        self._lost = False
        began_s = time.monotonic()
        for ask in (self._identify, self._count, self._read):
            asked = [case for case in cases if case.state != OTHER]
            self._everywhere(asked, ask, began_s + READ_S - time.monotonic(), port)
        for case in cases:
            if self._kept.get(case.station.name) == EVERYTHING and case.state != OTHER:
                case.state = KEPT

    def _identify(self, case: _Case) -> None:
        before = self._rescue.known.get(case.station.name)
        try:
            case.identity = case.station.identify(*before or ())
        except InstrumentFault as fault:
            if fault.kind == "identity":
                case.state = OTHER
            raise
        except (LinkTimeout, LinkInterrupted):
            raise
        except LinkError:
            self._lost = True
            raise
        if before is not None and not case.identity.is_still(*before):
            case.notes.append(
                f"{case.station.name}: {case.identity.model} {case.identity.serial} answers where {before[0]} "
                f"{before[1]} was, and was stopped all the same"
            )

    def _count(self, case: _Case) -> None:
        case.before = dict(case.station.driver.counters())

    def _read(self, case: _Case) -> None:
        told = case.station.declaration.signals
        if told and told.keys() <= case.before.keys():  # a pump's volumes: its counters have just said them
            said = {name: case.before[name] for name in told}
            case.readings |= {name: Reading(value=one.value, unit=one.unit) for name, one in said.items()}
            return
        for name, reading in case.station.driver.glance():
            case.readings[name] = reading  # what was said counts, though there be no time for the rest

    def _count_again(self, case: _Case) -> None:
        case.after = dict(case.station.driver.counters())

    def _what_stands(self, case: _Case) -> None:
        try:
            stands = case.station.driver.stands()
        except Exception as error:  # noqa: BLE001 a driver's own mistake must not hide what else was found
            why = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
            case.notes.append(f"{case.station.name}: what stands there is not known: {why}")
            return
        # What goes on may end by itself, and nobody is here to see it.
        case.stands = {name: one for name, one in sound_stands(stands).items() if one.value is not True}

    # --- brake and stop -------------------------------------------------------------------------------------------

    def _halt(self, cases: list[_Case]) -> None:
        assert self._port is not None
        until_s = time.monotonic() + LIST_AFTER_S
        for case in cases:
            brake = getattr(case.station.driver, "brake", None)
            if brake is not None and case.station.name not in self._kept:  # a brake spares nothing
                # What goes wrong here goes wrong in stopping too, and is said there.
                self._port.submit(brake, case.station.name)
        stopped = {
            case.station.name: self._port.submit(
                partial(stop, case.station, self._kept.get(case.station.name, frozenset()), until_s),
                case.station.name,
            )
            for case in cases
        }
        wait_past([self._port], stopped.values(), until_s + SAFE_S)
        for case in cases:
            errors = trouble(f"{case.station.name}.stop", stopped[case.station.name], time.monotonic())
            self.errors += [error for error in errors if error not in self.errors]
            case.state = NOT_STOPPED if errors else STOPPED

    def _everywhere(self, cases: list[_Case], ask: Callable[[_Case], None], within_s: float, port: Port) -> None:
        """Ask each instrument in turn; those that are not through in time are left alone."""
        asked: list[tuple[_Case, Future[Any]]] = [
            (case, port.submit(partial(ask, case), case.station.name)) for case in cases
        ]
        _, late = wait([future for _, future in asked], max(within_s, 0.0))
        if late:
            port.interrupt()
            port.go_on_without(RETURNS_S)  # a driver that does not return: the runner may have hung in the same call
        for case, future in asked:
            error = future.exception()
            if error is not None and not isinstance(error, LinkInterrupted):
                case.notes.append(f"{case.station.name}: {error}")
            elif error is not None:
                case.notes.append(f"{case.station.name}: there was no time to ask it more")


def exclusive(address: str) -> bool:
    """Whether a port of this address can be held by one process alone."""
    return parse_address(address).scheme == "serial"
