"""Korad KA3005P power supply (sold as Velleman PS3005D, Tenma 72-2540, RND 320-KA3005P), over USB or RS-232.

Sources: the sigrok wiki's page on the KAxxxxP series, the maker's list of the status byte (EEVblog, topic 13017), and
koradctl, whose author found what the wiki does not say. There is no manual of the protocol. What matters:

* 9600 8N1. Nothing ends a command but silence: two without a pause between them are one that it does not know, and
  lost. Nothing ends an answer either; its length is known. There is no checksum and no acknowledgement.
* Setting and switching are silent, and so is what was not understood: only reading back tells.
* Of the status byte 40 (output on) and 01 (constant voltage; else constant current) can be relied upon; the others
  mean different things in different versions (20 or 80 a protection, 10 the beep).
* Some versions say a sixth byte after ISET1?, or a NUL after *IDN?; they are dropped. Newer ones (seen: V5.2, V5.5)
  give a serial number of eight digits behind their name.
* A KA3003P has been seen that calls itself KORADKA3005PV2.0: look at the plate, and limit the current in the lab file.
* The front panel is locked while it is spoken to, and free again soon after.
* It has no watchdog: an output that is on stays on when this computer dies, with what it was set to.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
    ProtocolError,
    Reading,
    Sent,
    Setting,
    Signal,
    Stand,
    Steady,
    Sure,
    Value,
    Verdict,
    action,
    refuse_unknown,
    shown,
    twice_alike,
)

# Five characters take 5 ms at 9600 baud; it answers within 0.1 s.
ANSWER_S = 0.5
# libsigrok gives it 80 ms after each command, koradctl 50 ms.
GAP_S = 0.1
# Set commands are silent: a lost one is found by reading back, and said once more (but what begins an act).
SET_TRIES = 2
STOP_TRIES = 2
LOOK_S = 1.0
# A question takes about this long, a look at a current that stands four of them: nothing is begun to be measured any
# more when less than that is left.
QUESTION_S = 0.15
TAKES_S = 4 * QUESTION_S
# What a cell's voltage and current may change by from one question to the next, and what is nothing: the supply itself
# is no better (20 mV and 3 mA, and 0.5 % of the value).
JUMP_V, JUMP_A = 0.2, 0.05
GRAIN_V, GRAIN_A = 0.02, 0.003
# The last digits of its set values.
DIGIT_V, DIGIT_A = 0.01, 0.001

VOLTS, AMPERES = r"\d\d\.\d\d", r"\d\.\d{3}"
NAME = r"[A-Z][A-Za-z0-9 .\-]{4,30}?V\d{1,2}\.\d"
# By command: the form of its answer, and how long that is (0: not fixed).
ANSWERS: dict[str, tuple[str, int]] = {
    "VSET1?": (VOLTS, 5),
    "VOUT1?": (VOLTS, 5),
    "ISET1?": (AMPERES, 5),
    "IOUT1?": (AMPERES, 5),
    "STATUS?": (r"[\x00-\xff]", 1),
    "*IDN?": (NAME, 0),
}
NUMBERED = rf"{NAME} SN:\d{{8}}"
LONGEST = 64
OUTPUT_ON, CONSTANT_VOLTAGE = 0x40, 0x01
MODELS = re.compile(r"KORAD ?K[AD]3005P|VELLEMAN(?:LAB)?PS3005D|(?:TENMA|Multicomp Pro) ?72-2540|RND ?320-K[AD]3005P")


@dataclass(frozen=True, slots=True)
class Command:
    """One command's text. ``numbered``: of ``*IDN?``, the answer must have a serial number."""

    text: str
    numbered: bool = False


