"""A spin coater on the spindle's output of a GRBL 1.1 controller.

Source: as for drivers/grbl.py, which has what GRBL says and hears. What matters here:

* M3 S3000 turns, M5 stops, G4 P30 waits in the controller for 30 s; lines behind a G4 wait in a buffer of 128
  characters. So the whole spin is sent at once (turn, wait, stop), and the controller ends it whatever becomes of us.
  An error in one of its lines would not stop the others: when the first is refused, it is reset.
* There is no checksum: a line that was damaged into another sound one (G4P3.00) is done. So a spin must be seen to
  turn, at the speed of each step, and not to end before its time; as near as that can be told from outside (near_s).
* G4 counts in 50 ms up to 16 bits. It leaves the state Idle: that it spins shows in the speed only.
* A reset (18) stops the spindle at once; a feed hold does not, it only stops the clock of G4.
* The speed in a report is what the spindle was told; nothing measures it. S0, $31 and $30 hold it down.
"""

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
    LinkTimeout,
    Progress,
    Reading,
    Sent,
    Setting,
    Signal,
    Stand,
    Value,
    Verdict,
    action,
    refuse_unknown,
    written,
)

from .grbl_controller import MOVING, Controller, marks
from .grbl_options import ANY, name_of, refuse_nameless, speeds_of

# G4 counts 65535 times 50 ms.
LONGEST_S = 3000.0
# Documents, interface.md: ask at most five times a second.
LOOK_S = 0.25
# After its time the spindle gets this long before it is called a runaway.
LATE_S = 2.0
# It has no axes, so that it cannot be homed.
UNLOCK = "unlock it ($X); with $22=0 it is not locked at power-up"
# How much sooner than its time a spin may seem to end, for ours runs from the answer to its first line: a second there
# is a loaded machine's worst. Where looks come late (a bad line; a simulation much faster than its machine), so did
# that answer, and nothing can be told so nearly. A lost digit takes off a half at least.
EARLY_S, EARLY_PART, LATES = 2.0, 0.25, 3.0
# A spin that was seen to last longer or shorter than asked for by more than this is told with the time that was seen.
AS_ASKED_S = 0.5
# A mark that is no act's: after a reset none stands, and that tells nothing.
NO_ACT = 80_003
# Settings that say how fast it turns: the fastest and the slowest speed, and no laser.
HOW_FAST = (30, 31, 32)

SPEED = Setting(
    name="speed", argument="speed_rpm", unit="rpm", low=200.0, high=6000.0, resolution=1.0, doc="as commanded"
)
TIME = Setting(name="time", argument="time_s", unit="s", low=0.1, high=LONGEST_S, resolution=0.05, doc="at that speed")
SPREAD_SPEED = Setting(
    name="spread_speed", argument="spread_rpm", unit="rpm", low=200.0, high=6000.0, required=False, resolution=1.0,
    doc="before that, to spread the drop; left out, there is no such step",
)  # fmt: skip
SPREAD_TIME = Setting(
    name="spread_time", argument="spread_s", unit="s", low=0.1, high=LONGEST_S, default=5.0, required=False,
    doc="how long it spreads",
)  # fmt: skip


