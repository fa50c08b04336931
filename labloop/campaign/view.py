"""A campaign as documents: what ``labloop status --json`` and ``labloop trials --format json`` print.

Pure functions of (spec, state); what is no fact (whether the runner lives, what time it is) comes as an argument. The
names in these documents are public: scripts read them, so they grow and never change. ``SCHEMA`` counts the changes.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from . import events as e
from . import recipe
from .amending import Holding, sentence
from .amendment import Amendment
from .asking import asking
from .bench_time import elapsed_s, eta_s, speed, trials_allowed
from .holds import interlocked
from .objective import Objective
from .spec import CampaignSpec
from .spending import Spending
from .state import (
    ABANDONED,
    AWAITING,
    FAILED,
    FINISHED,
    HALTED,
    IN_DOUBT,
    MEASURED,
    OPEN_STATES,
    PAUSED,
    PROPOSED,
    RUNNING,
    CampaignState,
    StepState,
    TrialState,
)

SCHEMA: Final = 1
BREAKS: Final = "breaks a limit"  # what is said of the best trial while none keeps them all
TRIAL_STATES: Final = (PROPOSED, RUNNING, AWAITING, MEASURED, FAILED, ABANDONED, IN_DOUBT)
SIMULATED_MODES: Final = frozenset({"simulated", "virtual"})
_EXIT_CODES: Final[Mapping[str, int]] = {FINISHED: 0, HALTED: 6}  # a stopped campaign carries its own


def trials_document(spec: CampaignSpec, state: CampaignState, with_plan: bool = True) -> dict[str, Any]:
    """Return every trial with every attempt of its steps; ``with_plan`` adds steps not yet begun as ``planned``."""
    trials = [trial_entry(spec, trial, with_plan) for _, trial in sorted(state.trials.items())]
    return {"schema": SCHEMA, "campaign": spec.campaign, "trials": trials}


def evidence(proposal: e.ProposalMade) -> dict[str, Any]:
    """What spoke for the model of each outcome, where it was chosen: which was taken, and how far each is ahead."""
    return {name: {"taken": one.taken, "ahead": dict(one.ahead)} for name, one in proposal.evidence.items()}


def trial_entry(spec: CampaignSpec, trial: TrialState, with_plan: bool = True) -> dict[str, Any]:
    """Return one trial as it stands in the trials' document."""
    proposal = trial.proposal
    return {
        "trial": trial.trial,
        "sample": trial.sample,
        "role": trial.role,
        "state": trial.state,
        "settings": dict(trial.settings),
        "achieved": achieved(trial),
        "outcomes": outcomes(trial),
        "owed": owed(spec, trial),
        "desirability": desirability(Objective(spec), trial),
        "proposed": trial.proposed,
        "started": trial.started,
        "finished": trial.finished,
        "duration_s": duration_s(trial),
        "source": trial.source,
        "predicted": {name: {"mean": one.mean, "sd": one.sd} for name, one in proposal.predicted.items()},
        "model": proposal.model,
        "evidence": evidence(proposal),
        "outliers": list(proposal.outliers),
        "acquisition": proposal.acquisition,
        "acquisition_value": proposal.acquisition_value,
        "seed": proposal.seed,
        "based_on": proposal.based_on,
        "repeat_of": proposal.repeat_of,
        "again_of": proposal.again_of,
        "why": proposal.reason,
        "reason": trial.reason,
        "by": trial.told_by,
        "again": trial.again,
        "closed": trial.closed,
        "amended": trial.amended,
        "compared": trial.tastes.count(trial.trial),
        "withdrawn": [
            {"outcome": name or None, "by": fact.by, "why": fact.why} for name, fact in trial.withdrawn.items()
        ],
        "steps": [step_entry(step) for step in trial.steps] + (_planned(spec, trial) if with_plan else []),
    }


