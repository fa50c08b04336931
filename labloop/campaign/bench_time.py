"""Bench time: how long a run has gone on, and about how long it still will.

One clock for all that is shown of a run and for its budget's ``time``: the bench's, which facts know as ``t_s``. It
rises by itself while a runner has the bench; pauses, rests and waiting for a person count. What passes between two
runners (from a stop, a halt or a crash to the resume) makes samples older, so ``t_s`` rises by it, but it is no time of
the run: the fact that a runner took it up says how long that was (see RunStarted), and here it is left out.

    elapsed = t_s - unwatched      of the last fact, or of the runner's last heartbeat, which says it itself

Neither ever falls: what pauses or ends a run carries its ``t_s``, and a heartbeat outlives its runner.
"""

from datetime import datetime
from statistics import median
from typing import Final

from .spec import CampaignSpec
from .state import MEASURED, PAUSED, RUNNING, CampaignState, TrialState

# Gaps between results vary with rinses and setups: a median over this many forgets a lunch break but follows a
# recipe whose trials grow longer (tests/campaign/test_bench_time.py holds both).
_RECENT: Final = 20


def elapsed_s(state: CampaignState, runner: str, now: datetime, beat_s: float | None = None) -> float:
    """Return how long the run has gone on, in bench time.

    ``beat_s``: what the runner's last heartbeat said of it. Before the first one (and of older versions) the time since
    the last fact is taken from the wall, at the run's speed, as long as ``runner`` is alive.
    """
    known_s = state.t_s - state.unwatched_s
    if beat_s is not None:
        return max(known_s, beat_s)
    going = state.state in (RUNNING, PAUSED) and runner == "alive" and state.mode in ("simulated", "live")
    if not going or not state.t_at:
        return known_s
    since_s = (now - datetime.fromisoformat(state.t_at)).total_seconds()
    return known_s + max(since_s, 0.0) * speed(state)


def eta_s(spec: CampaignSpec, state: CampaignState, spent_s: float) -> float | None:
    """Return about how much bench time the rest of the budget will take, or None where nobody can say.

    The median over the last results of the time from one to the next (over a batch, where several are in flight), for
    each trial that is left, pauses left out; never more than is left of the budget's ``time``. ``spent_s``: how long it
    has gone on.
    """
    trials_s = _trials_s(spec, state)
    if spec.budget.time_s is None or state.mode == "told":  # without a bench there is no bench time
        return trials_s
    left_s = max(spec.budget.time_s - spent_s, 0.0)
    return left_s if trials_s is None else min(trials_s, left_s)


def speed(state: CampaignState) -> float:
    """Return how many seconds of the bench pass in one on the wall."""
    return state.opened.speed if state.opened else 1.0


def trials_allowed(spec: CampaignSpec, state: CampaignState) -> int | None:
    """Return how many measured trials the budget allows, extensions included; None without such a budget."""
    return None if spec.budget.trials is None else spec.budget.trials + state.extended_trials


def _trials_s(spec: CampaignSpec, state: CampaignState) -> float | None:
    allowed = trials_allowed(spec, state)
    if allowed is None:
        return None
    recent: list[TrialState] = []
    for number in reversed(state.trials):
        trial = state.trials[number]
        if trial.state == MEASURED and trial.started and not trial.told_by:
            recent.append(trial)
        if len(recent) == _RECENT:
            break
    ends = sorted(trial.finished_worked_s for trial in recent)
    batch = max(spec.design.batch, 1)
    gaps = [(later - earlier) / batch for earlier, later in zip(ends, ends[batch:], strict=False)]
    if not gaps:
        gaps = [trial.finished_worked_s - trial.started_worked_s for trial in recent]
    if not gaps or median(gaps) <= 0:
        return None
    return max(allowed - state.measured, 0) * median(gaps)
