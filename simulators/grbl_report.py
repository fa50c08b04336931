"""What GRBL says about itself: the report that ``?`` asks for, and the tables of ``$#`` (gnea/grbl, report.c)."""

from collections.abc import Sequence

from .grbl_gcode import Modes
from .grbl_machine import Machine

MOVING = ("Home", "Run", "Hold", "Jog")


class Reports:
    """WCO and Ov come in some reports only: these count down to the next."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.wco_in = self.ov_in = 0

    def report(self, condition: str, modes: Modes, room: tuple[int, int], now_s: float) -> str:
        """``room``: free places in the planner and in the receive buffer."""
        machine = self.machine
        shown = condition
        if condition == "Hold":
            shown = "Hold:1" if machine.motion.holds else "Hold:0"
        mask = int(machine.settings[10])
        work = [a + b for a, b in zip(machine.offset, machine.shift, strict=True)]
        where = list(machine.motion.where(now_s))
        if not mask & 1:
            where = [a - b for a, b in zip(where, work, strict=True)]
        fields = [shown, f"{'MPos' if mask & 1 else 'WPos'}:{self.axes(where)}"]
        if mask & 2:
            fields.append(f"Bf:{room[0]},{room[1]}")
        fields.append(f"FS:{machine.motion.speed(now_s) * 60.0:.0f},{machine.rpm:.0f}")
        return f"<{'|'.join([*fields, *self._now_and_then(condition in MOVING, modes, work)])}>"

    def _now_and_then(self, moving: bool, modes: Modes, work: Sequence[float]) -> list[str]:
        found = []
        if self.wco_in > 0:
            self.wco_in -= 1
        else:
            self.wco_in = 9 if moving else 29
            self.ov_in = max(self.ov_in, 1)
            found.append(f"WCO:{self.axes(work)}")
        if self.ov_in > 0:
            self.ov_in -= 1
        else:
            self.ov_in = 9 if moving else 19
            found.append("Ov:100,100,100")
            on = {"M3": "S", "M4": "C"}.get(modes.spindle, "") + ("F" if modes.coolant == "M8" else "")
            found += [f"A:{on}"] if on else []
        return found

    def axes(self, values: Sequence[float]) -> str:
        """In whole steps, as the motors stand."""
        steps = [(value, self.machine.settings[100 + n]) for n, value in enumerate(values)]
        return ",".join(f"{round(value * per_mm) / per_mm + 0.0:.3f}" for value, per_mm in steps)

    def parameters(self) -> list[str]:
        zero = "0.000,0.000,0.000"
        return [
            f"[G54:{self.axes(self.machine.offset)}]",
            *(f"[G{n}:{zero}]" for n in (55, 56, 57, 58, 59, 28, 30)),
            f"[G92:{self.axes(self.machine.shift)}]",
            "[TLO:0.000]",
            f"[PRB:{zero}:0]",
        ]
