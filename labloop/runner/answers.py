"""What becomes of a person's wish: facts to write, what the runner does, and what the person is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.campaign.text import named
from labloop.campaign.units import parse_quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``facts`` to append after the Requested event, ``effect`` for a living runner ("", pause, resume, stop, abort),
    ``stock`` and ``totals`` for the bench's journal, ``said``: of which act a person says how much it did,
    ``act``: what is to be done by hand, and ``message`` in words."""

    accepted: bool
    message: str
    facts: Sequence[e.Fact] = ()
    effect: str = ""
    stock: Sequence[e.StockSet] = field(default_factory=tuple)
    totals: Sequence[e.TotalSet] = field(default_factory=tuple)
    said: tuple[e.StepStarted, e.Amount] | None = None
    act: e.ByHand | None = None


# No run has more trials than this has digits for, and of a number without end int() makes an error.
LONGEST_NUMBER: Final = 9


def no(message: str) -> Answer:
    """A wish that is refused: why, and what would do."""
    return Answer(accepted=False, message=message)


def answered(ask: Callable[[], Answer]) -> Answer:
    """What ``ask`` answers; a wish that is wrong is refused, whoever finds that out.

    Whatever else is raised is no wish's fault but a mistake of ours, or the store's trouble, and goes its way.
    """
    try:
        return ask()
    except SpecError as error:
        return no("; ".join(error.complaints))


def trial_of(state: s.CampaignState, arguments: Sequence[str], usage: str) -> s.TrialState | Answer:
    """The trial that the first argument names, or why there is none."""
    if not arguments or not arguments[0].isdecimal() or len(arguments[0]) > LONGEST_NUMBER:
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


def read_settings(given: Mapping[str, str]) -> dict[str, e.Amount]:
    """Settings of an action as they are written: ``10 uL/min``, or a word; the action says whether it knows it."""
    settings: dict[str, e.Amount] = {}
    for name, value in given.items():
        try:
            quantity = parse_quantity(value)
        except SpecError:
            settings[name] = e.Amount(value)
        else:
            settings[name] = e.Amount(quantity.value, quantity.unit)
    return settings
