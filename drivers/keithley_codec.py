"""The wire of Keithley 2400 SourceMeters: SCPI lines, what answers what, and the five elements of a reading.

Source: 2400 Series SourceMeter user's manual, 2400S-900-01 Rev. K ("manual"); drivers/keithley.py has what it means for
a driver.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack

from labloop.bench import InstrumentFault, LineCodec, ProtocolError, Reading, shown, written

NUMBER = r"[-+]?\d\.\d{6}E[-+]\d\d"
# What answers what. Several numbers look alike; the probe is none of them.
ANSWERS = {
    "*IDN?": re.compile(r"(KEITHLEY INSTRUMENTS INC\. ?, ?MODEL [ -~]+)"),
    "*OPC?": re.compile(r"(1)"),
    ":OUTP?": re.compile(r"([01])"),
    ":SYST:ERR?": re.compile(r'(0,"No error"|[-+]?\d{3},"[ -~]+")'),
    ":SYST:RSEN?": re.compile(r"([01])"),
    ":ROUT:TERM?": re.compile(r"(FRON|REAR)"),
    ":SOUR:FUNC?": re.compile(r"(VOLT|CURR)"),
    ":SENS:FUNC?": re.compile(r'("[A-Z:",]+")'),
    ":DISP:WIND2:TEXT:DATA?": re.compile(r'"?([ -!#-~]{0,32})"?'),
    ":READ?": re.compile(rf"({NUMBER}(?:,{NUMBER}){{4}})"),
    ":FETC?": re.compile(rf"({NUMBER}(?:,{NUMBER}){{4}})"),
}
LEVEL = re.compile(rf"({NUMBER})")
# 18-50: no value (not measured), and the same for a reading above its range (7-2).
NO_VALUE = 9.9e37
# 18-50: bit 3 real compliance, bit 16 range compliance.
LIMITED = 1 << 3 | 1 << 16
BREAK = "\x03"


@dataclass(frozen=True, slots=True)
class Command:
    """One line: ``:OUTP?`` asks, ``:OUTP ON`` is silent; BREAK is a byte alone that breaks off what runs."""

    text: str

    @property
    def asks(self) -> bool:
        return self.text.endswith("?")


@dataclass(frozen=True, slots=True)
class Measured:
    """One reading. None: no value. ``limited``: the source stood at its limit, so this is a bound and no value."""

    voltage_v: float | None
    current_a: float | None
    limited: bool

    def __str__(self) -> str:
        volts = "no voltage" if self.voltage_v is None else written(self.voltage_v, "V")
        amps = "no current" if self.current_a is None else written(self.current_a, "A")
        return f"{volts} and {amps}"


class KeithleyCodec(LineCodec):
    """Lines; an answer has the shape that its question asks for.

    Its menu lets CR, LF, or both in either order end its answers (14-14): whichever comes first ends a line.
    """

    def __init__(self) -> None:
        super().__init__(b"\n", longest=512)
        self._asked = ""
        self._ended = b""  # the byte that ended the last line; the other one right after it is the same end

    def reset(self) -> None:
        super().reset()
        self._ended = b""

    def feed(self, data: bytes | list[bytes]) -> str | None:
        """The answer; None: more is needed. Raises ProtocolError."""
        said = bytearray()
        for byte in data if isinstance(data, bytes) else b"".join(data):
            ends = byte in b"\r\n"
            if ends and self._ended and byte != self._ended[0]:
                self._ended = b""
                continue
            self._ended = bytes([byte]) if ends else b""
            said.append(0x0A if ends else byte)
        answer: str | None = super().feed(bytes(said))
        return answer

    def encode(self, command: Command) -> list[bytes]:
        self._asked = command.text
        return [command.text.encode("ascii") + (b"" if command.text == BREAK else b"\n")]

    def expects_reply(self, command: Command) -> bool:
        return command.asks

    def urgent(self, command: Command) -> bool:
        return command.text in (BREAK, ":OUTP OFF")

    def probe(self, command: Command) -> Command:
        """The identity is answered like nothing else; after a lost identity, the output's state is."""
        return Command(":OUTP?" if command.text == "*IDN?" else "*IDN?")

    def reply(self, line: bytes) -> str | None:
        """The answer, without quotes round a text. Raises ProtocolError for what answers another question."""
        if not line and "TEXT" not in self._asked:
            return None  # half of an end whose other half was thrown away
        match = ANSWERS.get(self._asked, LEVEL).fullmatch(line.decode("ascii", "replace"))
        if match is None:
            raise ProtocolError(f"{shown(line)} is no answer to {self._asked!r}")
        return match[1]


def number(value: float) -> str:
    """A number as it is sent: as many digits as the instrument keeps (it answers with seven)."""
    return f"{value:.6E}"


def measured(answer: str) -> Measured:
    """The answer to READ? with the elements voltage, current, resistance, time, status. Raises ProtocolError."""
    voltage, current, _, _, status = (float(one) for one in answer.split(","))
    if not 0 <= status < 1 << 24 or status != int(status):
        raise ProtocolError(f"a status of {status:g} in {answer!r}")
    return Measured(
        voltage if abs(voltage) < NO_VALUE else None,
        current if abs(current) < NO_VALUE else None,
        bool(int(status) & LIMITED),
    )


def readings_of(now: Measured, source: str = "") -> dict[str, Reading]:
    """By signal; what has no value is left out. ``source``: VOLT or CURR; at its limit the other one is a bound."""
    bounded = {"VOLT": "current", "CURR": "voltage"}.get(source, "") if now.limited else ""
    found = {"limited": Reading(value="yes" if now.limited else "no")}
    for name, value, unit in (("voltage", now.voltage_v, "V"), ("current", now.current_a, "A")):
        if value is not None:
            found[name] = Reading(value=value, unit=unit, censored=beyond(value) if name == bounded else "")
    return found


def beyond(value: float) -> str:
    """Where what was asked for would lie, of what stands at its limit."""
    return "above" if value > 0.0 else "below"


def curves_of(points: Sequence[Measured]) -> tuple[dict[str, Reading], dict[str, bytes]]:
    """The points of a sweep that are values, and apart from them (if there are any) those that are bounds: by signal.

    What is made of the first is then only a bound as well.
    """
    bounds = [one for one in points if one.limited]
    sides = {beyond(one.current_a or 0.0) for one in bounds}
    flag = "at its limit both above and below; allow a larger current_limit" if len(sides) > 1 else ""
    readings = {"curve": Reading(unit="A", flag=flag, censored="" if flag else "".join(sides))}
    arrays = {"curve": array_of([one for one in points if not one.limited])}
    if bounds:
        readings["bounds"], arrays["bounds"] = Reading(unit="A"), array_of(bounds)
    return readings, arrays


def resistance_of(now: Measured) -> Reading:
    """Voltage over current. Raises InstrumentFault where one of them is nothing."""
    if not now.voltage_v or not now.current_a:
        raise InstrumentFault(f"{now} is no resistance", kind="overflow")
    return Reading(value=now.voltage_v / now.current_a, unit="ohm")


def array_of(points: Sequence[Measured]) -> bytes:
    """n voltages, then n currents: float64, little-endian. Every point has both."""
    numbers = [one.voltage_v for one in points] + [one.current_a for one in points]
    return pack(f"<{len(numbers)}d", *numbers)
