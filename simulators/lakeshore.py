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

from .lakeshore_controller import MOST_K, Controller
from .lakeshore_kept import CURVES, INPUTS, KEPT, OUTPUTS

LONGEST = 1024
SPACING_S = 0.05
LEAST_K = 0.0
NOT_UNDERSTOOD, NOT_POSSIBLE, COMPLETE = 32, 16, 1


class _Wrong(Exception):
    """A command or query that is not done, with its bit of the event register."""

    def __init__(self, bit: int) -> None:
        self.bit = bit
        super().__init__(str(bit))


class LS336(Controller):
    """options: serial; of the simulation: start, power, spacing."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(world, name, options)
        self.spacing_s = amount(options.get("spacing", SPACING_S), "s")
        self._spaced = "spacing" in options
        self._line = bytearray()
        self._begun = self._lost = False
        self._quiet_s = float("-inf")
        world.join(self)

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

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: half a message is lost too."""
        super().power_cycle(now_s)
        self._line.clear()
        self._begun = False


Command = Callable[[Controller, Sequence[str]], str | None]


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
    def reading(device: Controller, parts: Sequence[str]) -> str:
        places = INPUTS if parts == ["0"] else _one_of(INPUTS, parts)
        values = [device.input_k(place) for place in places]
        return ",".join(six(0.0 if value is None else value + offset) for value in values)

    return reading


def _sensor(device: Controller, parts: Sequence[str]) -> str:
    """A diode's volts: roughly 1.7 V at 4 K, falling by 2.3 mV/K."""
    places = INPUTS if parts == ["0"] else _one_of(INPUTS, parts)
    values = [device.input_k(place) for place in places]
    return ",".join(six(0.0 if value is None else max(1.7 - 0.0023 * value, 0.0)) for value in values)


def _event(device: Controller, parts: Sequence[str]) -> str:
    event, device.event = device.event, 0
    return f"{event:03d}"


def _clear(device: Controller, parts: Sequence[str]) -> None:
    device.event = 0


def _reset(device: Controller, parts: Sequence[str]) -> None:
    device.reset()


def _complete(device: Controller, parts: Sequence[str]) -> None:
    device.event |= COMPLETE


def _nothing(device: Controller, parts: Sequence[str]) -> None:
    """Done by being heard."""


def _set_setpoint(device: Controller, parts: Sequence[str]) -> None:
    device.set_target(_one_of(OUTPUTS, parts), _number(parts, 1, LEAST_K, MOST_K))


def _set_range(device: Controller, parts: Sequence[str]) -> None:
    output = _one_of(OUTPUTS, parts)
    device.set_range(output, str(int(_number(parts, 1, 0, 3 if output in "12" else 1))))


def _set_ramp(device: Controller, parts: Sequence[str]) -> None:
    output = _one_of(OUTPUTS, parts)
    device.ramp[output] = (int(_number(parts, 1, 0, 1)), _number(parts, 2, 0.0, 100.0))
    device.tell_loop()


def _set_pid(device: Controller, parts: Sequence[str]) -> None:
    gain, integral = _number(parts, 1, 0.1, 1000.0), _number(parts, 2, 0.0, 1000.0)
    device.pid[_one_of(OUTPUTS, parts)] = (gain, integral, _number(parts, 3, 0.0, 200.0))
    device.tell_loop()


def _set_outmode(device: Controller, parts: Sequence[str]) -> None:
    mode, place, lasting = (int(_number(parts, n, 0, most)) for n, most in ((1, 5), (2, 8), (3, 1)))
    device.outmode[_one_of(OUTPUTS, parts)] = f"{mode},{place},{lasting}"
    device.tell_loop()


def _set_manual(device: Controller, parts: Sequence[str]) -> None:
    device.manual[_one_of(OUTPUTS, parts)] = _number(parts, 1, 0.0, 100.0)
    device.tell_loop()


def _set_limit(device: Controller, parts: Sequence[str]) -> None:
    device.limit_k[_one_of(INPUTS, parts)] = _number(parts, 1, 0.0, MOST_K)
    device.tell_loop()


def _heater(device: Controller, parts: Sequence[str]) -> str:
    return f"{device.cryostat.percent if _one_of(OUTPUTS, parts) == '1' else 0.0:+06.1f}"


def _heater_status(device: Controller, parts: Sequence[str]) -> str:
    if _one_of(OUTPUTS, parts) != "1":
        return "0"
    said, device.heater = device.heater, 0
    device.tell_loop()
    return str(said)


def _pid(device: Controller, parts: Sequence[str]) -> str:
    return ",".join(f"{term:+07.1f}" for term in device.pid[_one_of(OUTPUTS, parts)])


def _ramp(device: Controller, parts: Sequence[str]) -> str:
    on, rate = device.ramp[_one_of(OUTPUTS, parts)]
    return f"{on},{rate:+06.1f}"


def _extremes(device: Controller, parts: Sequence[str]) -> str:
    now_k = device.input_k(_one_of(INPUTS, parts)) or 0.0
    return f"{six(now_k)},{six(now_k)}"


def _curve(device: Controller, parts: Sequence[str]) -> str:
    number = int(_number(parts, 0, 1, 59))
    return CURVES.get(number, f"User {number:<10},          ,2,+000.000,1")


def _no_point(device: Controller, parts: Sequence[str]) -> str:
    _number(parts, 0, 1, 59), _number(parts, 1, 1, 200)
    return "+0.00000,+0.00000"


def _zone(device: Controller, parts: Sequence[str]) -> str:
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
