"""The state as what a person looks at: a headline, notices, points to plot, rows. No widget, no clock, no colour.

Everything here is a pure function and returns plain words, so that a test can read what a screen will say. A *tone*
(good, bad, warn, quiet or nothing) says how a word is meant; the widgets turn it into a colour *and* the words or marks
say it too, for terminals that have no colour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from labloop.campaign import text
from labloop.campaign.bench_time import elapsed_s, eta_s, speed, trials_allowed
from labloop.campaign.grammar import flat_parameters
from labloop.campaign.holds import interlocked
from labloop.campaign.objective import Objective, value_of
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import (
    ABANDONED,
    AWAITING,
    FAILED,
    FINISHED,
    HALTED,
    IN_DOUBT,
    MEASURED,
    PAUSED,
    PROPOSED,
    READY,
    RUNNING,
    STOPPED,
    CampaignState,
    StepState,
    TrialState,
)
from labloop.campaign.view import BREAKS, best_trials, question_of, target, unapproved, waiting

MODES: Final[Mapping[str, tuple[str, str]]] = {
    "simulated": ("SIMULATED", "simulated"),
    "virtual": ("SIMULATED", "simulated"),
    "live": ("LIVE", "live"),
    "told": ("ASK AND TELL", "quiet"),
}
STATE_TONES: Final[Mapping[str, str]] = {
    READY: "quiet",
    RUNNING: "good",
    PAUSED: "warn",
    FINISHED: "good",
    STOPPED: "bad",
    HALTED: "bad",
}
TRIAL_MARKS: Final[Mapping[str, tuple[str, str]]] = {
    PROPOSED: ("○", "quiet"),
    RUNNING: ("▶", ""),
    AWAITING: ("…", "warn"),
    MEASURED: ("●", "good"),
    FAILED: ("✗", "bad"),
    ABANDONED: ("-", "quiet"),
    IN_DOUBT: ("?", "bad"),
}


@dataclass(frozen=True, slots=True)
class Headline:
    """The two lines above everything."""

    title: str
    mode: str
    mode_tone: str
    state: str
    state_tone: str
    done: int
    allowed: int | None
    facts: tuple[str, ...]
    waits: bool = False  # for a person


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person must know now."""

    tone: str
    title: str
    lines: tuple[str, ...] = ()
    more: tuple[str, ...] = ()  # for screens with room for it


def headline(
    spec: CampaignSpec, state: CampaignState, runner: str, now: datetime, beat_s: float | None = None
) -> Headline:
    """Return title, mode, state and how far it is. RUNNER GONE takes the state's place, whatever the facts say.

    Both times are bench time (see campaign.bench_time); where that is not the wall's, they say so.
    """
    mode, mode_tone = MODES.get(state.mode, (state.mode.upper(), "live"))
    word, tone = state.state.upper(), STATE_TONES[state.state]
    if state.state in (RUNNING, PAUSED) and runner in ("gone", "hung") and state.mode != "told":
        word, tone = f"RUNNER {runner.upper()}", "bad"
    if state.mode == "told" and state.state == READY and state.trials:  # no runner ever says that it has begun
        word, tone = "OPEN", "good"
    allowed = trials_allowed(spec, state)
    done = f"{state.measured} of {allowed} trials" if allowed is not None else f"{state.measured} trials"
    facts = [done]
    if state.safe and state.state != RUNNING:  # on every screen, and before all else that may be cut off
        facts.insert(0, "bench made safe")
    spent_s = elapsed_s(state, runner, now, beat_s)
    left_s = eta_s(spec, state, spent_s)
    going = left_s is not None and state.state in (RUNNING, PAUSED) and tone != "bad"
    left = [f"about {text.duration(left_s)} left"] if going else []
    spent, walls = text.duration(spent_s), speed(state) == 1
    if state.mode == "told":
        facts += left
    else:
        facts += [f"{spent} elapsed", *left] if walls else [", ".join([f"bench time {spent}", *left])]
    if state.amended:
        facts.append("amended" if len(state.amended) == 1 else f"amended {len(state.amended)} times")
    title = text.plain(spec.title or spec.campaign)
    waits = waits_for_person(spec, state)
    return Headline(title, mode, mode_tone, word, tone, state.measured, allowed, tuple(facts), waits)


def waits_for_person(spec: CampaignSpec, state: CampaignState) -> bool:
    """Whether something goes on only once a person has answered or approved."""
    return bool(waiting(state) or unapproved(spec, state))


