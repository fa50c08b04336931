"""What a person wishes of trials: one more, another in a proposal's place, and what was measured marked as wrong.

What is running is never changed: an edited proposal is dropped and another, with a number of its own, takes its place.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.campaign.grammar import flat_parameters
from labloop.campaign.models import did_you_mean
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.text import settings as settings_text

from .answers import Answer, named_values, no, trial_of
from .telling import settings_of

ADD: Final = "add NAME=VALUE ..."
EDIT: Final = "edit TRIAL NAME=VALUE ..."
WRONG: Final = "wrong TRIAL [OUTCOME ...] --why TEXT"
RIGHT: Final = "right TRIAL [OUTCOME ...]"


def add(state: s.CampaignState, request: e.Requested, spec: CampaignSpec | None) -> Answer:
    """A trial with settings that a person chose."""
    if spec is None:
        return no("this run's campaign cannot be read, so nobody can say what may be tried")
    try:
        given = named_values(request.arguments)
        if not given:
            return no(f"which settings? {ADD}")
        settings = _in_space(spec, given)
    except SpecError as error:
        return no("; ".join(error.complaints))
    made = _made(state, request, settings, f"added by {request.by or 'a person'}")
    if other := _shared(state, spec, settings):
        return no(other)
    says = f"trial {made.trial}: {_words(spec, settings)}"
    if state.state in (s.FINISHED, s.STOPPED, s.HALTED):
        says += "; it runs when the run is resumed"
    return Answer(accepted=True, message=says, facts=[made, *_approved(spec, made, request.by)])


def edit(state: s.CampaignState, request: e.Requested, spec: CampaignSpec | None, t_s: float) -> Answer:
    """Other settings in the place of a proposal's."""
    if spec is None:
        return no("this run's campaign cannot be read, so nobody can say what may be tried")
    trial = trial_of(state, request.arguments, EDIT)
    if isinstance(trial, Answer):
        return trial
    if trial.state != s.PROPOSED:
        return no(f"trial {trial.trial} is {trial.state}; only a proposal that has not begun can be edited")
    if trial.role != "candidate":
        return no(f"trial {trial.trial} is a {trial.role}: its settings are not for choosing. Veto it, or add a trial")
    try:
        given = named_values(request.arguments[1:])
        if not given:
            return no(f"which settings? {EDIT}")
        settings = _in_space(spec, given, trial.settings)
    except SpecError as error:
        return no("; ".join(error.complaints))
    if settings == trial.settings:
        return no(f"trial {trial.trial} has these settings already")
    if other := _shared(state, spec, settings, but=trial.trial):
        return no(other)
    by = request.by or "a person"
    made = _made(state, request, settings, f"trial {trial.trial} as {by} edited it")
    dropped = e.TrialAbandoned(
        trial=trial.trial, reason=f"edited{f': {request.why}' if request.why else ''}; it is trial {made.trial} now",
        t_s=t_s, by=by,
    )  # fmt: skip
    return Answer(
        accepted=True, message=f"trial {made.trial} in the place of trial {trial.trial}: {_words(spec, settings)}",
        facts=[dropped, made, *_approved(spec, made, request.by)],
    )  # fmt: skip


def wrong(state: s.CampaignState, request: e.Requested) -> Answer:
    """What was measured of a trial is wrong."""
    trial = trial_of(state, request.arguments, WRONG)
    if isinstance(trial, Answer):
        return trial
    names = list(dict.fromkeys(request.arguments[1:]))
    in_part = trial.state == s.AWAITING and bool(trial.measured)
    if trial.state not in (s.MEASURED, s.FAILED) and not in_part:
        return no(f"trial {trial.trial} is {trial.state}; only what was measured, or failed, can be marked as wrong")
    if not request.why:
        return no(f"only with a reason: {WRONG}")
    if unknown := [name for name in names if name not in trial.measured]:
        return no(f"{unknown[0]} was not measured in trial {trial.trial}. {did_you_mean(unknown[0], trial.measured)}")
    if in_part:
        names = names or list(trial.measured)
    marked = trial.withdrawn.keys()
    if "" in marked or (names and marked >= set(names)):
        return no(f"trial {trial.trial} is marked as wrong already")
    what = f"{', '.join(names)} of trial {trial.trial}" if names else f"trial {trial.trial}"
    return Answer(
        accepted=True,
        message=f"{what} is kept, and nothing learns from it any more; "
        + (_told_again(trial, names) if in_part else "it counts in the budget as before"),
        facts=[e.ResultWithdrawn(trial=trial.trial, outcomes=names, by=request.by, why=request.why)],
    )


