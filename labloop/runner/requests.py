"""What a person's wish does to a campaign: a pure function from (state, request) to facts and an effect.

The runner uses it for what it finds in the inbox; ``labloop request`` uses it itself when no runner lives.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from labloop.bench import Action
from labloop.bench.settings import suggest
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign import view
from labloop.campaign.asking import answer as answer_of
from labloop.campaign.asking import asking
from labloop.campaign.errors import SpecError
from labloop.campaign.holds import FORCE, others_hold, released
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.rules import Total
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.units import convert, parse_quantity

from . import told_wishes, trial_wishes
from .answers import Answer, named_values, no, read_settings, trial_of

VERBS: Final = {
    "pause": "start no new step until resume",
    "resume": "go on after a pause of your own; another person's: with --force and --why TEXT",
    "stop": "end after the current steps",
    "abort": "to the safe state now",
    "approve": "TRIAL: let a proposal run",
    "veto": "TRIAL: drop a proposal that has not begun, or the sample that waits for a stopped run",
    "act": "INSTRUMENT.ACTION [NAME=VALUE ...]: one act by hand, while the run is paused and at rest",
    "add": "NAME=VALUE ...: a trial with these settings",
    "edit": "TRIAL NAME=VALUE ...: other settings for a proposal that has not begun",
    "wrong": "TRIAL [OUTCOME ...] --why TEXT: what was measured is wrong; it is kept, and nothing learns from it",
    "right": "TRIAL: what was marked as wrong is right after all",
    "note": "TEXT: a note for the next shift",
    "refill": "NAME AMOUNT: what a stock holds now",
    "replaced": "NAME: another instrument stands in its place on purpose",
    "empty": "NAME [AMOUNT]: a total of the lab was emptied (or holds AMOUNT now)",
    "resolve": "TRIAL[.INSTRUMENT] done [AMOUNT | NAME=VALUE ...] | not-done | discard: answer what is asked",
}

GOING_ON: Final = "going on, once every instrument was looked at"
RIGHT: Final = "Is all right as it is, say so: resume --force --why TEXT"


def answer(
    state: s.CampaignState, request: e.Requested, *, alive: bool, t_s: float, spec: CampaignSpec | None = None
) -> Answer:
    """What a request does now. A request that makes no sense here is answered, not raised.

    ``spec``: the campaign as it is now; without it nobody can say what may be tried.
    """
    arguments = request.arguments
    match request.request:
        case "resume" if state.holds and not alive:
            return _unhold(state, request)
        case "pause" | "resume" | "stop" | "abort" if not alive:
            if state.mode == "told":
                return no("no runner lives: this campaign is asked and told, and nothing runs by itself")
            return no(f"no runner lives; the campaign is {state.state}. `labloop resume` takes it up again")
        case "pause":
            if request.by in state.holds or (state.state == s.PAUSED and not request.by):
                return no("it is paused already")
            others = "" if state.state != s.PAUSED else "; it was paused already, and now waits for you as well"
            return Answer(
                accepted=True,
                message=f"paused: no new step starts{others}",
                facts=[e.CampaignPaused(reason=request.why or "a person's wish", by=request.by)],
                effect="pause",
            )
        case "resume":
            return _resume(state, request, t_s)
        case "stop":
            return Answer(accepted=True, message="stops after the current steps", effect="stop")
        case "abort":
            return Answer(accepted=True, message="to the safe state now", effect="abort")
        case "approve":
            return _approve(state, request)
        case "veto":
            return _veto(state, request, t_s, alive)
        case "act":
            return _act(state, request, alive)
        case "add":
            return trial_wishes.add(state, request, spec)
        case "edit":
            return trial_wishes.edit(state, request, spec, t_s)
        case "wrong":
            return trial_wishes.wrong(state, request)
        case "right":
            return trial_wishes.right(state, request, t_s)
        case "note":
            text = " ".join(arguments) or request.why
            if not text:
                return no("a note needs its text")
            return Answer(accepted=True, message="noted", facts=[e.NoteTaken(text=text, by=request.by)])
        case "refill":
            return refill(request)
        case "replaced":
            return _replaced(state, request)
        case "empty":
            return empty(request)
        case "resolve":
            return _resolve(state, request, t_s)
        case "tell":
            return told_wishes.tell(state, request, t_s, spec)
        case "prefer":
            return told_wishes.prefer(state, request, t_s)
    return no(f"unknown request {request.request!r}; known: {', '.join(VERBS)}")


def fitting(
    says: Answer, lab: LabSpec, totals: Mapping[str, Total], action: Callable[[str, str], Action]
) -> Answer:  # fmt: skip
    """The same answer where the bench has what it speaks of: a stock and a total must be there, in units that fit, and
    an amount must be one of its act (``action``: what is declared of it), and stands for whatever its instrument said
    of that."""
    if says.said is not None:
        begun, amount = says.said
        declared = action(begun.instrument, begun.action)
        counted = next((one.unit for one in declared.settings if one.name == declared.amount), None)
        if counted is None:
            return no(f"{begun.instrument}.{begun.action} is not counted by an amount: say done, without one")
        try:
            much = e.Amount(convert(float(amount.value), amount.unit, counted), counted)
        except SpecError:
            said = f"{amount.value:g} {amount.unit}"
            return no(f"{said} is no amount of {begun.instrument}.{begun.action}: write it in {counted}")
        says = replace(says, facts=[_named(fact, begun.step, declared.amount, much) for fact in says.facts])
    for total in says.totals:
        if total.name not in totals:
            return no(f"there is no total {total.name!r}; {suggest(total.name, totals)}")
        try:
            if total.amount.value:
                convert(float(total.amount.value), total.amount.unit, totals[total.name].max.unit)
        except SpecError as error:
            return no(str(error))
    for stock in says.stock:
        instrument = lab.instruments.get(stock.name)
        if instrument is None:
            return no(f"there is no instrument {stock.name!r}; {suggest(stock.name, lab.instruments)}")
        unit = str(instrument.stock.unit) if instrument.stock else "uL"
        try:
            convert(float(stock.amount.value), stock.amount.unit, unit)
        except SpecError:
            return no(f"{stock.amount.value:g} {stock.amount.unit} is no stock of {stock.name}: write it in {unit}")
    return says


def _named(fact: e.Fact, step: str, name: str, much: e.Amount) -> e.Fact:
    if not isinstance(fact, e.StepFinished) or fact.step != step:
        return fact
    achieved = {key: value for key, value in fact.achieved.items() if key != "amount"}
    return msgspec.structs.replace(fact, achieved=achieved | {name: much})


def _amount(text: str) -> e.Amount | Answer:
    """How much a person says that there is, or was."""
    try:
        quantity = parse_quantity(text)
    except SpecError as error:
        return no(str(error))
    if not quantity.unit or quantity.value < 0:
        return no(f"{text!r} is no amount: give a number that is not negative, with its unit")
    return e.Amount(quantity.value, quantity.unit)


def _act(state: s.CampaignState, request: e.Requested, alive: bool) -> Answer:
    """An act by hand while the run is paused: the run does it, which has the bench."""
    usage = "act INSTRUMENT.ACTION [NAME=VALUE ...]"
    instrument, _, action = (request.arguments[0] if request.arguments else "").partition(".")
    if not instrument or not action:
        return no(f"what is to be done? {usage}, as in: act pump_water.dispense rate=1 mL/min time=20 s")
    name = f"{instrument} {action}"
    if not alive and state.mode != "live":
        what = "this campaign has no bench" if state.mode == "told" else "its simulated bench goes on with it"
        return no(f"no runner lives, and {what}: there is nothing to do by hand")
    if not alive:
        return no(f"no runner lives. By hand then: labloop instruments LAB {name} [NAME=VALUE ...] --live")
    if state.state != s.PAUSED:
        return no(f"the run is {state.state}: nothing is done by hand beside it. Pause it first")
    works = [f"{one} ({does})" for one, does in state.instruments.items() if does not in ("idle", "lost")]
    if works or state.stood is None:
        what = f"{', '.join(works)} still works" if works else "what stands there is still being read"
        return no(f"the run is not at rest yet: {what}. Ask again when it is")
    try:
        settings = read_settings(named_values(request.arguments[1:]))
    except SpecError as error:
        return no("; ".join(error.complaints))
    act = e.ByHand(act=request.id, instrument=instrument, action=action, settings=settings, by=request.by)
    how = "it is begun now; what comes of it is said in the log. When it is over: r (resume --force --why TEXT)"
    return Answer(accepted=True, message=f"{instrument}.{action}: {how}", effect="act", act=act)


def _unhold(state: s.CampaignState, request: e.Requested) -> Answer:
    """A person's pause that outlived the run's process is over; with it goes the claim on the bench."""
    if wrong := _wrong_force(request):
        return no(wrong)
    forced = bool(request.arguments)
    others = others_hold(state, request.by)
    if others and not forced and request.by not in state.holds:
        return no(f"{others}: that is theirs to end. If they cannot: labloop request RUN resume --force --why TEXT")
    facts = [one for one in released(state, request.by, request.why) if forced or one.of == request.by]
    how = f"by force, though {others}: " if others and forced else ""
    left = f", but {others}" if others and not forced else ""
    message = f"{how}the pause is over{left}; no runner lives, `labloop resume` takes the run up"
    return Answer(accepted=True, message=message, facts=facts, effect="released")


def _wrong_force(request: e.Requested) -> str:
    if request.arguments not in ([], [FORCE]):
        said = " ".join(request.arguments)
        return f"resume takes no {said!r}; only {FORCE}, to end another person's pause"
    return "" if request.why or not request.arguments else "by force only with a reason: --force --why TEXT"


def _resume(state: s.CampaignState, request: e.Requested, t_s: float) -> Answer:
    """A person's pause is over by their own word, or by force with a reason.

    An interlock is passed by only when its condition is over, and by nobody while another person holds the run.
    """
    if wrong := _wrong_force(request):
        return no(wrong)
    forced, others = bool(request.arguments), others_hold(state, request.by)
    done = f"done by hand meanwhile: {'; '.join(state.by_hand.values())}" if state.by_hand else ""
    if others and not forced:
        if request.by in state.holds:
            mine = e.HoldReleased(of=request.by, by=request.by, why=request.why)
            return Answer(accepted=True, message=f"your pause is over, but {others}: it stays paused", facts=[mine])
        asked = f". That is asked about after it: {done}" if done else ""
        return no(
            f"{others}: that is theirs to resume. If they cannot: labloop request RUN resume --force --why TEXT{asked}"
        )
    if done and not forced:
        return no(f"{done}. {RIGHT}")
    if others and done:  # whose pause it is, and whether all is right, are two questions
        facts = released(state, request.by, request.why)
        says = f"by force, though {others}: that pause is over. It stays paused: {done}. {RIGHT}"
        return Answer(accepted=True, message=says, facts=[*facts])
    going = _go_on(state, request, t_s)
    if going.accepted and forced and (state.moved or done) and not others:
        said = e.MovedAccepted(by=request.by, why=request.why)
        return replace(going, message=f"right as it is: {going.message}", facts=[said, *going.facts])
    if not going.accepted or not others:
        return going
    return replace(
        going, message=f"by force, though {others}: {going.message}",
        facts=[*released(state, request.by, request.why), *going.facts],
    )  # fmt: skip


def _go_on(state: s.CampaignState, request: e.Requested, t_s: float) -> Answer:
    holding = {rule: fact.reason for rule, fact in state.held.items() if isinstance(fact, e.WatchTripped)}
    facts: list[e.Fact] = [
        e.WatchCleared(rule=rule, released=True, by=request.by or "a person", t_s=t_s)
        for rule in state.held
        if rule not in holding
    ]
    if state.state == s.PAUSED:
        facts.append(e.CampaignResumed(by=request.by, why=request.why))
    if holding:
        rule, reason = next(iter(holding.items()))
        if not facts:
            return no(f"{rule} holds the run, and its condition is still there: {reason}")
        return Answer(accepted=True, message=f"goes on when {rule} lets it: {reason}", facts=facts, effect="resume")
    if not facts:
        return no(f"it is not paused, it is {state.state}")
    says = GOING_ON if state.state == s.PAUSED else "going on"
    return Answer(accepted=True, message=says, facts=facts, effect="resume")


def _one_trial(state: s.CampaignState, arguments: Sequence[str], usage: str) -> s.TrialState | Answer:
    if len(arguments) > 1:
        return no(f"{' '.join(arguments)!r} is more than one trial: one at a time. {usage}")
    return trial_of(state, arguments, usage)


def _approve(state: s.CampaignState, request: e.Requested) -> Answer:
    trial = _one_trial(state, request.arguments, "approve TRIAL")
    if isinstance(trial, Answer):
        return trial
    if trial.state != s.PROPOSED:
        return no(f"trial {trial.trial} is {trial.state}; only a proposal can be approved")
    fact = e.ProposalApproved(trial=trial.trial, by=request.by)
    return Answer(accepted=True, message=f"trial {trial.trial} may run", facts=[fact])


def _veto(state: s.CampaignState, request: e.Requested, t_s: float, alive: bool) -> Answer:
    trial = _one_trial(state, request.arguments, "veto TRIAL")
    if isinstance(trial, Answer):
        return trial
    waits = trial.state == s.RUNNING and not alive  # what was begun for it is asked after first, or stopped (Opening)
    if trial.state != s.PROPOSED and not waits:
        return no(
            f"trial {trial.trial} is {trial.state}; only a proposal that has not begun can be vetoed, or a sample that "
            "waits for a stopped run"
        )
    fact = e.TrialAbandoned(
        trial=trial.trial, reason=f"vetoed: {request.why or 'no reason given'}", t_s=t_s, by=request.by or "a person",
        again=waits,
    )  # fmt: skip
    then = "is cleaned away when the run is resumed, and its settings are tried again" if waits else "will not run"
    return Answer(accepted=True, message=f"trial {trial.trial} {then}", facts=[fact])


def refill(request: e.Requested) -> Answer:
    """What a stock holds now."""
    if len(request.arguments) < 2:
        return no("what and how much? refill NAME AMOUNT, as in: refill pump_water 50 mL")
    name, text = request.arguments[0], " ".join(request.arguments[1:])
    amount = _amount(text)
    if isinstance(amount, Answer):
        return amount
    stock = e.StockSet(name=name, amount=amount, by=request.by, why=request.why, wish=request.id)
    return Answer(accepted=True, message=f"{name} holds {text} now", stock=[stock])


def _replaced(state: s.CampaignState, request: e.Requested) -> Answer:
    if not request.arguments:
        return no("what was replaced? replaced NAME")
    name = request.arguments[0]
    if name in state.replaced and name not in state.identities:
        return no(f"{name} was said to be replaced already: whoever answers there next is known from then on")
    if name not in state.identities:
        return no(f"there is no instrument {name!r} in this run; {suggest(name, state.identities)}")
    fact = e.InstrumentReplaced(instrument=name, by=request.by, why=request.why)
    return Answer(accepted=True, message=f"{name} was replaced: resume", facts=[fact])


def empty(request: e.Requested) -> Answer:
    """What a total holds now."""
    if not request.arguments:
        return no("what was emptied? empty NAME, or empty NAME AMOUNT, as in: empty vessel 3 mL")
    name, text = request.arguments[0], " ".join(request.arguments[1:]) or "0 mL"
    amount = _amount(text)
    if isinstance(amount, Answer):
        return amount
    total = e.TotalSet(name=name, amount=amount, by=request.by, why=request.why, wish=request.id)
    return Answer(accepted=True, message=f"{name} holds {text} now", totals=[total])


def _resolve(state: s.CampaignState, request: e.Requested, t_s: float) -> Answer:
    usage = "resolve TRIAL[.INSTRUMENT] done [AMOUNT | NAME=VALUE ...] | not-done | discard"
    if len(request.arguments) < 2:
        return no(usage)
    named, said, *rest = request.arguments
    open_steps = [
        step for step in view.waiting(state) if named in (target := view.target(step), target.rpartition(".")[0])
    ]
    if not open_steps:
        waiting = ", ".join(view.target(step) for step in view.waiting(state))
        return no(f"no question is open about {named!r}" + (f"; open: {waiting}" if waiting else ""))
    if rest and said in ("not-done", "discard"):  # else somebody would take it for granted that it was heard
        return no(f"{said} takes no {' '.join(rest)!r}, it does what is asked there. {usage}")
    by = request.by or "a person"
    facts: list[e.Fact] = []
    act: tuple[e.StepStarted, e.Amount] | None = None
    for step in open_steps:
        name = step.begun.step
        if said == "done" and name in state.asked:
            try:
                readings = answer_of(asking(step.begun.settings), rest)
            except SpecError as error:
                return no("; ".join(error.complaints))
            facts.append(e.StepFinished(step=name, readings=readings, t_s=t_s, by=by))
        elif said == "done":
            achieved = dict(step.achieved)
            if rest:
                if len(open_steps) > 1:
                    return no(f"an amount belongs to one act: name the instrument, as in {view.target(step)}")
                amount = _amount(" ".join(rest))
                if isinstance(amount, Answer):
                    return amount
                achieved["amount"], act = amount, (step.begun, amount)
            # When it was done nobody knows: its sample counts as old as the beginning of the act.
            facts.append(e.StepFinished(step=name, achieved=achieved, t_s=step.begun.t_s, by=by))
        elif said == "not-done":
            fault = "interrupted" if step.remainder else "not_done"
            facts.append(
                e.StepFailed(
                    step=name, fault=fault, reason=f"{by} says: not done", achieved=dict(step.achieved),
                    remainder=dict(step.remainder), t_s=t_s, by=by,
                )
            )  # fmt: skip
        elif said == "discard" and step.begun.phase != "trial" and name not in state.asked:
            return no(f"{view.target(step)} belongs to no sample that could be discarded: say done, or not-done")
        elif said == "discard":
            facts.append(
                e.StepFailed(
                    step=name, fault="discarded", reason=f"discarded by {by}", achieved=dict(step.achieved), t_s=t_s,
                    by=by,
                )
            )  # fmt: skip
        else:
            return no(f"{said!r} is no answer. {usage}")
    left = {step.begun.step for step in state.questions.values()} - {step.begun.step for step in open_steps}
    for trial in sorted({step.begun.trial for step in open_steps if step.begun.trial is not None}):
        still_asked = any(state.steps[name].begun.trial == trial for name in left)
        if not still_asked and state.trials[trial].state == s.IN_DOUBT:
            facts.append(e.TrialResumed(trial=trial))
    return Answer(accepted=True, message=f"{named}: {said}", facts=facts, effect="resolved", said=act)
