"""What a GRBL controller drives: a stage of three axes and a spindle, and what they really did.

The controller counts steps and never sees the stage: where it believes to stand and where the stage stands differ by
``slip``, which a power-up makes large (it believes to stand at 0) and homing makes 0.
"""

import math
from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

from .grbl_gcode import AXES, Line
from .grbl_motion import Motion, Vector
from .grbl_settings import Settings

# How far a stage slips when its motors stop dead: what they cannot brake within a hundredth of a second.
SLIPS_S = 0.01


class Machine:
    """``at``: where the stage really stands at power-up, in machine coordinates."""

    def __init__(self, world: World, name: str, settings: Settings, at: Mapping[str, Any]) -> None:
        self.world, self.name, self.settings = world, name, settings
        x, y, z = (amount(at.get(axis, -20.0), "mm") for axis in "xyz")
        self.slip: Vector = (x, y, z)
        self.motion = Motion((0.0, 0.0, 0.0))
        self.offset: list[float] = [0.0, 0.0, 0.0]  # of G54, kept
        self.shift: list[float] = [0.0, 0.0, 0.0]  # of G92, forgotten by a reset
        self.rpm = 0.0
        self.spins_since_s = 0.0
        self.act_mm: float | None = None  # travelled when the running act began

    # -- where -------------------------------------------------------------------------------------------------------
    def truly_at(self, now_s: float) -> Vector:
        """Where the stage really stands, in machine coordinates."""
        x, y, z = (a + b for a, b in zip(self.motion.where(now_s), self.slip, strict=True))
        return x, y, z

    def target(self, line: Line) -> Vector:
        """Where a line of G-code wants it to be."""
        target = list(self.motion.target())
        for n, axis in enumerate(AXES):
            if axis in line.axes:
                if line.has("G53"):
                    target[n] = line.axes[axis]
                elif line.modes.distance == "G91":
                    target[n] += line.axes[axis]
                else:
                    target[n] = line.axes[axis] + self.offset[n] + self.shift[n]
        x, y, z = target
        return x, y, z

    def set_offset(self, line: Line) -> None:
        stands = self.motion.target()
        for n, axis in enumerate(AXES):
            if axis in line.axes and line.has("G92"):
                self.shift[n] = stands[n] - self.offset[n] - line.axes[axis]
            elif axis in line.axes:
                value = line.axes[axis]
                self.offset[n] = value if line.offset == 2.0 else stands[n] - self.shift[n] - value

    def outside(self, target: Vector) -> bool:
        """Whether a soft limit forbids it."""
        if not self.settings[20]:
            return False
        return any(not -self.settings[130 + n] <= value <= 0.0 for n, value in enumerate(target))

    # -- motion ------------------------------------------------------------------------------------------------------
    def queue(self, target: Vector, feed_mm_min: float) -> None:
        """One more motion, as fast as asked for and as every axis can."""
        way = [abs(b - a) for a, b in zip(self.motion.target(), target, strict=True)]
        length = math.hypot(*way)
        if length < 1e-9:
            return
        shares = [(part / length, n) for n, part in enumerate(way) if part > 0.0]
        rate = min(feed_mm_min, *(self.settings[110 + n] / share for share, n in shares)) / 60.0
        self.motion.queue(target, rate, min(self.settings[120 + n] / share for share, n in shares))

    def set_off(self, now_s: float) -> None:
        self.motion.start(now_s)
        if self.act_mm is None:
            self.act_mm = self.motion.travelled
            self.world.ledger.begin(now_s, self.name, "move", 0.0, "mm")

    def end_act(self, now_s: float) -> None:
        if self.act_mm is not None:
            self.world.ledger.end(now_s, self.name, "move", self.motion.travelled - self.act_mm, "mm")
            self.act_mm = None

    def stop_dead(self, now_s: float) -> None:
        """Motors stop without a ramp, and slip."""
        if self.motion.moves:
            before, end = self.motion.where(now_s), self.motion.blocks[0].end
            way = math.dist(before, end)
            part = self.motion.speed(now_s) * SLIPS_S / way if way else 0.0
            x, y, z = (s + (b - a) * part for s, a, b in zip(self.slip, before, end, strict=True))
            self.slip = (x, y, z)
        self.motion.stop_dead(now_s)
        self.end_act(now_s)

    def home(self, now_s: float) -> float:
        """Begin homing: Z first, then X and Y; fast to the switch, back, slowly once more, back. How long it takes."""
        off_mm, fast, slow = self.settings[27], self.settings[25] / 60.0, self.settings[24] / 60.0
        x, y, z = (abs(value) for value in self.truly_at(now_s))
        self.world.ledger.begin(now_s, self.name, "home", 0.0, "mm")
        moves_s = sum(way / fast + off_mm / fast + 2.0 * off_mm / slow for way in (z, max(x, y)))
        return moves_s + 8 * self.settings[26] / 1000.0

    def stand_at_home(self) -> None:
        off_mm = -self.settings[27]
        self.motion.set_rest((off_mm, off_mm, off_mm))
        self.slip = (0.0, 0.0, 0.0)

    def homed(self, now_s: float) -> None:
        way = max(abs(value) for value in self.truly_at(now_s))
        self.stand_at_home()
        self.world.ledger.end(now_s, self.name, "home", way, "mm")

    def not_homed(self, now_s: float) -> None:
        """Homing was broken off."""
        self.world.ledger.end(now_s, self.name, "home", 0.0, "mm")

    def forget_position(self, now_s: float) -> None:
        """Power-up: it believes to stand at 0."""
        self.stop_dead(now_s)
        self.slip = self.truly_at(now_s)
        self.motion.set_rest((0.0, 0.0, 0.0))

    # -- spindle -----------------------------------------------------------------------------------------------------
    def spin(self, spindle: str, speed: float, now_s: float) -> None:
        """The speed it is told, held within $31 and $30; S0 and M5 stop it."""
        wanted = 0.0 if spindle == "M5" or speed == 0.0 else min(max(speed, self.settings[31]), self.settings[30])
        if wanted == self.rpm:
            return
        if self.rpm and not wanted:
            self.world.ledger.end(now_s, self.name, "spin", now_s - self.spins_since_s, "s")
        elif wanted and not self.rpm:
            self.world.ledger.begin(now_s, self.name, "spin", 0.0, "s")
            self.spins_since_s = now_s
        self.rpm = wanted

    # -- state -------------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in _KEPT}
        return {**kept, "slip": list(self.slip), "motion": self.motion.state()}

    def restore(self, kept: Mapping[str, Any]) -> None:
        for name in _KEPT:
            setattr(self, name, kept[name])
        x, y, z = kept["slip"]
        self.slip = (x, y, z)
        self.motion.restore(kept["motion"])


_KEPT = ("offset", "shift", "rpm", "spins_since_s", "act_mm")