def achieved(trial: TrialState) -> dict[str, dict[str, Any]]:
    """Return what was read back, as ``{"pump.dispense": {"volume": {"value": 0.4, "unit": "mL"}}}``.

    A later attempt of one step replaces an earlier; where a recipe does the same action twice, the second is ``#2``.
    """
    places: dict[str, list[tuple[int, int, str]]] = {}
    read_back: dict[str, dict[str, Any]] = {}
    for step in trial.steps:
        begun = step.begun
        name, place = f"{begun.instrument}.{begun.action}", (begun.stage, begun.index, begun.phase)
        known = places.setdefault(name, [])
        if place not in known:
            known.append(place)
        if step.achieved:
            number = known.index(place) + 1
            read_back[name if number == 1 else f"{name}#{number}"] = _amounts(step.achieved)
    return read_back


def outcomes(trial: TrialState) -> dict[str, dict[str, Any]]:
    """Return what was measured as ``{name: {value, unit, sd?}}``."""
    return {name: _reading(one) for name, one in trial.outcomes.items()}


def owed(spec: CampaignSpec, trial: TrialState) -> list[str]:
    """Return the outcomes that a trial waits for; empty while it does not wait for any."""
    if trial.state != AWAITING:
        return []
    return list(trial.owed) or [name for name, one in spec.outcomes.items() if one.told and not one.prefers]


def desirability(objective: Objective, trial: TrialState) -> dict[str, Any] | None:
    """Return how desirable what was measured is, ``{overall, each: {outcome: ...}}`` from 0 to 1.

    None where the campaign does not say what is desirable, and while not all of it is measured.
    """
    found = objective.desirability(trial) if objective.shapes else None
    return None if found is None else {"overall": found[0], "each": found[1]}


def duration_s(trial: TrialState) -> float | None:
    """Return how long the trial took, what passed between two runners left out; None where that is not known."""
    if trial.started is None or trial.finished is None or trial.told_by:
        return None
    return trial.finished_lived_s - trial.started_lived_s


def step_entry(step: StepState) -> dict[str, Any]:
    """Return one attempt of one step."""
    begun = step.begun
    entry: dict[str, Any] = {
        "step": begun.step,
        "instrument": begun.instrument,
        "action": begun.action,
        "settings": _amounts(begun.settings),
        "achieved": _amounts(step.achieved),
        "state": step.state,
        "phase": begun.phase,
        "stage": begun.stage,
        "index": begun.index,
        "attempt": begun.attempt,
        "act": begun.act,
        "started": step.started,
        "finished": step.finished,
        "duration_s": step.ended_t_s - begun.t_s if step.finished else None,
        "readings": {name: _reading(one) for name, one in step.readings.items()},
        "save_as": step.save_as,
        "remainder": _amounts(step.remainder),
        "fault": step.fault,
        "reason": step.reason,
        "by": step.by,
    }
    if step.question:
        entry |= {"question": step.question, "answers": dict(step.answers)}
    return entry