@dataclass(slots=True)
class Spin:
    """A spin that was begun in this process: ``steps`` as (rpm, seconds).

    ``taken``: its first line was answered, so that its time is known; ``stopped``: and it was stopped here. ``seen``:
    at what speeds it was seen; ``seen_s``: when last. ``due_s``: when it is to be looked at again; ``late_s``: the
    latest that this was ever done.
    """

    steps: tuple[tuple[float, float], ...]
    start: int
    end: int
    sent: bool = False
    taken: bool = False
    stopped: bool = False
    seen: set[float] = field(default_factory=set)
    seen_s: float = 0.0
    due_s: float = 0.0
    late_s: float = 0.0

    @property
    def lasts_s(self) -> float:
        return sum(seconds for _, seconds in self.steps)

    @property
    def near_s(self) -> float:
        """As near as its time is known from outside."""
        return max(EARLY_S, EARLY_PART * self.lasts_s) + LATES * self.late_s

    def looked_at(self, elapsed_s: float) -> None:
        self.late_s = max(self.late_s, elapsed_s - self.due_s)

    def missed(self) -> list[float]:
        """The speeds that nobody saw of steps that are too long for that."""
        return [rpm for rpm, seconds in self.steps if seconds > self.near_s and float(round(rpm)) not in self.seen]

    def may_be_over(self, elapsed_s: float) -> bool:
        return not self.taken or elapsed_s >= self.lasts_s - self.near_s

    def may_turn_at(self, rpm: float, elapsed_s: float) -> bool:
        """Whether that is the speed of a step, and not of one that ended long ago."""
        until_s = 0.0
        for n, (speed_rpm, seconds) in enumerate(self.steps, start=1):
            until_s += seconds
            ended = self.taken and n < len(self.steps) and elapsed_s > until_s + self.near_s
            if rpm == float(round(speed_rpm)) and not ended:
                return True
        return False

    def lasted_s(self, elapsed_s: float) -> float:
        """How long it turned, when it is over now: what the controller counted, unless something else was seen."""
        if self.taken and elapsed_s < self.lasts_s - AS_ASKED_S - LATES * self.late_s:
            return elapsed_s
        return self.lasts_s if self.seen_s <= self.lasts_s + AS_ASKED_S else self.seen_s


