"""JULABO refrigerated and heating circulators, over RS-232 or RS-485.

Sources: operating manuals of the SL/HL series (chapter 12, p. 80-87), of FL601 (p. 39), CF40 (p. 29-31), CORIO CD
(10.2), MAGIO MX (11.1) and Forte HT30 (p. 63). What matters of them:

* 4800 7E1 with RTS/CTS (CF40 p. 29); some models let the speed be chosen. A command ends with CR, a value follows after
  a blank; answers end with LF or CR LF. On RS-485 an address stands in front of both: ``A032_in_sp_00``.
* ``in_*`` are answered; ``out_*`` never are, and work in remote control only. One that was refused is told by the next
  ``status``. So what was set is only known by reading it back.
* At least 250 ms between two commands (all manuals). The first question after switching on may stay unanswered.
* ``status``: ``03 REMOTE START``; CORIO says ``00`` in front of all four states, so the words count. A negative number
  is an error: alarms stop heater and pump, warnings do not.
* After a power cut it stands still (there is no autostart in remote control) and has forgotten what was sent to it.
* There is no watchdog: what was started goes on when this computer dies.
* ``out_sp_00`` sets working temperature 1, in the unit that is displayed (SL-26 p. 82): choose that one, and degC, at
  the circulator. ``in_mode_01`` (0: working temperature 1) and ``in_sp_06`` (0: degC, 1: degF) tell which they are,
  where a model has them: FL601 (p. 40) has neither, and to some ``in_sp_06`` is a temperature.
* Models differ in what ``in_pv_01`` and ``in_pv_02`` are: heating power and external Pt100 in all manuals above, the
  other way round in an FP50-MH (as ISIS's simulator of it has them). So they are read only where the lab file says so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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
    LineCodec,
    LinkTimeout,
    Progress,
    ProtocolError,
    Reading,
    Sent,
    Setting,
    Signal,
    SpecError,
    Stand,
    Steady,
    Value,
    Verdict,
    action,
    hold_expected,
    hold_settings,
    refuse_unknown,
    shown,
    twice_alike,
    written,
)

# The longest answer (a status of some 50 characters) takes 0.1 s at 4800 baud.
ANSWER_S = 1.0
# Models answer with one or two decimals, so what was sent with two may come back rounded to one.
READ_BACK = 0.051
AMBIENT_C = 20.0
# Litres of liquid do not change by this much between two questions, nor by this grain when it is controlled there.
JUMP_K, GRAIN_K = 2.0, 0.2
# A command that is never answered may be lost; only looking tells, and it is said once more.
TRIES = 2
# Litres of liquid move by some tenths of a degree meanwhile.
LOOK_S = 5.0
# A circulator heats some 10 L with 2 kW by 2 to 3 K a minute and cools slower; for the expected time of a hold.
RAMP_K_S = 1.5 / 60.0

NUMBER = re.compile(r"[-+]?\d{1,4}(?:\.\d{1,3})?")
MODE = re.compile(r"\d")
# What the answer to VERSION and STATUS looks like; neither can be taken for a number.
TEXT = re.compile(r"(?!\s*[-+]?[\d.]+\s*$)[ -~]{3,100}")
STATE = re.compile(r"\d\d? (MANUAL|REMOTE) (START|STOP)")
WRONG = re.compile(r"-(\d\d?) (.*)")
# By number, a word that a campaign may list; these stop heater and pump.
ALARMS = {1: "low_level", 2: "cooling", 5: "sensor", 6: "sensor", 12: "sensor", 14: "over_temperature"}
# What the next status tells of a command, not of the circulator; 13: stored all the same.
REFUSALS = (8, 9, 10, 11, 13)


@dataclass(frozen=True, slots=True)
class Command:
    """One command's text, in capitals (case does not matter to a circulator): ``IN_PV_00``, ``OUT_SP_00 55.50``."""

    text: str


