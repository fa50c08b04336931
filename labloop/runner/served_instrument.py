"""One instrument of a served bench, as an actor of LECO: what it answers, and the act that it is at (see served)."""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from labloop.bench import BenchError, Progress, Setting, Station
from labloop.bench.leco_node import INTERNAL_ERROR, INVALID_PARAMS, SERVER_ERROR, Asker, Method, Refused, WithFrames
from labloop.campaign import events as e
from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.units import parse_quantity

from .admission import Admission, hand_step
from .book import BenchBook
from .by_hand import HandBench, permitted, wish
from .hand_act import HandAct
from .left_by_hand import SERVED, finish
from .recovery import NOT_DONE
from .served_watch import ServedWatch

ID: Final = re.compile(r"[0-9a-f]{32}")
# Reports that are kept at hand: those of 1000 acts take no room worth speaking of; arrays of 20 (a spectrum has 5 kB)
# neither. What an older act came to is read from the book.
ACTS_KEPT, ARRAYS_KEPT = 1000, 20
# Verdicts after which nobody can tell what an act came to.
UNTOLD: Final = ("cannot_tell", "running")
# What every actor is asked besides its instrument's own actions.
OWN: Final = ("last_act", "stop")
TOLD: Final = ("kind", "identity", "signals", "actions", "state", "act")


class _Coming:
    """An act that is wished for, and waits until what decides about it was read once more.

    ``answer``: its report. ``after``: what is told then of what became of it, to whoever asked meanwhile.
    """

    def __init__(self, begun: e.ByHand, read: list["Future[None]"]) -> None:
        self.begun, self.read = begun, read
        self.answer: Future[dict[str, Any]] = Future()
        self.after: list[Future[dict[str, Any] | None]] = []


