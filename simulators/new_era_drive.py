"""The mechanics behind the NE-1000's protocol: plunger, liquid and the pumping program.

The plunger moves by the diameter that was *set*, the liquid by the syringe's own. The syringe holds its stock at first,
and stalls when it is empty or full. At the end of a phase's volume the next phase begins; all phases but the first are
STP unless programmed otherwise. Motion is integrated in closed form: time may come in leaps of any length.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from labloop.simulation.world import World

FASTEST_CM_MIN, SLOWEST_CM_H = 5.1005, 0.004205
LAST_PHASE = 41
RATES_ML_S = {"UM": 1e-3 / 60, "MM": 1.0 / 60, "UH": 1e-3 / 3600, "MH": 1.0 / 3600}
VOLUMES_ML = {"UL": 1e-3, "ML": 1.0}
_TINY_ML = 1e-12
# Of time: far above the spacing of floats after ten years of seconds, far below anything a pump can show.
_TINY_S = 1e-6


@dataclass(slots=True)
class Phase:
    """One line of the pumping program."""

    function: str = "STP"
    argument: int = 0
    rate: float = 0.0
    rate_unit: str = "MM"
    volume: float = 0.0
    withdraws: bool = False

    def speed_ml_s(self) -> float:
        return self.rate * RATES_ML_S[self.rate_unit]


class Drive:
    """``status``: the pump's own letter. ``on_alarm`` is called with the alarm's letter when one arises."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        bore_mm: float | None,
        capacity_ml: float,
        content_ml: float,
        on_alarm: Callable[[str], None],
    ) -> None:
        self.world, self.name = world, name
        self.bore_mm, self.capacity_ml, self.content_ml = bore_mm, capacity_ml, content_ml
        self._on_alarm = on_alarm
        self.diameter_mm, self.volume_unit = 26.59, "ML"
        self.phases: list[Phase] = []
        self.running = 0  # The phase that runs, or would go on, from 0
        self.status = "S"
        self.now_s = 0.0
        self.left_ml = math.inf  # Of the running phase's volume, by the set diameter
        self.wakes_s = 0.0  # End of a timed pause
        self.infused_ml = self.withdrawn_ml = 0.0
        self.act: str | None = None
        self.act_ul = 0.0
        self.forget_program()

    def forget_program(self) -> None:
        self.phases = [Phase(function="RAT"), *(Phase() for _ in range(LAST_PHASE - 1))]
        self.running = 0

    @property
    def moves(self) -> bool:
        return self.status in ("I", "W", "X")

    @property
    def busy(self) -> bool:
        return self.moves or self.status == "T"

    def area_cm2(self) -> float:
        """Of the diameter that was set."""
        return math.pi * (self.diameter_mm / 20.0) ** 2

    def allows(self, speed_ml_s: float) -> bool:
        """Whether the motor can turn that fast, or that slowly, with the diameter that was set."""
        slowest, fastest = SLOWEST_CM_H / 3600 * self.area_cm2(), FASTEST_CM_MIN / 60 * self.area_cm2()
        return slowest * (1 - 1e-9) <= speed_ml_s <= fastest * (1 + 1e-9)

    # -- what commands do --------------------------------------------------------------------------------------------
    def run(self, phase: int, now_s: float) -> None:
        self.running = phase
        self._enter(now_s)

    def resume(self, now_s: float) -> None:
        self._start(now_s, resumes=True)

    def purge(self, phase: int, now_s: float) -> None:
        """As fast as the motor turns, in that phase's direction, until stopped."""
        self.running = phase
        self.status, self.left_ml = "X", math.inf
        self._begin_act(now_s, resumes=False)

    def pause(self, now_s: float) -> None:
        """A running program pauses; a purge stops."""
        self._end_act(now_s)
        self.status = "S" if self.status == "X" else "P"

    def halt(self, now_s: float) -> None:
        self._end_act(now_s)
        self.status = "S"

    # -- the program -------------------------------------------------------------------------------------------------
    def _enter(self, now_s: float) -> None:
        """Begin the phase that is next to run; phases that take no time follow one another."""
        for _ in range(2 * LAST_PHASE):
            phase = self.phases[self.running] if self.running < LAST_PHASE else Phase()
            if phase.function == "STP":
                self.status, self.running = "S", min(self.running, LAST_PHASE - 1)
                return
            if phase.function == "RAT":
                self.left_ml = phase.volume * VOLUMES_ML[self.volume_unit] or math.inf
                self._start(now_s, resumes=False)
                return
            if phase.function == "PAS" and phase.argument:
                self.status, self.wakes_s = "T", now_s + phase.argument
                return
            self.running = phase.argument - 1 if phase.function == "JMP" else self.running + 1
        self.status = "S"
        self._on_alarm("E")

    def _start(self, now_s: float, resumes: bool) -> None:
        phase = self.phases[self.running]
        if phase.function == "PAS":
            self._enter(now_s)
        elif not self.allows(phase.speed_ml_s()):
            self.status = "S"
            self._on_alarm("E")
        else:
            self.status = "W" if phase.withdraws else "I"
            self._begin_act(now_s, resumes)

    def _begin_act(self, now_s: float, resumes: bool) -> None:
        self.act, self.act_ul = ("withdraw" if self._withdraws() else "dispense"), 0.0
        self.world.ledger.begin(now_s, self.name, self.act, 0.0, "uL")
        if self.act == "dispense":
            self.world.sample.pump_starts(self.name, now_s, resumes)

    def _end_act(self, now_s: float) -> None:
        if self.act is not None:
            if self.act == "dispense":
                self.world.sample.pump_stops(self.name, now_s)
            self.world.ledger.end(now_s, self.name, self.act, self.act_ul, "uL")
        self.act = None

    # -- motion ------------------------------------------------------------------------------------------------------
    def _withdraws(self) -> bool:
        return self.phases[self.running].withdraws

    def _speed_ml_s(self) -> float:
        if self.status == "X":
            return FASTEST_CM_MIN / 60 * self.area_cm2()
        return self.phases[self.running].speed_ml_s()

    def _real(self) -> float:
        """Real volume for one of the set diameter."""
        return 1.0 if self.bore_mm is None else (self.bore_mm / self.diameter_mm) ** 2

    def _moving_s(self) -> float:
        """Seconds until the phase's volume is done or the plunger meets its end."""
        room_ml = max(self.capacity_ml - self.content_ml if self._withdraws() else self.content_ml, 0.0)
        speed = self._speed_ml_s()
        return min(self.left_ml / speed, room_ml / (speed * self._real()))

    def due(self) -> float:
        """When something happens next of its own accord (infinity: nothing does)."""
        if self.moves:
            return self.now_s + self._moving_s()
        return self.wakes_s if self.status == "T" else math.inf

    def advance(self, now_s: float) -> None:
        while self.now_s < now_s or self.due() <= now_s:
            upto_s = max(min(now_s, self.due()), self.now_s)
            if self.moves:
                self._move(upto_s)
            self.now_s = upto_s
            if self.status == "T" and self.wakes_s <= self.now_s:
                self.running += 1
                self._enter(self.now_s)

    def _move(self, upto_s: float) -> None:
        moving_s = self._moving_s()
        ends = upto_s - self.now_s >= moving_s - _TINY_S
        passed_s = moving_s if ends else upto_s - self.now_s
        moved = self._speed_ml_s() * passed_s
        real = moved * self._real()
        self.now_s = upto_s
        self.left_ml -= moved
        self.act_ul += real * 1e3
        if self._withdraws():
            self.withdrawn_ml += moved
            self.content_ml += real
        else:
            self.infused_ml += moved
            self.content_ml = max(self.content_ml - real, 0.0)
            self.world.sample.pump_moved(self.name, real * 1e3, passed_s)
        if not ends:
            return
        stalled = self.left_ml > _TINY_ML
        self.halt(upto_s)
        if stalled:
            self._on_alarm("S")
        else:
            self.running += 1
            self._enter(upto_s)

    # -- state -------------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        kept: dict[str, Any] = {name: getattr(self, name) for name in _KEPT}
        kept["left_ml"] = None if math.isinf(self.left_ml) else self.left_ml
        kept["phases"] = {str(n): asdict(phase) for n, phase in enumerate(self.phases)}
        return kept

    def restore(self, kept: Mapping[str, Any]) -> None:
        for name in _KEPT:
            setattr(self, name, kept[name])
        self.left_ml = math.inf if kept["left_ml"] is None else kept["left_ml"]
        self.phases = [Phase(**kept["phases"][str(n)]) for n in range(LAST_PHASE)]


_KEPT = (
    "diameter_mm",
    "volume_unit",
    "content_ml",
    "running",
    "status",
    "now_s",
    "wakes_s",
    "infused_ml",
    "withdrawn_ml",
    "act",
    "act_ul",
)
