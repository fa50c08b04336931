"""The state of one trial: what the facts of its life add up to.

    proposed --> running --> awaiting --> measured;    running --> failed | abandoned | in_doubt
    a part of the outcomes is known: proposed | running | awaiting --> awaiting
    in_doubt --> running | measured | failed | abandoned
    proposed --> measured | failed | abandoned (told by a person, or vetoed)

``failed`` is chemistry's and teaches the model; ``abandoned`` is the bench's and does not. A trial is *closed* when its
cleanup is done: until then its sample stands on the bench, whatever its outcome.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from . import events as e
from .step_state import FAILED, IN_DOUBT, StepState
from .tastes import Tastes

PROPOSED, RUNNING, AWAITING, MEASURED, ABANDONED = "proposed", "running", "awaiting", "measured", "abandoned"
OPEN_STATES: Final = frozenset({PROPOSED, RUNNING, AWAITING, IN_DOUBT})
ALL: Final = ""  # in place of an outcome: all that came of the trial is marked as wrong

TRIAL: Final[Mapping[tuple[str, type], str]] = {
    (PROPOSED, e.TrialStarted): RUNNING,
    (PROPOSED, e.TrialAwaiting): AWAITING,
    (RUNNING, e.TrialAwaiting): AWAITING,
    **{(state, e.PartMeasured): AWAITING for state in (PROPOSED, RUNNING, AWAITING)},
    (RUNNING, e.TrialInDoubt): IN_DOUBT,
    (IN_DOUBT, e.TrialResumed): RUNNING,
    **{(state, e.TrialMeasured): MEASURED for state in (PROPOSED, RUNNING, AWAITING, IN_DOUBT)},
    **{(state, e.TrialFailed): FAILED for state in (PROPOSED, RUNNING, AWAITING, IN_DOUBT)},
    **{(state, e.TrialAbandoned): ABANDONED for state in (PROPOSED, RUNNING, AWAITING, IN_DOUBT)},
}


@dataclass(slots=True)
class TrialState:
    """One trial's life: the proposal it came from, its steps (every attempt), its outcomes."""

    proposal: e.ProposalMade
    seq: int
    proposed: str
    state: str = PROPOSED
    approved_by: str | None = None
    started: str | None = None
    finished: str | None = None
    started_t_s: float = 0.0
    finished_t_s: float = 0.0
    started_lived_s: float = 0.0  # the same, less what no runner had lived through until then
    finished_lived_s: float = 0.0
    started_worked_s: float = 0.0  # the same again, less the pauses until then
    finished_worked_s: float = 0.0
    finished_seq: int = 0  # the order of ends: two may fall on one instant, and a clock may be set back
    measured: dict[str, e.Reading] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)  # of these: what a person told, while the rest is still to come
    owed: tuple[str, ...] = ()  # outcomes that are still to come, while some are known
    tastes: Tastes = field(default_factory=Tastes)  # the campaign's: what it is believed to be worth to people
    withdrawn: dict[str, e.ResultWithdrawn] = field(default_factory=dict)  # by outcome ("": all of it)
    steps: list[StepState] = field(default_factory=list)
    reason: str = ""
    again: bool = False
    closed: bool = False
    told_by: str = ""
    amended: int = 0  # sequence number of the last amendment of the campaign before it was proposed (0: none)

    @property
    def trial(self) -> int:
        """The trial's number, from 1."""
        return self.proposal.trial

    @property
    def outcomes(self) -> dict[str, e.Reading]:
        """What was measured, and what people's comparisons say of it; what was withdrawn is flagged."""
        found = self.measured | self.tastes.of(self.trial) if self.tastes.comparisons else self.measured
        return flagged(found, self.withdrawn) if self.withdrawn else found

    @property
    def is_withdrawn(self) -> bool:
        """Whether all that came of it is marked as wrong: then it teaches no more than an abandoned one."""
        every = bool(self.measured) and not self.owed and self.measured.keys() <= self.withdrawn.keys()
        return ALL in self.withdrawn or every

    @property
    def settings(self) -> dict[str, e.Value]:
        """What was wished, in the units that the campaign declares."""
        return self.proposal.settings

    @property
    def role(self) -> str:
        """candidate, control, blank or repeat."""
        return self.proposal.role

    @property
    def sample(self) -> str:
        """The sample's own name; a repeat of a measurement shares it."""
        return self.proposal.sample

    @property
    def source(self) -> str:
        """sobol, lhs, random, model, human or told."""
        return self.proposal.source

    @property
    def acted(self) -> bool:
        """Whether any of its steps has begun, so that something of it may stand on the bench."""
        return bool(self.steps)


def flagged(found: Mapping[str, e.Reading], withdrawn: Mapping[str, e.ResultWithdrawn]) -> dict[str, e.Reading]:
    """Readings as they are to be believed: what was withdrawn says so."""
    return {name: _flagged(one, withdrawn.get(name) or withdrawn.get(ALL)) for name, one in found.items()}


def _flagged(one: e.Reading, fact: e.ResultWithdrawn | None) -> e.Reading:
    if fact is None or one.flag:
        return one
    return structs.replace(one, flag=f"marked as wrong by {fact.by or 'a person'}: {fact.why}", censored="")
