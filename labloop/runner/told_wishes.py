"""Results and comparisons that were read elsewhere and come to a living run by its inbox, as JSON of their facts."""

from typing import Final

import msgspec

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.campaign.flags import believed
from labloop.campaign.models import did_you_mean
from labloop.campaign.spec import CampaignSpec

from .answers import Answer, no

_TOLD: Final = msgspec.json.Decoder(e.PartMeasured | e.TrialMeasured | e.TrialFailed | e.TrialAbandoned)
_COMPARED: Final = msgspec.json.Decoder(e.TrialMeasured | e.Preferred)


def tell(state: s.CampaignState, request: e.Requested, t_s: float, spec: CampaignSpec | None = None) -> Answer:
    """A result that was read elsewhere (see telling) and comes as the JSON of its fact: ``labloop tell`` posts it.

    Anybody may post one, so what no campaign could learn from is refused. Raises SpecError.
    """
    try:
        fact = _TOLD.decode(request.arguments[0] if request.arguments else "")
    except msgspec.MsgspecError as error:
        return no(f"that is no result: {error}. Use `labloop tell`")
    trial = state.trials.get(fact.trial)
    if trial is None:
        return no(f"there is no trial {fact.trial}")
    if trial.state not in (s.PROPOSED, s.AWAITING):
        return no(f"trial {fact.trial} is {trial.state}; its first result is kept")
    if isinstance(fact, e.PartMeasured | e.TrialMeasured):
        if spec is not None:
            _refuse_strange(fact, spec)
        if again := _told_meanwhile(trial, fact):
            return no(f"{', '.join(again)} of trial {fact.trial} was told meanwhile; the first is kept")
        fact = _marked_meanwhile(trial, fact)
        owed = [name for name in getattr(fact, "owed", ()) if name in trial.owed or name not in trial.measured]
        if not owed:  # of a part: somebody else told the rest meanwhile
            told = fact.outcomes if isinstance(fact, e.PartMeasured) else fact.again
            again = [name for name in told if name in fact.outcomes and name in trial.withdrawn]
            gone = {name for name in trial.owed if name not in fact.outcomes}  # it will not come again
            known = {name: one for name, one in trial.measured.items() if name not in gone}
            fact = e.TrialMeasured(trial=fact.trial, outcomes={**known, **fact.outcomes}, again=again)
        elif trial.state == s.PROPOSED and state.mode != "told":
            return no(f"trial {fact.trial} is still to be made. Tell all that came of it, or wait until it is made")
    by = request.by or "a person"
    return Answer(accepted=True, message="told", facts=[msgspec.structs.replace(fact, t_s=t_s, by=by)])


def _refuse_strange(fact: e.PartMeasured | e.TrialMeasured, spec: CampaignSpec) -> None:
    """Raise SpecError for outcomes that the campaign does not have, and values that are no number where one is due."""
    known = spec.outcomes
    named = [*fact.outcomes, *getattr(fact, "owed", ())]
    complaints = [f"{name} is no outcome. {did_you_mean(name, known)}" for name in named if name not in known]
    for name, reading in fact.outcomes.items():
        outcome = known.get(name)
        if outcome is None:
            continue
        # A verdict on a sample that was measured again is a mean of several.
        if isinstance(reading.value, str | bool | None) or (outcome.passes and not 0.0 <= reading.value <= 1.0):
            rule = "neither 1 (pass) nor 0 (fail)" if outcome.passes else "no number"
            complaints.append(f"{name} = {reading.value!r:.100} is {rule}")
        elif doubt := believed(reading, outcome.unit if reading.unit and outcome.unit else None).flag:
            complaints.append(f"{name} = {reading.value!r:.100}: {doubt}")
    if complaints:
        raise SpecError(*complaints)


def _marked_meanwhile(trial: s.TrialState, fact: e.PartMeasured | e.TrialMeasured) -> e.PartMeasured | e.TrialMeasured:
    """The same, but for what was marked as wrong since it was read, and is not told again here: that is owed.

    A part with values that says of such an outcome that it will not come cannot be told from one that was read before
    the mark: it stays owed, until that is said of it alone, or with the trial's last result.
    """
    if isinstance(fact, e.PartMeasured):
        if not fact.outcomes and all(name in fact.owed for name in trial.owed if name not in trial.measured):
            return fact  # it says of nothing else that it will not come
        marked = [
            name for name in trial.owed
            if name in trial.measured and name not in fact.outcomes and name not in fact.owed
        ]  # fmt: skip
        return msgspec.structs.replace(fact, owed=[*fact.owed, *marked])
    carried = [
        name for name in trial.owed
        if name in trial.measured and name not in fact.again and fact.outcomes.get(name) == trial.measured[name]
    ]  # fmt: skip
    if not carried:
        return fact
    new = {name: one for name, one in fact.outcomes.items() if name not in carried}
    return e.PartMeasured(trial=fact.trial, outcomes=new, owed=carried, by=fact.by)


def _told_meanwhile(trial: s.TrialState, fact: e.PartMeasured | e.TrialMeasured) -> list[str]:
    """What is known of a trial otherwise than it is told."""
    known = {name: one for name, one in trial.measured.items() if name not in trial.withdrawn}
    return [name for name, one in fact.outcomes.items() if known.get(name, one) != one]


def prefer(state: s.CampaignState, request: e.Requested, t_s: float) -> Answer:
    """A comparison that was read elsewhere and comes as the JSON of its facts: ``labloop prefer`` posts them."""
    try:
        *measured, compared = [_COMPARED.decode(one) for one in request.arguments]
    except (ValueError, msgspec.MsgspecError) as error:
        return no(f"that is no comparison: {error}. Use `labloop prefer`")
    if not isinstance(compared, e.Preferred) or any(isinstance(one, e.Preferred) for one in measured):
        return no("that is no comparison: a preference comes last. Use `labloop prefer`")
    by = request.by or "a person"
    facts: list[e.Fact] = []
    for fact in measured:
        trial = state.trials.get(fact.trial)
        if trial is not None and trial.state in (s.PROPOSED, s.AWAITING):
            facts.append(msgspec.structs.replace(fact, t_s=t_s, by=by))
    made = {fact.trial for fact in facts if isinstance(fact, e.TrialMeasured)}
    for number in (compared.trial, compared.over):
        if number not in state.trials:
            return no(f"there is no trial {number}")
        if number not in made and state.trials[number].state != s.MEASURED:
            return no(f"trial {number} is {state.trials[number].state}, and cannot be compared")
    if compared.trial == compared.over:
        return no(f"trial {compared.trial} is no better than itself")
    if len(made) != len(facts):
        return no("a trial is told of once")
    known = state.tastes.comparisons[0].outcome if state.tastes.comparisons else compared.outcome
    if compared.outcome != known:
        return no(f"this run compares by {known}, not by {compared.outcome}")
    facts.append(msgspec.structs.replace(compared, t_s=t_s, by=by))
    return Answer(accepted=True, message="compared", facts=facts)
