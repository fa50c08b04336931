"""From what is known to what to try next: a pure function of campaign, state and seed.

    fewer trials than the design has      the design's point of this trial's number
    nothing measured yet                  the same, and the reason says so
    otherwise                             fit, build the acquisition, take its best point
    fit or acquisition fails              the design's point, ``reason: surrogate failed: ...``

Every trial has a seed of its own, made of the campaign's seed and its number, and each of several proposals takes those
before it as trials in flight: so the first of two is the same as the only one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from botorch.exceptions.errors import BotorchError

from labloop.campaign.events import Prediction, RunnerUp
from labloop.campaign.state import CampaignState

from .acquisition import Acquisition, Goal, best_points, build
from .design import design_point
from .encoding import Array, Encoding
from .errors import SurrogateError
from .history import History, read
from .proposal import Proposal
from .search import Effort, Found, maximize
from .surrogate import Observations, Surrogate, fit


@dataclass(frozen=True, slots=True)
class Engine:
    """What the campaign's ``engine:`` may force. ``acquisition``: "" leaves the choice to the planner."""

    kernel: str = "matern"
    acquisition: str = ""
    samples: int = 128
    effort: Effort = field(default_factory=Effort)
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """A campaign as the planner needs it."""

    encoding: Encoding
    goals: tuple[Goal, ...]
    method: str = "sobol"
    initial: int = 8
    engine: Engine = field(default_factory=Engine)


def trial_seed(seed: int, turn: int) -> int:
    """The seed of one proposal (31 bits), made of the campaign's seed and the planner's turn."""
    return int(np.random.SeedSequence([abs(seed), turn]).generate_state(1)[0]) & 0x7FFFFFFF


def turn_of(state: CampaignState, trial: int) -> int:
    """Which of the planner's ideas (from 1) trial number ``trial`` is: settings tried again are no new idea.

    So a campaign that was killed goes through the same design as one that never was.
    """
    return 1 + sum(
        number < trial and known.role == "candidate" and known.proposal.again_of is None
        for number, known in state.trials.items()
    )


def plan(
    problem: Problem, state: CampaignState, count: int, first: int | None = None, design_only: str = ""
) -> list[Proposal]:
    """``count`` proposals for the trials ``first``, ``first + 1``, ... (default: the next free numbers).

    design_only: why the model is not to be asked; it becomes the reason. "": it is asked.
    Raises NothingLeftError when no point may be proposed.
    """
    history = read(state, problem.encoding, problem.goals)
    first = state.next_trial() if first is None else first
    believe = _Believer(problem, history.data, trial_seed(state.seed, 0))
    proposals = []
    turn = turn_of(state, first)
    for ahead in range(count):
        with _alone(trial_seed(state.seed, turn + ahead)):
            turns = _Turn(seed=state.seed, trial=first + ahead, turn=turn + ahead)
            proposal, point = _plan_one(problem, history, believe, turns, design_only)
        proposals.append(proposal)
        history = history.and_pending(point)
    return proposals


@dataclass(frozen=True, slots=True)
class _Turn:
    """One proposal to make: the campaign's seed, the trial's number, and the planner's turn."""

    seed: int
    trial: int
    turn: int

    @property
    def mixed(self) -> int:
        return trial_seed(self.seed, self.turn)


