"""Facts in words: one line of the log for each fact that a person wants to read about.

A table before a branch: what is not in it (steps that go well, counters, configurations) is not worth a line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import amending, text
from . import events as e
from .state import CampaignState

READ_BY_RUNS: Final = frozenset({"amend"})  # requests whose arguments nobody would want to read


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log. ``tone``: good, bad, warn, quiet or nothing."""

    seq: int
    at: str
    text: str
    tone: str = ""


def line(record: e.Record, state: CampaignState) -> LogLine | None:
    """Return the line for ``record``, or None where it is not worth one. ``state``: after the record was applied."""
    found = _WORDS.get(type(record.event))
    if found is None:
        return None
    tone, say = found
    words = say(record.event, state)
    return LogLine(record.seq, record.at, text.plain(words), tone) if words else None


def _by(name: str, why: str = "") -> str:
    return (f" by {name}" if name else "") + (f": {why}" if why else "")


def _opened(fact: e.CampaignOpened, state: CampaignState) -> str:
    return f"campaign {fact.campaign} opened, {fact.mode}, seed {fact.seed}"


def _run_started(fact: e.RunStarted, state: CampaignState) -> str:
    return "taken up again" if fact.resumed else "run started"


def _settings_read(fact: e.SettingsRead, state: CampaignState) -> str:
    return f"moved meanwhile: {', '.join(fact.moved)}" if fact.moved else ""


def _tripped(fact: e.WatchTripped, state: CampaignState) -> str:
    return f"{fact.rule} {'holds the run' if fact.then == 'hold' else 'tripped'}: {fact.reason}"


def _cleared(fact: e.WatchCleared, state: CampaignState) -> str:
    return f"{fact.rule} is over{_by(fact.by) if fact.released else '; steps wait for a person to say resume'}"


def _proposed(fact: e.ProposalMade, state: CampaignState) -> str:
    kind = "trial" if fact.role == "candidate" else fact.role
    hoped = ", ".join(f"{name} {text.spread(p.mean, p.sd)}" for name, p in fact.predicted.items())
    reason = f" ({fact.reason})" if fact.reason and not hoped else ""
    return f"{kind} {fact.trial} proposed by {fact.source}{f', hopes for {hoped}' if hoped else ''}{reason}"


def _measured(fact: e.TrialMeasured, state: CampaignState) -> str:
    found = ", ".join(f"{name} {text.reading(one)}" for name, one in fact.outcomes.items())
    return f"trial {fact.trial} measured{f': {found}' if found else ''}{f' (told by {fact.by})' if fact.by else ''}"


def _part(fact: e.PartMeasured, state: CampaignState) -> str:
    found = ", ".join(f"{name} {text.reading(one)}" for name, one in fact.outcomes.items())
    known = f"of trial {fact.trial} is known: {found}" if found else f"trial {fact.trial}"
    return f"{known}; {', '.join(fact.owed)} still to come{_by(fact.by)}"


def _preferred(fact: e.Preferred, state: CampaignState) -> str:
    than = f"as good as trial {fact.over}" if fact.tie else f"preferred over trial {fact.over}"
    return f"{fact.outcome}: trial {fact.trial} {than}{_by(fact.by, fact.why)}"


def _withdrawn(fact: e.ResultWithdrawn, state: CampaignState) -> str:
    what = f"{', '.join(fact.outcomes)} of " if fact.outcomes else ""
    return f"{what}trial {fact.trial} marked as wrong{_by(fact.by, fact.why)}"


def _restored(fact: e.ResultRestored, state: CampaignState) -> str:
    names = [name for name in fact.outcomes if name]
    what, are = (f"{', '.join(names)} of ", "are" if len(names) > 1 else "is") if names else ("", "is")
    return f"{what}trial {fact.trial} {are} right after all{_by(fact.by, fact.why)}"


def _abandoned(fact: e.TrialAbandoned, state: CampaignState) -> str:
    again = "; the same settings will be tried again" if fact.again else ""
    return f"trial {fact.trial} abandoned: {fact.reason}{again}{_by(fact.by)}"


def _requested(fact: e.Requested, state: CampaignState) -> str:
    arguments = " ".join(["", *fact.arguments]) if fact.request not in READ_BY_RUNS else ""
    return f"asked: {fact.request}{arguments}{_by(fact.by, fact.why)}"


def _answered(fact: e.RequestAnswered, state: CampaignState) -> str:
    return f"{'done' if fact.accepted else 'refused'}: {fact.message}" if fact.message or not fact.accepted else ""