def notices(
    spec: CampaignSpec, state: CampaignState, runner: str, run: str, not_safe: int | None = None
) -> list[Notice]:  # fmt: skip
    """Return what a person must know now, the most urgent first. ``run``: how a command line names this run.

    ``not_safe``: how much its guard could not make safe in a dead runner's place; None: it has not acted.
    """
    found: list[Notice] = []
    acting = state.state in (RUNNING, PAUSED) and state.mode != "told"
    if acting and runner == "gone":
        if state.safe:
            safe = "The bench was left in its safe state."
        elif not_safe is None:
            safe = "No fact says that the bench is safe: look."
        else:
            safe = "Its guard could NOT make all safe: look." if not_safe else "Its guard has made the bench safe."
        found.append(Notice("bad", f"Its process is gone. {safe}", (f"Go on: labloop resume {run}",)))
    if acting and runner == "hung":
        found.append(
            Notice(
                "bad",
                "The process that runs this lives, but has said nothing for too long",
                ("ctrl+x ctrl+x: to the safe state now",),
            )
        )
    if state.unsafe and not_safe != 0:
        title = "LOOK AT THE BENCH: not all of it was made safe"
        found.append(Notice("bad", title, tuple(text.plain(why) for why in state.unsafe)))
    found += [_question(step, run) for step in waiting(state)]
    found += [_approval(spec, state.trials[number], run) for number in unapproved(spec, state)]
    lost = [name for name, doing in state.instruments.items() if doing == "lost"]
    if lost:
        found.append(Notice("bad", f"LOST: {', '.join(lost)}", ("Check cable and power, then resume.",)))
    found += [_interlock(rule, why) for rule, why in interlocked(state).items()]
    stands = state.state in (HALTED, STOPPED, FINISHED) or (state.state == PAUSED and runner != "gone")
    if stands and not (state.questions and state.state == HALTED):
        found.append(_standstill(state, run))
    if state.state == READY and runner == "gone" and state.mode != "told":
        found.append(Notice("warn", "Nothing has moved yet, and nobody runs it", (f"Begin: labloop resume {run}",)))
    owed = [t.trial for t in _open(state) if t.state == AWAITING or (state.mode == "told" and t.state == PROPOSED)]
    if owed:
        still = state.trials[owed[0]].owed
        names = still or [name for name, one in spec.outcomes.items() if not one.prefers]
        values = " ".join(f"{name}=VALUE" for name in names)
        numbers = ", ".join(map(str, owed[:8])) + (", ..." if len(owed) > 8 else "")
        plural = "s" if len(owed) > 1 else ""
        way = f"labloop tell {run} {owed[0]} {values}" if values else f"labloop compare {run} says which two to compare"
        found.append(Notice("warn", f"Result{plural} owed for trial{plural} {numbers}", (way,)))
    return found


def _question(step: StepState, run: str) -> Notice:
    begun = step.begun
    where = f"trial {begun.trial}, " if begun.trial is not None else ""
    question, answers = question_of(step)
    verbs = f"a answers it here; in a shell: labloop request {run} resolve {target(step)} {'|'.join(answers)}"
    return Notice(
        "bad",
        f"WAITS FOR YOU: {where}{begun.instrument}.{begun.action}",
        (text.plain(question), verbs),
        tuple(f"{answer}: {text.plain(effect)}" for answer, effect in answers.items()),
    )


def _interlock(rule: str, why: str) -> Notice:
    if not why:
        return Notice("warn", f"HELD by {text.plain(rule)}: its condition is over", ("r lets steps start again",))
    return Notice("bad", f"HELD by {text.plain(rule)}: no new step starts", (text.plain(why),))


def _approval(spec: CampaignSpec, trial: TrialState, run: str) -> Notice:
    wished = text.plain(text.settings(trial.settings, units(spec)))
    hopes = [f"{name} {text.spread(one.mean, one.sd)}" for name, one in trial.proposal.predicted.items()]
    verbs = f"y approves, v vetoes the one under the cursor; in a shell: labloop request {run} approve {trial.trial}"
    return Notice(
        "warn", f"WAITS FOR YOU: may trial {trial.trial} run?", (wished, verbs),
        (f"hopes for {', '.join(hopes)}",) if hopes else (),
    )  # fmt: skip


def proposals(state: CampaignState) -> list[TrialState]:
    """Return the proposals that have not begun, the oldest first; none of a run that is over."""
    if state.state in (STOPPED, FINISHED):
        return []
    return [trial for trial in _open(state) if trial.state == PROPOSED]