class KoradCodec:
    """Answers of a known length, or a name; the link keeps the silence between commands."""

    gap_s = GAP_S

    def __init__(self) -> None:
        self._asked = Command("STATUS?")
        self._rest = b""

    def encode(self, command: Command) -> list[bytes]:
        self._asked = command
        return [command.text.encode("ascii")]

    def expects_reply(self, command: Command) -> bool:
        return command.text.endswith("?")

    def urgent(self, command: Command) -> bool:
        return command.text == "OUT0"

    def probe(self, command: Command) -> Command:
        """A name cannot be taken for a number, nor a number for a name; a status byte for anything."""
        return Command("VSET1?") if command.text == "*IDN?" else Command("*IDN?")

    def reset(self) -> None:
        self._rest = b""

    def feed(self, data: bytes | list[bytes]) -> str | None:
        """The answer. Raises ProtocolError for what has not the form that was asked for."""
        self._rest += data if isinstance(data, bytes) else b"".join(data)
        form, length = ANSWERS[self._asked.text]
        if length:
            return self._fixed(form, length)
        text = self._rest.decode("latin-1").rstrip("\0")
        if match := re.match(NUMBERED if self._asked.numbered else NAME, text, re.ASCII):
            self._rest = b""
            return match[0]
        if len(text) > LONGEST or not re.fullmatch(r"[A-Z][ -~]*|", text):
            raise self._refused(1)
        return None

    def _fixed(self, form: str, length: int) -> str | None:
        if len(self._rest) < length:
            return None
        text = self._rest[:length].decode("latin-1")
        if not re.fullmatch(form, text, re.ASCII | re.DOTALL):
            raise self._refused(1)
        if length == 1 and len(self._rest) > 1:  # any byte is a status, so it must be the only one
            raise self._refused(len(self._rest))
        self._rest = self._rest[length:]
        return text

    def _refused(self, taken: int) -> ProtocolError:
        said, self._rest = self._rest, self._rest[taken:]
        return ProtocolError(f"{shown(said)} is no answer to {self._asked.text!r}")


@dataclass(slots=True)
class Applied:
    """What was applied in this process; ``charge_c`` is summed up from what was read."""

    volts: float
    amperes: float
    time_s: float
    started: bool = False
    looked_s: float = 0.0
    flowed_a: float | None = None
    charge_c: float = 0.0
    ends: bool = False  # it was told to go off at the end of its time
    readings: Mapping[str, Reading] = field(default_factory=dict)

    def count(self, amperes: float, elapsed_s: float) -> None:
        """Sum the charge up, straight from look to look."""
        before_a = amperes if self.flowed_a is None else self.flowed_a
        self.charge_c += 0.5 * (before_a + amperes) * (elapsed_s - self.looked_s)
        self.looked_s, self.flowed_a = elapsed_s, amperes

    def look(self, left_s: float) -> Progress:
        """What came of it so far."""
        return Progress(
            done=self.ends,
            achieved={"time": Amount(self.looked_s, "s"), "charge": Amount(self.charge_c, "C")},
            readings={**self.readings, "charge": Reading(value=self.charge_c, unit="C")},
            again_in_s=min(max(left_s, 0.0), LOOK_S),
        )


VOLTAGE = Setting(name="voltage", argument="voltage_v", unit="V", low=0.0, high=30.0, resolution=0.01, doc="at most")
CURRENT = Setting(name="current", argument="current_a", unit="A", low=0.001, high=5.0, resolution=0.001, doc="at most")
TIME = Setting(name="time", argument="time_s", unit="s", low=1.0, high=604_800.0, doc="how long the output is on")
CHARGE = Signal(name="charge", unit="C", doc="summed up from the current, look by look")
VOLTAGE_NOW = Signal(name="voltage", unit="V", doc="at the terminals")
CURRENT_NOW = Signal(name="current", unit="A", doc="through the terminals")
MODE = Signal(name="mode", doc="what holds it: voltage or current")
EVIDENCE = "the set values and the output, read back"


