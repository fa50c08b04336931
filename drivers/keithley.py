"""Keithley 2400 SourceMeter (and 2401, 2410, 2420, 2425), over RS-232.

Source: 2400 Series SourceMeter user's manual, 2400S-900-01 Rev. K (pages below). What matters of it:

* 9600 8N1 at the factory; its answers may end with CR, LF or both, as its menu says (14-14). No flow control, and what
  comes before it is ready is lost (14-15): so every order is followed by ``*OPC?``, and the next waits for that answer.
* With the output off ``READ?`` is not answered at all (+803 in the error queue): the output is asked about first.
* A source at its compliance gives less than it was told: bit 3 of a reading's status (18-50). Such a reading is a bound
  and no value. 9.91e37 is no value either (18-50; 7-2).
* ``MEASure?`` and ``CONFigure`` put the compliance back to 105 uA or 21 V (17-2): never used here.
* ``FETCh?`` gives the last reading again without measuring (17-3). A line has no checksum, so every reading is fetched
  once more, and believed when both are alike.
* The text on its lower display (18-46) stands until the power goes. The driver writes each act's name there before the
  output goes on: the evidence of what was begun. Nothing in the instrument says how long an output was on.
* It has no watchdog on RS-232: what is on stays on when the host falls silent.
* ^C breaks off what it is at (14-14), so that the stop which follows is not kept waiting.

A sweep is stepped from here, point by point: while the instrument sweeps by itself it hears nothing but an abort.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from labloop.bench import (
    Action,
    Amount,
    Driver,
    Exchange,
    Expected,
    Identity,
    InstrumentFault,
    Progress,
    ProtocolError,
    Reading,
    Sent,
    Signal,
    Stand,
    Value,
    Verdict,
    action,
    twice_alike,
    written,
)  # fmt: skip

from . import keithley_options as o
from .keithley_codec import (
    BREAK,
    Command,
    KeithleyCodec,
    Measured,
    curves_of,
    measured,
    number,
    readings_of,
    resistance_of,
)
from .keithley_keys import NAMED, SAME, standing

# 74 characters (a reading with five elements) take 77 ms at 9600 baud; it answers within 50 ms when it is idle.
ANSWER_S = 1.0
STOP_TRIES = 2
# What a point costs beside settling and integrating: four lines each way at 9600 baud.
POINT_S = 0.3
LOOK_S = 0.5
READY = f"{NAMED}ready"
FINE = '0,"No error"'


@dataclass(slots=True)
class Source:
    """An output that was told to go on in this process. ``time_s`` None: it stays on."""

    function: str
    level: float
    limit: float
    time_s: float | None
    if_limited: str
    charge_c: float = 0.0
    seen_s: float = 0.0
    seen_a: float | None = None


@dataclass(slots=True)
class Sweep:
    """A sweep that was begun in this process: what is still to be set, and what was measured."""

    ahead: list[float]
    settle_s: float
    points: list[Measured] = field(default_factory=list)


class K2400(Driver):
    """A Keithley 2400. Options: ``model`` (2400), ``terminals`` (front, rear), ``wires`` (2, 4), ``nplc`` (1)."""

    kind = "Keithley 2400 SourceMeter"
    signals = (Signal(name="output", doc="on or off"), o.OUTPUT_V, o.OUTPUT_A, o.LIMITED)

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._given = o.read_options(options)
        self._codec = KeithleyCodec()
        self._begun: Source | Sweep | None = None
        self._ended: Progress | None = None
        self._ran = False

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions, with the limits of the model. Raises SpecError for options that make no sense."""
        given = o.read_options(options)
        return {
            name: replace(one, settings=tuple(given.bounded(setting) for setting in one.settings))
            for name, one in super().declare(options).items()
        }

    @classmethod
    def complaint(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> str:
        """A voltage with a current that the model does not give at it, and a sweep that is none."""
        if action == "sweep_voltage":
            if values["start_v"] == values["stop_v"]:
                return "a sweep begins and ends at two different voltages"
            if (count := _points(values)) > o.MOST_POINTS:
                return f"{count} points are more than the {o.MOST_POINTS} of a sweep; take larger steps"
        return o.read_options(options).complaint(values)

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """The voltages of a sweep, which it is told like any other; and what its limits let come to the terminals."""
        return o.sent(values)

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """The time asked for, or what the points of a sweep take."""
        point_s = POINT_S + o.read_options(options).cycle_s
        if action == "sweep_voltage":
            return Expected(duration_s=_points(values) * (point_s + float(values["settle_s"])))
        return Expected(duration_s=float(values.get("time_s", 0.0)) + point_s)

    @classmethod
    def numbered(cls, options: Mapping[str, Any]) -> bool:
        """It tells one (``*IDN?``)."""
        return True

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask who it is. Raises InstrumentFault when another model answers."""
        said = self._ask("*IDN?")
        _, model, serial, firmware = ([part.strip() for part in said.split(",", 3)] + [""] * 4)[:4]
        model = model.removeprefix("MODEL ")
        if model != self._given.model:
            raise InstrumentFault(
                f"{said!r} answers where a {self._given.model} was expected. If it is the right one, write model: "
                f"{model} into the lab file",
                kind="identity",
            )
        return Identity(model=model, firmware=firmware, serial=serial, first_reply=repr(said))

    def configure(self) -> None:
        """Send what the readings need; terminals and wires only where they differ: new terminals switch the output off.

        Auto ohms would let the instrument choose what it sources, so the resistance is not among what it measures.
        """
        for order in (
            "*CLS", ":SENS:RES:MODE MAN", ":SENS:FUNC:CONC ON", ":SENS:FUNC 'VOLT','CURR'", ":SENS:FUNC:OFF 'RES'",
            ":SENS:AVER OFF", ":FORM:ELEM VOLT,CURR,RES,TIME,STAT", ":SOUR:CLE:AUTO OFF", ":TRIG:COUN 1", ":ARM:COUN 1",
            ":TRIG:SOUR IMM", ":ARM:SOUR IMM", ":TRIG:DEL 0", f":SENS:CURR:NPLC {self._given.nplc:g}",
        ):  # fmt: skip
            self._tell(order)
        if self._sure(":ROUT:TERM?") != self._given.terminals:
            self._tell(f":ROUT:TERM {self._given.terminals}")
        if self._sure(":SYST:RSEN?") != str(int(self._given.wires == 4)):
            self._tell(f":SYST:RSEN {int(self._given.wires == 4)}")
        said = self._sure(":SENS:FUNC?")
        if "VOLT" not in said or "CURR" not in said or "RES" in said:
            raise ProtocolError(f"it measures {said} after voltage and current were asked for")
        if not self._named().startswith(NAMED):
            self._name(READY)
        if (error := self._ask(":SYST:ERR?")) != FINE:
            raise ProtocolError(f"it does not take its settings: {error}")

    def read(self) -> Mapping[str, Reading]:
        """Whether the output is on, and what stands at it: 0 while it is off, for it gives nothing then."""
        if self._sure(":OUTP?") == "0":
            return {"output": Reading(value="off"), **o.NOTHING}
        return {"output": Reading(value="on")} | readings_of(self._measure())

    def stands(self) -> Mapping[str, Stand]:
        """What its keys change (see keithley_keys)."""
        return standing(self._sure)

    @action(
        o.VOLTAGE, o.CURRENT_LIMIT, o.TIME, o.IF_LIMITED, gives=(o.OUTPUT_A, o.OUTPUT_V, o.LIMITED),
        act=True, holds=True, evidence=o.EVIDENCE,
    )  # fmt: skip
    def source_voltage(
        self, voltage_v: float, limit_a: float, time_s: float | None = None, if_limited: str = "fault"
    ) -> None:
        """Put a voltage in V across the terminals (the model sets the limits), for a time or until it is told off."""
        self._switch_on(Source("VOLT", voltage_v, limit_a, time_s, if_limited))

    @action(
        o.CURRENT, o.VOLTAGE_LIMIT, o.TIME, o.IF_LIMITED, gives=(o.OUTPUT_V, o.OUTPUT_A, o.LIMITED),
        act=True, holds=True, evidence=o.EVIDENCE,
    )  # fmt: skip
    def source_current(
        self, current_a: float, limit_v: float, time_s: float | None = None, if_limited: str = "fault"
    ) -> None:
        """Send a current in A through the terminals (the model sets the limits), for a time or until it is told off."""
        self._switch_on(Source("CURR", current_a, limit_v, time_s, if_limited))

    @action(
        o.START, o.END, o.STEP, o.CURRENT_LIMIT, o.SETTLE, o.WAY,
        gives=(o.CURVE, o.BOUNDS), act=True, repeatable=True, evidence=o.EVIDENCE,
    )  # fmt: skip
    def sweep_voltage(
        self, start_v: float, stop_v: float, step_v: float, limit_a: float, settle_s: float = 0.0, way: str = "there"
    ) -> None:
        """Measure a curve of current over voltage in V, step by step (the model sets the limits), then off."""
        self._switch_on(Source("VOLT", start_v, limit_a, None, "go_on"), settle_s)
        self._begun = Sweep(o.levels(start_v, stop_v, step_v, way), settle_s)

    @action(
        o.CURRENT, o.VOLTAGE_LIMIT, gives=(o.RESISTANCE, o.OUTPUT_V, o.OUTPUT_A),
        act=True, repeatable=True, evidence=o.EVIDENCE,
    )  # fmt: skip
    def measure_resistance(self, current_a: float, limit_v: float) -> None:
        """Send a current in A (the model sets the limits), measure voltage over current once, then off."""
        self._switch_on(Source("CURR", current_a, limit_v, 0.0, "fault"))

    def begin(self, action: str, settings: Mapping[str, Value], act: str) -> None:
        """Begin an action; what another one came to is forgotten."""
        self._begun, self._ended, self._ran = None, None, False
        super().begin(action, settings, act)

    @classmethod
    def nudge(cls, options: Mapping[str, Any]) -> tuple[str, Mapping[str, Amount]]:
        """It beeps."""
        return "beep", {}

    def at_work(self) -> str:
        """Whether its output is on."""
        return "its output is on" if self._sure(":OUTP?") == "1" else ""

    @action(repeatable=True)
    def beep(self) -> None:
        """Beep for half a second."""
        self._tell(":SYST:BEEP 880,0.5")

    @action(repeatable=True, stops=True)
    def off(self) -> None:
        """Switch the output off."""
        self.stop()

    def progress(self, elapsed_s: float) -> Progress:
        """Measure once. Raises InstrumentFault when the output went off by itself or stands at its limit."""
        if self._ended is not None:
            self._switch_off()  # the line failed when it was told before
            return self._ended
        begun = self._begun
        if begun is None:
            return Progress(done=True)
        if self._sure(":OUTP?") == "0":
            raise InstrumentFault("its output was switched off by somebody else, or by a lost interlock", kind="off")
        return self._next_point(begun) if isinstance(begun, Sweep) else self._look(begun, elapsed_s)

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Read the act's name and the state of the output; how long it was on, the instrument does not know."""
        on = self._sure(":OUTP?") == "1"
        if action == "off":
            return Verdict(state="not_begun" if on else "done", why=f"its output is {'on' if on else 'off'}")
        if act == self.act and not self._ran:
            return Verdict(state="not_begun", why="its output was never told to go on")
        said = self._named()
        if said != _name(act):
            if said.startswith(NAMED):
                return Verdict(state="not_begun", why=f"its display names something else: {said!r}")
            return Verdict(state="cannot_tell", why="its display names no act: it was switched off, or used by hand")
        if not on:
            return Verdict(state="partial", why="its output is off, and it keeps no record of how long it was on")
        values = self.resolved(action, settings)
        if action.startswith("source_"):
            return Verdict(
                state="running" if "time_s" in values else "done",
                why="its output is on, and its display names this act",
            )
        if act == self.act and self._begun is not None and self._ended is None:
            return Verdict(state="running", why="it is at it")
        return Verdict(state="partial", why="its output is on, and nobody goes on with the act")

    def stop(self) -> None:
        """Switch the output off; harmless twice. Raises InstrumentFault when it stays on."""
        self._begun = None
        self._switch_off()

    # --- acts ---------------------------------------------------------------------------------------------------

    def _switch_off(self) -> None:
        for _ in range(STOP_TRIES):
            for order in (BREAK, ":OUTP OFF"):
                self.exchange(self._codec, Command(order), ANSWER_S)
            if self._sure(":OUTP?") == "0":
                return
        raise InstrumentFault("its output is on after it was told to go off", kind="runaway")

    def _end(self, ended: Progress) -> Progress:
        """Switch off, and keep what came of the act: the line may fail while it is told."""
        self._ended = ended
        self._switch_off()
        return ended

    def _switch_on(self, source: Source, settle_s: float = 0.0) -> None:
        """Set limit and level, read them back, and only then switch the output on."""
        if not self._named().startswith(NAMED):
            self.configure()  # it lost its settings when the power went
        if self._sure(":OUTP?") == "1" and self._sure(":SOUR:FUNC?") != source.function:
            self.stop()
        sense = "CURR" if source.function == "VOLT" else "VOLT"
        self._name(_name(self.act))
        for order in (
            f":SOUR:FUNC {source.function}",
            f":SOUR:{source.function}:MODE FIX",
            f":SOUR:{source.function}:RANG:AUTO ON",
            f":SENS:{sense}:RANG:AUTO ON",
            f":SENS:{sense}:PROT {number(source.limit)}",
            f":SOUR:DEL {settle_s:.4f}" if settle_s else ":SOUR:DEL:AUTO ON",
            f":SOUR:{source.function} {number(source.level)}",
        ):
            self._tell(order)
        if (said := self._sure(":SOUR:FUNC?")) != source.function:
            raise ProtocolError(f"it sources {said} after {source.function} was sent; nothing was switched on")
        self._same(f":SENS:{sense}:PROT?", source.limit)
        self._same(f":SOUR:{source.function}?", source.level)
        self._begun, self._ran = source, True
        self._tell(":OUTP ON")
        if self._sure(":OUTP?") == "0":
            raise InstrumentFault(f"its output does not go on: {self._ask(':SYST:ERR?')}", kind="refused")

    def _look(self, source: Source, elapsed_s: float) -> Progress:
        now = self._measure()
        if now.limited and source.if_limited == "fault":
            raise InstrumentFault(
                f"it stands at its limit of {written(source.limit, 'A' if source.function == 'VOLT' else 'V')} at "
                f"{now}: what it was told to give, it does not",
                kind="compliance",
            )
        if source.seen_a is not None and now.current_a is not None:
            source.charge_c += 0.5 * (source.seen_a + now.current_a) * (elapsed_s - source.seen_s)
        source.seen_s, source.seen_a = elapsed_s, now.current_a
        readings = readings_of(now, source.function)
        achieved = {"time": Amount(elapsed_s, "s"), "charge": Amount(source.charge_c, "A*s")}
        left_s = None if source.time_s is None else source.time_s - elapsed_s
        if left_s is not None and left_s > 0.0:
            return Progress(done=False, achieved=achieved, readings=readings, again_in_s=min(left_s, LOOK_S))
        if left_s is None:
            return Progress(done=True, readings=readings)
        if source.time_s == 0.0:
            return self._end(Progress(done=True, readings=readings | {"resistance": resistance_of(now)}))
        return self._end(Progress(done=True, achieved=achieved, readings=readings))

    def _next_point(self, sweep: Sweep) -> Progress:
        self._tell(f":SOUR:VOLT {number(sweep.ahead[0])}")
        now = self._measure(sweep.settle_s)
        if now.current_a is None or now.voltage_v is None:
            raise InstrumentFault(f"it has no value at {written(sweep.ahead[0], 'V')}", kind="overflow")
        sweep.points.append(now)
        del sweep.ahead[0]
        if sweep.ahead:
            return Progress(done=False, again_in_s=0.0)
        limited = sum(one.limited for one in sweep.points)
        if len(sweep.points) - limited < 2:
            raise InstrumentFault(f"{limited} of {len(sweep.points)} points stand at the limit", kind="compliance")
        readings, arrays = curves_of(sweep.points)
        return self._end(Progress(done=True, readings=readings, arrays=arrays))

    # --- how it is said -----------------------------------------------------------------------------------------

    def _measure(self, settle_s: float = 0.0) -> Measured:
        """One reading, said twice alike."""
        first = [self._ask(":READ?", ANSWER_S + settle_s + 2.0 * self._given.cycle_s)]
        return measured(twice_alike(lambda: first.pop() if first else self._ask(":FETC?"), "the reading"))

    def _sure(self, text: str) -> str:
        return twice_alike(lambda: self._ask(text), text)

    def _same(self, question: str, wanted: float) -> None:
        said = float(self._sure(question))
        if not math.isclose(said, wanted, rel_tol=SAME, abs_tol=1e-12):
            raise ProtocolError(f"{question} reads back as {said:g} where {wanted:g} was sent; nothing was switched on")

    def _named(self) -> str:
        return self._sure(":DISP:WIND2:TEXT:DATA?")

    def _name(self, text: str) -> None:
        self._tell(f':DISP:WIND2:TEXT:DATA "{text}"')
        self._tell(":DISP:WIND2:TEXT:STAT ON")
        if (said := self._named()) != text:
            raise ProtocolError(f"its display says {said!r} where {text!r} was sent; nothing was switched on")

    def _tell(self, text: str) -> None:
        self.exchange(self._codec, Command(text), ANSWER_S)
        self._ask("*OPC?")

    def _ask(self, text: str, deadline_s: float = ANSWER_S) -> str:
        said: str = self.exchange(self._codec, Command(text), deadline_s)
        return said


def _points(values: Mapping[str, Value]) -> int:
    return o.points(float(values["start_v"]), float(values["stop_v"]), float(values["step_v"]), str(values["way"]))


def _name(act: str) -> str:
    """An act's name as it fits on the display."""
    return NAMED + hashlib.sha256(act.encode()).hexdigest()[:16]