def _standstill(state: CampaignState, run: str) -> Notice:
    titles = {
        HALTED: ("bad", "HALTED", f"Go on: labloop resume {run}"),
        STOPPED: ("bad", "STOPPED", f"Go on: labloop resume {run}"),
        FINISHED: ("good", "FINISHED", f"More trials: labloop resume {run} --trials +20"),
        PAUSED: ("warn", "PAUSED", "r lets steps start again"),
    }
    if state.safe:
        titles[PAUSED] = "warn", "PAUSED, and made safe", "r sets up again and goes on"
    tone, title, way_on = titles[state.state]
    reason = text.plain(state.reason)
    if state.holds:
        way_on = f"held by {text.plain(' and '.join(state.holds))}; {way_on}"
    return Notice(tone, f"{title}: {reason}" if reason else title, (way_on,))


def _open(state: CampaignState) -> list[TrialState]:
    return [state.trials[number] for number in sorted(state.open_trials)]


def hoped(trial: TrialState, outcome: str) -> str:
    """Return what the model expected, or a dash."""
    one = trial.proposal.predicted.get(outcome)
    return text.spread(one.mean, one.sd) if one else "-"


def off(trial: TrialState, outcome: str) -> str:
    """Return how far the measured value lies from what was hoped, in sd of the prediction: ``+1.3 sd``."""
    found = sds(trial, outcome)
    return "-" if found is None else f"{found:+.1f} sd"


def sds(trial: TrialState, outcome: str) -> float | None:
    """Return the same as a number, or None where there is nothing to compare."""
    one, value = trial.proposal.predicted.get(outcome), measured(trial, outcome)
    if one is None or value is None or one.sd <= 0:
        return None
    return (value - one.mean) / one.sd


def measured(trial: TrialState, outcome: str) -> float | None:
    """Return the measured number, or None where there is none (or only a bound)."""
    return value_of(trial.outcomes.get(outcome))


def mark_of(trial: TrialState) -> tuple[str, str, str]:
    """Return the mark of a trial, its tone, and its state in a word; what is marked as wrong says so."""
    if trial.is_withdrawn:
        return "⊘", "quiet", "wrong"
    return (*TRIAL_MARKS[trial.state], in_words(trial.state))


def in_words(state: str) -> str:
    """Return the state of a trial or of a step as it is read."""
    return state.replace("_", " ")


def trial_columns(outcomes: Sequence[str], parameters: Sequence[str]) -> list[tuple[str, int]]:
    """Return the columns of the trials' table as (heading, width)."""
    columns = [("trial", 6), ("state", 11), ("from", 6)]
    for name in outcomes:
        columns.append((name, max(len(name), 9)))
    if len(outcomes) == 1:
        columns += [("hoped", 15), ("off by", 8)]
    return columns + [(name, max(len(name), 7)) for name in parameters]


def trial_cells(trial: TrialState, outcomes: Sequence[str], parameters: Sequence[str], best: bool) -> list[str]:
    """Return one row of the trials' table, as ``trial_columns`` heads it."""
    mark, _, state = mark_of(trial)
    source = trial.source if trial.role == "candidate" else trial.role
    cells = [f"{trial.trial}{'★' if best else ''}", f"{mark} {state}", source]
    for name in outcomes:
        found = trial.outcomes.get(name)
        mark = "⊘ " if found and found.flag and not trial.is_withdrawn else ""
        cells.append(mark + text.bound(found) + text.number(found.value) if found else "-")
    if len(outcomes) == 1:
        cells += [hoped(trial, outcomes[0]), off(trial, outcomes[0])]
    return [text.plain(c) for c in cells + [text.number(trial.settings.get(name)) for name in parameters]]


def leaders(spec: CampaignSpec, state: CampaignState) -> str:
    """Return what the best trial gave so far, or how many stand on the front."""
    found = best_trials(spec, state)
    if not found:
        return "-"
    objective = Objective(spec)
    lacks = "" if objective.feasible(found[0]) else f" · {BREAKS}"
    if len(found) > 1:
        return f"{len(found)} on the front{lacks}"
    if desired := objective.desirability(found[0]):
        lacks = f" · desirability {desired[0]:.3f}{lacks}"
    return ", ".join(f"{name} {text.reading(one)}" for name, one in found[0].outcomes.items()) + lacks


def units(spec: CampaignSpec) -> dict[str, str]:
    """Return the unit of each setting, in the order of the file; ``""`` where it has none."""
    return {name: getattr(one, "unit", "") or "" for name, one in flat_parameters(spec.parameters).items()}