class _Believer:
    """Fits once, when first asked, for all proposals of one call: trials in flight change no data.

    The fit's seed is the campaign's, not the trial's, so that the second of two proposals rests on the same model as
    the only one asked for later.
    """

    def __init__(self, problem: Problem, data: Mapping[str, Observations], seed: int) -> None:
        self._problem, self._data, self._seed = problem, data, seed
        self._surrogate: Surrogate | None = None

    def __call__(self) -> Surrogate:
        if self._surrogate is None:
            with _alone(self._seed):
                self._surrogate = fit(self._data, self._problem.encoding, self._problem.engine.kernel)
        return self._surrogate


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """One thread and a random stream of our own, given back afterwards as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _plan_one(
    problem: Problem, history: History, believe: Callable[[], Surrogate], turn: _Turn, design_only: str
) -> tuple[Proposal, Array]:
    wait = design_only or _why_design(problem, history)
    if not wait:
        try:
            return _by_model(problem, history, believe(), turn)
        except (SurrogateError, BotorchError, RuntimeError, ValueError, ArithmeticError) as error:
            wait = f"surrogate failed: {error or type(error).__name__}"
    return _by_design(problem, history, turn, wait)


def _why_design(problem: Problem, history: History) -> str:
    """Why the model is not asked yet; empty: it is."""
    # Failures are no data: the design goes on past them, but not for ever where some trials did work.
    stuck = len(history.known.worked) >= 2 and history.begun + history.failed >= 2 * problem.initial
    if history.begun < problem.initial and not stuck:
        return f"initial design, {history.begun + 1} of {problem.initial}"
    missing = [goal.outcome for goal in problem.goals if not len(history.data[goal.outcome].values)]
    if missing:
        return f"nothing is known yet of {', '.join(missing)}"
    return ""


def _by_design(problem: Problem, history: History, turn: _Turn, reason: str) -> tuple[Proposal, Array]:
    encoding = problem.encoding
    taken = _taken(problem, history)
    point = design_point(encoding, problem.method, abs(turn.seed), turn.turn, problem.initial, taken)
    settings = encoding.decode(point)
    proposal = Proposal(trial=turn.trial, settings=settings, source=problem.method, seed=turn.mixed, reason=reason)
    return proposal, encoding.encode([settings])[0]


def _by_model(problem: Problem, history: History, surrogate: Surrogate, turn: _Turn) -> tuple[Proposal, Array]:
    encoding, engine, mixed = problem.encoding, problem.engine, turn.mixed
    acquisition = build(
        surrogate,
        problem.goals,
        history.known,
        encoding,
        mixed,
        samples=engine.samples,
        rows=0 if encoding.rows is None else len(encoding.rows),
        force=engine.acquisition,
    )
    best = best_points(surrogate, problem.goals, history.known)
    found = maximize(acquisition, encoding, best, _taken(problem, history), mixed, engine.effort)
    points = np.array([one.point for one in found])
    predicted = _predictions(surrogate, points)
    left_out = f"; {history.left_out} trials left out (no number, or not in this space)" if history.left_out else ""
    proposal = Proposal(
        trial=turn.trial,
        settings=found[0].settings,
        source="model",
        seed=mixed,
        reason=_hope(surrogate, problem.goals, history, predicted[0]),
        predicted=predicted[0],
        acquisition=acquisition.name,
        acquisition_value=found[0].score,
        model=f"{surrogate.words}; {len(history.known.observed)} trials{left_out}",
        runners_up=_runners_up(found, predicted),
    )
    return proposal, points[0]


def _taken(problem: Problem, history: History) -> Array:
    """Points not to give again: where repeats are asked for, only what failed or is open."""
    if problem.engine.repeats:
        return np.concatenate([history.known.failed, history.known.pending])
    return history.taken


def _predictions(surrogate: Surrogate, points: Array) -> list[dict[str, Prediction]]:
    mean, sd = surrogate.predict(points)
    return [
        {name: Prediction(float(m), float(s)) for name, m, s in zip(surrogate.outcomes, row, spread, strict=True)}
        for row, spread in zip(mean, sd, strict=True)
    ]


def _runners_up(found: Sequence[Found], predicted: Sequence[dict[str, Prediction]]) -> list[RunnerUp]:
    return [
        RunnerUp(settings=one.settings, acquisition=one.score, predicted=what)
        for one, what in zip(found[1:], predicted[1:], strict=True)
    ]


def _hope(surrogate: Surrogate, goals: Sequence[Goal], history: History, predicted: dict[str, Prediction]) -> str:
    """In words: what is expected here, and the best that is believed to have been measured."""
    mean, _ = surrogate.predict(history.known.observed)
    parts = []
    for goal in goals:
        if not goal.is_wish:
            continue
        values = torch.as_tensor(mean[:, surrogate.outcomes.index(goal.outcome)])
        best = float(values[int(torch.argmax(goal.utility(values)))])
        here = predicted[goal.outcome]
        parts.append(f"{goal.outcome} expected {here.mean:.4g} +- {here.sd:.2g}, best so far believed {best:.4g}")
    return "; ".join(parts)


__all__ = ["Acquisition", "Encoding", "Engine", "Problem", "plan", "trial_seed"]
