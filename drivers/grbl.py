"""A stage of up to three axes on a GRBL 1.1 controller (drivers/spin_coater.py drives its spindle).

Source: gnea/grbl, doc/markdown/interface.md, commands.md, jogging.md ("documents"), doc/csv, and where they are silent
the source of release 1.1h. What matters of them:

* 115200 8N1. Each line is answered ok or error:N; reports, messages and alarms come between. One line at a time: an
  error in a stream would not stop the lines behind it.
* ? reports state and position at once, but not while it homes, nor after a limit switch has locked it (ALARM:1, 2).
* Motion is jogged ($J=): a target outside the travel is refused (error:15) instead of an alarm, 85 brings it to rest
  with its position kept, and no mode of the controller is changed. A reset in motion loses the position (ALARM:3).
* Everything is in machine coordinates (G53): homing gives them, work offsets do not shift them. As delivered they
  reach from -$130 to 0.
* Opening the port pulls DTR, which resets an Arduino, and a reset loses a running motion. A controller that must
  outlive this program needs that line cut (a capacitor at RESET, or a setting of the USB adapter).
* $H is answered when it has homed. What it was turned into by a bad line is answered at once, and a stage that was Idle
  before is Idle after it as well: so it counts as homed by its ok, or by a report of the state Home, alone.
* GRBL counts steps and never sees the stage: a stage that lost steps is where its report does not say. There is no
  checksum: a line that was damaged into another sound one is done. Home often, and look at what the samples say.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
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
    SafetyError,
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

from .grbl_codec import CANCEL, Report
from .grbl_controller import MOVING, Controller, marks
from .grbl_options import ANY, AXES, fastest_of, homing_of, name_of, refuse_nameless, travel_of

# A belt with 80 steps/mm, the coarsest that is common; configure() reads the stage's own.
STEP_MM = 0.0125
# Documents, interface.md: ask at most five times a second.
LOOK_S = 0.25
# Ramps, and the way of a line to its planner.
OVERHEAD_S = 2.0
# The longest homing of a stage of half a metre at GRBL's slowest search, twice over.
HOME_S = 180.0
# A report that stays out once is a slow line, one that stays out three times in a row a locked controller.
SILENT = 3
# Settings that say where a move goes: directions, soft limits, homing, steps and travel of the axes.
WHERE_TO = (3, 20, 22, 23, 27, 100, 101, 102, 130, 131, 132)


def _axis(name: str) -> Setting:
    return Setting(
        name=name, argument=f"{name}_mm", unit="mm", low=-1000.0, high=1000.0, required=False, resolution=STEP_MM,
        doc="machine coordinate; left out, it stays",
    )  # fmt: skip


FEED = Setting(
    name="feed", argument="feed_mm_min", unit="mm/min", low=1.0, high=3000.0, default=1000.0, required=False,
    doc="along the way; the axes' own limits hold it down",
)  # fmt: skip


class Stage(Driver):
    """A stage.

    Options: ``travel: {x: [-200 mm, 0 mm]}``, ``name: STAGE`` (what ``$I=STAGE`` made it call itself: another GRBL is
    refused), ``fastest: 3000 mm/min``, ``homing: false``.
    """

    kind = "GRBL stage"
    signals = (
        *(Signal(name=axis, unit="mm", doc="machine coordinate") for axis in AXES),
        Signal(name="state", doc="as GRBL calls it: Idle, Jog, Alarm"),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._travel = travel_of(options)
        self._homing = homing_of(options)
        self._grbl = Controller(exchange, name_of(options), "home it first" if self._homing else "unlock it ($X)")
        self._step_mm = STEP_MM
        self._target: dict[str, float] = {}
        self._sent = self._homes = self._marked = False
        self._silent = 0
        self._ended: tuple[float, ...] = ()  # where it stood when it was looked at last at its end

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions for these axes. Raises SpecError for a travel or a name that makes no sense, and without one."""
        refuse_unknown(options, ("travel", "fastest", "homing", "name"), cls.__name__)
        travel, fastest = travel_of(options), fastest_of(options)
        feed = replace(FEED, high=fastest, default=min(1000.0, fastest))
        limited = {axis: replace(_axis(axis), low=low, high=high) for axis, (low, high) in travel.items()}
        declared = dict(super().declare(options))
        declared["move"] = replace(declared["move"], settings=(*limited.values(), feed))
        if not homing_of(options):
            del declared["home"]
        refuse_nameless(options, "STAGE")
        return declared

    @classmethod
    def complaint(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> str:
        """A move needs at least one axis."""
        if action == "move" and not any(f"{axis}_mm" in values for axis in AXES):
            return "give at least one of x, y, z"
        return ""

    @classmethod
    def anyone(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Any GRBL."""
        return {**options, "name": ANY}

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """Micrometres, and a whole feed."""
        if action != "move":
            return {}
        where = {axis: (round(float(values[f"{axis}_mm"]), 3),) for axis in AXES if f"{axis}_mm" in values}
        return {**where, "feed": (float(round(float(values["feed_mm_min"]))),)}

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """A move takes as long as its longest axis at worst, from the other end of the travel."""
        if action != "move":
            return Expected(duration_s=HOME_S / 2.0)
        travel = travel_of(options)
        ways = [max(travel[axis][1] - travel[axis][0], 0.0) for axis in travel if f"{axis}_mm" in values]
        moved = {axis: Amount(float(values[f"{axis}_mm"]), "mm") for axis in travel if f"{axis}_mm" in values}
        longest_mm = sum(way**2 for way in ways) ** 0.5
        return Expected(duration_s=longest_mm / float(values["feed_mm_min"]) * 60.0 + OVERHEAD_S, achieved=moved)

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """A move ends by itself."""
        return "the controller itself: a move ends at its target"

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask who it is. Raises InstrumentFault when something else answers."""
        return self._grbl.identify()

    def configure(self) -> None:
        """Hold its settings against the lab file; nothing is changed. Raises InstrumentFault where they differ."""
        report = self._grbl.sure()
        if report.state in MOVING:
            raise InstrumentFault("it moves; stop it before it is set up", kind="busy")
        settings = self._grbl.settings()
        self._grbl.refuse_wrong(
            settings,
            {13: (0.0, "millimetres"), 32: (0.0, "no laser"), 22: (float(self._homing), "homing as in the lab file")},
        )
        if not report.machine:
            raise InstrumentFault("$10 makes it report work positions: send it $10=1", kind="setup")
        for n, axis in enumerate(AXES):
            low, high = self._travel.get(axis, (0.0, 0.0))
            travels = settings.get(130 + n, 0.0)
            if high - low > travels:
                raise InstrumentFault(
                    f"its {axis} axis travels {written(travels, 'mm')} (${130 + n}), the lab file says "
                    f"{written(high - low, 'mm')}",
                    kind="setup",
                )
        steps = [settings.get(100 + AXES.index(axis), 0.0) for axis in self._travel]
        self._step_mm = max(1.0 / one for one in steps if one > 0.0) if any(steps) else STEP_MM

    def read(self) -> Mapping[str, Reading]:
        """Where it believes to stand, and its state."""
        report = self._grbl.sure()
        return {**_positions(report), "state": Reading(value=report.state)}

    def counters(self) -> Mapping[str, Amount]:
        """Where it believes to stand."""
        return _amounts(self._grbl.sure())

    def stands(self) -> Mapping[str, Stand]:
        """Where it stands, which another program or a pendant changes, and the settings that say where a move goes.

        Nothing while it moves. A reset, which may come of opening the port alone, takes the position: a stage that
        homes is locked then and says so, of one that does not home this is told.
        """
        report = self._grbl.sure()
        if report.state in MOVING:
            return {}
        stands, was_reset = self._grbl.standing(WHERE_TO), self._grbl.mark() == 0
        if report.state != "Idle" or (was_reset and self._homing):
            return stands
        said = "it was reset since (power, button, or DTR): what it says is not where it is" if was_reset else ""
        within_mm = self._step_mm / 2.0
        where = zip(AXES, report.where, strict=False)
        return stands | {axis: Stand(value=mm, unit="mm", within=within_mm, said=said) for axis, mm in where}

    @action(
        *(_axis(name) for name in AXES), FEED,
        act=True, repeatable=True, evidence="its position, and the mark of the act ($G)", remainder=True,
    )  # fmt: skip
    def move(
        self, x_mm: float | None = None, y_mm: float | None = None, z_mm: float | None = None,
        feed_mm_min: float = 1000.0,
    ) -> None:  # fmt: skip
        """Move to a position in machine coordinates, all axes at once in a straight line."""
        given = {axis: value for axis, value in zip(AXES, (x_mm, y_mm, z_mm), strict=True) if value is not None}
        self._target, self._sent, self._homes, self._silent, self._ended = given, False, False, 0, ()
        if not given:
            raise SafetyError("a move needs at least one axis; nothing was sent")
        self._grbl.demand_idle()
        self._refuse_lost("not_homed")
        self._grbl.order(f"F{marks(self.act)[0]}")
        self._sent = self._marked = True
        words = "".join(f"{axis.upper()}{value:.3f}" for axis, value in given.items())
        self._grbl.order(f"$J=G21G90G53{words}F{feed_mm_min:.0f}")

    @action(act=True, repeatable=True, evidence="its answer to $H; after a crash, whether it is locked")
    def home(self) -> None:
        """Look for the switches: this gives the position its meaning. Up to some minutes."""
        self._target, self._homes, self._sent, self._silent, self._ended = {}, True, False, 0, ()
        report = self._grbl.sure()
        if report.state not in ("Idle", "Alarm"):
            raise self._grbl.stopped_by(report.state)
        self._sent = True
        self._grbl.home()

    def progress(self, elapsed_s: float) -> Progress:
        """One look. Raises InstrumentFault: limit, reset, paused, door, stopped, home_failed."""
        try:
            report = self._grbl.report()
        except LinkTimeout:
            return self._unanswered(elapsed_s)
        self._silent = 0
        if report.state in ("Jog", "Home"):
            return Progress(done=False, achieved=_amounts(report), readings=_positions(report), again_in_s=LOOK_S)
        if report.state != "Idle":
            raise self._grbl.stopped_by(report.state)
        if self._homes and not self._grbl.homed:
            raise InstrumentFault("it stands still, and never said that it homed: home it again", kind="home_failed")
        if self._homes or self._at_target(report):
            self._refuse_lost("reset")
            if not self._is_sure(report):
                return Progress(done=False, again_in_s=LOOK_S)
            return Progress(done=True, achieved=_amounts(report), readings=_positions(report))
        report = self._grbl.sure()
        if report.state != "Idle" or self._at_target(report):
            return Progress(done=False, again_in_s=LOOK_S)
        if self._grbl.mark() == 0:
            raise self._lost("reset")
        raise InstrumentFault(f"it stands at {_place(report)}, short of its target", kind="stopped")

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Ask where it stands and which act it was told last."""
        if act == self.act and not self._sent:
            return Verdict(state="not_begun", why="it was never told to move")
        if action == "home":
            return self._homed(act == self.act)
        values = self.resolved(action, settings)
        self._target = {axis: float(values[f"{axis}_mm"]) for axis in AXES if f"{axis}_mm" in values}
        report = self._grbl.sure()
        where = _amounts(report)
        if report.state in MOVING:
            return Verdict(state="running", why=f"it is in the state {report.state}", achieved=where)
        if report.state == "Alarm":
            return Verdict(state="cannot_tell", why="it is locked by an alarm, and where it stands is not sure")
        mark = self._grbl.mark()
        if mark == 0:
            return Verdict(state="cannot_tell", why="it was reset since, and where it stands is not sure")
        if mark != marks(act)[0]:
            return Verdict(state="not_begun", why="the last act it was told is another one")
        if self._at_target(report):
            return Verdict(state="done", why="it stands where it was sent", achieved=where)
        if before and all(abs(float(before[one].value) - float(where[one].value)) <= self._step_mm for one in where):
            return Verdict(state="not_begun", why="it stands where it stood before")
        why = f"it stands at {_place(report)}, on its way"
        return Verdict(state="partial", why=why, achieved=where, remainder=dict(settings))

    def stop(self) -> None:
        """Bring it to rest, its position kept where that is possible; harmless twice."""
        self._grbl.now(CANCEL)
        try:
            report = self._grbl.report(stopping=True)
        except LinkTimeout:
            self._reset()  # it homes, or is locked: only that is heard
            return
        if report.state == "Jog":
            self._grbl.now(CANCEL)  # it slows down now, unless the first byte was lost
        elif report.state in MOVING:
            self._reset()
            if (state := self._grbl.report().state) in ("Run", "Home"):
                raise InstrumentFault(f"it is in the state {state} after it was told to stop", kind="runaway")

    # --- what it means ------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        """A reset of ours: in motion it locks the stage, at rest the position stays."""
        self._grbl.reset()  # nobody heard it: then a mark that is gone later was not taken by it
        self._marked = False

    def _refuse_lost(self, kind: str) -> None:
        """A stage that does not home goes on after a reset as if it stood at 0: the mark of the last act is gone."""
        if self._marked and not self._homing and self._grbl.mark() == 0:
            raise self._lost(kind)

    def _lost(self, kind: str) -> InstrumentFault:
        then = "Home it" if self._homing else "Bring it to its 0, switch it off and on, and begin anew"
        return InstrumentFault(f"it was reset (power, button, or DTR): where it stands is lost. {then}", kind)

    def _is_sure(self, report: Report) -> bool:
        """Whether it was reported twice alike at its end: where axes stand that were not sent there is told as well."""
        before, self._ended = self._ended, report.where
        if before == report.where:
            return True
        with suppress(LinkTimeout):
            again = self._grbl.report()
            return again.state == "Idle" and again.where == report.where
        return False

    def _unanswered(self, elapsed_s: float) -> Progress:
        """No report: it homes, or a limit switch has locked it, or the line is bad."""
        if self._homes:
            if elapsed_s > HOME_S:
                self._grbl.reset()
                raise InstrumentFault(f"it had not homed after {written(HOME_S, 's')}", kind="home_failed")
            return Progress(done=False, again_in_s=LOOK_S)
        self._silent += 1
        if self._silent < SILENT:
            return Progress(done=False, again_in_s=LOOK_S)
        self._grbl.reset()  # raises LinkTimeout when nobody is there
        raise InstrumentFault(
            "it did not report any more, as after a limit switch closed; it was reset, and where it stands is lost. "
            "Look at the stage and home it",
            kind="limit",
        )

    def _homed(self, ours: bool) -> Verdict:
        """``ours``: it was begun in this process."""
        try:
            report = self._grbl.sure()
        except LinkTimeout:
            return Verdict(state="running", why="it does not report, as while it homes")
        if report.state == "Alarm":
            return Verdict(state="not_begun", why="it is locked: it was not homed, or not to the end")
        if report.state in MOVING:
            return Verdict(state="running", why=f"it is in the state {report.state}")
        if ours and self._grbl.homed:
            return Verdict(state="done", why="it said that it homed", achieved=_amounts(report))
        if ours and self._grbl.stood_still:
            return Verdict(state="not_begun", why="it was told to home and stood still")
        return Verdict(state="cannot_tell", why="it is not locked, and keeps no record of its homing")

    def _at_target(self, report: Report) -> bool:
        where = dict(zip(AXES, report.where, strict=False))
        return all(abs(where[axis] - value) <= self._step_mm for axis, value in self._target.items())


def _positions(report: Report) -> dict[str, Reading]:
    return {axis: Reading(value=value, unit="mm") for axis, value in zip(AXES, report.where, strict=False)}


def _amounts(report: Report) -> dict[str, Amount]:
    return {axis: Amount(value, "mm") for axis, value in zip(AXES, report.where, strict=False)}


def _place(report: Report) -> str:
    return ", ".join(f"{axis} = {written(value, 'mm')}" for axis, value in zip(AXES, report.where, strict=False))