class ServedInstrument:
    """One instrument as an actor. ``turn`` goes on with what it does."""

    def __init__(
        self, bench: HandBench, book: BenchBook, admission: Admission, watch: ServedWatch, station: Station, *,
        did: Callable[[str], str], safe: Callable[[str, str], list[str]], read_only: bool,
    ) -> None:  # fmt: skip
        """``did``: what act an id was, and whose, on all of the bench ("": none).

        ``safe``: make the bench safe (why, and whose act knows already); what went wrong.
        """
        self.station = station
        self._bench, self._book, self._read_only = bench, book, read_only
        self._admission, self._watch = admission, watch
        self._safe = safe
        self._reading: list[tuple[Future[Any], list[str], Future[Any]]] = []
        self._next: Future[Any] | None = None  # the last reading that was asked for
        self._acts: dict[str, dict[str, Any]] = {}
        self._did: dict[str, str] = {}  # id -> action, of every act that was ever begun: some 200 bytes each
        self._is = did
        self._arrays: dict[str, Mapping[str, bytes]] = {}
        self._coming: _Coming | None = None
        self._running: HandAct | None = None
        self._seen: dict[str, e.Reading] = {}
        self._stopping: list[Future[dict[str, Any]]] = []
        self._stops: list[Future[Any]] = []  # beside any act

    @property
    def methods(self) -> dict[str, Method]:
        """What it answers to."""
        return {
            "get_parameters": self._get_parameters,
            "set_parameters": self._set_parameters,
            "call_action": self._call_action,
        }

    @property
    def due_s(self) -> float:
        """When its act is worth a look, by the bench's clock."""
        return self._running.due_s if self._running is not None else float("inf")

    def turn(self) -> None:
        """Go on with its act, and write down its end; hand on what was read."""
        for stop in [one for one in self._stops if one.done()]:
            self._stops.remove(stop)
            if not stop.cancelled() and stop.exception() is None:
                self._admission.stopped(self.station.name)
        reading, self._reading = self._reading, []
        for read, names, answer in reading:
            if not read.done():  # asked once: it may end at any moment
                self._reading.append((read, names, answer))
                continue
            try:
                answer.set_result(self._values(names, read.result()))
            except LabloopError as error:
                answer.set_exception(error)
        self._go_on_with_coming()
        if self._watch.asks(self.station.name):
            return  # what it says once, to the watch, is written down before its act asks anything
        if self._running is not None and (ended := self._running.turn()) is not None:
            self._end(ended)

    def rests(self) -> bool:
        """Whether the watch may ask it: no exchange of its act is under way, and what was told once is written down."""
        return self._running is None or self._running.rests()

    def end(self, why: str) -> None:
        """Write down that what runs was broken off, and let nothing begin; the bench is in its safe state."""
        self._refuse_coming(Refused(SERVER_ERROR, f"Unsafe: {why}"))
        if self._running is not None:
            self._end(self._running.broken_off(why))

    def did(self, act: str) -> str:
        """What act of this instrument's an id was ("": none)."""
        return f"a {self._did[act]} of {self.station.name}" if act in self._did else ""

    # --- acts of earlier services -------------------------------------------------------------------------------

    def remember(self, fact: e.ByHand) -> None:
        """Take in an act from the book, in the order of the book."""
        self._keep(_id_of(fact.act), self._report(fact, _state_of(fact), 0.0))

    # --- what it is asked ---------------------------------------------------------------------------------------

    def _get_parameters(self, asker: Asker, params: Mapping[str, Any]) -> Any:
        names = params.get("parameters")
        if isinstance(names, str):
            names = [names]
        if set(params) != {"parameters"} or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise Refused(INVALID_PARAMS, "TypeError: parameters must be a list of names")
        if unknown := [name for name in names if name not in TOLD and name not in self.station.signals]:
            raise Refused(INTERNAL_ERROR, f"AttributeError: {unknown[0]}")
        if self._running is not None or not any(name in self.station.signals for name in names):
            return self._values(names)
        answer: Future[Any] = Future()
        # One that waits its turn is everybody's: else a stop would wait for as many as one asker likes.
        if self._next is None or self._next.running() or self._next.done():
            self._next = self.station.port.submit(self.station.driver.read)
        self._reading.append((self._next, names, answer))
        return answer

    def _values(self, names: list[str], read: Mapping[str, e.Reading] | None = None) -> dict[str, Any]:
        self._seen |= read or {}
        told: dict[str, Any] = {
            "kind": self.station.declaration.kind,
            "identity": _identity(self.station),
            "signals": {name: signal.unit for name, signal in self.station.signals.items()},
            "actions": {name: _action(self.station, name) for name in self.station.actions},
            "state": self._running.begun.action if self._running is not None else "idle",
            "act": _id_of(self._running.begun.act) if self._running is not None else None,
        }
        values = told | {name: reading.value for name, reading in self._seen.items()}
        return {name: values.get(name) for name in names}

    def _set_parameters(self, asker: Asker, params: Mapping[str, Any]) -> None:
        raise Refused(INVALID_PARAMS, f"nothing is set by itself; its actions are {', '.join(self.station.actions)}")

    def _call_action(self, asker: Asker, params: Mapping[str, Any]) -> Any:
        action, kwargs = params.get("action"), params.get("kwargs") or {}
        if set(params) - {"action", "args", "kwargs"} or params.get("args") or not isinstance(kwargs, dict):
            raise Refused(INVALID_PARAMS, "TypeError: call_action takes action and kwargs; settings go by their names")
        given = dict(kwargs)
        act = given.pop("act", None)
        if act is not None and not (isinstance(act, str) and ID.fullmatch(act)):
            raise Refused(INVALID_PARAMS, f"ValueError: act = {act!r} is not 32 lower-case hex digits")
        if isinstance(action, str) and (action in OWN or action.startswith("array.")):
            if given:
                raise Refused(INVALID_PARAMS, f"TypeError: {action} takes act alone")
            if action == "stop":
                return self._stop(asker)
            if action == "last_act" and self._coming is not None and act == _id_of(self._coming.begun.act):
                self._coming.after.append(Future())  # now it has not begun, and right after it may have
                return self._coming.after[-1]
            return self._last(act) if action == "last_act" else self._array(action.removeprefix("array."), act)
        if not isinstance(action, str) or action not in self.station.actions:
            raise Refused(INTERNAL_ERROR, f"AttributeError: {action}")
        return self._begin(asker, action, given, act or secrets.token_hex(16))

    # --- what it does -------------------------------------------------------------------------------------------

    def _begin(self, asker: Asker, action: str, given: Mapping[str, Any], act: str) -> Any:
        if self._did.get(act) == action:
            return self._now(act)
        if is_one := self._is(act):
            raise Refused(INVALID_PARAMS, f"ValueError: act {act} is {is_one}")
        if self._read_only:
            raise Refused(SERVER_ERROR, "ReadOnly: this service tells and does nothing")
        if self._watch.tripped:
            raise Refused(SERVER_ERROR, f"Unsafe: {'; '.join(self._watch.tripped.values())}")
        if self._running is not None:
            doing = self._running.begun
            raise Refused(SERVER_ERROR, f"Busy: act {_id_of(doing.act)} ({doing.action}) is running")
        if self._coming is not None:
            doing = self._coming.begun
            if (_id_of(doing.act), doing.action) == (act, action):  # asked again: the answer was lost, or is late
                return self._coming.answer
            raise Refused(SERVER_ERROR, f"Busy: act {_id_of(doing.act)} ({doing.action}) is about to begin")
        try:
            settings = {name: _amount(name, value) for name, value in given.items()}
            begun = wish(self._bench, self.station.name, action, settings, f"LECO {asker}", SERVED + act)
        except SpecError as error:
            raise Refused(INVALID_PARAMS, f"ValueError: {error}") from error
        if not (read := self._watch.read_anew(self._admission.asks([begun]))):
            return self._let(begun)
        self._coming = _Coming(begun, read)
        return self._coming.answer

    def _go_on_with_coming(self) -> None:
        """Begin what was wished, once everything that decides about it was read since."""
        if (coming := self._coming) is None or not all(one.done() for one in coming.read):
            return
        self._coming = None
        try:
            for one in coming.read:
                one.result()
            coming.answer.set_result(self._let(coming.begun))
        except (BenchError, Refused) as error:
            coming.answer.set_exception(error)
        self._tell_after(coming)

    def _refuse_coming(self, why: Refused) -> None:
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.answer.set_exception(why)
            self._tell_after(coming)

    def _tell_after(self, coming: _Coming) -> None:
        for one in coming.after:
            one.set_result(self._last(_id_of(coming.begun.act)))

    def _let(self, begun: e.ByHand) -> dict[str, Any]:
        """Begin an act by what is known now, if the gate lets it."""
        act, action = _id_of(begun.act), begun.action
        if is_one := self._is(act):  # an id that two acts had would be one act to totals
            raise Refused(INVALID_PARAMS, f"ValueError: act {act} is {is_one}")
        if self._watch.tripped:
            raise Refused(SERVER_ERROR, f"Unsafe: {'; '.join(self._watch.tripped.values())}")
        try:
            permit = permitted(begun, self._admission)
        except SpecError as error:
            raise Refused(INVALID_PARAMS, f"ValueError: {error}") from error
        self._admission.totals.begin(begun.act, begun.instrument, action, begun.settings)
        self._admission.tell(hand_step(begun, self._bench.clock.now_s()))
        self._running = HandAct(
            self.station, self._admission, begun, permit, write=self._book.record, make_safe=self._make_safe
        )  # fmt: skip
        self._keep(act, self._report(begun, "running", self._running.duration_s))
        return self._now(act)

    def _end(self, ended: e.ByHand) -> None:
        running, self._running = self._running, None
        assert running is not None
        finish(self._bench.lab.declared, self._book, ended)
        now_s = self._bench.clock.now_s()
        self._admission.tell(
            e.StepFinished(step=ended.act, achieved=ended.achieved, t_s=now_s) if ended.done
            else e.StepFailed(
                step=ended.act, fault="stopped" if running.written else NOT_DONE, reason=ended.failed, t_s=now_s
            )
        )  # fmt: skip
        self._seen |= {name: one for name, one in running.look.readings.items() if name in self.station.signals}
        act = _id_of(ended.act)
        report = self._report(ended, _state_of(ended), running.duration_s, running.look)
        report["elapsed_s"] = round(running.elapsed_s, 3)
        self._keep(act, report)
        while self._stopping:
            self._stopping.pop().set_result(self._now(act))
        if running.look.arrays:
            self._arrays[act] = running.look.arrays
            while len(self._arrays) > ARRAYS_KEPT:
                self._arrays.pop(next(iter(self._arrays)))

    def _make_safe(self, why: str) -> list[str]:
        return self._safe(why, self.station.name)

    def _stop(self, asker: Asker) -> Any:
        self._refuse_coming(Refused(SERVER_ERROR, f"Stopped: by LECO {asker}, before it began"))
        running = self._running
        if running is None:
            self._stops.append(self.station.port.submit(self.station.driver.stop))
            return self._stops[-1]
        running.stop(f"stopped by LECO {asker}")
        stopped: Future[dict[str, Any]] = Future()
        self._stopping.append(stopped)
        return stopped

    def _last(self, act: str | None) -> dict[str, Any] | None:
        if act is None:
            act = next(reversed(self._acts), None)
        return self._now(act) if act in self._did else None

    def _array(self, name: str, act: str | None) -> WithFrames:
        arrays = self._arrays.get(act or next(reversed(self._arrays), ""))
        if arrays is None or name not in arrays:
            raise Refused(SERVER_ERROR, f"NoArray: {name} of act {act}: no such thing is kept")
        data = arrays[name]
        return WithFrames({"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}, (data,))

    def _now(self, act: str) -> dict[str, Any]:
        if act not in self._acts:
            return self._of_book(act)
        report = dict(self._acts[act])
        if report["state"] == "running" and self._running is not None:
            report["elapsed_s"] = round(self._running.elapsed_s, 3)
            report["result"] = _result(self._running.look)
        return report

    def _of_book(self, act: str) -> dict[str, Any]:
        *_, fact = (one for one in by_leco(self._book) if (_id_of(one.act), one.instrument) == (act, self.station.name))
        return self._report(fact, _state_of(fact), 0.0)

    def _keep(self, act: str, report: dict[str, Any]) -> None:
        self._acts[act], self._did[act] = report, report["action"]
        while len(self._acts) > ACTS_KEPT:
            self._acts.pop(next(iter(self._acts)))

    def _report(
        self, fact: e.ByHand, state: str, duration_s: float, look: Progress | None = None
    ) -> dict[str, Any]:  # fmt: skip
        look = look or Progress(done=True, achieved=fact.achieved)
        return {
            "act": _id_of(fact.act), "action": fact.action, "state": state, "elapsed_s": 0.0,
            "duration_s": round(duration_s, 3), "result": _result(look) if state != "running" else None,
            "why": fact.failed,
        }  # fmt: skip


def by_leco(book: BenchBook) -> Iterator[e.ByHand]:
    """What the book says of acts that came in this way, in its order."""
    for record in book.journal.records():
        if isinstance(record.event, e.ByHand) and record.event.act.startswith(SERVED):
            yield record.event


def _amount(name: str, value: Any) -> e.Amount:
    """A setting as it came over the wire. Raises SpecError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise SpecError(f"{name} = {value!r} is neither a number, a quantity nor a word")
    if isinstance(value, str):
        with suppress(LabloopError):
            quantity = parse_quantity(value)
            return e.Amount(quantity.value, quantity.unit)
        return e.Amount(value)
    try:
        return e.Amount(float(value))
    except OverflowError:
        raise SpecError(f"{name} is a whole number of {len(str(value))} digits, which no instrument takes") from None


def _id_of(act: str) -> str:
    return act.removeprefix(SERVED)


def _state_of(fact: e.ByHand) -> str:
    if fact.failed.partition(":")[0] in UNTOLD:  # see left_by_hand
        return "unknown"
    return "done" if fact.done else "stopped" if fact.failed else "running"


def _result(look: Progress) -> dict[str, Any]:
    read = {name: one for name, one in look.readings.items() if name not in look.arrays}
    values: dict[str, Any] = {name: one.value for name, one in read.items()}
    values |= {name: one.value for name, one in look.achieved.items()}
    units = {name: one.unit for name, one in read.items()} | {name: one.unit for name, one in look.achieved.items()}
    return values | {"units": units, "arrays": sorted(look.arrays)}


def _identity(station: Station) -> dict[str, str]:
    found = station.identity
    return {} if found is None else {"model": found.model, "firmware": found.firmware, "serial": found.serial}


def _action(station: Station, name: str) -> dict[str, Any]:
    action = station.actions[name]
    return {
        "doc": action.doc, "act": action.act, "repeatable": action.repeatable, "evidence": action.evidence,
        "settings": {one.name: _setting(one) for one in action.settings},
        "gives": {one.name: one.unit for one in action.gives},
    }  # fmt: skip


def _setting(setting: Setting) -> dict[str, Any]:
    if setting.choices:
        return {"choices": list(setting.choices), "default": setting.default, "required": setting.required}
    return {
        "unit": setting.unit, "low": setting.low, "high": setting.high, "default": setting.default,
        "required": setting.required, "doc": setting.doc,
    }  # fmt: skip