class KA3005P(Driver):
    """A Korad KA3005P. Options: none."""

    kind = "Korad KA3005P power supply"
    signals = (VOLTAGE_NOW, CURRENT_NOW, MODE, Signal(name="output", doc="on or off"))

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._codec = KoradCodec()
        self._volts, self._amperes = Steady(JUMP_V, GRAIN_V), Steady(JUMP_A, GRAIN_A)
        self._sure = Sure()
        self._applied: Applied | None = None
        self._asked = 0  # questions so far

    @classmethod
    def declare(cls, options: Mapping[str, Any]) -> dict[str, Action]:
        """The actions. Raises SpecError for options that are not known."""
        refuse_unknown(options, (), cls.__name__)
        return super().declare(options)

    @classmethod
    def sent(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Sent:
        """Hundredths of a volt and thousandths of an ampere."""
        if action == "off":
            return {}
        return {"voltage": (round(float(values["voltage_v"]), 2),), "current": (round(float(values["current_a"]), 3),)}

    @classmethod
    def expected(cls, action: str, values: Mapping[str, Value], options: Mapping[str, Any]) -> Expected:
        """As long as the output is to be on."""
        if action != "apply":
            return Expected()
        time_s = float(values["time_s"])
        return Expected(duration_s=time_s, least_s=time_s, achieved={"time": Amount(time_s, "s")})

    @classmethod
    def numbered(cls, options: Mapping[str, Any]) -> bool:
        """From version 3.0 on it tells one (``*IDN?``)."""
        return True

    def open(self) -> Identity:
        """Ask for the name. Raises InstrumentFault when something else answers."""
        said = twice_alike(lambda: self._ask("*IDN?"), "*IDN?")
        model = MODELS.match(said)
        if model is None:
            raise InstrumentFault(f"{said!r} answers where a Korad KA3005P was expected", kind="identity")
        firmware = said.rpartition("V")[2]
        # Only newer versions tell a serial number, and only their answer goes on after the version.
        serial = self._serial() if float(firmware) >= 3.0 else ""
        return Identity(model=model[0], firmware=f"V{firmware}", serial=serial, first_reply=repr(said))

    def read(self) -> Mapping[str, Reading]:
        """Voltage, current and what holds it now."""
        status = self._status()
        volts, amperes = self._terminals()
        return _readings(volts, amperes, status) | {
            "output": Reading(value="on" if status & OUTPUT_ON else "off"),
        }

    def glance(self) -> Iterator[tuple[str, Reading]]:
        """Whether it is on, and then at what: each said once, for making sure takes longer than it may stay on."""
        status = ord(self._ask("STATUS?"))
        yield "output", Reading(value="on" if status & OUTPUT_ON else "off")
        if status & OUTPUT_ON:
            yield "current", Reading(value=float(self._ask("IOUT1?")), unit="A")
            yield "voltage", Reading(value=float(self._ask("VOUT1?")), unit="V")

    def stands(self) -> Mapping[str, Stand]:
        """What its knobs and keys change: both set values, and whether its output is on."""
        return {
            "voltage": Stand(value=float(self._set("VSET1?")), unit="V", within=DIGIT_V / 2.0),
            "current": Stand(value=float(self._set("ISET1?")), unit="A", within=DIGIT_A / 2.0),
            "output": Stand(value=bool(self._status() & OUTPUT_ON)),
        }

    @action(
        VOLTAGE, CURRENT, TIME, gives=(CHARGE, CURRENT_NOW, VOLTAGE_NOW, MODE), act=True, holds=True,
    )  # fmt: skip
    def apply(self, voltage_v: float, current_a: float, time_s: float) -> None:
        """Switch the output on for a time, within a voltage in V and a current in A; then off."""
        self._begin(Applied(round(voltage_v, 2), round(current_a, 3), time_s))

    @action(VOLTAGE, CURRENT, act=True, repeatable=True, evidence=EVIDENCE)
    def switch_on(self, voltage_v: float, current_a: float) -> None:
        """Switch the output on and leave it on, within a voltage in V and a current in A."""
        self._begin(Applied(round(voltage_v, 2), round(current_a, 3), 0.0))
        self._applied = None

    @action(repeatable=True, stops=True)
    def off(self) -> None:
        """Switch the output off."""
        self._applied = None
        self.stop()

    def progress(self, elapsed_s: float) -> Progress:
        """One look. Raises InstrumentFault when the output went off by itself."""
        applied = self._applied
        if applied is None:
            return Progress(done=True)
        left_s, asked = applied.time_s - elapsed_s, self._asked
        over = left_s <= 0.0 and applied.flowed_a is not None  # what a look takes, its output would be on too long
        if applied.flowed_a is not None and 0.0 < left_s < TAKES_S:
            return applied.look(max(left_s, 0.01))  # what rounds to nothing would never be over
        volts, amperes = (0.0, applied.flowed_a or 0.0) if over else self._terminals()
        status = self._status()  # asked after them: of an output that is off by then they say nothing
        if not status & OUTPUT_ON and not applied.ends:
            raise InstrumentFault(
                f"its output went off by itself after about {applied.looked_s:.0f} s (protection, panel, or power)",
                kind="off",
            )
        if status & OUTPUT_ON:
            applied.count(amperes, elapsed_s)
            applied.readings = applied.readings if over else _readings(volts, amperes, status)
        if left_s <= 0.0:
            applied.ends = True
            self.stop()
        return applied.look(left_s - (self._asked - asked) * QUESTION_S)  # its time goes on while it is asked

    def happened(self, action: str, settings: Mapping[str, Amount], before: Mapping[str, Amount], act: str) -> Verdict:
        """Read set values and output back; how long it was on, the supply does not know."""
        if action == "off":
            on = bool(self._status() & OUTPUT_ON)
            return Verdict(state="not_begun" if on else "done", why=f"its output is {'on' if on else 'off'}")
        values = self.resolved(action, settings)
        wanted = f"{float(values['voltage_v']):05.2f}", f"{float(values['current_a']):.3f}"
        as_set = (self._set("VSET1?"), self._set("ISET1?")) == wanted
        on = bool(self._status() & OUTPUT_ON)
        ours = self._applied if act == self.act else None
        if on and as_set:
            return Verdict(
                state="running" if action == "apply" else "done", why=f"it is on, set to {wanted[0]} V, {wanted[1]} A"
            )
        if action == "switch_on" or (ours is not None and not ours.started):
            return Verdict(state="not_begun", why="it is not on with these set values")
        achieved = {} if ours is None else {"charge": Amount(ours.charge_c, "C"), "time": Amount(ours.looked_s, "s")}
        return Verdict(state="partial", why="it is off, and keeps no record of how long it was on", achieved=achieved)

    def stop(self) -> None:
        """Switch the output off; harmless twice. Raises InstrumentFault when it stays on."""
        for _ in range(STOP_TRIES):
            self._tell("OUT0")
            if not self._status() & OUTPUT_ON:
                return
        raise InstrumentFault("its output is on after it was told to go off", kind="runaway")

    # --- how it is said -----------------------------------------------------------------------------------------

    def _begin(self, applied: Applied) -> None:
        self._applied = applied
        self.stop()  # set values change while nothing flows
        self._set_to("VSET1", f"{applied.volts:05.2f}")
        self._set_to("ISET1", f"{applied.amperes:.3f}")
        applied.started = True
        # That it is off may mean that nothing was heard, or that it was on (a protection tripped, the power was cut):
        # what is on for a time is an act, and not begun twice; what stays on is a state.
        for _ in range(1 if applied.time_s else SET_TRIES):
            self._tell("OUT1")
            if self._status() & OUTPUT_ON:
                return
        raise InstrumentFault(
            "its output is off right after it was told to go on (protection, panel, power, or nothing was heard)",
            kind="off",
        )

    def _set_to(self, what: str, value: str) -> None:
        """Set and read back; a lost command is said again, for nothing was started."""
        for _ in range(SET_TRIES):
            self._tell(f"{what}:{value}")
            if (said := self._set(f"{what}?")) == value:
                return
        raise InstrumentFault(f"{what} reads back as {said} where {value} was sent; nothing was started", kind="setup")

    def _terminals(self) -> tuple[float, float]:
        volts = self._volts.read(lambda: float(self._ask("VOUT1?")), "VOUT1?")
        return volts, self._amperes.read(lambda: float(self._ask("IOUT1?")), "IOUT1?")

    def _status(self) -> int:
        """Of the status byte what can be relied upon, made sure of: one wrong bit of it is another status."""
        return self._sure.ask(lambda: ord(self._ask("STATUS?")) & (OUTPUT_ON | CONSTANT_VOLTAGE), "STATUS?")

    def _set(self, text: str) -> str:
        return twice_alike(lambda: self._ask(text), text)

    def _serial(self) -> str:
        """The serial number of versions that tell it."""
        try:
            said: str = self.exchange(self._codec, Command("*IDN?", numbered=True), ANSWER_S)
        except LinkTimeout:
            return ""
        return said.rpartition(":")[2]

    def _ask(self, text: str) -> str:
        self._asked += 1
        said: str = self.exchange(self._codec, Command(text), ANSWER_S)
        return said

    def _tell(self, text: str) -> None:
        self.exchange(self._codec, Command(text), ANSWER_S)


def _readings(volts: float, amperes: float, status: int) -> dict[str, Reading]:
    return {
        "voltage": Reading(value=volts, unit="V"),
        "current": Reading(value=amperes, unit="A"),
        "mode": Reading(value="voltage" if status & CONSTANT_VOLTAGE else "current"),
    }