class SpinCoater(Driver):
    """A spin coater on the spindle's output.

    Options: ``name: COATER`` (what ``$I=COATER`` made it call itself: another GRBL is refused),
    ``speed: [200 rpm, 6000 rpm]``.

    The controller gets the whole spin at once (speed, time, stop) and counts the time itself, so it stops by itself
    when this computer dies.
    """

    kind = "GRBL spin coater"
    signals = (
        Signal(name="speed", unit="rpm", doc="as commanded; nothing measures it"),
        Signal(name="state", doc="as GRBL calls it: Idle, Hold, Alarm"),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._limits = speeds_of(options)
        self._grbl = Controller(exchange, name_of(options), UNLOCK)
        self._spin: Spin | None = None
        self._found: dict[str, Amount] = {}  # by counters(), last
        self._stopped: dict[str, Amount] = {}  # what was found before stop() reset it

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions within the spindle's speeds. Raises SpecError for speeds or a name that make no sense."""
        refuse_unknown(options, ("speed", "name"), cls.__name__)
        low, high = speeds_of(options)
        refuse_nameless(options, "COATER")
        limited = (replace(SPEED, low=low, high=high), TIME, replace(SPREAD_SPEED, low=low, high=high), SPREAD_TIME)
        declared = dict(super().declare(options))
        declared["spin"] = replace(declared["spin"], settings=limited)
        return declared

    @classmethod
    def anyone(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Any GRBL."""
        return {**options, "name": ANY}

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """Whole speeds, also of the step that spreads."""
        steps = [float(round(float(values[name]))) for name in ("spread_rpm", "speed_rpm") if name in values]
        said = {"speed": tuple(steps), "time": (round(float(values["time_s"]), 2),)}
        if "spread_rpm" not in values:
            return said
        return said | {"spread_speed": (steps[0],), "spread_time": (round(float(values["spread_s"]), 2),)}

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """The times of its steps."""
        spread_s = float(values["spread_s"]) if "spread_rpm" in values else 0.0
        time_s = float(values["time_s"])
        achieved = {"time": Amount(time_s, "s"), "speed": Amount(float(values["speed_rpm"]), "rpm")}
        return Expected(duration_s=time_s + spread_s, least_s=time_s + spread_s, achieved=achieved)

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """The controller counts the time."""
        return "the controller itself: it counts the time and stops the spindle"

    def open(self) -> Identity:
        """Ask who it is. Raises InstrumentFault when something else answers."""
        return self._grbl.identify()

    def configure(self) -> None:
        """Hold its settings against the lab file; nothing is changed. Raises InstrumentFault where they differ."""
        report = self._grbl.sure()
        if report.state in MOVING or report.speed:
            raise InstrumentFault("it is at something; stop it before it is set up", kind="busy")
        settings = self._grbl.settings()
        self._grbl.refuse_wrong(settings, {32: (0.0, "no laser")})
        slowest, fastest = settings.get(31, 0.0), settings.get(30, 0.0)
        if slowest > self._limits[0] or fastest < self._limits[1]:
            raise InstrumentFault(
                f"its spindle goes from {written(slowest, 'rpm')} ($31) to {written(fastest, 'rpm')} ($30), the lab "
                f"file says from {written(self._limits[0], 'rpm')} to {written(self._limits[1], 'rpm')}",
                kind="setup",
            )

    def read(self) -> Mapping[str, Reading]:
        """The speed it was told, and its state."""
        report = self._grbl.sure()
        return {"speed": Reading(value=report.speed, unit="rpm"), "state": Reading(value=report.state)}

    def counters(self) -> Mapping[str, Amount]:
        """The mark that stands, or that it turns; and which of them was found before stop() wiped the mark out."""
        turns = self._grbl.sure().speed > 0.0  # lines wait until that is over
        now = {"turns": Amount(1.0)} if turns else {"mark": Amount(float(self._grbl.mark()))}
        self._found = now if turns or now["mark"].value else self._found
        return now | {f"stopped_{name}": found for name, found in self._stopped.items()}

    def needs_clear(self, counters: Mapping[str, Amount]) -> bool:
        """Whether it was reset, so that a reset in the next act would not show."""
        return "mark" in counters and counters["mark"].value == 0.0

    def clear_counters(self) -> None:
        """Set a mark that is no act's; it takes none while it is locked."""
        if self._grbl.sure().state == "Idle":
            self._grbl.order(f"F{NO_ACT}")

    def stands(self) -> Mapping[str, Stand]:
        """Whether it turns, which another program may have told it, and the settings that say how fast."""
        report = self._grbl.sure()
        if report.speed or report.state in MOVING:  # lines wait until that is over
            return {"spindle": Stand(value=report.speed > 0.0)}
        return {"spindle": Stand(value=False)} | self._grbl.standing(HOW_FAST)

    @action(
        SPEED, TIME, SPREAD_SPEED, SPREAD_TIME,
        act=True, evidence="the marks of the act's beginning and end ($G), unless it was reset since",
    )  # fmt: skip
    def spin(self, speed_rpm: float, time_s: float, spread_rpm: float = 0.0, spread_s: float = 5.0) -> None:
        """Spin at a speed in rpm for a time, after a slower step if one is wanted; then stop."""
        steps = [(spread_rpm, spread_s)] if spread_rpm else []
        steps.append((speed_rpm, time_s))
        begun = Spin(tuple(steps), *marks(self.act))
        self._spin, self._found, self._stopped = begun, {}, {}
        self._grbl.demand_idle()
        self._grbl.order(f"F{begun.start}")
        turns = [f"{'M3' if n == 0 else ''}S{rpm:.0f}\nG4P{seconds:.2f}" for n, (rpm, seconds) in enumerate(steps)]
        begun.sent = True
        self._grbl.order_whole([*turns, "M5", "M5", f"F{begun.end}"])
        begun.taken = True

    def progress(self, elapsed_s: float) -> Progress:
        """One look. Raises InstrumentFault: stopped, paused, reset, setup, runaway."""
        spin, report = self._spin, self._grbl.report()
        if spin is None:
            return Progress(done=True)
        if report.state != "Idle":
            raise self._grbl.stopped_by(report.state)
        left_s = spin.lasts_s - elapsed_s
        spin.looked_at(elapsed_s)
        over = spin.may_be_over(elapsed_s)
        if not (spin.may_turn_at(report.speed, elapsed_s) if report.speed else over):
            report = self._grbl.sure()
            if report.speed and not spin.may_turn_at(report.speed, elapsed_s):
                raise InstrumentFault(f"it turns at {written(report.speed, 'rpm')}, not as it was told", kind="setup")
        readings = {"speed": Reading(value=report.speed, unit="rpm")}
        if report.speed:
            spin.seen_s = elapsed_s
            spin.seen.add(report.speed)
            if left_s < -LATE_S:
                raise InstrumentFault(f"it turns on, {written(-left_s, 's')} after its time", kind="runaway")
            achieved, again_in_s = {"speed": Amount(report.speed, "rpm")}, min(max(left_s, LOOK_S), 2.0)
            spin.due_s = elapsed_s + again_in_s
            return Progress(done=False, achieved=achieved, readings=readings, again_in_s=again_in_s)
        mark = self._mark(early=not over)
        if mark == 0:
            raise InstrumentFault("it was reset (power, button, or DTR) while it spun", kind="reset")
        if mark != spin.end or not over:
            raise InstrumentFault(
                f"it stopped before its time: it stands after {written(max(elapsed_s, 0.0), 's')} of "
                f"{written(spin.lasts_s, 's')}",
                kind="stopped",
            )
        if missed := spin.missed():
            raise InstrumentFault(f"it was never seen to turn at {written(missed[0], 'rpm')}", kind="stopped")
        achieved = {"time": Amount(round(spin.lasted_s(elapsed_s), 2), "s"), "speed": Amount(spin.steps[-1][0], "rpm")}
        return Progress(done=True, achieved=achieved, readings=readings)

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Ask whether it turns, and which mark stands."""
        ours = self._spin if act == self.act else None
        if ours is not None and not ours.sent:
            return Verdict(state="not_begun", why="it was never told to spin")
        start, end = marks(act)
        if speed := self._grbl.sure().speed:
            if ours is not None:
                ours.seen.add(speed)
            return Verdict(state="running", why="it turns")
        mark = self._grbl.mark()
        if mark == 0 and ours is not None and ours.taken and ours.stopped:
            why = "it was stopped before it was seen to end; how long it spun is not known"
            return Verdict(state="partial", why=why)
        if mark == 0:
            return Verdict(state="cannot_tell", why="no mark stands in it: it was reset since, or never heard of it")
        if mark == end and ours is not None and not (ours.seen or ours.taken):
            why = "the mark of its end stands, but its beginning was not answered and nobody saw it turn"
            return Verdict(state="cannot_tell", why=why)
        if mark == end:
            return Verdict(state="done", why="the mark of its end stands")
        if mark == start:
            return Verdict(state="partial", why="it began and was cut short; how long it spun is not known")
        return Verdict(state="not_begun", why="the last act it was told is another one")

    def witnessed(
        self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], after: Mapping[str, Amount],
        first_reply: str,
    ) -> Verdict:  # fmt: skip
        """What the guard found before its reset: that it turned, or which mark stood (that of an end is odd)."""
        if "stopped_turns" in after:
            return Verdict(state="partial", why="it turned when it was stopped; how long it had spun is not known")
        if "mark" not in before or "stopped_mark" not in after:
            return super().witnessed(action, settings, before, after, first_reply)
        was, mark = (int(one.value) for one in (before["mark"], after["stopped_mark"]))
        if mark == was:
            return Verdict(state="not_begun", why="the mark of the act before stood when it was stopped")
        if mark % 2:
            return Verdict(state="done", why="the mark of its end stood when it was stopped")
        return Verdict(state="partial", why="it began and was cut short; how long it spun is not known")

    def stop(self) -> None:
        """Stop the spindle at once and forget what it was told; harmless twice. Raises InstrumentFault: runaway."""
        if self._spin is not None:
            self._spin.stopped = True
        self._stopped = self._found
        self._grbl.reset_surely()
        if (speed := self._grbl.sure().speed) > 0.0:
            raise InstrumentFault(f"it is at {written(speed, 'rpm')} after it was told to stop", kind="runaway")

    def _mark(self, early: bool) -> int:
        """The mark that stands. ``early``: it should be turning now; a G4 that counts on holds the answer back."""
        try:
            return self._grbl.mark()
        except LinkTimeout as error:
            if not early:
                raise
            raise InstrumentFault("it stands, while it counts the time of its spin", kind="stopped") from error
