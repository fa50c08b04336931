"""PalmSens EmStat Pico potentiostat (module and development board), over its serial port.

Sources: EmStat Pico communication protocol v1.6, MethodSCRIPT manual v1.8, and the maker's examples. What matters:

* 230400 8N1, every line ends with LF. It is given a whole script (``e``, lines, an empty line), answers ``e``, and from
  then on says of its own accord what it measures, up to an empty line. So it is listened to.
* A script ends by itself; what stands after ``on_finished:`` (the cell goes off) is done then, and after an abort too.
* A package holds hexadecimal numbers and no checksum, and a point cannot be asked for again: every number is sent
  twice, and believed when both are alike. A point that is lost or damaged is left out; of more than one in ten, or of
  an end of the curve, the measurement is given up.
* Bit 1 of a current's status is an overload: such a point is a bound and no value.
* ``Z`` aborts; ``Z!0006`` says that nothing ran. After an error nothing is heard for 50 ms.
* A script is read as a whole before it is run, up to its empty line: one that was cut on the line makes it silent, to
  ``Z`` as well. What is said then becomes lines of it, which no script knows, and an empty line has it refused.
* It keeps no record of what it did, and what it said while nobody listened is lost.
* So nothing tells what somebody changed there (no stands()): it has no keys, nothing asks whether the cell is on, and
  every script brings all its settings along.

From memory, not confirmed in a manual: the window of -1.7 to +2.0 V (the instrument refuses what it cannot), and that
it passes over ``t``, ``i`` and empty lines while a script runs (so it is listened to before it is asked).
"""

from collections.abc import Mapping
from typing import Any

from labloop.bench import (
    Action,
    Amount,
    Driver,
    Exchange,
    Expected,
    Identity,
    InstrumentFault,
    LinkTimeout,
    Progress,
    Reading,
    Sent,
    Setting,
    Signal,
    Value,
    Verdict,
    action,
    refuse_unknown,
)

from .emstat_codec import ABORT, CELL_OFF, GIVE_UP, LISTEN, Answer, Command, EmStatCodec
from .emstat_run import Run
from .emstat_scripts import Technique, chrono, cyclic, open_circuit

# A script of 500 characters takes 22 ms; it answers at once.
ANSWER_S = 1.0
# How long it is listened to before it counts as idle: longer than any step of a script of ours but the slowest.
QUIET_S = 0.5
STOP_TRIES = 3
LOOK_S = 0.1
# A package of a point is about 70 bytes, and the line carries 23000 in a second.
MOST_POINTS_S = 200
# Silence for so much longer than a script lasts means that its end was lost.
OVERDUE_S = 5.0


def _volts(name: str, doc: str) -> Setting:
    return Setting(name=name, argument=f"{name}_v", unit="V", low=-1.7, high=2.0, resolution=0.0002, doc=doc)


RANGE = Setting(
    name="current_range", argument="range_a", unit="A", low=100e-9, high=5e-3, default=100e-6, required=False,
    doc="the largest current it is ready for",
)  # fmt: skip
INTERVAL = Setting(
    name="interval", argument="interval_s", unit="s", low=0.01, high=60.0, default=0.1, required=False,
    doc="between two points",
)  # fmt: skip
VOLTAMMOGRAM = Signal(
    name="voltammogram", unit="A", array=True, axis="V", doc="n potentials (V), then n currents, all scans"
)  # fmt: skip
LAST_SCAN = Signal(name="last_scan", unit="A", array=True, axis="V", doc="the same of the last scan alone")
BOUNDS = Signal(name="bounds", unit="A", array=True, doc="the points in overload: there flows more than they say")
TRACE = Signal(name="trace", unit="A", array=True, axis="s", doc="n times (s), then n currents")
CHARGE = Signal(name="charge", unit="A*s", doc="the integral of the trace")
POTENTIAL = Signal(name="potential", unit="V", doc="mean of the second half")
EVIDENCE = "whether its script runs"


