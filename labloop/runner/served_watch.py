"""The watch over a served bench: what is bound is read as long as the service lasts, and each watchdog hears from us.

The rules of a run, kept without its loop and without waiting: a reading is asked for when it is due, and taken in when
it is there. Whoever owns the watch makes the bench safe when ``turn`` says that a rule is broken; as long as one is,
nothing may begin.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final

from labloop.bench import BenchError, LinkTimeout, SafetyError
from labloop.bench.lab import ASKED_S, Lab

from .admission import Admission
from .watching import LEAST_S, PULSE_AT

PULSE: Final = "pulse"


class ServedWatch:
    """Watches an open lab. ``tripped``: the rules that are broken now, and why. ``rests``: whether it may be asked."""

    def __init__(self, lab: Lab, admission: Admission, rests: Callable[[str], bool]) -> None:
        self.tripped: dict[str, str] = {}
        self._lab, self._admission, self._clock = lab, admission, admission.clock
        self._rests = rests
        self._interlocks = {rule.name for rule in admission.envelope.rules.interlocks}
        self._watched = [name for name in admission.watch.instruments if name in lab.instruments]
        self._pulse_s = {
            name: PULSE_AT * station.declaration.silence_s * self._clock.speed
            for name, station in lab.instruments.items()
            if station.declaration.silence_s > 0.0
        }
        self._asked: dict[str, tuple[float, Future[Any]]] = {}
        self._pulsed: dict[str, tuple[float, Future[Any]]] = {}
        self._wanted: defaultdict[str, list[Future[None]]] = defaultdict(list)  # by who waits for the next reading
        self._awaited: dict[str, list[Future[None]]] = {}  # and for the one that was asked for last

    def begin(self) -> None:
        """Read whatever is bound, once; from now on it is due. Raises LinkTimeout: a driver does not return."""
        now_s = self._clock.now_s()
        self._admission.watch.begin(now_s)
        self._pulsed = {name: (now_s, _nothing()) for name in self._pulse_s}
        for name in self._watched:
            self._ask(name, now_s)
        for name in self._watched:
            try:
                self._asked[name][1].exception(ASKED_S)  # waits for it; what it said is taken in by the first turn
            except FutureTimeout as error:
                raise LinkTimeout(f"{name}: {self._lab.instruments[name].port.hanging}") from error

    def read_anew(self, names: Iterable[str]) -> list["Future[None]"]:
        """Have these read once more as soon as they rest: each is done when what it said has been taken in, and fails
        with what its instrument met."""
        waits = []
        for name in sorted({*names} & {*self._watched}):
            waits.append(Future[None]())
            self._wanted[name].append(waits[-1])
        return waits

    def asks(self, name: str) -> bool:
        """Whether it waits for an answer of this instrument."""
        return any(name in calls and not calls[name][1].done() for calls in (self._asked, self._pulsed))

    def turn(self) -> str:
        """Ask for what is due, take in what is there; why the bench must be made safe ("": it need not)."""
        now_s = self._clock.now_s()
        for name, every_s in self._pulse_s.items():
            last_s, call = self._pulsed[name]
            if call.done() and now_s >= last_s + every_s and self._rests(name):
                station = self._lab.instruments[name]
                self._pulsed[name] = (now_s, station.port.submit(station.driver.pulse))
        broken: dict[str, str] = {}
        for name in self._watched:
            if why := self._look_after(name, now_s):
                broken[f"limits.{name}"] = why
        changes = self._admission.watch.look(now_s)
        broken |= {trip.rule: trip.reason for trip in changes.tripped}
        held = {
            rule: why for rule, why in self.tripped.items() if rule in self._interlocks and rule not in changes.cleared
        }
        fresh = [why for rule, why in broken.items() if rule not in self.tripped]
        self.tripped = held | broken
        return "; ".join(fresh)

    def _look_after(self, name: str, now_s: float) -> str:
        """Take in a reading, or ask for the next; why it breaks a limit ("": it does not)."""
        why = self.tripped.get(f"limits.{name}", "")
        asked = self._asked.get(name)
        if asked is not None and asked[1].done():
            self._asked[name] = (asked[0], _nothing())
            for one in self._awaited.pop(name, ()):
                one.set_exception(asked[1].exception()) if asked[1].exception() else one.set_result(None)
            if asked[1].exception() is None and (readings := asked[1].result()) is not None:
                try:
                    self._admission.see(name, readings)
                except SafetyError as error:
                    return str(error)
                why = ""
            elif not isinstance(asked[1].exception(), BenchError | None):
                asked[1].result()  # a defect of the driver's
        asked_s = self._asked[name][0]
        again_s = max(self._admission.watch.ask_again_s(name), LEAST_S * self._clock.speed)
        due_s = now_s if self._wanted[name] else max(self._admission.watch.due_s(name), asked_s + again_s)
        if self._asked[name][1].done() and now_s >= due_s and self._rests(name):
            self._ask(name, now_s)
        return why

    def _ask(self, name: str, now_s: float) -> None:
        station = self._lab.instruments[name]
        self._asked[name] = (now_s, station.port.submit(station.driver.read))
        self._awaited[name] = self._wanted.pop(name, [])


def _nothing() -> "Future[Any]":
    done: Future[Any] = Future()
    done.set_result(None)
    return done
