"""What a run is put together from: its clock, its bench, its planner.

The usual ones stand here. Who brings others (a notebook that plans in its own process, a test whose bench outlives the
runner) hands a ``Parts`` to session.begin or session.resume; everything else of a run stays as it is.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from labloop.campaign.events import CampaignOpened
from labloop.campaign.spec import LabSpec
from labloop.campaign.state import CampaignState
from labloop.planner.process import PlannerProcess

from .clock import Clock, Moment, VirtualClock, WallClock, moment
from .connect import Bench, live_bench, served_bench, virtual_bench
from .folder import RunFolder


def planner_of_its_own(spec: Mapping[str, Any], folder: Path) -> Any:
    """The planner in a warm process of its own."""
    return PlannerProcess(spec, folder, log=folder / "planner.log")


def lab_clock(
    opened: CampaignOpened, state: CampaignState, note: Mapping[str, Any], now: Callable[[], Moment] = moment
) -> Clock:
    """The clock goes on where it was; the time that nobody lived through counts (a sample ages without a runner).

    ``note``: what the last runner left (WallClock.note).
    """
    if opened.mode == "virtual":
        return VirtualClock(state.t_s)
    here, speed, last_s = now(), opened.speed, _last_s(state, note)
    if here.boot and note.get("boot") == here.boot:
        return WallClock(speed, max(last_s, note["t_s"] + (here.up_s - note["up_s"]) * speed))
    if not state.t_at:
        return WallClock(speed)
    gap_s = (here.at - datetime.fromisoformat(state.t_at)).total_seconds()
    if gap_s < 0.0:
        return WallClock(speed, last_s, unknown_before_s=last_s)
    return WallClock(speed, max(last_s, state.t_s + gap_s * speed))


def unwatched_s(clock: Clock, state: CampaignState, note: Mapping[str, Any]) -> float:
    """How many lab seconds nobody lived through, from the last runner's end or last heartbeat (``note``) until now."""
    return round(max(clock.now_s() - _last_s(state, note), 0.0), 6) if state.runs else 0.0


def _last_s(state: CampaignState, note: Mapping[str, Any]) -> float:
    """The last lab second that a runner has told of, in a fact or by a heartbeat."""
    return max(state.t_s, float(note.get("t_s", 0.0)))


def bench_of(
    folder: RunFolder, lab_spec: LabSpec, opened: CampaignOpened, clock: Clock
) -> AbstractContextManager[Bench]:
    """The bench that the run was begun on."""
    if isinstance(clock, VirtualClock):
        return virtual_bench(folder, lab_spec, opened, clock)
    if opened.mode == "live":
        return live_bench(lab_spec)
    return served_bench(folder, lab_spec, opened)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """``planner``: from the campaign as plain values and the run's folder. ``bench``: open while it is entered."""

    planner: Callable[[Mapping[str, Any], Path], Any] = planner_of_its_own
    clock: Callable[[CampaignOpened, CampaignState, Mapping[str, Any]], Clock] = lab_clock
    bench: Callable[[RunFolder, LabSpec, CampaignOpened, Clock], AbstractContextManager[Bench]] = bench_of


USUAL = Parts()
