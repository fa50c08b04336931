"""The line view: one line for each trial that ends, and at the end what there is and what to do next.

It listens to a run's facts, from within the runner or from another process, and knows nothing else.
"""

from pathlib import Path
from typing import Final

import msgspec

from labloop.campaign import amending
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign import view as documents
from labloop.campaign.objective import Objective
from labloop.campaign.spec import CampaignSpec, read_spec
from labloop.campaign.text import in_shell
from labloop.journal import inbox
from labloop.runner import registry
from labloop.runner.look import see

from . import exits, words

ENDS: Final = (e.TrialMeasured, e.TrialFailed, e.TrialAbandoned)


class LineView:
    """Called with every fact and the state it leads to.

    campaign: the file; None: the one in the run's folder. after: show nothing up to this fact. runs: this process is
    the runner itself.
    """

    def __init__(
        self,
        folder: Path,
        campaign: Path | None = None,
        *,
        json: bool = False,
        verbose: bool = False,
        by: str = "",
        why: str = "",
        after: int = 0,
        runs: bool = False,
    ) -> None:
        self.folder = folder
        self.json = json
        self.verbose = verbose
        self.after = after
        self.runs = runs
        self.state = s.CampaignState()
        self._amends: set[str] = set()  # wishes to amend: what is granted of them the amendment itself tells
        self._note = (why or "begun", by) if by or why else None
        self._unwritten = False
        self._spec: CampaignSpec | None = read_spec(campaign) if campaign else None

    @property
    def spec(self) -> CampaignSpec:
        """The campaign of these facts."""
        if self._spec is None:
            self._spec = see(self.folder).spec
        return self._spec

    def __call__(self, record: e.Record, state: s.CampaignState) -> None:
        """Show one fact; a run goes on when nobody reads its lines any more, or nothing can be written there."""
        try:
            self._show(record, state)
        except OSError as error:
            self._unheard(error)

    def _show(self, record: e.Record, state: s.CampaignState) -> None:
        self.state = state
        if isinstance(record.event, e.Amended):
            self._spec = None  # another text is in force
        if isinstance(record.event, e.Requested) and record.event.request == "amend":
            self._amends.add(record.event.id)
        if self.runs and isinstance(record.event, e.RunStarted):
            registry.enter(self.folder)
        if self._note and isinstance(record.event, e.RunStarted):
            text, by = self._note
            inbox.post(self.folder / "requests", "note", [text], by=by)
            self._note = None
        if record.seq <= self.after:
            return
        if self.json:
            words.give_json_line({"seq": record.seq, "at": record.at, **msgspec.to_builtins(record.event)})
            return
        if isinstance(record.event, ENDS):
            words.give(self._trial(state.trials[record.event.trial]))
        else:
            self._talk(record.event)

    def end(self, code: int) -> int:
        """Say how it ended, what is best and what to try next; the exit code is given back."""
        try:
            return self._end(code)
        except OSError as error:
            self._unheard(error)
            return code

    def _unheard(self, error: OSError) -> None:
        words.fall_silent()
        if self._unwritten or isinstance(error, BrokenPipeError):  # whoever closed a pipe has what they wanted
            return
        self._unwritten = True
        try:
            words.say(
                f"the output: {error.strerror or error}. What could not be written there is in the journal: "
                f"`labloop watch {in_shell(self.folder)}` shows it"
            )
        except OSError:
            words.fall_silent()

    def _end(self, code: int) -> int:
        if self.json:
            return code
        state = self.state
        # What is asked stands below with its answers, and not twice.
        reason = f": {words.plain(state.reason)}" if state.reason and not state.questions else ""
        words.say(f"{state.state}{reason} (exit {code}, {exits.meaning(code, state)})")
        for question in documents.waiting(state):
            words.say(_question(self.folder, question))
        best = documents.best_trials(self.spec, state)
        for trial in best[:10]:
            words.give(f"best: trial {trial.trial}: {self._outcomes(trial)}{self._lacks(trial, '; ')}")
            for name, value in trial.settings.items():
                unit = getattr(self.spec.parameters.get(name), "unit", "")
                words.give(f"    {name} = {words.number(value)} {unit}".rstrip())
        if state.outliers:
            words.give(words.outliers(sorted(state.outliers)))
        if not best:
            words.give("best: nothing is measured yet")
        words.give(f"journal: {self.folder / 'journal.db'}")
        words.give("next:")
        words.give(f"    labloop trials {in_shell(self.folder)}")
        words.give(f"    labloop watch {in_shell(self.folder)}")
        more = "" if state.state in (s.STOPPED, s.HALTED) and code != exits.DONE else " --trials +20"
        words.give(f"    labloop resume {in_shell(self.folder)}{more}")
        return code

    def _trial(self, trial: s.TrialState) -> str:
        mode = "SIMULATED" if self.state.mode in documents.SIMULATED_MODES else self.state.mode.upper()
        measured = trial.state == s.MEASURED
        said = self._outcomes(trial) if measured else f"{trial.state}: {words.plain(trial.reason)}"
        return "  ".join(
            [mode, f"trial {trial.trial:>3}", said, self._best(), words.pairs(trial.settings), self._source(trial)]
        )

    def _outcomes(self, trial: s.TrialState) -> str:
        entries = documents.outcomes(trial)
        return ", ".join(f"{name} = {words.quantity(entry)}" for name, entry in entries.items())

    def _best(self) -> str:
        best = documents.best_trials(self.spec, self.state)
        if not best:
            return "best -"
        if Objective(self.spec).pareto:
            return f"front of {len(best)}{self._lacks(best[0], ', ')}"
        objective = Objective(self.spec)
        goals = [name for name in objective.goals if name in best[0].outcomes]
        values = ", ".join(words.number(best[0].outcomes[name].value) for name in goals)
        if desired := documents.desirability(objective, best[0]):
            values += f", desirability {desired['overall']:.3f}"
        return f"best {values} (trial {best[0].trial}{self._lacks(best[0], ', ')})"

    def _lacks(self, trial: s.TrialState, lead: str) -> str:
        return "" if Objective(self.spec).feasible(trial) else f"{lead}{documents.BREAKS}"

    def _source(self, trial: s.TrialState) -> str:
        return trial.source if trial.role == "candidate" else f"{trial.source} ({trial.role})"

    def _talk(self, fact: e.Fact) -> None:
        match fact:
            case e.CampaignPaused(reason=reason, by=by):
                words.say(f"paused{f' by {by}' if by else ''}: {reason}")
            case e.HoldReleased(of=of, by=by, why=why) if of != by:
                words.say(f"the pause of {of} was ended by {by or 'somebody'}: {why}")
            case e.CampaignResumed():
                words.say("going on, once every instrument was looked at")
            case e.WatchTripped(rule=rule, then="hold", reason=reason):
                words.say(f"{rule} holds the run, no new step starts: {reason}")
            case e.WatchCleared(rule=rule, released=released) if not released:
                way = f"labloop request {in_shell(self.folder)} resume"
                words.say(f"{rule} is over; steps wait for: {way}")
            case e.WatchCleared(rule=rule, by=by) if not by:
                words.say(f"{rule} is over")
            case e.ByHandSeen(acts=acts):
                words.say(f"done meanwhile: {', '.join(acts.values())}")
            case e.MovedAccepted(by=by, why=why):
                words.say(f"what was moved is right as it is, says {by or 'somebody'}: {why}")
            case e.InstrumentLost(instrument=name, reason=reason):
                words.say(f"{name} is lost: {reason}")
            case e.StepRejoined(step=step, unwatched_s=unwatched_s):
                words.say(f"{step} went on by itself and is watched again; nobody did for {unwatched_s:.0f} s")
            case e.GuardStarted(pid=pid, why=why):
                if why:
                    words.say(f"{why}; another one watches (process {pid})")
            case e.SafeStateReached(why=why, errors=errors, by=by, at=at):
                why = f"{by} did it at {at[:19]}: {why}" if by else why
                if errors:
                    words.say(f"LOOK AT THE BENCH: not all of it was made safe ({why})")
                    for error in errors:
                        words.say(f"    {error}")
                else:
                    words.say(f"the bench is safe ({why})")
            case e.RequestAnswered(id=id, accepted=accepted, message=message) if not (accepted and id in self._amends):
                words.say(f"request {'accepted' if accepted else 'refused'}: {message}")
            case e.ProposalMade(trial=trial) if self.spec.approval == "human":
                way = f"labloop request {in_shell(self.folder)} approve {trial}, or veto, or edit"
                words.say(f"trial {trial} waits for you: {way}")
            case e.Preferred(trial=trial, over=over, tie=tie, by=by):
                than = "as good as" if tie else "preferred over"
                words.say(f"trial {trial} {than} trial {over}{f', says {by}' if by else ''}")
            case e.ResultWithdrawn(trial=trial, outcomes=names, by=by, why=why):
                what = f"{', '.join(names)} of trial {trial}" if names else f"trial {trial}"
                words.say(f"{what} is wrong, says {by or 'a person'}: {why}; nothing learns from it any more")
            case e.ResultRestored(trial=trial, outcomes=names, by=by):
                what = f"{', '.join(filter(None, names))} of trial {trial}" if any(names) else f"trial {trial}"
                words.say(f"{what}: right after all, says {by or 'a person'}")
            case e.Amended():
                words.say(amending.account(fact))
            case e.NoteTaken(text=text, by=by):
                words.say(f"note{f' by {by}' if by else ''}: {text}")
            case e.StepStarted(instrument=e.PERSON, step=step) if self.state.mode == "live":
                words.say(_question(self.folder, self.state.steps[step]))
            case e.StepStarted() if self.verbose:
                settings = ", ".join(f"{name} = {_amount(one)}" for name, one in fact.settings.items())
                words.give(f"    {_whose(fact)}{fact.instrument}.{fact.action}  {words.plain(settings)}")
            case e.StepFinished(step=step) if self.verbose:
                words.give(f"    {step} done  {_achieved(fact)}".rstrip())
            case e.StepFailed(step=step, fault=fault, reason=reason) if self.verbose:
                words.give(f"    {step} {words.plain(fault)}: {words.plain(reason)}")


def _whose(fact: e.StepStarted) -> str:
    return f"trial {fact.trial} " if fact.trial is not None else f"{fact.phase} "


def _amount(amount: e.Amount) -> str:
    return f"{words.number(amount.value)} {amount.unit}".rstrip()


def _achieved(fact: e.StepFinished) -> str:
    parts = [f"{name} = {_amount(one)}" for name, one in fact.achieved.items()]
    parts += [
        f"{name} = {words.number(one.value)} {one.unit}".rstrip()
        for name, one in fact.readings.items()
        if one.value is not None
    ]
    return words.plain(", ".join(parts))


def _question(folder: Path, step: s.StepState) -> str:
    question, answers_of = documents.question_of(step)
    run = in_shell(folder)
    answers = "".join(
        f"\n    labloop request {run} resolve {documents.target(step)} {answer}    # {means}"
        for answer, means in answers_of.items()
    )
    then = f"\n    then: labloop resume {run}" if step.question else ""
    return f"{words.plain(question)}{answers}{then}"