class JulaboCodec(LineCodec):
    """Lines of text. ``address``: of a circulator on RS-485, or None."""

    gap_s = 0.25

    def __init__(self, address: int | None = None) -> None:
        self._prefix = "" if address is None else f"A{address:03d}_"
        super().__init__(b"\n", longest=128)
        self._asked = ""

    def encode(self, command: Command) -> list[bytes]:
        self._asked = command.text
        return [f"{self._prefix}{command.text}\r".encode("ascii")]

    def expects_reply(self, command: Command) -> bool:
        return not command.text.startswith("OUT_")

    def urgent(self, command: Command) -> bool:
        return command.text == "OUT_MODE_05 0"

    def probe(self, command: Command) -> Command:
        """The version is a text; after a lost text, the mode is a number."""
        return Command("IN_MODE_05") if command.text in ("VERSION", "STATUS") else Command("VERSION")

    def reply(self, line: bytes) -> str:
        """The answer. Raises ProtocolError for what answers another question."""
        text = line.decode("ascii", "replace").removesuffix("\r")
        pattern = TEXT if self._asked in ("VERSION", "STATUS") else MODE if "_MODE_" in self._asked else NUMBER
        said = text.removeprefix(self._prefix)
        if not text.startswith(self._prefix) or not pattern.fullmatch(said):
            raise ProtocolError(f"{shown(line)} is no answer to {self._asked!r}")
        return said


TEMPERATURE = Setting(
    name="temperature", argument="temperature_c", unit="degC", low=-95.0, high=400.0, resolution=0.1,
    doc="of the bath; the model and its liquid set narrower limits",
)  # fmt: skip
EVIDENCE = "the working temperature and whether it is started, read back"


