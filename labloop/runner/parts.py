"""What a run is put together from: its clock, its bench, its planner.

The usual ones stand here. Who brings others (a notebook that plans in its own process, a test whose bench outlives the
runner) hands a ``Parts`` to session.begin or session.resume; everything else of a run stays as it is.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labloop.campaign.events import CampaignOpened
from labloop.campaign.spec import LabSpec
from labloop.campaign.state import CampaignState
from labloop.planner.process import PlannerProcess

from .clock import Clock, VirtualClock, WallClock
from .connect import Bench, live_bench, served_bench, virtual_bench
from .folder import RunFolder


def planner_of_its_own(spec: Mapping[str, Any], folder: Path) -> Any:
    """The planner in a warm process of its own."""
    return PlannerProcess(spec, folder, log=folder / "planner.log")


def lab_clock(opened: CampaignOpened, state: CampaignState) -> Clock:
    """The clock goes on where it was; the time that nobody lived through counts (a sample ages without a runner)."""
    if opened.mode == "virtual":
        return VirtualClock(state.t_s)
    gap_s = 0.0
    if state.at:
        gap_s = max((datetime.now(UTC) - datetime.fromisoformat(state.at)).total_seconds(), 0.0)
    return WallClock(opened.speed, state.t_s + gap_s * opened.speed)


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
    clock: Callable[[CampaignOpened, CampaignState], Clock] = lab_clock
    bench: Callable[[RunFolder, LabSpec, CampaignOpened, Clock], AbstractContextManager[Bench]] = bench_of


USUAL = Parts()
