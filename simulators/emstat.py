"""EmStat Pico potentiostat, simulated from its maker's communication protocol (v1.6) and MethodSCRIPT manual (v1.8).

Line: 230400 8N1, every line ends with LF (a CR in front of it is passed over).

    t  -> tespico1600#Sep 30 2025 12:00:00, R*      firmware, in two lines
    i  -> iESPSIM01                                 serial number
    e, the script, an empty line  -> e, then what it says as it runs, and an empty line when it has ended;
                                     e!4001: Line 3, Col 5 when it cannot be read; !4002: Line 9 when it fails
    Z  -> Z, the rest and the empty line; Z!0006 when no script runs       h, H  halt and go on
    anything else -> its first letter and !0003

A script that is aborted still does what stands after ``on_finished:``. For 50 ms after an error nothing is heard. Our
reading, not the manual's: while a script runs, all but Z, h and H is passed over without an answer; errors in a script
have the codes 4001 and 4002; after power came back the cell is off and nothing runs.

options: ``serial``; of the simulation ``cell``, see simulators/cell.py. The ledger has an act for as long as the cell
is on: ``cyclic_voltammogram``, ``chronoamperogram``, or ``cell`` when the script has neither loop; its amount is in V.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from labloop.simulation.world import World

from .cell import Cell
from .methodscript import Line, Memory, ScriptError, Step, longest_s, read_script, run

FIRMWARE = "espico1600#Sep 30 2025 12:00:00"
LINE_LENGTH, SCRIPT_LINES = 256, 512
DEAF_S = 0.05
STRANGE, NOTHING_RUNS = "0003", "0006"


class EmStatPico:
    """options: serial; of the simulation: cell."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.serial = str(options.get("serial", "ESPSIM01"))
        self.cell = Cell(options.get("cell") or {})
        self.on = False
        self.now_s = 0.0
        self._memory = Memory()
        self._steps: Iterator[Step] | None = None
        self._finally: list[Line] = []
        self._next_s = 0.0
        self._halted_s: float | None = None
        self._step: Step = (0.0, "")
        self._act = "cell"
        self._open = 0  # loops that were begun and not ended
        self._line = bytearray()
        self._script: list[str] | None = None
        self._deaf_until_s = float("-inf")
        self._said = bytearray()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        for byte in data:
            if byte == 0x0A:
                line = bytes(self._line).decode("ascii", "replace")
                self._line.clear()
                if now_s >= self._deaf_until_s:
                    self._hear(line)
            elif byte != 0x0D and len(self._line) < LINE_LENGTH:
                self._line.append(byte)
        said, self._said = bytes(self._said), bytearray()
        return said

    def _say(self, text: str) -> None:
        self._said += text.encode("ascii", "replace")

    def _hear(self, line: str) -> None:
        if self._script is not None:
            self._take(line)
        elif line == "Z":
            self._abort()
        elif line in ("h", "H") and self._steps is not None:
            self._halt(line == "h")
        elif self._steps is not None or not line:
            return
        elif line == "t":
            self._say(f"t{FIRMWARE}\nR*\n")
        elif line == "i":
            self._say(f"i{self.serial}\n")
        elif line == "e":
            self._script = []
        else:
            self._refuse(f"{line[0]}!{STRANGE}")

    def _refuse(self, text: str) -> None:
        self._say(f"{text}\n")
        self._deaf_until_s = self.now_s + DEAF_S * self.world.speed

    def _take(self, line: str) -> None:
        assert self._script is not None
        if line.strip():
            if len(self._script) < SCRIPT_LINES:
                self._script.append(line)
            return
        script, self._script = self._script, None
        try:
            main, last = read_script(script)
        except ScriptError as error:
            self._refuse(f"e!{error}")
            return
        self._say("e\n")
        words = {line.word for line in main}
        self._act = "cyclic_voltammogram" if "meas_loop_cv" in words else (
            "chronoamperogram" if "meas_loop_ca" in words else "cell"
        )  # fmt: skip
        self.cell.rest(longest_s(main))
        self._memory, self._finally, self._open = Memory(), last, 0
        self._steps, self._next_s = run(main, self._memory, self), self.now_s
        self._ahead()

    def _ahead(self) -> None:
        """Go on to the next step; at the end of the script, finish."""
        assert self._steps is not None
        try:
            step = next(self._steps, None)
        except ScriptError as error:
            self._say(f"!{error}\n")
            step = None
        if step is None:
            self._finish()
            return
        self._step = step
        self._next_s += step[0]

    def _finish(self) -> None:
        self._steps = None
        with suppress(ScriptError):
            for _, text in islice(run(self._finally, self._memory, self), SCRIPT_LINES):
                self._say(text)
        self._say("\n")

    def _abort(self) -> None:
        if self._steps is None:
            self._refuse(f"Z!{NOTHING_RUNS}")
            return
        self._say("Z\n" + "*\n" * self._open)
        self._halted_s = None
        self._finish()

    def _halt(self, stands: bool) -> None:
        if stands and self._halted_s is None:
            self._halted_s = self.now_s
        elif not stands and self._halted_s is not None:
            self._next_s += self.now_s - self._halted_s
            self._halted_s = None
        self._say("h\n" if stands else "H\n")

    # -- what a script does to the cell ------------------------------------------------------------------------------
    def apply(self, volts: float, seconds: float) -> float:
        return self.cell.apply(volts, seconds) if self.on else 0.0

    @property
    def open_circuit_v(self) -> float:
        return self.cell.open_circuit_v

    def switch(self, on: bool, volts: float) -> None:
        if on != self.on:
            self.on = on
            write = self.world.ledger.begin if on else self.world.ledger.end
            write(self.now_s, self.name, self._act, volts, "V")

    # -- time and state ----------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        return None if self._steps is None or self._halted_s is not None else self._next_s

    def advance(self, now_s: float) -> None:
        while self._steps is not None and self._halted_s is None and self._next_s <= now_s:
            self.now_s = max(self.now_s, self._next_s)
            text = self._step[1]
            self._open += (text[:1] == "M") - (text == "*\n")
            self._say(text)
            self._ahead()
        self.now_s = max(self.now_s, now_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: the cell is off, nothing runs, nothing more is said."""
        self.world.settle(now_s)
        self._steps, self._script, self._halted_s = None, None, None
        self._line.clear()
        self._said.clear()
        self.switch(False, self._memory.volts)

    def state(self) -> Mapping[str, Any]:
        return {"on": self.on, "now_s": self.now_s, "volts": self._memory.volts, "act": self._act}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        """A script does not outlive its process: what ran is over, and the cell is off."""
        self.on, self.now_s, self._act = state["on"], now_s, state["act"]
        self._memory.volts = state["volts"]
        self.switch(False, self._memory.volts)