class Circulator(HoldingDriver):
    """A JULABO circulator. Options: ``address`` (RS-485), ``power`` and ``external``: ``in_pv_01`` or ``in_pv_02``."""

    kind = "JULABO circulator"
    signals = (
        Signal(name="temperature", unit="degC", doc="bath"),
        Signal(name="power", unit="%", doc="of the heater, where the lab file names its question"),
        Signal(name="external", unit="degC", doc="external Pt100, where the lab file names its question"),
    )

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._codec = JulaboCodec(options.get("address"))
        self._steady = Steady(JUMP_K, GRAIN_K)
        self._tells_unit: bool | None = None  # whether it knows in_sp_06; None: not asked yet

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions. Raises SpecError for an address or a question that cannot be."""
        refuse_unknown(options, ("address", "power", "external"), cls.__name__)
        address = options.get("address", 1)
        if not isinstance(address, int) or isinstance(address, bool) or not 1 <= address <= 127:
            raise SpecError(f"address = {address!r} is not a whole number from 1 to 127; on RS-232 leave it out")
        questions = [options[name] for name in ("power", "external") if name in options]
        if not set(questions) <= {"in_pv_01", "in_pv_02"} or len(set(questions)) < len(questions):
            raise SpecError(
                f"power = {options.get('power')!r} and external = {options.get('external')!r}: one of them may be "
                "in_pv_01 and the other in_pv_02, as the manual of this model says"
            )
        return super().declare(options)

    @classmethod
    def tells(cls, options: Mapping[str, Any]) -> tuple[Signal, ...]:
        """The bath, and of the others those whose question the lab file names."""
        return tuple(one for one in cls.signals if one.name == "temperature" or one.name in options)

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """A temperature in hundredths of a degree."""
        return {"temperature": (round(float(values["temperature_c"]), 2),)} if "temperature_c" in values else {}

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """Getting there from the room's temperature, then the hold."""
        if action != "hold":
            return Expected()
        return hold_expected(values, abs(float(values["temperature_c"]) - AMBIENT_C) / RAMP_K_S + 300.0)

    def open(self) -> Identity:
        """Ask for the version. Raises InstrumentFault when something else answers."""
        try:
            said = self._text("VERSION")
        except LinkTimeout:  # the first question after switching on may stay unanswered
            said = self._text("VERSION")
        if not said.startswith("JULABO"):
            raise InstrumentFault(f"{said!r} answers where a JULABO circulator was expected", kind="identity")
        model, _, firmware = said.partition(" VERSION ")
        return Identity(model=model, firmware=firmware, first_reply=repr(said))

    def configure(self) -> None:
        """Make sure that it listens, and means what we mean. Raises InstrumentFault otherwise.

        Otherwise: under manual control, in an alarm, in degF, at another of its working temperatures.
        """
        self._look_out()
        self._tells_unit = None
        self._refuse_fahrenheit()
        if chosen := self._perhaps("IN_MODE_01"):
            raise InstrumentFault(
                f"it controls to its working temperature {chosen + 1:g} (in_mode_01 is {chosen:g}), where what is sent "
                "sets 1. Choose working temperature 1 at the circulator",
                kind="setup",
            )

    def read(self) -> Mapping[str, Reading]:
        """The bath, and what else the lab file names. Raises InstrumentFault when its unit was changed."""
        found = {"temperature": Reading(value=self._temperature("IN_PV_00"), unit="degC")}
        self._refuse_fahrenheit()
        if "power" in self.options:
            found["power"] = Reading(value=self._number(str(self.options["power"]).upper()), unit="%")
        if "external" in self.options:
            question = str(self.options["external"]).upper()
            found["external"] = Reading(value=self._temperature(question), unit="degC")
        return found

    def stands(self) -> Mapping[str, Stand]:
        """Its working temperature, which one it controls to, whether it is started; its unit, if that is another."""
        stands = {"started": Stand(value=self._started())}
        if self._tells_unit is None:
            self._tells_unit = self._perhaps("IN_SP_06") in (0.0, 1.0)
        if self._tells_unit:
            fahrenheit = self._set("IN_SP_06") == 1.0
            stands["unit"] = Stand(value="degF" if fahrenheit else "degC")
            if fahrenheit:
                return stands
        stands["temperature"] = Stand(value=self._set("IN_SP_00"), unit="degC", within=READ_BACK)
        if (chosen := self._perhaps("IN_MODE_01")) is not None:
            stands["working temperature"] = Stand(value=f"number {chosen + 1:g}")
        return stands

    @action(*hold_settings(TEMPERATURE, reach_by_s=7200.0), act=True, holds=True, rejoins=True, evidence=EVIDENCE)
    def hold(self, temperature_c: float, tolerance_k: float, time_s: float, reach_by_s: float) -> None:
        """Bring the bath to a temperature in degC (-95 to 400) and keep it there; it goes on afterwards.

        Only time without a break within the tolerance counts.
        """
        self._hold = Hold(temperature_c, tolerance_k, time_s, reach_by_s)
        self._run(temperature_c)

    @action(TEMPERATURE, act=True, repeatable=True, evidence=EVIDENCE)
    def control(self, temperature_c: float) -> None:
        """Bring the bath towards a temperature in degC (-95 to 400) and go on; nothing is waited for."""
        self._hold = None
        self._run(temperature_c)

    @action(repeatable=True, stops=True)
    def off(self) -> None:
        """Stop heater, cooler and pump."""
        self._hold = None
        self.stop()

    def progress(self, elapsed_s: float) -> Progress:
        """Read the bath. Raises InstrumentFault when a hold is late, at an alarm, and when it was set otherwise."""
        hold = self._hold
        if hold is None:
            return Progress(done=True)
        bath_c = self._temperature("IN_PV_00")
        self._look_out()
        self._refuse_fahrenheit()
        if not self._started():
            raise InstrumentFault("it was stopped (by hand, or by a power cut)", kind="off")
        if (said_c := self._said("IN_SP_00", hold.wanted)) is not None:
            raise InstrumentFault(
                f"it was set to {said_c:g} degC by hand, where {hold.wanted:g} degC was sent", kind="setup"
            )
        return hold.look(bath_c, elapsed_s, {"temperature": Reading(value=bath_c, unit="degC")}, every_s=LOOK_S)

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Read back what it is set to and whether it is started; how long a hold lasted, it does not know."""
        started = self._started()
        if action == "off":
            return Verdict(state="not_begun" if started else "done", why=f"it is {'' if started else 'not '}started")
        wanted_c = float(self.resolved(action, settings)["temperature_c"])
        as_asked = started and abs(self._set("IN_SP_00") - wanted_c) <= READ_BACK
        return self.became(
            action, act, written(wanted_c, "degC"), as_asked,
            lambda: {"temperature": Amount(self._temperature("IN_PV_00"), "degC")},
        )  # fmt: skip

    def brake(self) -> None:
        """Stop heater, cooler and pump, and look at nothing."""
        self.exchange.tell(self._codec, Command("OUT_MODE_05 0"))

    def stop(self) -> None:
        """Stop heater, cooler and pump; harmless twice. Raises InstrumentFault when it goes on."""
        for _ in range(TRIES):
            self._tell("OUT_MODE_05 0")
            if not self._started():
                return
        raise InstrumentFault(f"it goes on after it was told to stop; it says {self._text('STATUS')!r}", kind="runaway")

    # --- how it is said -----------------------------------------------------------------------------------------

    def _run(self, temperature_c: float) -> None:
        if self._hold is not None:
            self._hold.started = self._started()  # where it is started, a working temperature acts at once
        for _ in range(TRIES):
            self._tell(f"OUT_SP_00 {temperature_c:.2f}")
            said_c = self._set("IN_SP_00")
            if abs(said_c - temperature_c) <= READ_BACK:
                break
        else:
            why = self._text("STATUS")
            self._tell("OUT_MODE_05 0")  # it may be running, towards a temperature that nobody asked for
            raise InstrumentFault(
                f"it is set to {said_c:g} degC where {temperature_c:g} degC was sent; it says {why!r}", kind="setup"
            )
        if self._hold is not None:
            self._hold.started = True
        for _ in range(TRIES):
            self._tell("OUT_MODE_05 1")
            if self._started():
                return
        self._look_out()
        raise InstrumentFault(f"it does not start; it says {self._text('STATUS')!r}", kind="setup")

    def _look_out(self) -> None:
        """Raise InstrumentFault when its status tells of an alarm or of manual control."""
        said = self._text("STATUS")
        if (wrong := WRONG.fullmatch(said)) and int(wrong[1]) in REFUSALS:
            said = self._text("STATUS")  # that was of a command; what stands behind it is told next
        if (state := STATE.fullmatch(said)) and state[1] == "MANUAL":
            raise InstrumentFault(f"it is under manual control ({said!r}). Switch it to remote control", kind="setup")
        wrong = WRONG.fullmatch(said)
        if wrong and int(wrong[1]) not in REFUSALS and "WARNING" not in wrong[2]:
            raise InstrumentFault(f"it says {said!r}", kind=ALARMS.get(int(wrong[1]), "alarm"))

    def _refuse_fahrenheit(self) -> None:
        """Raise InstrumentFault when it counts in degF, from the first or since a person pressed a key.

        Not every model knows this question; to some, in_sp_06 is a temperature.
        """
        if self._tells_unit is None:
            said = self._perhaps("IN_SP_06")
            self._tells_unit = said in (0.0, 1.0)
        elif self._tells_unit:
            said = self._said("IN_SP_06", 0.0)
        else:
            return
        if said == 1.0:
            self._tells_unit = None
            raise InstrumentFault("it counts in degF (in_sp_06 is 1). Set its unit to degC", kind="setup")

    def _said(self, text: str, expected: float) -> float | None:
        """What it answers twice alike where it is not what was expected (None: it is)."""
        if abs(self._number(text) - expected) <= READ_BACK:
            return None
        said = self._set(text)
        return None if abs(said - expected) <= READ_BACK else said

    def _started(self) -> bool:
        return twice_alike(lambda: self._text("IN_MODE_05"), "IN_MODE_05") != "0"

    def _perhaps(self, text: str) -> float | None:
        """What it answers to a question that not every model knows; None: silence, whenever it was asked."""
        for _ in range(TRIES):
            try:
                return self._set(text)
            except LinkTimeout:
                continue
        return None

    def _set(self, text: str) -> float:
        return twice_alike(lambda: self._number(text), text)

    def _temperature(self, text: str) -> float:
        return self._steady.read(lambda: self._number(text), text)

    def _number(self, text: str) -> float:
        return float(self._text(text))

    def _text(self, text: str) -> str:
        said: str = self.exchange(self._codec, Command(text), ANSWER_S)
        return said

    def _tell(self, text: str) -> None:
        self.exchange(self._codec, Command(text), ANSWER_S)
