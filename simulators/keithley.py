"""Keithley 2400 SourceMeter, simulated from its manual (2400S-900-01 Rev. K), with a device between its terminals.

Line: 9600 8N1 at the factory; CR and LF both end a message. Answers end with LF, or as the menu was set (14-14; option
``terminator``: CR, LF, CRLF, LFCR). Several messages may come at once.
What the manual says and a host stumbles over:

* Measuring takes its time (integration, three times with autozero, source delay), and until it is over nothing said
  is executed, except ABORt, *RST and SYSTem:PRESet; ^C and ^X (14-14) break off everything and throw it away.
* With the output off there is nothing to read: INITiate and READ? put +803 into the error queue and answer nothing.
* A unit with an error throws away the rest of its message (B-9). Settings never answer.
* The source clamps at its compliance: bit 3 of the status word (18-50) says that what was measured is a limit.
  What was neither sourced nor measured, or overflows its range, is +9.91e37.
* MEASure? and CONFigure put the function's settings back to *RST values (17-2), the compliance too.
* A change of terminals or of the source's function switches the output off.
* The buffer (TRACe) is kept by a battery; power comes back with everything else at its defaults and the output off.

options: ``model`` (2400), ``serial``; ``device``, see two_terminals. Not simulated: auto ohms (taken as manual ohms,
V/I at whatever is sourced), limits, math, digital lines, external triggers, list and memory sweeps, GPIB.

The ledger calls an output that is on ``source_voltage`` or ``source_current``; its amount is the level.
"""

import base64
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from labloop.simulation.world import World

from . import keithley_commands as commands
from . import keithley_settings as settings
from .scpi import ErrorQueue, Refused, Unit, units
from .two_terminals import read_two_terminals

NO_VALUE = 9.91e37
LINE_HZ = 60.0
# A message that is this long without an end overruns the input buffer.
LONGEST = 2048
MOST_READINGS = 2500
TERMINATORS = {"CR": b"\r", "LF": b"\n", "CRLF": b"\r\n", "LFCR": b"\n\r"}
# What stands in front of everything else, whatever the instrument is at.
AT_ONCE = (":ABORT", ":ABOR", "*RST", ":SYST:PRES", ":SYSTEM:PRESET")
ELEMENTS = ("VOLT", "CURR", "RES", "TIME", "STAT")
FRONT, COMPLIANCE, V_MEASURED, I_MEASURED, R_MEASURED, V_SOURCED, I_SOURCED, RANGE_COMPLIANCE, REMOTE_SENSE = (
    1 << bit for bit in (2, 3, 11, 12, 13, 14, 15, 16, 22)
)
FILTERED, AUTO_OHMS = 1 << 1, 1 << 10


@dataclass(slots=True)
class Run:
    """The trigger model at work: ``left`` cycles, the next ends at ``ends_s``; ``answers``: READ? waits for it."""

    left: int
    ends_s: float
    answers: bool
    done: int = 0


