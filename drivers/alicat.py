"""Alicat mass flow controllers (MC and its family: MCS, MCR, MCQ, MCE, MCV ...), over RS-232 or RS-485.

Sources: operating manual of the MC series (p. 43 and p. 36 of two editions), manual of standard devices (January 2023,
p. 32), table of contents of the serial primer (February 2023); answers of an MC-500SCCM-D (10v20) and others as the
library alicatlib has them on record. What matters of them:

* 19200 8N1; up to 26 devices share a line, told apart by a letter. A command is the letter, the command and CR; an
  answer is one line that ends with CR. ``?`` is the answer to what is unknown or refused.
* The letter alone, and everything that sets something, is answered with the data frame:
  ``A +014.62 +021.89 +000.99 +000.99 +123.40     N2`` is absolute pressure, temperature, volumetric flow, mass flow,
  setpoint, gas; a totalizer stands before the gas. Each number has a sign and at least five digits. Words may follow:
  MOV VOV POV TOV (beyond the range), HLD (valve held), OPL, OVR, TMF, LCK, EXH, ADC.
* The letter followed by digits is an old way to set the setpoint, 64000 being full scale. This driver has no way to say
  that: a setpoint is ``S`` and a number with a point.
* ``LS`` is answered with flow, setpoint and the unit that the device counts in; firmware before 9v answers ``?``.
  The data frame does not say the unit: where neither LS nor the model's name tells it, the lab file must.
* ``LSS`` says where the setpoint comes from: A analog, S serial and saved, U serial and not saved. Saved setpoints wear
  a memory out when they change often, so S is turned into U.
* ``HC`` holds the valve closed whatever the setpoint is, ``C`` ends that.
* Nothing of it watches the computer: gas goes on flowing when that dies.
* The answers to ``??M4`` and ``??M5`` are lines of the list that ``??M*`` gives, asked for one at a time as the manual
  does with ``??M9``.
"""

import math
import re
from collections.abc import Mapping
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
    ProtocolError,
    Reading,
    Sent,
    Signal,
    SpecError,
    Stand,
    Steady,
    Value,
    Verdict,
    action,
    refuse_unknown,
    written,
)

from .alicat_codec import ANSWERS, MODEL, AlicatCodec, Command, Frame, frame_of
from .gas_flow import RATE, REACH_BY, TIME, TOLERANCE, expected_of, full_scale_of, hold_flow, limited, sent_rate

# A data frame of 60 characters takes 32 ms at 19200 baud; a controller answers within 50 ms.
ANSWER_S = 1.0
# What is set is read back to a thousandth of full scale: displays have five digits.
READ_BACK = 0.001
TRIES = 2
# Standard cubic centimetres and litres a minute; what counts as standard is the device's own setting.
UNITS = {"SCCM": 1.0, "SmL/m": 1.0, "SLPM": 1000.0, "SL/m": 1000.0}

EVIDENCE = "the setpoint and whether the valve is held, read back"


