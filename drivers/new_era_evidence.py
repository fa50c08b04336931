"""What a New Era pump's counters prove: those before an act held against those after it.

Source: NE-1000 user manual, publication 1200-01, firmware V3.9; drivers/new_era.py has what it means for a driver. The
counters (DIS) have four digits, so each reading is good to one unit of its last digit; a power-up sets both to 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from labloop.bench import Amount, Verdict, written

from .new_era_codec import Volumes
from .new_era_line import PUMPING

# From here on DIS shows tenths of a microlitre only (test_new_era: counters are cleared before they grow coarse).
COARSE_UL = 100.0
NOBODY_KNOWS = Verdict(
    state="cannot_tell",
    why="its counters stand at 0 as they did before, and nobody knows whether it was switched off since",
)


@dataclass(frozen=True, slots=True)
class Act:
    """What was asked of the pump: ``INF`` or ``WDR``, how fast, how much (0: nothing)."""

    direction: str
    rate_ul_min: float
    wanted_ul: float


def compared(act: Act, before: Mapping[str, Amount], now: Volumes, status: str, step_ul: float) -> Verdict:
    """What became of an act. ``step_ul``: of the motor; less than that nobody can deliver afterwards."""
    if act.wanted_ul == 0.0:
        return Verdict(state="done", why="nothing was asked for", achieved={"volume": Amount(0.0, "uL")})
    if "infused" not in before or "withdrawn" not in before:
        return Verdict(state="cannot_tell", why="the counters were not read before the act")
    then, wanted = volumes_of(before), act.wanted_ul
    moved = moved_ul(act.direction, then, now)
    other = moved_ul("WDR" if act.direction == "INF" else "INF", then, now)
    tolerance = tolerance_ul(then, now)
    if status == act.direction[0]:  # a reading in passing, which nothing confirms, says nothing against it
        seen = {"volume": Amount(min(max(moved, 0.0), wanted), "uL")}
        return Verdict(state="running", why=f"it {PUMPING[status]}", achieved=seen)
    if status in PUMPING:
        return Verdict(state="cannot_tell", why=f"it {PUMPING[status]}, which is another act")
    if moved < -tolerance or abs(other) > tolerance:
        return Verdict(state="cannot_tell", why="the counters were cleared or moved by somebody else since")
    achieved = {"volume": Amount(max(moved, 0.0), "uL")}
    if wanted <= tolerance or moved > wanted + tolerance:
        return Verdict(
            state="cannot_tell",
            why=f"its counters show {written(moved, 'uL')} (to {written(now.resolution, 'uL')}) where "
            f"{written(wanted, 'uL')} was asked for",
        )
    if moved >= wanted - max(tolerance, step_ul):
        return Verdict(state="done", why="its counters show the whole volume", achieved=achieved)
    if moved < tolerance:
        return Verdict(state="not_begun", why="its counters have not moved")
    rest = {"rate": Amount(act.rate_ul_min, "uL/min"), "volume": Amount(wanted - moved, "uL")}
    why = f"its counters show {written(moved, 'uL')} of {written(wanted, 'uL')}"
    return Verdict(state="partial", why=why, achieved=achieved, remainder=rest)


def stands(before: Mapping[str, Amount], now: Volumes, reset: bool) -> bool:
    """Whether nothing has moved since ``before``, or since it was switched off and on (``reset``)."""
    then = Volumes(0.0, 0.0, now.resolution) if reset else volumes_of(before)
    return max(abs(moved_ul(way, then, now)) for way in ("INF", "WDR")) <= tolerance_ul(then, now)


def shows_nothing(before: Mapping[str, Amount] | Volumes, now: Volumes | None = None) -> bool:
    """Whether a reset that nobody heard of would look just like this: all at 0, as before the act.

    ``now`` left out: whether it would after any act that begins there.
    """
    then = before if isinstance(before, Volumes) else volumes_of(before)
    now = Volumes(0.0, 0.0, then.resolution) if now is None else now
    moved = max(abs(moved_ul(way, then, now)) for way in ("INF", "WDR"))
    return now.infused == now.withdrawn == 0.0 and moved <= tolerance_ul(then, now)


def moved_ul(direction: str, then: Volumes, now: Volumes) -> float:
    """How much was moved in one direction between two readings."""
    moved = now.infused - then.infused if direction == "INF" else now.withdrawn - then.withdrawn
    return round(moved, 6)


def tolerance_ul(then: Volumes, now: Volumes) -> float:
    """Two readings, each good to one unit of its last digit."""
    return 1.5 * max(then.resolution, now.resolution)


def volumes_of(counters: Mapping[str, Amount]) -> Volumes:
    """What counters() gave, as the wire has it."""
    return Volumes(
        *(float(counters[name].value) if name in counters else 0.0 for name in ("infused", "withdrawn", "resolution"))
    )


def grown(counters: Mapping[str, Amount]) -> bool:
    """Whether the next act would be counted in tenths of a microlitre only."""
    return max(volumes_of(counters).infused, volumes_of(counters).withdrawn) >= COARSE_UL