class K2400:
    """options: ``model``, ``serial``, ``device``, ``terminator``."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.model = str(options.get("model", "2400"))
        if self.model not in settings.MODELS:
            raise ValueError(f"{name}: model = {self.model!r}; known are {', '.join(settings.MODELS)}")
        self.serial = str(options.get("serial", "1234567"))
        ended = str(options.get("terminator", "LF"))
        if ended not in TERMINATORS:
            raise ValueError(f"{name}: terminator = {ended!r}; known are {', '.join(TERMINATORS)}")
        self._end = TERMINATORS[ended]
        self.device = read_two_terminals(options.get("device") or {})
        self.set: dict[str, Any] = settings.defaults(self.model)
        self.errors = ErrorQueue()
        self.event, self.measurement_event = 0x80, 0  # 0x80: power on
        self.output = False
        self.sample: list[tuple[float, ...]] = []  # what FETCh? gives
        self.buffer: list[tuple[float, ...]] = []  # what TRACe:DATA? gives
        self.now_s = self.zero_s = 0.0
        self.count = 0
        self._line = bytearray()
        self._waiting: list[str] = []
        self._run: Run | None = None
        self._half: list[str] = []  # answers of a message that is not finished yet
        self._rest: list[Unit] = []
        self._said = bytearray()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        for byte in data:
            if byte in (0x03, 0x18):
                self._clear()
            elif byte in (0x0A, 0x0D):
                message = bytes(self._line).decode("ascii", "replace").strip()
                self._line.clear()
                if message:
                    self._hear(message)
            else:
                self._line.append(byte)
                if len(self._line) > LONGEST:
                    self._line.clear()
                    self._error(-363)
        said, self._said = bytes(self._said), bytearray()
        return said

    def _clear(self) -> None:
        """^C or ^X: whatever it is at is broken off, whatever it has to say is thrown away."""
        self._line.clear()
        self._waiting.clear()
        self._rest, self._half = [], []
        self._said.clear()
        self._run = None

    def _hear(self, message: str) -> None:
        if self._run is not None and message.upper().rstrip("; ") in AT_ONCE:
            self.abort()
        self._waiting.append(message)
        self._work()

    def _work(self) -> None:
        """Execute what waits, as far as measuring lets it."""
        while self._run is None and (self._rest or self._waiting):
            if not self._rest:
                self._half = []
                self._rest = self._read(self._waiting.pop(0))
                continue
            unit = self._rest.pop(0)
            try:
                answer = self._do(unit)
            except Refused as refusal:
                self._refuse(refusal)
                continue
            if answer is not None:
                self._half.append(answer)
            if self._run is None and not self._rest:
                self._answer()

    def _read(self, message: str) -> list[Unit]:
        found: list[Unit] = []
        try:
            for unit in units(message):
                found.append(unit)
        except Refused as refusal:
            found.append(Unit(f"!{refusal.code}", False, ()))
        return found

    def _refuse(self, refusal: Refused) -> None:
        self._error(refusal.code)
        self._rest = []
        self._answer()

    def _answer(self) -> None:
        if self._half:
            self._said += ";".join(self._half).encode("ascii") + self._end
            self._half = []

    def _error(self, code: int) -> None:
        self.errors.add(code)
        self.event |= 0x20 if -200 < code <= -100 else 0x10 if -300 < code <= -200 else 0x08

    # -- commands ----------------------------------------------------------------------------------------------------
    def _do(self, unit: Unit) -> str | None:
        if unit.header.startswith("!"):
            raise Refused(int(unit.header[1:]))
        command = commands.find(unit.header, unit.asks)
        if command is not None:
            return command(self, unit.asks, unit.parameters)
        setting = settings.find(unit.header)
        if setting is None:
            raise Refused(-113)
        if unit.asks:
            if unit.parameters:
                return settings.written(setting.read(self.model, unit.parameters, self.set))
            return settings.written(self.set[setting.name])
        value = setting.read(self.model, unit.parameters, self.set)
        before = self.set[setting.name]
        settings.put(self.set, setting.name, value, self.model)
        if setting.name in settings.SWITCH_OFF and value != before:
            self.switch(False)
        return None

    def switch(self, on: bool) -> None:
        if on == self.output:
            return
        self.output = on
        name, unit = ("source_voltage", "V") if self.set["function"] == "VOLT" else ("source_current", "A")
        write = self.world.ledger.begin if on else self.world.ledger.end
        write(self.now_s, self.name, name, self._level(), unit)

    def initiate(self, *, answers: bool) -> None:
        if not self.output and not self.set["auto_off"]:
            raise Refused(803)
        self.sample = []
        cycles = int(self.set["trigger_count"] * self.set["arm_count"])
        self._run = Run(cycles, self.now_s + self._cycle_s(), answers)
        if self.set["auto_off"]:
            self.switch(True)

    def abort(self) -> None:
        if self._run is not None:
            self._run = None
            self._rest, self._half = [], []

    def reset(self) -> None:
        self.switch(False)
        self.set = settings.reset(self.set, self.model)
        self._run = None

    def configure(self, function: str) -> None:
        """17-2: the function's settings as after *RST, one reading, no buffer, output on."""
        fresh = settings.defaults(self.model)
        for name in settings.OF_FUNCTION[function]:
            self.set[name] = fresh[name]
        self.set |= {
            "functions": (function,), "trigger_count": 1, "arm_count": 1, "trigger_delay": 0.0, "trigger_source": "IMM",
            "arm_source": "IMM", "feed_control": "NEV", "autozero": "1",
        }  # fmt: skip
        self.switch(True)

    # -- measuring ---------------------------------------------------------------------------------------------------
    def _cycle_s(self) -> float:
        """One source-delay-measure cycle: each measured function integrates once, thrice with autozero."""
        measured = max(1, len({"VOLT", "CURR"} & set(self.measured())))
        nplc = self.set["nplc"]
        phases = 3 if self.set["autozero"] == "1" else 1
        delay_s = 0.003 if self.set["delay_auto"] else self.set["delay"]
        repeats = self.set["filter_count"] if self.set["filter"] and self.set["filter_control"] == "REP" else 1
        return float(self.set["trigger_delay"] + delay_s + repeats * measured * phases * nplc / LINE_HZ + 0.002)

    def measured(self) -> tuple[str, ...]:
        functions: tuple[str, ...] = self.set["functions"]
        return functions if self.set["concurrent"] else functions[:1]

    def _level(self) -> float:
        name = "voltage" if self.set["function"] == "VOLT" else "current"
        if self.set[f"{name}_mode"] == "SWE" and self._run is not None:
            start, stop, points = self.set[f"{name}_start"], self.set[f"{name}_stop"], self.set["sweep_points"]
            place = min(self._run.done % max(points, 1), points - 1) / max(points - 1, 1)
            if self.set["sweep_spacing"] == "LOG" and start * stop > 0.0:
                return float(start * (stop / start) ** place)
            return float(start + (stop - start) * place)
        return float(self.set[name])

    def operate(self) -> tuple[float, float, int]:
        """Voltage, current and the bits of compliance at the terminals now."""
        sourced = self.set["function"]
        other = "CURR" if sourced == "VOLT" else "VOLT"
        limit, bit = abs(self.set[f"protection_{other}"]), COMPLIANCE
        if other in self.measured() and not self.set[f"range_auto_{other}"] and self.set[f"range_{other}"] < limit:
            limit, bit = self.set[f"range_{other}"], RANGE_COMPLIANCE
        level = self._level()
        if sourced == "VOLT":
            amps = self.device.at_voltage(level)
            if abs(amps) <= limit:
                return level, amps, 0
            amps = math.copysign(limit, amps)
            return self.device.at_current(amps), amps, bit
        volts = self.device.at_current(level)
        if abs(volts) <= limit:
            return volts, level, 0
        volts = math.copysign(limit, volts)
        return volts, self.device.at_voltage(volts), bit

    def _measure(self) -> tuple[float, ...]:
        volts, amps, bits = self.operate()
        measured, sourced = self.measured(), self.set["function"]
        self.count += 1
        noise = np.random.default_rng([self.world.seed, self.count]).standard_normal(2)
        spread = 1.0 / math.sqrt(max(self.set["nplc"], 0.01))
        seen_v = volts + noise[0] * spread * 1e-6 * settings.range_of(self.model, "VOLT", volts)
        seen_a = amps + noise[1] * spread * 2e-6 * settings.range_of(self.model, "CURR", amps)
        voltage = seen_v if "VOLT" in measured else self._level() if sourced == "VOLT" else NO_VALUE
        current = seen_a if "CURR" in measured else self._level() if sourced == "CURR" else NO_VALUE
        resistance = seen_v / seen_a if "RES" in measured and seen_a else NO_VALUE
        bits |= FRONT * (self.set["terminals"] == "FRON") | REMOTE_SENSE * self.set["remote_sense"]
        bits |= FILTERED * self.set["filter"] | AUTO_OHMS * (self.set["ohms_mode"] == "AUTO" and "RES" in measured)
        bits |= V_MEASURED * ("VOLT" in measured) | I_MEASURED * ("CURR" in measured) | R_MEASURED * ("RES" in measured)
        bits |= V_SOURCED if sourced == "VOLT" else I_SOURCED
        return (voltage, current, resistance, (self.now_s - self.zero_s) % 100_000.0, float(bits))

    def readings(self, readings: list[tuple[float, ...]]) -> str:
        places = [ELEMENTS.index(element) for element in ELEMENTS if element in self.set["elements"]]
        return ",".join(f"{reading[place]:+.6E}" for reading in readings for place in places)

    # -- time --------------------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        return None if self._run is None else self._run.ends_s

    def advance(self, now_s: float) -> None:
        while self._run is not None and self._run.ends_s <= now_s:
            self.now_s = max(self.now_s, self._run.ends_s)
            self._cycle(self._run)
        self.now_s = max(self.now_s, now_s)

    def _cycle(self, run: Run) -> None:
        reading = self._measure()
        self.measurement_event |= commands.AVAILABLE | commands.IN_COMPLIANCE * bool(int(reading[4]) & COMPLIANCE)
        self.sample = [*self.sample, reading][-MOST_READINGS:]
        if self.set["feed_control"] == "NEXT":
            self.buffer.append(reading)
            if len(self.buffer) >= self.set["buffer_points"]:
                self.set["feed_control"] = "NEV"
                self.measurement_event |= commands.BUFFER_FULL
        run.done += 1
        run.left -= 1
        if run.left > 0:
            run.ends_s += self._cycle_s()
            return
        if self.set["auto_off"]:
            self.switch(False)
        self._run = None
        if run.answers:
            self._half.append(self.readings(self.sample))
        if not self._rest:
            self._answer()
        self._work()

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: output off, everything as at the factory; the buffer has a battery."""
        self.world.settle(now_s)
        self._clear()
        self.switch(False)
        self.set = settings.defaults(self.model)
        self.errors, self.event, self.measurement_event = ErrorQueue(), 0x80, 0
        self.sample, self.zero_s = [], now_s

    def state(self) -> Mapping[str, Any]:
        kept = {name: getattr(self, name) for name in _KEPT}
        kept["set"] = {name: list(value) if isinstance(value, tuple) else value for name, value in self.set.items()}
        kept["errors"] = list(self.errors.codes)
        kept["buffer"] = base64.b64encode(b"".join(struct.pack("<5d", *one) for one in self.buffer)).decode()
        return kept

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.set = {name: tuple(value) if isinstance(value, list) else value for name, value in state["set"].items()}
        self.errors.codes = list(state["errors"])
        self.buffer = list(struct.iter_unpack("<5d", base64.b64decode(state["buffer"])))


_KEPT = ("event", "measurement_event", "output", "now_s", "zero_s", "count")