def status_document(
    spec: CampaignSpec, state: CampaignState, presence: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return how the campaign stands. ``presence``: ``runner`` (alive, gone, hung), ``guard`` and ``elapsed_s`` (see
    bench_time), as asked of the run's folder; ``now`` is an aware time."""
    runner = presence.get("runner", "gone")
    spent_s = elapsed_s(state, runner, now, presence.get("elapsed_s"))
    safe = state.safe or (runner == "gone" and presence.get("left_unsafe") == 0)
    return {
        "schema": SCHEMA,
        "campaign": spec.campaign,
        "title": spec.title,
        "state": state.state,
        "reason": state.reason,
        "holds": [{"by": who, "reason": fact.reason} for who, fact in state.holds.items()],
        "interlocks": [{"rule": rule, "reason": why, "over": not why} for rule, why in interlocked(state).items()],
        "exit_code": exit_code(state),
        "runner": runner,
        "guard": presence.get("guard"),
        "mode": state.mode,
        "simulated": state.mode in SIMULATED_MODES,
        "seed": state.seed,
        "trials": counts(state),
        "best": best(spec, state),
        "outliers": sorted(state.outliers),
        "comparisons": comparisons(spec, state),
        "elapsed_s": spent_s,
        "eta_s": eta_s(spec, state, spent_s) if state.state in (RUNNING, PAUSED) and runner == "alive" else None,
        "speed": speed(state),
        "budget_left": budget_left(spec, state, spent_s),
        "instruments": dict(state.instruments),
        "owed": [
            {"trial": number, "outcomes": owed(spec, trial)}
            for number, trial in sorted(state.trials.items())
            if owed(spec, trial)
        ],
        "questions": [question_entry(step) for step in waiting(state)],
        "approvals": unapproved(spec, state),
        "safe": safe,
        "unsafe": [] if safe else [{"instrument": instrument_of(state, why), "why": why} for why in state.unsafe],
        "amendments": [amendment_entry(one, state) for one in state.amendments],
        "notes": [{"at": at, "text": note.text, "by": note.by} for at, note in state.notes],
        "opened": state.opened_at,
        "last_fact": {"seq": state.seq, "at": state.at},
    }


def amendment_entry(one: Amendment, state: CampaignState) -> dict[str, Any]:
    """Return one amendment of the campaign; ``in_force``: neither taken back nor what takes another back."""
    fact = one.fact
    return {
        "seq": one.seq, "at": one.at, "by": fact.by, "why": fact.why, "undoes": fact.undoes or None,
        "changes": [sentence(change) for change in fact.changes], "gave_up": list(fact.leaves),
        "in_force": one in state.amended,
    }  # fmt: skip


def counts(state: CampaignState) -> dict[str, int]:
    """Return how many trials there are in each state, the states that have none included."""
    found = Counter(trial.state for trial in state.trials.values())
    return {name: found.get(name, 0) for name in TRIAL_STATES}


def best(spec: CampaignSpec, state: CampaignState) -> dict[str, Any] | list[dict[str, Any]] | None:
    """Return the best trial so far, the Pareto set as a list, or None while nothing is measured.

    While no trial keeps every limit it is the one that breaks them least. ``in_space``: whether it could be proposed
    now, after the campaign was amended.
    """
    found, objective = best_trials(spec, state), Objective(spec)
    holds = Holding(spec) if state.amendments else None  # before, a space holds what was proposed in it
    entries = [
        {
            "trial": t.trial, "settings": dict(t.settings), "outcomes": outcomes(t),
            "desirability": desirability(objective, t), "keeps_limits": objective.feasible(t),
            "in_space": holds is None or holds(t.settings),
        }
        for t in found
    ]  # fmt: skip
    if objective.pareto:
        return entries
    return entries[0] if entries else None


def best_trials(spec: CampaignSpec, state: CampaignState) -> list[TrialState]:
    """Return the best measured trial as a list of one, or the Pareto set; empty while nothing is measured.

    What the model takes for an outlier (``engine: {robust: true}``) is not the best, unless there is nothing else.
    """
    objective = Objective(spec)
    found = objective.best(state.believed) or objective.best(state.trials.values())
    if found is None:
        return []
    return [found] if isinstance(found, TrialState) else list(found)


def comparisons(spec: CampaignSpec, state: CampaignState) -> dict[str, Any] | None:
    """Return how many comparisons there are and which trials were not compared yet; None where trials are not."""
    outcome = next((name for name, one in spec.outcomes.items() if one.prefers), None)
    if outcome is None:
        return None
    waiting = [trial.trial for trial in comparable(state) if not state.tastes.count(trial.trial)]
    return {"outcome": outcome, "made": len(state.tastes.comparisons), "open": waiting}


def comparable(state: CampaignState) -> list[TrialState]:
    """Return the trials that a person may compare, those aside that only keep watch (controls, blanks).

    Where hands are a person's nobody says when a trial is made: there proposed ones count.
    """
    made = {MEASURED, AWAITING} | ({PROPOSED} if state.mode == "told" else set())
    every = (trial for _, trial in sorted(state.trials.items()))
    roles = ("candidate", "repeat")
    return [trial for trial in every if trial.state in made and trial.role in roles and not trial.is_withdrawn]


def exit_code(state: CampaignState) -> int | None:
    """Return what the process ended or will end with by the facts, or None while the campaign goes on."""
    return state.exit_code if state.exit_code is not None else _EXIT_CODES.get(state.state)


def instrument_of(state: CampaignState, complaint: str) -> str | None:
    """Return the instrument that a complaint on the way to the safe state begins with; None: it names none."""
    name = complaint.partition(":")[0].partition(".")[0]
    return name if name in state.instruments else None


def budget_left(spec: CampaignSpec, state: CampaignState, spent_s: float) -> dict[str, Any]:
    """Return what is left of trials and attempts and, where the campaign limits them, of time and cost.

    ``spent_s``: how long the run has gone on, in bench time.
    """
    allowed = trials_allowed(spec, state)
    left: dict[str, Any] = {
        "trials": None if allowed is None else max(allowed - state.measured, 0),
        "attempts": None,
    }
    if spec.budget.attempts is not None:
        left["attempts"] = max(spec.budget.attempts + 2 * state.extended_trials - state.attempts, 0)
    if spec.budget.time_s is not None and state.mode != "told":  # without a bench there is no bench time
        left["time_s"] = max(spec.budget.time_s - spent_s, 0.0)
    if spec.budget.cost is not None:
        left["cost"] = max(spec.budget.cost - Spending(spec).so_far(state), 0.0)
    return left


def unapproved(spec: CampaignSpec, state: CampaignState) -> list[int]:
    """Return the proposals that a person must approve before they run, the oldest first; none of a run that is over."""
    if spec.approval != "human" or state.mode == "told" or state.state not in (RUNNING, PAUSED, HALTED):
        return []
    proposed = (state.trials[number] for number in sorted(state.open_trials))
    return [trial.trial for trial in proposed if trial.state == PROPOSED and trial.approved_by is None]


def waiting(state: CampaignState) -> list[StepState]:
    """Return every step that waits for a person: acts in doubt, then what a person was asked to do."""
    return [*state.questions.values(), *state.asked.values()]


def question_of(step: StepState) -> tuple[str, dict[str, str]]:
    """Return what a person reads, and what each answer will do."""
    if step.question:
        return step.question, dict(step.answers)
    return asking(step.begun.settings).question(step.begun.trial)


def target(step: StepState) -> str:
    """Return how ``resolve`` names the step: ``7.pump_seed``, or ``setup.pump_seed`` outside a trial."""
    begun = step.begun
    return f"{begun.phase if begun.trial is None else begun.trial}.{begun.instrument}"


def question_entry(step: StepState) -> dict[str, Any]:
    """Return an open question: which act is in doubt, or what is to be done, and what each answer will do."""
    question, answers = question_of(step)
    return {
        "step": step.begun.step,
        "trial": step.begun.trial,
        "instrument": step.begun.instrument,
        "action": step.begun.action,
        "target": target(step),
        "question": question,
        "answers": answers,
    }


def _planned(spec: CampaignSpec, trial: TrialState) -> list[dict[str, Any]]:
    if trial.closed:
        return []
    phases = ["trial", "cleanup"] if trial.state in OPEN_STATES - {AWAITING} else ["cleanup"]
    begun = {(s.begun.phase, s.begun.stage, s.begun.index) for s in trial.steps}
    planned = []
    for phase in phases:
        for number, stage in enumerate(recipe.stages(spec, phase, trial.settings)):
            for index, step in enumerate(stage.steps):
                if (phase, number, index) not in begun:
                    planned.append(_planned_entry(phase, number, index, step))
    return planned


def _planned_entry(phase: str, stage: int, index: int, step: recipe.PlannedStep) -> dict[str, Any]:
    return {
        "instrument": step.instrument,
        "action": step.action,
        "settings": _amounts(step.settings),
        "achieved": {},
        "state": "planned",
        "phase": phase,
        "stage": stage,
        "index": index,
        "started": None,
        "finished": None,
        "save_as": step.save_as,
    }


def _amounts(values: Mapping[str, e.Amount]) -> dict[str, Any]:
    return {name: {"value": one.value, "unit": one.unit} for name, one in values.items()}


def _reading(one: e.Reading) -> dict[str, Any]:
    entry: dict[str, Any] = {"value": one.value, "unit": one.unit}
    if one.blob is not None:
        entry = {"blob": one.blob, "length": one.length, "unit": one.unit}
    more = {"sd": one.sd, "censored": one.censored or None, "flag": one.flag or None, "word": one.word or None}
    return entry | {name: value for name, value in more.items() if value is not None}