class MC(HoldingDriver):
    """An Alicat MC. Options: ``full_scale: 500 mL/min``, ``address: A`` (a letter), ``gas: N2`` (must be set there),
    ``unit: SCCM`` or ``SLPM`` (what it counts in, where its firmware does not tell)."""

    kind = "Alicat MC mass flow controller"
    signals = (
        Signal(name="flow", unit="mL/min", doc="mass flow, as standard volume"),
        Signal(name="setpoint", unit="mL/min"),
        Signal(name="pressure", unit="psi", doc="absolute"),
        Signal(name="temperature", unit="degC", doc="of the gas"),
        Signal(name="gas"),
        Signal(name="state", doc="ok, or what the device says is the matter: MOV, HLD, TMF ..."),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._codec = AlicatCodec(str(options.get("address", "A")))
        self._full_ml_min = _full_scale(options)
        self._gas = str(options["gas"]) if "gas" in options else ""
        self._factor: float | None = None
        self._flows = Steady(self._full_ml_min / 5.0)

    # --- known without a port -----------------------------------------------------------------------------------

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions, with full scale as the limit. Raises SpecError for options that make no sense."""
        refuse_unknown(options, ("address", "full_scale", "gas", "unit"), cls.__name__)
        return limited(super().declare(options), _full_scale(options), steps=10_000)

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """A rate in its last digits: of the unit that the lab file names, or of any."""
        units = [UNITS[str(options["unit"])]] if "unit" in options else sorted({*UNITS.values()})
        full = _full_scale(options)
        return sent_rate(values, *(unit * 10.0 ** -_decimals(full / unit) for unit in units))

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """A few seconds until the flow is there, then the hold."""
        return expected_of(values)

    @classmethod
    def numbered(cls, options: Mapping[str, Any]) -> bool:
        """It tells one (``??M5``)."""
        return True

    # --- on the wire --------------------------------------------------------------------------------------------

    def open(self) -> Identity:
        """Ask for model, serial number, firmware and unit. Raises InstrumentFault when it is something else."""
        frame = self._said(Command(""))
        model, serial = self._line("??M4"), self._line("??M5")
        firmware = self._said(Command("VE"))
        match = MODEL.fullmatch(model)
        if model and not model.startswith("MC"):
            raise InstrumentFault(f"{model!r} answers where an Alicat MC was expected", kind="identity")
        try:
            frame_of(frame)
        except ProtocolError as error:
            raise InstrumentFault(f"{error}; an Alicat MC was expected", kind="identity") from error
        self._factor = self._counts_in(unit[2] if (unit := self._setpoint_line()) else match["unit"] if match else "")
        if match is not None and not math.isclose(
            float(match["number"]) * UNITS[match["unit"]], self._full_ml_min, rel_tol=1e-3
        ):
            raise InstrumentFault(
                f"{model!r} answers where one with a full scale of {written(self._full_ml_min, 'mL/min')} was expected",
                kind="identity",
            )
        return Identity(model=model or "Alicat MC", serial=serial, firmware=firmware, first_reply=repr(frame))

    def configure(self) -> None:
        """Take setpoints over serial without saving each; raises InstrumentFault when it follows an analog input."""
        source = self._said(Command("LSS"))
        if source == "A":
            raise InstrumentFault("its setpoint comes from the analog input. Set its source to serial", kind="setup")
        if source == "S":
            self._said(Command("LSS", "U"))
        self._sound()

    def read(self) -> Mapping[str, Reading]:
        """Flow, setpoint, pressure, temperature, gas and state now."""
        frame = self._sure()
        return {
            "flow": Reading(value=self._ml_min(frame.flow), unit="mL/min"),
            "setpoint": Reading(value=self._ml_min(frame.setpoint), unit="mL/min"),
            "pressure": Reading(value=frame.pressure, unit="psi"),
            "temperature": Reading(value=frame.temperature_c, unit="degC"),
            "gas": Reading(value=frame.gas),
            "state": Reading(value=" ".join(frame.words) or "ok"),
        }

    def stands(self) -> Mapping[str, Stand]:
        """Setpoint and gas, and with a setpoint above 0 whether its valve is held. Not its totalizer: that goes on.

        At 0 nothing flows either way, and after each power-up the valve is held no more.
        """
        frame = self._sure()
        stands = {
            "rate": Stand(value=self._ml_min(frame.setpoint), unit="mL/min", within=self._digit),
            "gas": Stand(value=frame.gas),
        }
        if frame.setpoint > 0.0:
            stands["valve"] = Stand(value="held" if "HLD" in frame.words else "free")
        return stands

    @action(RATE, TOLERANCE, REACH_BY, gives=signals[:1], act=True, repeatable=True, evidence=EVIDENCE)
    def flow(self, rate_ml_min: float, tolerance_ml_min: float, reach_by_s: float) -> None:
        """Let gas flow at a rate in mL/min and go on; done when it does."""
        self._begin(rate_ml_min, tolerance_ml_min, 0.0, reach_by_s)

    @action(RATE, TOLERANCE, REACH_BY, TIME, gives=signals[:1], act=True, holds=True)
    def hold(self, rate_ml_min: float, tolerance_ml_min: float, reach_by_s: float, time_s: float) -> None:
        """Let gas flow at a rate in mL/min for a time; it goes on afterwards. Only time without a break counts."""
        self._begin(rate_ml_min, tolerance_ml_min, time_s, reach_by_s)

    @action(repeatable=True, stops=True)
    def off(self) -> None:
        """Close the valve."""
        self._hold = None
        self.stop()

    def progress(self, elapsed_s: float) -> Progress:
        """Look at the flow. Raises InstrumentFault when it is not reached, beyond the range, or the valve is held."""
        hold = self._hold
        if hold is None:
            return Progress(done=True)
        frame = self._sound(hold)
        flow = self._ml_min(frame.flow)
        return hold_flow(hold, flow, elapsed_s)

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Read setpoint and valve back; how long a flow lasted, it does not know."""
        frame = self._look()
        held = "HLD" in frame.words
        if action == "off":
            return Verdict(state="done" if held else "not_begun", why=f"its valve is {'' if held else 'not '}held")
        wanted = float(self.resolved(action, settings)["rate_ml_min"])
        flows = not held and abs(self._ml_min(frame.setpoint) - wanted) <= self._digit
        return self.became(action, act, written(wanted, "mL/min"), flows)

    def brake(self) -> None:
        """Close the valve, and look at nothing."""
        self.exchange.tell(self._codec, Command("HC"))

    def stop(self) -> None:
        """Hold the valve closed and set 0; harmless twice. Raises InstrumentFault when it is not held."""
        for _ in range(TRIES):
            self._said(Command("HC"))
            self._said(Command("S", 0.0))
            frame = self._frame(Command(""))  # of one that never told its unit too: its words are enough
            if "HLD" in frame.words:
                return
        raise InstrumentFault(f"its valve is not held closed after it was told to: {frame}", kind="runaway")

    # --- how it is said -----------------------------------------------------------------------------------------

    def _begin(self, rate_ml_min: float, tolerance_ml_min: float, time_s: float, reach_by_s: float) -> None:
        self._hold = Hold(rate_ml_min, tolerance_ml_min, time_s, reach_by_s, unit="mL/min", quantity="flow")
        self._sound()
        self._hold.started = True
        for _ in range(TRIES):
            frame = self._frame(Command("S", rate_ml_min / self._unit, self._decimals))
            if "HLD" in frame.words:
                self._said(Command("C"))
            frame = self._look()
            if abs(self._ml_min(frame.setpoint) - rate_ml_min) <= self._digit and "HLD" not in frame.words:
                return
        raise InstrumentFault(
            f"its setpoint is {written(self._ml_min(frame.setpoint), 'mL/min')} where {written(rate_ml_min, 'mL/min')} "
            f"was sent ({' '.join(frame.words) or 'no word why'})", kind="setup",
        )  # fmt: skip

    def _sound(self, hold: Hold | None = None) -> Frame:
        """The data frame. Raises InstrumentFault for what makes its flow no flow of this gas, when it is said twice."""
        frame = self._look()
        if (wrong := self._wrong(frame, hold)) is None:
            return frame
        frame = self._look()
        if self._wrong(frame, hold) != wrong:
            raise ProtocolError(f"{wrong[1]}; asked again, it said otherwise")
        raise InstrumentFault(wrong[1], kind=wrong[0])

    def _wrong(self, frame: Frame, hold: Hold | None) -> tuple[str, str] | None:
        """What is the matter, as a word and in words; ``hold``: with what was begun too."""
        if self._gas and frame.gas != self._gas:
            return "setup", f"it is set to {frame.gas}, where the lab file says {self._gas}"
        for word, kind, what in (
            ("ADC", "sensor", "its sensor does not answer"),
            ("MOV", "over_range", "its mass flow is beyond its range"),
            ("EXH", "held", "its exhaust valve is open"),
        ):
            if word in frame.words:
                return kind, f"{what} ({word})"
        if hold is not None and "HLD" in frame.words:
            return "held", "its valve is held (at its display, or by a command)"
        set_ml_min = self._ml_min(frame.setpoint)
        if hold is not None and abs(set_ml_min - hold.wanted) > self._digit:
            said, sent = written(set_ml_min, "mL/min"), written(hold.wanted, "mL/min")
            return "setup", f"its setpoint is {said} where {sent} was sent"
        return None

    def _counts_in(self, told: str) -> float:
        """How many mL/min one of its units is. ``told``: what it calls that unit ("": it does not say)."""
        given = str(self.options.get("unit", ""))
        if not told and not given:
            raise InstrumentFault(
                "it does not tell what it counts in. Look at its display, and say unit: SCCM or unit: SLPM in the lab "
                "file", kind="setup",
            )  # fmt: skip
        if told and told not in UNITS:
            raise InstrumentFault(f"it counts in {told}. Set it to SCCM or SLPM", kind="setup")
        if told and given and UNITS[told] != UNITS[given]:
            raise InstrumentFault(f"it counts in {told}, where the lab file says {given}", kind="setup")
        return UNITS[told or given]

    @property
    def _unit(self) -> float:
        """How many mL/min one of the device's units is. Raises ProtocolError before open() has asked for it."""
        if self._factor is None:
            raise ProtocolError("what it counts in is not known before it was opened")
        return self._factor

    @property
    def _decimals(self) -> int:
        return _decimals(self._full_ml_min / self._unit)

    @property
    def _digit(self) -> float:
        return READ_BACK * self._full_ml_min

    def _ml_min(self, value: float) -> float:
        return round(value * self._unit, 6)

    def _look(self) -> Frame:
        """The data frame, its flow believed only when it did not jump, or was said twice."""
        found: list[Frame] = []

        def ask() -> float:
            found.append(self._frame(Command("")))
            return found[-1].flow * self._unit

        self._flows.read(ask, "its flow")
        return found[-1]

    def _sure(self) -> Frame:
        """The data frame, of each number the middle of three. Raises ProtocolError when its words are never alike."""
        frames = [self._frame(Command("")) for _ in range(3)]
        words = [(frame.gas, frame.words) for frame in frames]
        said = max(words, key=words.count)
        if words.count(said) < 2:
            raise ProtocolError(f"its gas and state are different each time: {words}")
        numbers = {
            name: sorted(getattr(frame, name) for frame in frames)[1]
            for name in ("pressure", "temperature_c", "flow", "setpoint")
        }
        return Frame(gas=said[0], words=said[1], **numbers)

    def _frame(self, command: Command) -> Frame:
        said = self._said(command)
        if said == "?":
            raise InstrumentFault(f"it refuses {command.text!r}", kind="refused")
        return frame_of(said)

    def _setpoint_line(self) -> tuple[str, ...]:
        """The three parts of the answer to LS; none where the firmware has no LS."""
        match = ANSWERS["LS"].fullmatch(self._said(Command("LS")))
        return tuple(match.groups()) if match else ()

    def _line(self, name: str) -> str:
        """One line of the maker's list without its number and label; none where it cannot be asked for singly."""
        said = self._said(Command(name))
        return "" if said == "?" else said.split()[-1]

    def _said(self, command: Command) -> str:
        said: str = self.exchange(self._codec, command, ANSWER_S)
        return said


def _decimals(full_scale: float) -> int:
    """Behind the point, so that the last digit is a ten thousandth of full scale or less; at least one."""
    return max(1, 4 - math.floor(math.log10(full_scale)))


def _full_scale(options: Mapping[str, Any]) -> float:
    full = full_scale_of(options)
    address = options.get("address", "A")
    if not (isinstance(address, str) and re.fullmatch("[A-Z]", address)):
        raise SpecError(f"address = {address!r} is not a letter from A to Z")
    if "unit" in options and options["unit"] not in tuple(UNITS):
        raise SpecError(f"unit = {options['unit']!r} is not one that this driver counts in: SCCM, SLPM")
    return full
