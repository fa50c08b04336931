"""Lake Shore 336 temperature controller, simulated from its manual (119-048, chapter 6), on a small cryostat.

Line: USB at 57600 7O1, or Ethernet. A message is one command or query or several between ";", ended with LF (a CR in
front of it is passed over); the answers come in one line, joined by ";", ended with CR LF. A command answers nothing;
``*ESR?`` (added to the same message, as the maker's own client does) tells: 32 not understood, 16 not possible.

    *IDN? *ESR? *ESE *CLS *RST *OPC *SRE *STB? *TST? *WAI
    KRDG? CRDG? SRDG? <A..D, 0: all>   RDGST? <A..D>   INTYPE INNAME INCRV FILTER TLIMIT <A..D>   ALMRST MNMXRST
    SETP RANGE RAMP PID OUTMODE MOUT HTRSET <1..4>   HTR? HTRST? RAMPST? AOUT? <1..4>   MODE BRIGT LEDS LOCK
    ALARM DIOCUR <A..D>   ALARMST? MDAT? <A..D>   ANALOG WARMUP POLARITY <3, 4>   RELAY RELAYST? <1, 2>   DISPLAY
    INTSEL   TUNEST?   CRVHDR? CRVPT? <1..59>   ZONE? <1..4>,<1..10>: kept or told, and of no effect

Over USB a message that begins within 50 ms of the last one, or of its answer, is lost (6.3.5); over a TCP port, which
is its Ethernet, there is no such rule (``spacing`` sets one). Power comes back with heaters off, else as it was.

Inputs: A the stage, B the sample; C and D have no sensor. Output 1 heats the stage (50 W in its high range, a tenth and
a hundredth of that in the others), the others heat nothing. A stage above its TLIMIT switches the outputs off. Our
reading, not the manual's: SETP? tells the setpoint on its way while it ramps; an input without a sensor reads +0.00000
with status 1; HTRST? clears what it tells.

options: ``serial``; of the simulation: ``start`` (temperature in K), ``power`` (of the high range), ``spacing``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

from .cryostat import COLD_K, Cryostat
from .lakeshore_kept import CURVES, INPUTS, KEPT, OUTPUTS

LONGEST = 1024
SPACING_S = 0.05
LEAST_K, MOST_K = 0.0, 1505.0
NOT_UNDERSTOOD, NOT_POSSIBLE, POWER_ON, COMPLETE = 32, 16, 128, 1
SHARES = {"0": 0.0, "1": 0.01, "2": 0.1, "3": 1.0}


class _Wrong(Exception):
    """A command or query that is not done, with its bit of the event register."""

    def __init__(self, bit: int) -> None:
        self.bit = bit
        super().__init__(str(bit))


class LS336:
    """options: serial; of the simulation: start, power, spacing."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.serial = str(options.get("serial", "LSA1234/#######"))
        self.power_w = amount(options.get("power", 50.0), "W")
        self.spacing_s = amount(options.get("spacing", SPACING_S), "s")
        self._spaced = "spacing" in options
        self.cryostat = Cryostat(amount(options.get("start", COLD_K), "K"))
        self.event = POWER_ON
        self.kept = {command: dict.fromkeys(places or " ", first) for command, (places, first) in KEPT.items()}
        self.outmode = {"1": "1,1,0", "2": "1,2,0", "3": "0,0,0", "4": "0,0,0"}
        self.range = dict.fromkeys(OUTPUTS, "0")
        self.setpoint_k = dict.fromkeys("234", 0.0)
        self.pid = {output: (50.0, 20.0, 0.0) for output in OUTPUTS}
        self.ramp = dict.fromkeys(OUTPUTS, (0, 0.0))
        self.manual = dict.fromkeys(OUTPUTS, 0.0)
        self.limit_k = dict.fromkeys(INPUTS, 0.0)
        self.heater = 0  # what HTRST? tells of output 1
        self.now_s = 0.0
        self._line = bytearray()
        self._begun = self._lost = False
        self._quiet_s = float("-inf")
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        out = bytearray()
        for byte in data:
            if not self._begun:
                self._begun = True
                self._lost = now_s - self._quiet_s < self.spacing_s * self.world.speed - 1e-9
            if byte == 0x0A:
                if not self._lost:
                    out += self._message(bytes(self._line).decode("ascii", "replace").strip())
                self._line.clear()
                self._begun, self._quiet_s = False, now_s
            elif len(self._line) < LONGEST:
                self._line.append(byte)
        return bytes(out)

    def _message(self, message: str) -> bytes:
        answers = []
        for text in filter(None, (one.strip().removeprefix(":") for one in message.split(";"))):
            try:
                answer = self._do(text)
            except _Wrong as wrong:
                self.event |= wrong.bit
            else:
                if answer is not None:
                    answers.append(answer)
        return ";".join(answers).encode("ascii") + b"\r\n" if answers else b""

    def _do(self, text: str) -> str | None:
        match = re.fullmatch(r"(\*?[A-Za-z]+)(\??)(?:\s+(.*))?", text)
        if match is None:
            raise _Wrong(NOT_UNDERSTOOD)
        word, asks, rest = match[1].upper(), match[2] == "?", match[3] or ""
        parts = [part.strip() for part in rest.split(",")] if rest else []
        if word in KEPT:
            return self._keep(word, asks, parts)
        command = (_QUERIES if asks else _ORDERS).get(word)
        if command is None:
            raise _Wrong(NOT_UNDERSTOOD)
        return command(self, parts)

    def _keep(self, word: str, asks: bool, parts: Sequence[str]) -> str | None:
        places = KEPT[word][0]
        place = _one_of(places, parts) if places else " "
        rest = parts[1:] if places else parts
        if asks:
            return self.kept[word][place]
        if not rest:
            raise _Wrong(NOT_POSSIBLE)
        self.kept[word][place] = ",".join(part.strip('"') for part in rest)
        return None

    def over_tcp(self) -> None:
        """It is reached by its Ethernet port."""
        if not self._spaced:
            self.spacing_s = 0.0

    # -- what it does ------------------------------------------------------------------------------------------------
    def input_k(self, place: str) -> float | None:
        """What an input reads; None: it has no sensor."""
        return {"A": self.cryostat.stage_k, "B": self.cryostat.sample_k}.get(place)

    def status(self, place: str) -> int:
        value_k = self.input_k(place)
        return 1 if value_k is None else 32 if value_k > MOST_K else 0

    def target(self, output: str) -> float:
        return self.cryostat.setpoint_k if output == "1" else self.setpoint_k[output]

    def set_target(self, output: str, value_k: float) -> None:
        if output == "1":
            self.cryostat.aim(value_k)
        else:
            self.setpoint_k[output] = value_k

    def set_range(self, output: str, value: str, at_s: float | None = None) -> None:
        before, self.range[output] = self.range[output], value
        if output == "1" and (before == "0") != (value == "0"):
            write = self.world.ledger.end if value == "0" else self.world.ledger.begin
            write(self.now_s if at_s is None else at_s, self.name, "hold", self.cryostat.stage_k, "K")
            if value != "0" and self.ramp["1"][0]:
                self.cryostat.setpoint_k = self.cryostat.stage_k  # a ramp starts where the stage is
        self.tell_loop()

    def tell_loop(self) -> None:
        loop, (on, rate) = self.cryostat.loop, self.ramp["1"]
        mode = self.outmode["1"].partition(",")[0]
        heats = mode in ("1", "2", "3") and self.heater == 0
        loop.most_w = self.power_w * SHARES[self.range["1"]] if heats else 0.0
        loop.closed = mode != "3"
        loop.gain, loop.reset, _ = self.pid["1"]
        loop.manual = self.manual["1"]
        loop.limits_k = (self.limit_k["A"], self.limit_k["B"])
        loop.ramp_k_s = rate / 60.0 if on and rate else None

    def stall(self, now_s: float) -> None:
        """The heater's wire breaks: the output goes off, and HTRST? tells of an open load."""
        self.world.settle(now_s)
        self.heater = 1
        self.set_range("1", "0")

    # -- time and state ----------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        return None

    def advance(self, now_s: float) -> None:
        self.cryostat.go(now_s)
        self.now_s = max(self.now_s, now_s)
        if (tripped_s := self.cryostat.tripped_s) is not None:
            self.cryostat.tripped_s = None
            for output in OUTPUTS:
                self.set_range(output, "0", tripped_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: heaters off, the rest is kept."""
        self.world.settle(now_s)
        for output in OUTPUTS:
            self.set_range(output, "0")
        self.event = POWER_ON
        self._line.clear()
        self._begun = False

    def reset(self) -> None:
        """*RST: what the interface has set, as after switching on."""
        for output in OUTPUTS:
            self.set_range(output, "0")

    def state(self) -> Mapping[str, Any]:
        return {**{name: getattr(self, name) for name in _KEPT}, "cryostat": self.cryostat.state(),
                "target_k": self.cryostat.loop.target_k}  # fmt: skip

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.pid = {output: (p, i, d) for output, (p, i, d) in self.pid.items()}
        self.ramp = {output: (on, rate) for output, (on, rate) in self.ramp.items()}
        self.cryostat.restore(state["cryostat"])
        self.cryostat.loop.target_k = state["target_k"]
        self.tell_loop()


_KEPT = ("event", "kept", "outmode", "range", "setpoint_k", "pid", "ramp", "manual", "limit_k", "heater", "now_s")
Command = Callable[[LS336, Sequence[str]], str | None]


def _one_of(places: str, parts: Sequence[str]) -> str:
    place = parts[0].upper() if parts else ""
    if len(place) != 1 or place not in places:
        raise _Wrong(NOT_POSSIBLE)
    return place


def _number(parts: Sequence[str], place: int, low: float, high: float) -> float:
    try:
        value = float(parts[place])
    except (IndexError, ValueError):
        raise _Wrong(NOT_POSSIBLE) from None
    if not low <= value <= high:
        raise _Wrong(NOT_POSSIBLE)
    return value


def six(value: float) -> str:
    """Six digits with a sign, the point where it belongs: +4.20090, +77.0000, +299.876."""
    whole = len(str(int(abs(value))))
    return f"{value:+.{max(6 - whole, 0)}f}"


def _reading(offset: float) -> Command:
    def reading(device: LS336, parts: Sequence[str]) -> str:
        places = INPUTS if parts == ["0"] else _one_of(INPUTS, parts)
        values = [device.input_k(place) for place in places]
        return ",".join(six(0.0 if value is None else value + offset) for value in values)

    return reading


def _sensor(device: LS336, parts: Sequence[str]) -> str:
    """A diode's volts: roughly 1.7 V at 4 K, falling by 2.3 mV/K."""
    places = INPUTS if parts == ["0"] else _one_of(INPUTS, parts)
    values = [device.input_k(place) for place in places]
    return ",".join(six(0.0 if value is None else max(1.7 - 0.0023 * value, 0.0)) for value in values)


def _event(device: LS336, parts: Sequence[str]) -> str:
    event, device.event = device.event, 0
    return f"{event:03d}"


def _clear(device: LS336, parts: Sequence[str]) -> None:
    device.event = 0


def _reset(device: LS336, parts: Sequence[str]) -> None:
    device.reset()


def _complete(device: LS336, parts: Sequence[str]) -> None:
    device.event |= COMPLETE


def _nothing(device: LS336, parts: Sequence[str]) -> None:
    """Done by being heard."""


def _set_setpoint(device: LS336, parts: Sequence[str]) -> None:
    device.set_target(_one_of(OUTPUTS, parts), _number(parts, 1, LEAST_K, MOST_K))


def _set_range(device: LS336, parts: Sequence[str]) -> None:
    output = _one_of(OUTPUTS, parts)
    device.set_range(output, str(int(_number(parts, 1, 0, 3 if output in "12" else 1))))


def _set_ramp(device: LS336, parts: Sequence[str]) -> None:
    output = _one_of(OUTPUTS, parts)
    device.ramp[output] = (int(_number(parts, 1, 0, 1)), _number(parts, 2, 0.0, 100.0))
    device.tell_loop()


def _set_pid(device: LS336, parts: Sequence[str]) -> None:
    gain, integral = _number(parts, 1, 0.1, 1000.0), _number(parts, 2, 0.0, 1000.0)
    device.pid[_one_of(OUTPUTS, parts)] = (gain, integral, _number(parts, 3, 0.0, 200.0))
    device.tell_loop()


def _set_outmode(device: LS336, parts: Sequence[str]) -> None:
    mode, place, lasting = (int(_number(parts, n, 0, most)) for n, most in ((1, 5), (2, 8), (3, 1)))
    device.outmode[_one_of(OUTPUTS, parts)] = f"{mode},{place},{lasting}"
    device.tell_loop()


def _set_manual(device: LS336, parts: Sequence[str]) -> None:
    device.manual[_one_of(OUTPUTS, parts)] = _number(parts, 1, 0.0, 100.0)
    device.tell_loop()


def _set_limit(device: LS336, parts: Sequence[str]) -> None:
    device.limit_k[_one_of(INPUTS, parts)] = _number(parts, 1, 0.0, MOST_K)
    device.tell_loop()


def _heater(device: LS336, parts: Sequence[str]) -> str:
    return f"{device.cryostat.percent if _one_of(OUTPUTS, parts) == '1' else 0.0:+06.1f}"


def _heater_status(device: LS336, parts: Sequence[str]) -> str:
    if _one_of(OUTPUTS, parts) != "1":
        return "0"
    said, device.heater = device.heater, 0
    device.tell_loop()
    return str(said)


def _pid(device: LS336, parts: Sequence[str]) -> str:
    return ",".join(f"{term:+07.1f}" for term in device.pid[_one_of(OUTPUTS, parts)])


def _ramp(device: LS336, parts: Sequence[str]) -> str:
    on, rate = device.ramp[_one_of(OUTPUTS, parts)]
    return f"{on},{rate:+06.1f}"


def _extremes(device: LS336, parts: Sequence[str]) -> str:
    now_k = device.input_k(_one_of(INPUTS, parts)) or 0.0
    return f"{six(now_k)},{six(now_k)}"


def _curve(device: LS336, parts: Sequence[str]) -> str:
    number = int(_number(parts, 0, 1, 59))
    return CURVES.get(number, f"User {number:<10},          ,2,+000.000,1")


def _no_point(device: LS336, parts: Sequence[str]) -> str:
    _number(parts, 0, 1, 59), _number(parts, 1, 1, 200)
    return "+0.00000,+0.00000"


def _zone(device: LS336, parts: Sequence[str]) -> str:
    _one_of(OUTPUTS, parts), _number(parts, 1, 1, 10)
    return "+0.00000,+0050.0,+0020.0,+000.0,+000.00,0,0,+000.1"


_QUERIES: dict[str, Command] = {
    "*IDN": lambda device, parts: f"LSCI,MODEL336,{device.serial},2.9",
    "*ESR": _event,
    "*ESE": lambda device, parts: "000",
    "*SRE": lambda device, parts: "000",
    "*STB": lambda device, parts: f"{0x20 * bool(device.event):03d}",
    "*TST": lambda device, parts: "0",
    "*OPC": lambda device, parts: "1",
    "KRDG": _reading(0.0),
    "CRDG": _reading(-273.15),
    "SRDG": _sensor,
    "RDGST": lambda device, parts: f"{device.status(_one_of(INPUTS, parts)):03d}",
    "SETP": lambda device, parts: six(device.target(_one_of(OUTPUTS, parts))),
    "RANGE": lambda device, parts: device.range[_one_of(OUTPUTS, parts)],
    "RAMP": _ramp,
    "RAMPST": lambda device, parts: str(int(_one_of(OUTPUTS, parts) == "1" and device.cryostat.ramping)),
    "PID": _pid,
    "OUTMODE": lambda device, parts: device.outmode[_one_of(OUTPUTS, parts)],
    "MOUT": lambda device, parts: f"{device.manual[_one_of(OUTPUTS, parts)]:+.3f}",
    "TLIMIT": lambda device, parts: f"{device.limit_k[_one_of(INPUTS, parts)]:+.4f}",
    "HTR": _heater,
    "AOUT": _heater,
    "HTRST": _heater_status,
    "ALARMST": lambda device, parts: _one_of(INPUTS, parts) and "0,0",
    "RELAYST": lambda device, parts: _one_of("12", parts) and "0",
    "TUNEST": lambda device, parts: "0,1,0,00",
    "MDAT": _extremes,
    "CRVHDR": _curve,
    "CRVPT": _no_point,
    "ZONE": _zone,
}
_ORDERS: dict[str, Command] = {
    "*CLS": _clear,
    "*RST": _reset,
    "*OPC": _complete,
    "*WAI": _nothing,
    "*ESE": _nothing,
    "*SRE": _nothing,
    "SETP": _set_setpoint,
    "RANGE": _set_range,
    "RAMP": _set_ramp,
    "PID": _set_pid,
    "OUTMODE": _set_outmode,
    "MOUT": _set_manual,
    "TLIMIT": _set_limit,
    "ALMRST": _nothing,
    "MNMXRST": _nothing,
}
