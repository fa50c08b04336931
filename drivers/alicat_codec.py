"""The wire of Alicat controllers: lines, data frames, and commands that cannot be mistaken for an old setpoint.

Sources: see drivers/alicat.py, which has what it means for a driver.
"""

import re
from dataclasses import dataclass

from labloop.bench import LineCodec, ProtocolError, SpecError, shown

NUMBER = r"[-+](?=[\d.]{6,9}(?: |$))\d+\.\d+"
FRAME = re.compile(rf"(?:{NUMBER} ?)+ *\S+(?: +[A-Z][A-Z\d][A-Z])*")
ANSWERS = {
    "": FRAME,
    "S": FRAME,
    "HC": FRAME,
    "C": FRAME,
    "VE": re.compile(r"\S*\d+v\d+.*|GP.*"),
    "??M4": re.compile(r"M0?4 .*"),
    "??M5": re.compile(r"M0?5 .*"),
    "LS": re.compile(rf"({NUMBER}) ({NUMBER}) \d+ (\S+)"),
    "LSS": re.compile("[ASU]"),
}
MODEL = re.compile(r"(?P<family>[A-Z]+)-(?P<number>\d+(?:\.\d+)?)(?P<unit>SCCM|SLPM)\b.*")
# What ??D* of an MC with firmware 10v20 lists (alicatlib 0.3.1), and VTM of an older manual.
WORDS = ("MOV", "VOV", "POV", "P2O", "TOV", "HLD", "OPL", "OVR", "TMF", "COM", "GTA", "LCK", "EXH", "ADC", "VTM")


@dataclass(frozen=True, slots=True)
class Command:
    """What is asked or told: a key of ANSWERS; ``value`` of a setpoint (``decimals`` behind the point) or of LSS."""

    name: str
    value: float | str | None = None
    decimals: int = 2

    def __post_init__(self) -> None:
        if self.name == "S":
            fits = isinstance(self.value, float) and 0.0 <= self.value < 1e9 and self.decimals >= 1
        else:
            fits = self.name in ANSWERS and (self.value is None or (self.name, self.value) == ("LSS", "U"))
        if not fits:
            raise SpecError(f"{self.name!r} with {self.value!r} is nothing that is said to an Alicat")

    @property
    def text(self) -> str:
        if isinstance(self.value, float):
            return f"S{self.value:.{self.decimals}f}"
        return f"{self.name} {self.value}" if self.value else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The data frame, in the device's own units. ``words``: what is the matter with it."""

    pressure: float
    temperature_c: float
    flow: float
    setpoint: float
    gas: str
    words: tuple[str, ...]


class AlicatCodec(LineCodec):
    """Lines of one device, told from others by its letter."""

    def __init__(self, letter: str) -> None:
        self._letter = letter
        super().__init__(b"\r", longest=256)
        self._asked = ""

    def encode(self, command: Command) -> list[bytes]:
        self._asked = command.name
        return [f"{self._letter}{command.text}\r".encode("ascii")]

    def urgent(self, command: Command) -> bool:
        return command.name == "HC" or (command.name == "S" and command.value == 0.0)

    def probe(self, command: Command) -> Command:
        """A data frame has five numbers and more; everything else has not."""
        return Command("VE") if ANSWERS[command.name] is FRAME else Command("")

    def reply(self, line: bytes) -> str:
        """The answer without the letter, ``?`` for a refusal. Raises ProtocolError for other answers."""
        text = line.decode("ascii", "replace").strip("\n\0 ")
        if text in ("?", f"{self._letter} ?"):
            return "?"
        letter, _, rest = text.partition(" ")
        if letter != self._letter or not ANSWERS[self._asked].fullmatch(rest.strip()):
            raise ProtocolError(f"{shown(line)} is no answer to {self._asked!r}")
        return rest.strip()


def frame_of(text: str) -> Frame:
    """A data frame taken apart. Raises ProtocolError for one that is no controller's."""
    words = text.split()
    numbers = [float(word) for word in words if re.fullmatch(NUMBER, word)]
    rest = words[len(numbers) :]
    if not 5 <= len(numbers) <= 6 or not set(rest[1:]) <= set(WORDS):
        raise ProtocolError(f"{text!r} is no data frame of a mass flow controller (a meter's has no setpoint)")
    pressure, temperature_c, _, flow, setpoint = numbers[:5]
    return Frame(
        pressure=pressure, temperature_c=temperature_c, flow=flow, setpoint=setpoint, gas=rest[0],
        words=tuple(rest[1:]),
    )  # fmt: skip