def _told_again(trial: s.TrialState, names: Sequence[str]) -> str:
    """Of what is known in part and was marked as wrong: what is waited for, and what may be told."""
    owed = [name for name in names if name in trial.told]
    values = " ".join(f"{name}=..." for name in owed)
    if not owed:
        return "it may be told again until the rest is told"
    return f"it is owed again: labloop tell RUN {trial.trial} {values} ({owed[0]}=missing: it will not come)"


def right(state: s.CampaignState, request: e.Requested, t_s: float = 0.0) -> Answer:
    """What was marked as wrong is right after all: what is named, else the mark on the trial as a whole, else all."""
    trial = trial_of(state, request.arguments, RIGHT)
    if isinstance(trial, Answer):
        return trial
    names, marked = list(dict.fromkeys(request.arguments[1:])), list(trial.withdrawn)
    if not marked:
        return no(f"trial {trial.trial} is not marked as wrong")
    if other := [name for name in names if name not in marked]:
        known = ", ".join(filter(None, marked)) or "the trial as a whole"
        return no(f"{other[0]} of trial {trial.trial} is not marked as wrong; marked: {known}. {RIGHT}")
    names = names or ([s.ALL] if s.ALL in marked else marked)
    stays = [name for name in marked if name not in names]
    facts: list[e.Fact] = [
        e.ResultRestored(trial=trial.trial, outcomes=names if stays or names != [s.ALL] else [], by=request.by,
                         why=request.why)
    ]  # fmt: skip
    if trial.owed and all(name in names and name in trial.measured for name in trial.owed):  # nothing else was owed
        facts.append(e.TrialMeasured(trial=trial.trial, outcomes=trial.measured, t_s=t_s, by=request.by or "a person"))
    what = f"{', '.join(names)} of trial {trial.trial}" if s.ALL not in names else f"trial {trial.trial}"
    but = ", ".join(name or "the trial as a whole" for name in stays)
    message = f"{what} {'count' if len(names) > 1 else 'counts'} again" + (
        f"; marked as wrong still: {but}" if but else ""
    )
    return Answer(accepted=True, message=message, facts=facts)


def _in_space(
    spec: CampaignSpec, given: Mapping[str, str], before: Mapping[str, e.Value] | None = None
) -> dict[str, e.Value]:
    """Settings to be tried, those of ``before`` where nothing else is given. Raises SpecError."""
    known, space = flat_parameters(spec.parameters), Space(spec)
    if unknown := [name for name in given if name not in known]:
        raise SpecError(*(f"{name} is no parameter. {did_you_mean(name, known)}" for name in unknown))
    kept = dict(before or {})
    try:
        active = space.active({**kept, **{name: known[name].read(value) for name, value in given.items()}})
    except SpecError:
        active = list(known)  # what is wrong is said below, with its name
    kept = {name: value for name, value in kept.items() if name in active}  # the rest went with another choice
    settings = settings_of(known, space, {**kept, **given})
    rows = space.candidates
    if rows is not None and settings not in rows:
        raise SpecError(f"{_words(spec, settings)} is no row of the candidates. Give one of them as it stands")
    return settings


def _made(
    state: s.CampaignState, request: e.Requested, settings: dict[str, e.Value], reason: str
) -> e.ProposalMade:  # fmt: skip
    number = state.next_trial()
    return e.ProposalMade(
        trial=number, sample=f"S{number}", settings=settings, source="human", based_on=state.last_result,
        reason=f"{reason}: {request.why}" if request.why else reason,
    )  # fmt: skip


def _approved(spec: CampaignSpec, made: e.ProposalMade, by: str) -> list[e.ProposalApproved]:
    """Whoever chose the settings lets them run."""
    return [e.ProposalApproved(trial=made.trial, by=by or "a person")] if spec.approval == "human" else []


def _shared(state: s.CampaignState, spec: CampaignSpec, settings: Mapping[str, e.Value], but: int = 0) -> str:
    """Why settings cannot go beside the trials in hand ("": they can): a batch has some in common."""
    for number in sorted(state.open_trials - {but}):
        trial = state.trials[number]
        for name in Space(spec).shared:
            if trial.state in s.OPEN_STATES and trial.settings.get(name) != settings.get(name):
                return (
                    f"all trials of a batch share {name}, and trial {number} has {trial.settings.get(name)}. Give the "
                    "same, or add it when that batch is over"
                )
    return ""


def _words(spec: CampaignSpec, settings: Mapping[str, e.Value]) -> str:
    units = {name: getattr(one, "unit", "") or "" for name, one in flat_parameters(spec.parameters).items()}
    return settings_text(settings, units, 6)
