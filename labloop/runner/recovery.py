"""What to do with what a crash, a fault or a stop left half done: pure functions of recipe and facts.

The instrument has been asked and its answers are facts already; what they mean for the sample is the recipe's word
(``if_interrupted``), not the driver's:

    every step of the stage finished            go on
    cannot tell                                 halt with the question
    the chemistry's fault (``teaches``)         the trial failed; clean up
    the bench's fault (cable, instrument)       the trial is abandoned; clean up; the same settings again. What may be
                                                repeated is tried again first
    we refused (safety)                         the trial is abandoned; the run stops
    still running                               watched on, where its driver can take that up again (``rejoins``), and
                                                not begun anew; else waited for
    not begun                                   do it
    cut short                                   as ``if_interrupted`` says: discard, remainder, again; ``ask`` makes
                                                a question of it, and the answer decides
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from labloop.bench import Action, Verdict
from labloop.campaign import events as e
from labloop.campaign import state as s

from .questions import PLAIN, Knows, question
from .schedule import NextStage

CUT_SHORT: Final = "interrupted"
NOT_DONE: Final = "not_done"
NOT_ITS_OWN: Final = (CUT_SHORT, NOT_DONE)
DISCARDED: Final = "discarded"
INSTRUMENT: Final = "instrument"  # who said what became of a step, when it was no person
# A stage that was interrupted this often is on a bench that needs a person, not another try.
MOST_ATTEMPTS: Final = 5
# What may be repeated and ended in the instrument's own fault is tried so often, after 2 and 4 s on the wall: an
# instrument that was switched off and on is ready again by then; one that is broken is not tried all night.
MOST_TRIES: Final = 3
RETRY_S: Final = 2.0
SAFETY: Final = "safety"
AGAIN: Final = "again"
Place = tuple[int | None, str, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """``verdict``: "run" (the steps of the stage that are left), "fail", "abandon" or "refuse"; ``why``.

    ``overrides``: for steps that only have a remainder to deliver, the settings to send, by index. ``wait_s``: how long
    to leave the instrument alone before (real seconds).
    """

    verdict: str
    why: str = ""
    overrides: Mapping[int, Mapping[str, e.Amount]] = field(default_factory=dict)
    wait_s: float = 0.0


def place(begun: e.StepStarted) -> Place:
    """Where a step belongs: what has the same place is another attempt at it."""
    return begun.trial, begun.phase, begun.number, begun.stage, begun.index


def was_done(begun: e.StepStarted, steps: Iterable[s.StepState]) -> bool:
    """Whether what is begun was done already, and is only set again: no sample is spoilt where that is cut short."""
    return any(step.state == s.FINISHED and place(step.begun) == place(begun) for step in steps)


def policy(stage_says: str | None, actions: Iterable[Action]) -> str:
    """``if_interrupted`` of a stage: what the recipe says, else the default of the contract."""
    if stage_says:
        return stage_says
    actions = list(actions)
    if all(action.repeatable for action in actions):
        return AGAIN
    if len(actions) > 1 or any(action.holds for action in actions):
        return "discard"
    return "ask"


def judge(
    ahead: NextStage,
    steps: Iterable[s.StepState],
    phase: str,
    actions: Mapping[tuple[str, str], Action],
    teaches: Iterable[str],
    *,
    forgive: bool = False,
) -> Judgement:
    """What becomes of the stage that is ahead, given every attempt at it so far.

    ``actions``: the declarations by (instrument, action). ``forgive``: whatever failed is done again; of what was done
    in part the rest, where the recipe says remainder or a person has said that it was not done.
    Steps in doubt are the caller's business: none may be left.
    """
    last: dict[int, s.StepState] = {}
    tried: dict[int, int] = {}  # how often since it was done; from then on it was only to be set again
    faulty: dict[int, int] = {}  # and how often of these by a fault that was its own
    done: set[int] = set()
    owed: dict[int, Mapping[str, e.Amount]] = {}  # what was tried again, maybe the rest of it, and did not begin
    for step in steps:
        if step.begun.phase == phase and step.begun.stage == ahead.number:
            index = step.begun.index
            if step.fault == NOT_DONE and index in last:
                owed[index] = step.begun.settings
            else:
                owed.pop(index, None)
            last[index] = step
            if step.state == s.FINISHED:
                tried[index] = faulty[index] = 0
                done.add(index)
            else:
                tried[index] = tried.get(index, 0) + 1
                faulty[index] = faulty.get(index, 0) + (step.state == s.FAILED and step.fault not in NOT_ITS_OWN)
    failed = {index: step for index, step in last.items() if step.state == s.FAILED}
    answered = {index: step for index, step in failed.items() if step.by not in ("", INSTRUMENT)}  # a person: not done
    says = policy(ahead.stage.if_interrupted, (actions[p.instrument, p.action] for p in ahead.stage.steps))
    if forgive:
        parts = failed if says == "remainder" else answered
        return Judgement(verdict="run", overrides=owed | _rest_of(parts))
    taught = set(teaches)
    for step in failed.values():
        if step.fault == SAFETY:
            return Judgement(verdict="refuse", why=step.reason)
    for step in failed.values():
        if step.fault == DISCARDED:
            return Judgement(verdict="abandon", why=f"{step.begun.instrument}: {step.reason}")
        if step.fault in taught:
            return Judgement(verdict="fail", why=f"{step.begun.instrument}: {step.fault}: {step.reason}")
    again = {index: step for index, step in failed.items() if step.fault not in NOT_ITS_OWN}
    for index, step in again.items():
        if not actions[step.begun.instrument, step.begun.action].repeatable or faulty[index] >= MOST_TRIES:
            return Judgement(verdict="abandon", why=f"{step.begun.instrument}: {step.reason}")
    if max(tried.get(index, 0) for index in ahead.steps) >= MOST_ATTEMPTS:
        return Judgement(verdict="abandon", why=f"not done in {MOST_ATTEMPTS} attempts")
    cut = {index: step for index, step in failed.items() if step.fault == CUT_SHORT and index not in done}
    begun_in_part = len(ahead.stage.steps) > 1 and bool(done) and not ahead.steps.keys() <= done
    wait_s = max((RETRY_S * 2.0 ** (faulty[index] - 1) for index in again), default=0.0)
    if not cut and not begun_in_part:
        return Judgement(verdict="run", overrides=owed, wait_s=wait_s)
    if says == AGAIN or (answered and cut.keys() <= answered.keys()):
        return Judgement(verdict="run", overrides=owed | _rest_of(answered), wait_s=wait_s)
    if says == "remainder" and all(step.remainder for step in cut.values()):
        return Judgement(verdict="run", overrides=owed | _rest_of(cut), wait_s=wait_s)
    names = ", ".join(sorted(step.begun.instrument for step in (cut or failed or last).values()))
    what = "cut short at" if cut else "begun in part, without" if failed else "begun in part, with"
    return Judgement(verdict="abandon", why=f"{what} {names}; the sample is discarded")


def _rest_of(parts: Mapping[int, s.StepState]) -> dict[int, Mapping[str, e.Amount]]:
    return {index: step.remainder for index, step in parts.items() if step.remainder}


def settle(
    step: s.StepState,
    says: str,
    verdict: Verdict | None,
    t_s: float,
    *,
    ended_s: float | None = None,
    repeatable: bool = False,
    knows: Knows = PLAIN,
) -> e.Fact:
    """The fact that settles a step which a crash or a safe state cut short.

    ``says``: the stage's policy. ``verdict``: what the instrument answered (None: not asked, because the action is
    no act or only holds a condition). ``ended_s``: when it ended at the earliest, if it is done (the sample's age is
    counted from there, so that it is never taken for fresher than it is). What is ``repeatable`` is never made a
    question of. ``knows``: what is known of it beyond the facts.
    """
    name = step.begun.step
    if verdict is None:
        return e.StepFailed(step=name, fault=CUT_SHORT, reason="it was cut short", t_s=t_s)
    if verdict.state == "done":
        done_s = t_s if ended_s is None else ended_s
        return e.StepFinished(step=name, achieved=dict(verdict.achieved), t_s=done_s, by=INSTRUMENT)
    if verdict.state == "not_begun":
        return e.StepFailed(step=name, fault=NOT_DONE, reason=verdict.why, t_s=t_s, by=INSTRUMENT)
    # Where no sample can be discarded, all of it again would come on top of what was done.
    asks = says == "ask" or (says == "remainder" and not verdict.remainder and step.begun.phase != "trial")
    if repeatable or (verdict.state == "partial" and not asks):
        return e.StepFailed(
            step=name, fault=CUT_SHORT, reason=verdict.why, achieved=dict(verdict.achieved),
            remainder=dict(verdict.remainder), t_s=t_s, by=INSTRUMENT,
        )  # fmt: skip
    return question(step, verdict.why, verdict.achieved, verdict.remainder, knows)


def needs_asking(action: Action) -> bool:
    """Whether an action that was begun must be asked after before anything else is done.

    What only holds a condition is asked after where its watching can be taken up again: it may have gone on without a
    runner. Else it was cut short by the crash, whatever the instrument kept doing meanwhile. An act that may be
    repeated is asked after all the same: on a line, a second rinse takes the next sample away.
    """
    return action.rejoins or (action.act and not action.holds)


def goes_on(action: Action, verdict: Verdict) -> bool:
    """Whether a begun action still runs and can be watched again: then nothing is settled."""
    return action.rejoins and verdict.state == "running"


def made_nothing(steps: Iterable[s.StepState]) -> bool:
    """Whether every step of a trial was refused or shown not to have begun."""
    return all(step.state == s.FAILED and step.fault in (NOT_DONE, SAFETY) and not step.achieved for step in steps)