class EmStatPico(Driver):
    """An EmStat Pico. Lab options: none."""

    kind = "EmStat Pico potentiostat"
    signals = (Signal(name="state", doc="idle or measuring"),)

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._codec = EmStatCodec()
        self._run: Run | None = None
        self._identity: Identity | None = None
        self._given = self._stopped = False
        self._lasts_s = 0.0

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions. Raises SpecError for options that are not known."""
        refuse_unknown(options, (), cls.__name__)
        return super().declare(options)

    @classmethod
    def complaint(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> str:
        """A voltammogram that goes nowhere or has too many points, and an interval longer than its time."""
        if action == "cyclic_voltammogram":
            if values["vertex1_v"] == values["vertex2_v"] == values["begin_v"]:
                return "begin, vertex1 and vertex2 are one potential; use chronoamperogram for that"
            if float(values["scans"]) != round(float(values["scans"])):
                return f"scans = {float(values['scans']):g} is no whole number"
            if (count := _technique(action, values).points) > 50_000:
                return f"{count} points; 50000 are the most. Take larger steps or fewer scans"
            if (often := float(values["rate_v_s"]) / float(values["step_v"])) > MOST_POINTS_S:
                return f"{often:g} points a second; {MOST_POINTS_S} are the most. Take larger steps or a slower scan"
            return ""
        if float(values["interval_s"]) > float(values["time_s"]):
            return "interval is longer than time"
        return ""

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """The corners of a voltammogram, which are potentials like any other."""
        if action != "cyclic_voltammogram":
            return {}
        return {"potential": tuple(float(values[name]) for name in ("begin_v", "vertex1_v", "vertex2_v"))}

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """As long as the script takes."""
        lasts_s = _duration_s(action, values)
        return Expected(duration_s=lasts_s, least_s=lasts_s)

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """A script ends by itself."""
        return "the instrument itself: a script ends by itself, and the cell goes off then"

    @classmethod
    def numbered(cls, options: Mapping[str, Any]) -> bool:
        """It tells one (``i``)."""
        return True

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Listen, and ask who it is when it is idle. Raises InstrumentFault when another instrument answers."""
        if said := [line for line in self._listen(QUIET_S) if line]:
            # A script runs, and must not be disturbed: it may be the act that is asked about next.
            return self._identity or Identity(model="EmStat Pico", first_reply=repr(said[0]), busy=True)
        firmware = " ".join(self._insist("t").lines).removeprefix("t")
        if not firmware.startswith("espico"):
            raise InstrumentFault(f"{firmware!r} answers where an EmStat Pico was expected", kind="identity")
        serial = "".join(self._ask("i").lines).removeprefix("i")
        self._identity = Identity(model="EmStat Pico", firmware=firmware, serial=serial, first_reply=repr(firmware))
        return self._identity

    def configure(self) -> None:
        """Abort a script that still runs: nobody knows any more what it said at first."""
        if self._run is None and any(self._listen(QUIET_S)):
            self.stop()

    def read(self) -> Mapping[str, Reading]:
        """Whether a script of ours runs."""
        running = self._run is not None and not self._run.ended
        if not running:
            self._ask("i")
        return {"state": Reading(value="measuring" if running else "idle")}

    @action(
        _volts("begin", "where it begins and ends"),
        _volts("vertex1", "where it turns first"),
        _volts("vertex2", "where it turns then"),
        Setting(name="scan_rate", argument="rate_v_s", unit="V/s", low=0.0001, high=1.0),
        Setting(name="step", argument="step_v", unit="V", low=0.0002, high=0.25, default=0.005, required=False,
                resolution=0.0002),
        Setting(name="scans", argument="scans", unit="count", low=1.0, high=100.0, default=1.0, required=False),
        Setting(name="equilibrate", argument="equilibrate_s", unit="s", low=0.0, high=3600.0, default=0.0,
                required=False, doc="at the beginning, before the first scan"),
        RANGE,
        gives=(VOLTAMMOGRAM, LAST_SCAN, BOUNDS), act=True, repeatable=True, evidence=EVIDENCE,
    )  # fmt: skip
    def cyclic_voltammogram(
        self, begin_v: float, vertex1_v: float, vertex2_v: float, rate_v_s: float, step_v: float = 0.005,
        scans: float = 1.0, equilibrate_s: float = 0.0, range_a: float = 100e-6,
    ) -> None:  # fmt: skip
        """Sweep the potential in V (-1.7 to 2) from begin to vertex1, to vertex2 and back, and measure the current."""
        self._start(
            cyclic(
                begin_v=begin_v, vertex1_v=vertex1_v, vertex2_v=vertex2_v, step_v=step_v, rate_v_s=rate_v_s,
                scans=round(scans), equilibrate_s=equilibrate_s, range_a=range_a,
            )
        )  # fmt: skip

    @action(
        _volts("potential", "what is applied"),
        Setting(name="time", argument="time_s", unit="s", low=0.1, high=604_800.0),
        INTERVAL, RANGE,
        gives=(TRACE, CHARGE, BOUNDS), act=True, holds=True, evidence=EVIDENCE,
    )  # fmt: skip
    def chronoamperogram(
        self, potential_v: float, time_s: float, interval_s: float = 0.1, range_a: float = 100e-6
    ) -> None:
        """Apply a potential in V (-1.7 to 2) for a time, and measure the current; the cell goes off then."""
        self._start(chrono(potential_v=potential_v, time_s=time_s, interval_s=interval_s, range_a=range_a))

    @action(
        Setting(name="time", argument="time_s", unit="s", low=0.1, high=86_400.0), INTERVAL,
        gives=(POTENTIAL,), repeatable=True,
    )  # fmt: skip
    def open_circuit(self, time_s: float, interval_s: float = 0.1) -> None:
        """Measure the potential with the cell off; no current flows."""
        self._start(open_circuit(time_s=time_s, interval_s=interval_s))

    def progress(self, elapsed_s: float) -> Progress:
        """Take what it said since. Raises InstrumentFault when the script failed or too much of it was lost."""
        run = self._run
        if run is None:
            return Progress(done=True)
        self._listen(0.0)
        if run.wrong:
            raise InstrumentFault(f"its script failed: {run.wrong}", kind="script")
        if not run.ended and elapsed_s > 1.2 * self._lasts_s + OVERDUE_S:
            run.ended = run.unheard = self._idle()  # its last line was lost, or it was switched off and on
        if not run.ended:
            return Progress(done=False, again_in_s=LOOK_S)
        return run.progress()

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Listen whether a script runs; of one that is over nothing is known."""
        ours = act == self.act
        if ours and not self._given:
            return Verdict(state="not_begun", why="its script was never sent, or was refused")
        run = self._run if ours else None
        if run is not None and run.ended:
            return Verdict(state="done", why="its script ran to its end")
        if self._stopped and (ours or self._run is None):
            return Verdict(state="partial", why="its script was aborted")
        said = self._listen(QUIET_S)
        if run is not None and run.ended:
            return Verdict(state="done", why="its script ran to its end")
        if any(said):
            return Verdict(state="running", why="it says what it measures")
        if ours:
            self._ask("i")  # unanswered while a script runs; answered, it may have run all the same
        return Verdict(state="cannot_tell", why="no script runs, and it keeps no record of those that did")

    def stop(self) -> None:
        """Abort what runs and switch the cell off; harmless twice. Raises InstrumentFault when it goes on."""
        for _ in range(STOP_TRIES):
            answer = self._insist(ABORT)
            self._stopped = self._stopped or not answer.wrong
            if answer.wrong and not self._ask(CELL_OFF).wrong:
                self._run = None
                return
        raise InstrumentFault("it goes on after it was told to abort", kind="runaway")

    # --- how it is said -----------------------------------------------------------------------------------------

    def begin(self, action: str, settings: Mapping[str, Value], act: str) -> None:
        """Begin an action; what another one came to is forgotten."""
        self._run, self._given, self._stopped = None, False, False
        self._lasts_s = _duration_s(action, settings)
        super().begin(action, settings, act)

    def _start(self, technique: Technique) -> None:
        if any(self._listen(0.0)):  # an empty line is only the end of another one
            raise InstrumentFault("a script runs already", kind="busy")
        self._given, self._run = True, Run(technique)
        if wrong := self._ask(technique.script).wrong:
            self._given, self._run = False, None
            raise InstrumentFault(f"it refuses its script ({wrong})", kind="refused")

    def _idle(self) -> bool:
        """Whether it answers: while a script runs it does not."""
        return bool(self._ask("i").lines)

    def _listen(self, for_s: float) -> tuple[str, ...]:
        """What it said since; a run of ours misses none of it, whoever listens."""
        answer: Answer | None = self.exchange(self._codec, Command(LISTEN), for_s)
        lines = answer.lines if answer is not None else ()
        if self._run is not None:
            for text in lines:
                self._run.take(text)
        return lines

    def _insist(self, text: str) -> Answer:
        """Its answer, also where it is silent because the end of a script was lost, and it waits for that."""
        try:
            return self._ask(text)
        except LinkTimeout:
            self.exchange(self._codec, Command(GIVE_UP), ANSWER_S)
            return self._ask(text)

    def _ask(self, text: str) -> Answer:
        answer: Answer = self.exchange(self._codec, Command(text), ANSWER_S)
        return answer


def _technique(action: str, values: Mapping[str, Value]) -> Technique:
    numbers = {name: float(value) for name, value in values.items()}
    if action == "cyclic_voltammogram":
        return cyclic(**numbers | {"scans": round(numbers["scans"])})  # type: ignore[arg-type]
    return chrono(**numbers) if action == "chronoamperogram" else open_circuit(**numbers)


def _duration_s(action: str, values: Mapping[str, Value]) -> float:
    """As long as a script takes."""
    technique = _technique(action, values)
    if action != "cyclic_voltammogram":
        return technique.points * technique.step
    return technique.points * technique.step / float(values["rate_v_s"]) + float(values["equilibrate_s"])
