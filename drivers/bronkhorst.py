"""Bronkhorst EL-FLOW mass flow controllers, over RS-232 (ProPar).

Sources: manuals 9.17.027 (RS-232; see drivers/bronkhorst_codec.py), 9.17.061 and 9.17.084 (EL-FLOW Base and Prestige),
9.17.158 p. 29 to 47 (parameters, the counter), and the values in the maker's library. What matters of them:

* 38400 8N1. Setpoint and measured value are 0 to 32000, 0 to 100 % of the capacity; measured goes up to 41942 (131 %),
  what lies above is negative.
* The control mode says where the setpoint comes from: 0 and 18 this line, 1 the analog input, 3 valve closed, 8 valve
  open, 12 zero ... After power-up it is the instrument's default again, which may be the analog input.
* It has a counter of volume. In mode 2 this counts up to a limit and, with setpoint mode 1, the instrument then takes
  the new setpoint (here: 0) until the counter is reset. So a dose is ended by the instrument itself, and so is a flow
  with ``watchdog:`` in the lab file. The counter is kept when the mains go.
* The old setpoint may hold again once the counter is reset: 0 is set before.
* A valve takes some tenths of a second to close; what flows meanwhile, a counter that has reached its limit does not
  count.
* What it counts is no sign of somebody's hand (stands()): a valve that closes lets some pass, and the zero of a sensor
  drifts, for days.
* Parameters that change the calibration are locked (init reset), and this driver has no way to set them.

Not used because no manual at hand says enough: the slope of the setpoint, the totalizer, the alarm limits. What becomes
of a setpoint when the mains go is not said either: it is looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from labloop.bench import (
    Action,
    Amount,
    Exchange,
    Expected,
    Hold,
    HoldingDriver,
    Identity,
    InstrumentFault,
    Progress,
    Reading,
    Sent,
    Setting,
    Signal,
    Stand,
    Value,
    Verdict,
    action,
    written,
)

from . import bronkhorst_codec as propar
from .bronkhorst_codec import single
from .bronkhorst_controller import FULL, HARDWARE, LIMIT_REACHED, OURS, Controller, Look
from .bronkhorst_options import MOST, read_options
from .gas_flow import RATE, REACH_BY, SETTLE_S, TIME, TOLERANCE, expected_of, hold_flow, limited, sent_rate

# A dose may take this much longer than it should.
SLOWER = 1.25
WEEK_S = 604_800.0

VOLUME = Setting(
    name="volume", argument="volume_ml", unit="mL", low=0.001, high=MOST, doc="of gas, at the reference's conditions"
)
FLOW = Signal(name="flow", unit="mL/min", doc="as measured")
COUNTED = Signal(name="counted", unit="mL", doc="what its counter has")
EVIDENCE = "setpoint and control mode, read back"


@dataclass(slots=True)
class Dose:
    """A dose that was begun in this process."""

    volume_ml: float
    rate_ml_min: float
    started: bool = False

    @property
    def lasts_s(self) -> float:
        return self.volume_ml / self.rate_ml_min * 60.0


class ELFlow(HoldingDriver):
    """A Bronkhorst EL-FLOW. Options: ``full_scale: 500 mL/min``, ``reference: normal`` (0 degC) or ``standard`` (20
    degC), ``gas: N2`` (must be set there), ``node: 3`` (on a FLOW-BUS), ``watchdog: 2 L`` (no act lets more flow)."""

    kind = "Bronkhorst EL-FLOW mass flow controller"
    signals = (
        FLOW,
        Signal(name="setpoint", unit="mL/min"),
        COUNTED,
        Signal(name="mode", doc="where its setpoint comes from: bus, analog input, closed, open ..."),
        Signal(name="state", doc="ok, or its alarms: error, batch (the counter reached its limit), hardware ..."),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._lab = read_options(options)
        self._it = Controller(exchange, self._lab)
        self._dose: Dose | None = None

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions, with full scale as the limit. Raises SpecError for options that make no sense."""
        full = read_options(options).full_ml_min
        found = limited(super().declare(options), full, steps=FULL)
        # From half a second to two hours at full scale: a valve takes some tenths of a second to close.
        volume = replace(VOLUME, low=full / 120.0, high=min(full * 120.0, MOST))
        rate = replace(found["dose"].settings[1], low=full / 1000.0)
        found["dose"] = replace(found["dose"], settings=(volume, rate))
        return found

    @classmethod
    def complaint(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> str:
        """A dose within a week, and nothing that the watchdog would end before its time."""
        if action not in ("dose", "hold"):
            return ""
        rate_ml_min, most_ml = float(values["rate_ml_min"]), read_options(options).watchdog_ml
        if action == "dose":
            volume_ml = float(values["volume_ml"])
            if volume_ml / rate_ml_min * 60.0 > WEEK_S:
                return f"{written(volume_ml, 'mL')} at {written(rate_ml_min, 'mL/min')} takes longer than a week"
        else:
            volume_ml = rate_ml_min * (float(values["time_s"]) + float(values["reach_by_s"])) / 60.0
        if most_ml and volume_ml > most_ml:
            return f"up to {written(volume_ml, 'mL')} would flow, more than watchdog = {written(most_ml, 'mL')}"
        return ""

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """A rate in 32000ths of full scale."""
        return sent_rate(values, read_options(options).full_ml_min / FULL)

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """The time of a dose; of others a few seconds until the flow is there, then the hold."""
        if action != "dose":
            return expected_of(values)
        dose = Dose(float(values["volume_ml"]), float(values["rate_ml_min"]))
        return Expected(
            duration_s=1.0 + dose.lasts_s, least_s=dose.lasts_s, achieved={"volume": Amount(dose.volume_ml, "mL")}
        )

    @classmethod
    def watchdog(cls, options: Mapping[str, Any]) -> str:
        """Its own counter, where the lab file says how much may flow."""
        most_ml = read_options(options).watchdog_ml
        return f"the controller's own counter: it closes after {written(most_ml, 'mL')}" if most_ml else ""

    @classmethod
    def numbered(cls, options: Mapping[str, Any]) -> bool:
        """It tells one (parameter 113/3)."""
        return True

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask for device, serial number and range. Raises InstrumentFault when it is something else."""
        return self._it.identify()

    def configure(self) -> None:
        """Take the setpoint from this line, and count in mL. Raises InstrumentFault when it is at something else."""
        self._it.take_over()

    def read(self) -> Mapping[str, Reading]:
        """Flow, setpoint, counter, mode and alarms now."""
        look = self._it.look()
        return {
            "flow": Reading(value=look.flow_ml_min, unit="mL/min"),
            "setpoint": Reading(value=self._it.ml_min(look.setpoint), unit="mL/min"),
            "counted": Reading(value=_counted(look), unit="mL"),
            "mode": Reading(value=look.mode_word),
            "state": Reading(value=look.state),
        }

    def counters(self) -> Mapping[str, Amount]:
        """What its counter has."""
        return {"counted": Amount(_counted(self._it.look()), "mL")}

    def stands(self) -> Mapping[str, Stand]:
        """Gas, control mode and setpoint, where the instrument itself does not change them."""
        return self._it.standing()

    def needs_clear(self, counters: Mapping[str, Amount]) -> bool:
        """Whether the counter is at 0: only then it tells what became of a dose."""
        return float(counters["counted"].value) > 0.0

    def clear_counters(self) -> None:
        """Set the counter to 0."""
        self._it.restart()

    @action(RATE, TOLERANCE, REACH_BY, gives=(FLOW,), act=True, repeatable=True, evidence=EVIDENCE)
    def flow(self, rate_ml_min: float, tolerance_ml_min: float, reach_by_s: float) -> None:
        """Let gas flow at a rate in mL/min and go on; done when it does."""
        self._let_flow(rate_ml_min, tolerance_ml_min, 0.0, reach_by_s)

    @action(RATE, TOLERANCE, REACH_BY, TIME, gives=(FLOW,), act=True, holds=True)
    def hold(self, rate_ml_min: float, tolerance_ml_min: float, reach_by_s: float, time_s: float) -> None:
        """Let gas flow at a rate in mL/min for a time; it goes on afterwards. Only time without a break counts."""
        self._let_flow(rate_ml_min, tolerance_ml_min, time_s, reach_by_s)

    @action(
        VOLUME, RATE, gives=(COUNTED, FLOW), act=True, remainder=True, amount="volume",
        evidence="its own counter of volume, unless somebody else used it since",
    )  # fmt: skip
    def dose(self, volume_ml: float, rate_ml_min: float) -> None:
        """Let a volume of gas through at a rate in mL/min; the controller ends it itself."""
        self._dose = Dose(volume_ml, rate_ml_min)
        self._ready()
        self._it.set_to(propar.SETPOINT, 0)
        self._it.count(up_to_ml=volume_ml)
        self._dose.started = True
        self._it.set_to(propar.SETPOINT, self._it.number(rate_ml_min))

    @action(repeatable=True, stops=True)
    def off(self) -> None:
        """Close the valve."""
        self._hold = self._dose = None
        self.stop()

    def progress(self, elapsed_s: float) -> Progress:
        """Look at it. Raises InstrumentFault when the flow is not reached, or it does not what was begun."""
        if self._dose is not None:
            return self._dosed(self._dose, elapsed_s)
        hold = self._hold
        if hold is None:
            return Progress(done=True)
        look = self._it.look()
        if wrong := self._wrong(look, hold.wanted):
            raise InstrumentFault(wrong[1], wrong[0])
        return hold_flow(hold, look.flow_ml_min, elapsed_s)

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Read the counter, setpoint and mode back; how long a flow lasted, it does not know."""
        look = self._it.look()
        if action == "off":
            set_to = written(self._it.ml_min(look.setpoint), "mL/min")
            return Verdict(
                state="done" if look.closed else "not_begun", why=f"its setpoint is {set_to} ({look.mode_word})"
            )
        values = self.resolved(action, settings)
        rate_ml_min = float(values["rate_ml_min"])
        flows = look.mode in OURS and look.setpoint == self._it.number(rate_ml_min)
        if action == "dose":
            if self._dose is not None and act == self.act and not self._dose.started:
                return Verdict(state="not_begun", why="no setpoint was ever sent")
            return self._what_became(float(values["volume_ml"]), rate_ml_min, flows, look, before)
        return self.became(action, act, written(rate_ml_min, "mL/min"), flows and not look.alarms & LIMIT_REACHED)

    def brake(self) -> None:
        """Say setpoint 0, and look at nothing."""
        self._it.brake()

    def stop(self) -> None:
        """Set 0, and close the valve where the setpoint comes from elsewhere. Raises InstrumentFault when it is not."""
        self._it.close_valve()

    # --- what stands behind it ------------------------------------------------------------------------------------

    def _let_flow(self, rate_ml_min: float, tolerance_ml_min: float, time_s: float, reach_by_s: float) -> None:
        self._dose = None
        self._hold = Hold(rate_ml_min, tolerance_ml_min, time_s, reach_by_s, unit="mL/min", quantity="flow")
        self._ready()
        self._it.count(up_to_ml=self._lab.watchdog_ml)
        self._hold.started = True
        self._it.set_to(propar.SETPOINT, self._it.number(rate_ml_min))

    def _ready(self) -> None:
        """Raises InstrumentFault when it cannot be told what to do."""
        look = self._it.look()
        if look.mode not in OURS:  # it was closed by stop(), or the mains were away
            self._it.take_over()
        if look.alarms & HARDWARE:
            raise InstrumentFault(f"it says that its hardware fails ({look.state})", kind="hardware")

    def _wrong(self, look: Look, rate_ml_min: float) -> tuple[str, str] | None:
        """What is the matter, as a word and in words."""
        if look.alarms & HARDWARE:
            return "hardware", f"it says that its hardware fails ({look.state})"
        if look.beyond:
            return "over_range", "its flow is beyond its range"
        if look.alarms & LIMIT_REACHED:
            return "watchdog", f"it closed by itself, at its counter's limit, after {written(_counted(look), 'mL')}"
        if look.mode not in OURS:
            return "setup", f"its control mode became {look.mode} ({look.mode_word})"
        if look.setpoint != self._it.number(rate_ml_min):
            said, sent = written(self._it.ml_min(look.setpoint), "mL/min"), written(rate_ml_min, "mL/min")
            return "setup", f"its setpoint is {said} where {sent} was sent"
        return None

    def _dosed(self, dose: Dose, elapsed_s: float) -> Progress:
        look = self._it.look()
        counted_ml = _counted(look)
        done = counted_ml >= single(dose.volume_ml) * (1.0 - 1e-6)
        if done:
            self._it.set_to(propar.SETPOINT, 0)  # else the old one may hold again when the counter is reset
        elif wrong := self._wrong(look, dose.rate_ml_min):
            raise InstrumentFault(f"{wrong[1]} ({self._so_far(dose, counted_ml)})", wrong[0])
        elif elapsed_s > SETTLE_S + SLOWER * dose.lasts_s:
            raise InstrumentFault(f"after {elapsed_s:.0f} s there is {self._so_far(dose, counted_ml)}", "not_reached")
        left_s = (dose.volume_ml - counted_ml) / dose.rate_ml_min * 60.0
        return Progress(
            done=done,
            achieved={"volume": Amount(counted_ml, "mL")},
            readings={
                "counted": Reading(value=counted_ml, unit="mL"),
                "flow": Reading(value=look.flow_ml_min, unit="mL/min"),
            },
            again_in_s=min(max(left_s, 0.2), 5.0),
        )

    def _what_became(
        self, volume_ml: float, rate_ml_min: float, flows: bool, look: Look, before: Mapping[str, Amount]
    ) -> Verdict:
        counted_ml, limit_ml = look.counted_ml, self._it.limit_ml()
        if counted_ml is None or limit_ml is None or abs(limit_ml - volume_ml) > 1e-5 * volume_ml:
            was_ml = float(before["counted"].value) if "counted" in before else 0.0
            # What a valve that was closing when the counter was cleared has let pass since.
            trickle_ml = min(self._it.second_ml, volume_ml / 2.0) / 2.0
            if look.setpoint == 0 and counted_ml is not None and counted_ml <= was_ml + trickle_ml:
                why = f"its counter is at {written(counted_ml, 'mL')}, and was never given this volume"
                return Verdict(state="not_begun", why=why)
            return Verdict(state="cannot_tell", why="its counter was used by somebody else since")
        # After it was cleared a flow that goes on may have been counted for a moment.
        if "counted" not in before or float(before["counted"].value) > min(self._it.second_ml, volume_ml / 2.0):
            return Verdict(state="cannot_tell", why="its counter was not at 0 before")
        achieved = {"volume": Amount(counted_ml, "mL")}
        if counted_ml >= single(volume_ml) * (1.0 - 1e-6):
            return Verdict(state="done", why="its counter shows the whole volume", achieved=achieved)
        if flows:
            return Verdict(state="running", why=f"gas flows at {written(rate_ml_min, 'mL/min')}", achieved=achieved)
        if counted_ml == 0.0:
            return Verdict(state="not_begun", why="its counter is at 0")
        rest = {"volume": Amount(volume_ml - counted_ml, "mL"), "rate": Amount(rate_ml_min, "mL/min")}
        why = f"its counter shows {written(counted_ml, 'mL')} of {written(volume_ml, 'mL')}"
        return Verdict(state="partial", why=why, achieved=achieved, remainder=rest)

    def _so_far(self, dose: Dose, counted_ml: float) -> str:
        return f"{written(counted_ml, 'mL')} of {written(dose.volume_ml, 'mL')}"


def _counted(look: Look) -> float:
    """What was counted. Raises InstrumentFault where it counts in something else."""
    if look.counted_ml is None:
        raise InstrumentFault("its counter does not count in a volume of the lab file's reference", kind="setup")
    return look.counted_ml