def _safe(fact: e.SafeStateReached, state: CampaignState) -> str:
    why = f"{fact.by} did it at {fact.at[:19]}: {fact.why}" if fact.by else fact.why
    if fact.errors:
        return f"NOT all of the bench was made safe ({why}); {'; '.join(fact.errors)}"
    return f"bench in its safe state ({why})"


def _step_name(step: str, state: CampaignState) -> str:
    begun = state.steps[step].begun
    where = f"trial {begun.trial}" if begun.trial is not None else begun.phase
    return f"{where}: {begun.instrument}.{begun.action}"


def _step_failed(fact: e.StepFailed, state: CampaignState) -> str:
    return f"{_step_name(fact.step, state)} failed ({fact.fault}): {fact.reason}"


def _step_in_doubt(fact: e.StepInDoubt, state: CampaignState) -> str:
    return f"{_step_name(fact.step, state)} is in doubt: {fact.question}"


def _identified(fact: e.InstrumentIdentified, state: CampaignState) -> str:
    return " ".join(f"{fact.instrument} is a {fact.model} {fact.firmware}".split())


_Say = Callable[[Any, CampaignState], str]
_WORDS: Final[Mapping[type, tuple[str, _Say]]] = {
    e.CampaignOpened: ("quiet", _opened),
    e.RunStarted: ("", _run_started),
    e.CampaignPaused: ("warn", lambda f, s: f"paused{_by(f.by)}: {f.reason}"),
    e.HoldReleased: ("", lambda f, s: f"the pause of {f.of} is over{_by(f.by, f.why)}"),
    e.SettingsRead: ("warn", _settings_read),
    e.MovedAccepted: ("", lambda f, s: f"what was moved is right as it is{_by(f.by, f.why)}"),
    e.ByHandSeen: ("warn", lambda f, s: f"done meanwhile: {', '.join(f.acts.values())}{_by('', f.why)}"),
    e.CampaignResumed: ("", lambda f, s: f"resumed{_by(f.by, f.why)}"),
    e.CampaignFinished: ("good", lambda f, s: f"finished: {f.reason}"),
    e.CampaignStopped: ("bad", lambda f, s: f"stopped{_by(f.by)}: {f.reason}"),
    e.CampaignHalted: ("bad", lambda f, s: f"halted: {f.reason}"),
    e.BudgetExtended: ("", lambda f, s: f"budget: {f.trials:+d} trials{_by(f.by, f.why)}"),
    e.Amended: ("warn", lambda f, s: amending.account(f)),
    e.SafeStateReached: ("good", _safe),
    e.WatchTripped: ("bad", _tripped),
    e.WatchCleared: ("warn", _cleared),
    e.GuardStarted: ("quiet", lambda f, s: f"{f.why}; another guard watches" if f.why else "a guard watches"),
    e.PhaseFinished: ("quiet", lambda f, s: f"{f.phase} done"),
    e.NoteTaken: ("", lambda f, s: f"note{_by(f.by)}: {f.text}"),
    e.Requested: ("", _requested),
    e.RequestAnswered: ("quiet", _answered),
    e.InstrumentIdentified: ("quiet", _identified),
    e.InstrumentLost: ("bad", lambda f, s: f"{f.instrument} lost: {f.reason}"),
    e.ProposalMade: ("quiet", _proposed),
    e.ProposalApproved: ("", lambda f, s: f"trial {f.trial} approved{_by(f.by)}"),
    e.TrialStarted: ("", lambda f, s: f"trial {f.trial} started"),
    e.TrialAwaiting: ("warn", lambda f, s: f"trial {f.trial} is made; its result is owed"),
    e.PartMeasured: ("warn", _part),
    e.TrialMeasured: ("good", _measured),
    e.Preferred: ("good", _preferred),
    e.ResultWithdrawn: ("warn", _withdrawn),
    e.ResultRestored: ("", _restored),
    e.TrialFailed: ("bad", lambda f, s: f"trial {f.trial} failed: {f.reason}{_by(f.by)}"),
    e.TrialAbandoned: ("warn", _abandoned),
    e.TrialInDoubt: ("bad", lambda f, s: f"trial {f.trial} is in doubt: {f.reason}"),
    e.TrialResumed: ("", lambda f, s: f"trial {f.trial} goes on"),
    e.StepRejoined: (
        "good",
        lambda f, s: f"{_step_name(f.step, s)} went on by itself, unwatched for {f.unwatched_s:.0f} s; watched again",
    ),
    e.StepFailed: ("bad", _step_failed),
    e.StepInDoubt: ("bad", _step_in_doubt),
}
WORTH_A_LINE: Final = frozenset(_WORDS)
