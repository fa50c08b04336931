"""Command strings of Cavro pumps taken apart: one letter and its numbers each."""

import re
from dataclasses import dataclass

STROKE = 24_000
PORTS = 12
NO_COMMAND, BAD_NUMBER, BAD_SEQUENCE, NOT_INITIALIZED, PLUNGER, BUSY = 2, 3, 4, 7, 9, 15
# XP 3000 manual: what holds after power-up.
DEFAULTS = {"V": 1400, "v": 900, "c": 900, "L": 14, "K": 12, "k": 20, "N": 0}
RANGES = {
    "V": (5, 6000), "v": (50, 1000), "c": (50, 2700), "L": (1, 20), "S": (0, 40), "N": (0, 1), "K": (0, 248),
    "k": (0, 720),
}  # fmt: skip
# Pulses a second of S0 to S40, as tecancavro has them; S11 is what the XP 3000 manual has after power-up.
SPEEDS = (
    6000, 5600, 5000, 4400, 3800, 3200, 2600, 2200, 2000, 1800, 1600, 1400, 1200, 1000, 800, 600, 400, 200, 190, 180,
    170, 160, 150, 140, 130, 120, 110, 100, 90, 80, 70, 60, 50, 40, 30, 20, 18, 16, 14, 12, 10,
)  # fmt: skip
_ONE = re.compile(r"([A-Za-z])([\d,]*)")
KNOWN = frozenset("ZYWAaPpDdIOVvcLSKkNMRX")


class Wrong(Exception):
    """A command that cannot be done; ``number`` of the pump's error."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


@dataclass(frozen=True, slots=True)
class Op:
    """One command of a string: its letter, and what stands behind it."""

    name: str
    given: str

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.given.split(",") if part)

    def number(self, default: int) -> int:
        """The first number, or what holds without one."""
        return self.numbers[0] if self.numbers else default

    @property
    def text(self) -> str:
        return self.name + self.given


def parse(text: str) -> list[Op]:
    """The commands of a string in order. Raises Wrong for what is none: R stands last, X alone."""
    ops = [Op(*match.groups()) for match in _ONE.finditer(text)]
    if not ops or "".join(op.text for op in ops) != text or not {op.name for op in ops} <= KNOWN:
        raise Wrong(NO_COMMAND)
    if any(len(part) > 6 for op in ops for part in op.given.split(",")):
        raise Wrong(BAD_NUMBER)
    names = "".join(op.name for op in ops)
    if "R" in names[:-1] or ("X" in names and names not in ("X", "XR")):
        raise Wrong(BAD_SEQUENCE)
    return ops
