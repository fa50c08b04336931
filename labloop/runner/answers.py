"""What becomes of a person's wish: facts to write, what the runner does, and what the person is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.campaign.text import named


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``facts`` to append after the Requested event, ``effect`` for a living runner ("", pause, resume, stop, abort),
    ``stock`` and ``totals`` for the bench's journal, ``said``: of which act a person says how much it did, and
    ``message`` in words."""

    accepted: bool
    message: str
    facts: Sequence[e.Fact] = ()
    effect: str = ""
    stock: Sequence[e.StockSet] = field(default_factory=tuple)
    totals: Sequence[e.TotalSet] = field(default_factory=tuple)
    said: tuple[e.StepStarted, e.Amount] | None = None


def no(message: str) -> Answer:
    """A wish that is refused: why, and what would do."""
    return Answer(accepted=False, message=message)


def trial_of(state: s.CampaignState, arguments: Sequence[str], usage: str) -> s.TrialState | Answer:
    """The trial that the first argument names, or why there is none."""
    if not arguments or not arguments[0].isdecimal():
        return no(f"which trial? {usage}")
    number = int(arguments[0])
    if number not in state.trials:
        return no(f"there is no trial {number}; the last is {max(state.trials, default=0)}")
    return state.trials[number]


def named_values(written: Sequence[str]) -> dict[str, str]:
    """Read ``name=value`` words; a value may have blanks (``rate=10 uL/min time=20 s``). Raises SpecError."""
    found: dict[str, str] = {}
    for one in named(" ".join(written)):
        name, sign, value = one.partition("=")
        if not sign or not value.strip():
            raise SpecError(f"{one!r} is no setting. Write name=value, as in q_agno3=20")
        if name in found:
            raise SpecError(f"{name} is given twice. Give it once")
        found[name] = value.strip()
    return found
