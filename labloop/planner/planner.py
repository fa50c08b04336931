"""From what is known to what to try next: a pure function of campaign, state and seed.

    fewer trials than the design has      the design's point of this trial's number
    nothing measured yet                  the same, and the reason says so
    otherwise                             fit, build the acquisition, take its best point
    fit or acquisition fails              the design's point, ``reason: surrogate failed: ...``

Every trial has a seed of its own, made of the campaign's seed and its number, and each of several proposals takes those
before it as trials in flight: so the first of two is the same as the only one.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from importlib import import_module

import msgspec
import numpy as np

from labloop.campaign import text
from labloop.campaign.events import Prediction, RunnerUp, Value
from labloop.campaign.state import CampaignState

from . import acquisition, surrogate
from .acquisition import Score
from .design import design_point, is_open
from .encoding import Array, Encoding
from .errors import NothingLeftError, SurrogateError
from .goals import Goal, best_rows, desired, is_pareto, standing
from .history import History, read
from .hypervolume import MOST_OUTCOMES
from .known import Observations
from .outlook import outlook
from .prior import expected
from .proposal import Proposal
from .search import Effort, Found, maximize
from .surrogate import Model
from .threads import one_thread
from .together import companions

SAMPLED = ("qLogNEI", "qLogNEHVI")  # acquisitions that BoTorch samples: of one number to improve, of a front


@dataclass(frozen=True, slots=True)
class Engine:
    """What the campaign's ``engine:`` may force. "" leaves the choice to the planner.

    robust: look for outliers. transform: the outcome that may be seen through a transform. drift: trials age.
    model: plain, saas, or auto (chosen by evidence). warp: numbers are warped. kernel: matern, rbf or additive.
    """

    kernel: str = ""
    acquisition: str = ""
    samples: int = 128
    effort: Effort = field(default_factory=Effort)
    repeats: bool = False
    robust: bool = False
    transform: str = ""
    drift: bool = False
    warp: bool = False
    model: str = "plain"


@dataclass(frozen=True, slots=True)
class Problem:
    """A campaign as the planner needs it. ``memory``: what was learnt before; no answer depends on it."""

    encoding: Encoding
    goals: tuple[Goal, ...]
    method: str = "sobol"
    initial: int = 8
    engine: Engine = field(default_factory=Engine)
    outlook: bool = False  # a stopping rule wants to know what can still be gained
    batch: int = 1
    memory: dict[tuple[str, bytes], Array] = field(default_factory=dict, compare=False, repr=False)

    def held(self, batch: Mapping[int, Mapping[str, Value]]) -> "Problem":
        """The same where what a batch shares is as these settings, by trial, have it."""
        if not batch or not self.encoding.shared:
            return self
        return replace(self, encoding=self.encoding.held(list(batch.values())))


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
    with one_thread():
        return _plan(problem, state, count, first, design_only)


def _plan(problem: Problem, state: CampaignState, count: int, first: int | None, design_only: str) -> list[Proposal]:
    history = read(state, problem.encoding, problem.goals)
    first = state.next_trial() if first is None else first
    believe = Believer(problem, history.data, trial_seed(state.seed, 0))
    proposals: list[Proposal] = []
    turn = turn_of(state, first)
    batch = companions(state, first, problem.encoding.shared, problem.batch)
    for ahead in range(count):
        together = problem.held(batch)
        with _room(problem, trial_seed(state.seed, turn + ahead)):
            turns = _Turn(seed=state.seed, trial=first + ahead, turn=turn + ahead)
            try:
                proposal, point = _plan_one(together, history, believe, turns, design_only)
            except NothingLeftError:
                if proposals:
                    break  # the rest of a table, or all that shares what the first has
                if together is problem:
                    raise
                batch, together = {}, problem
                proposal, point = _plan_one(problem, history, believe, turns, design_only)
        if together is not problem:
            common = ", ".join(name for name in problem.encoding.shared if name in proposal.settings)
            if common:
                reason = f"{proposal.reason}; {common} as in trial {min(batch)}"
                proposal = msgspec.structs.replace(proposal, reason=reason)
        batch = {} if len(batch) + 1 >= problem.batch else {**batch, proposal.trial: proposal.settings}
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


class Believer:
    """Fits once, when first asked, for all proposals of one call: trials in flight change no data.

    The fit's seed is the campaign's, not the trial's, so that the second of two proposals rests on the same model as
    the only one asked for later.
    """

    def __init__(self, problem: Problem, data: Mapping[str, Observations], seed: int) -> None:
        self._problem, self._data, self._seed = problem, data, seed
        self._model: Model | None = None

    def __call__(self) -> Model:
        if self._model is None:
            encoding, engine = self._problem.encoding, self._problem.engine
            kernel = engine.kernel or "matern"
            if is_sampled(self._problem.goals, engine.acquisition):
                with _room(self._problem, self._seed):
                    torch_models = import_module("labloop.planner.torch_models")
                    self._model = torch_models.fit(self._data, encoding, kernel)
            else:
                memory = self._problem.memory
                self._model = surrogate.fit_all(
                    self._data,
                    encoding,
                    ["matern" if kernel == "additive" else kernel],
                    memory,
                    robust=engine.robust,
                    transformed=engine.transform,
                    drifting=engine.drift,
                    warp=engine.warp,
                    few=engine.model == "saas",
                    choosing=engine.model == "auto",
                    additive=kernel == "additive",
                    shaped=bool(engine.kernel),
                )
        assert self._model is not None
        return self._model


def is_sampled(goals: Sequence[Goal], acquisition: str) -> bool:
    """Whether BoTorch is asked: where that is forced, and for fronts that the closed form does not reach."""
    many = is_pareto(goals) and sum(goal.is_wish for goal in goals) > MOST_OUTCOMES
    return many or acquisition in SAMPLED


def _room(problem: Problem, seed: int) -> AbstractContextManager[None]:
    """Where torch is used: one thread and a random stream of its own."""
    if not is_sampled(problem.goals, problem.engine.acquisition):
        return nullcontext()
    room: AbstractContextManager[None] = import_module("labloop.planner.torch_scores").alone(seed)
    return room


def score_of(problem: Problem, model: Model, history: History, seed: int) -> Score:
    known, encoding = history.known, problem.encoding
    if is_sampled(problem.goals, problem.engine.acquisition):
        build = import_module("labloop.planner.torch_scores").build
        score: Score = build(model, problem.goals, known, encoding, seed, problem.engine.samples)
        return score
    assert isinstance(model, surrogate.Surrogate)
    return acquisition.build(model, problem.goals, known, encoding, seed)


def _plan_one(
    problem: Problem, history: History, believe: Callable[[], Model], turn: _Turn, design_only: str
) -> tuple[Proposal, Array]:
    wait = design_only or _why_design(problem, history)
    if not wait:
        try:
            return _by_model(problem, history, believe(), turn)
        except (SurrogateError, RuntimeError, ValueError, ArithmeticError) as error:
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
    hoped = expected(encoding, point) if turn.turn == 1 and encoding.rows is None else None
    if hoped is not None:  # as it would be proposed: rounded
        hoped = encoding.encode([encoding.decode(hoped)])[0]
    if hoped is not None and is_open(encoding, hoped, taken):
        point, reason = hoped, f"{reason}, where the optimum is expected"
    settings = encoding.decode(point)
    proposal = Proposal(trial=turn.trial, settings=settings, source=problem.method, seed=turn.mixed, reason=reason)
    return proposal, encoding.encode([settings])[0]


def _by_model(problem: Problem, history: History, model: Model, turn: _Turn) -> tuple[Proposal, Array]:
    encoding, mixed = problem.encoding, turn.mixed
    score = score_of(problem, model, history, mixed)
    rivals = model.middles(history.known.rivals)
    believed = standing(problem.goals, model.outcomes, model.scales, rivals)
    best = history.known.rivals[best_rows(believed)]
    flying = history.known.pending
    effort = problem.engine.effort.among(len(flying))
    found = maximize(score, encoding, best, _taken(problem, history), mixed, effort, flying)
    if not np.isfinite(found[0].score):
        raise SurrogateError("no point has a finite score")
    found = [one for one in found if np.isfinite(one.score)]
    points = np.array([one.point for one in found])
    predicted = _predictions(model, points)
    left_out = f"; {history.left_out} trials left out (no number, or not in this space)" if history.left_out else ""
    proposal = Proposal(
        trial=turn.trial,
        settings=found[0].settings,
        source="model",
        seed=mixed,
        reason=_hope(model, problem.goals, rivals, predicted[0]),
        predicted=predicted[0],
        acquisition=score.name,
        acquisition_value=found[0].score,
        model=f"{model.words}; {len(history.known.observed)} trials{left_out}",
        runners_up=_runners_up(found, predicted),
        outlook=outlook(model, problem.goals, history, encoding, points, mixed) if problem.outlook else {},
        evidence=dict(model.evidence) if isinstance(model, surrogate.Surrogate) else {},
        outliers=model.outliers if isinstance(model, surrogate.Surrogate) else [],
    )
    return proposal, encoding.encode([found[0].settings])[0]  # as it will be read, to the last bit


def _taken(problem: Problem, history: History) -> Array:
    """Points not to give again: where repeats are asked for, only what failed or is open."""
    if problem.engine.repeats:
        return np.concatenate([history.known.failed, history.known.pending])
    return history.taken


def _predictions(model: Model, points: Array) -> list[dict[str, Prediction]]:
    mean, sd = model.predict(points)
    return [
        {name: Prediction(float(m), float(s)) for name, m, s in zip(model.outcomes, row, spread, strict=True)}
        for row, spread in zip(mean, sd, strict=True)
    ]


def _runners_up(found: Sequence[Found], predicted: Sequence[dict[str, Prediction]]) -> list[RunnerUp]:
    return [
        RunnerUp(settings=one.settings, acquisition=one.score, predicted=what)
        for one, what in zip(found[1:], predicted[1:], strict=True)
    ]


def _hope(model: Model, goals: Sequence[Goal], rivals: Array, predicted: dict[str, Prediction]) -> str:
    """In words: what is expected here, and the best that is believed to have been measured (``rivals``: its means)."""
    parts = []
    for goal in goals:
        if not goal.is_wish:
            continue
        values = rivals[:, model.outcomes.index(goal.outcome)]
        best = float(values[int(np.argmax(goal.utility(values)))])
        here = predicted[goal.outcome]
        parts.append(f"{goal.outcome} expected {text.spread(here.mean, here.sd)}, best so far believed {best:.4g}")
    wishes = desired(goals, model.outcomes)
    if wishes is not None:
        believed = np.array([[predicted[name].mean for name in model.outcomes]])
        there, known = (float(np.max(wishes.of(values), initial=0.0)) for values in (believed, rivals))
        parts.append(f"desirability expected {there:.2f}, best so far believed {known:.2f}")
    return "; ".join(parts)


__all__ = ["Believer", "Encoding", "Engine", "Problem", "is_sampled", "plan", "score_of", "trial_seed", "turn_of"]
