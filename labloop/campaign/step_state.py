"""The state of one step: what the facts of its one attempt add up to.

    started --> finished | failed | in_doubt;    in_doubt --> finished | failed
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from . import events as e
from .errors import StateError

STARTED, FINISHED, FAILED, IN_DOUBT = "started", "finished", "failed", "in_doubt"
STEP: Final[Mapping[tuple[str, type], str]] = {
    (STARTED, e.StepFinished): FINISHED,
    (STARTED, e.StepFailed): FAILED,
    (STARTED, e.StepInDoubt): IN_DOUBT,
    (IN_DOUBT, e.StepFinished): FINISHED,
    (IN_DOUBT, e.StepFailed): FAILED,
}


class StepState(msgspec.Struct, gc=False):
    """One attempt of one step: what was meant (``begun``), what came of it, when (UTC stamps, and lab seconds).

    A Struct, and not a dataclass: it is made in a fifth of the time, and a journal of weeks makes 100,000. Its dicts
    are those of the facts: they are replaced, and never written into.
    """

    begun: e.StepStarted
    seq: int
    started: str
    state: str = STARTED
    finished: str | None = None
    achieved: dict[str, e.Amount] = {}
    remainder: dict[str, e.Amount] = {}
    readings: dict[str, e.Reading] = {}
    save_as: str = ""
    fault: str = ""
    reason: str = ""
    by: str = ""
    question: str = ""
    answers: dict[str, str] = {}
    ended_t_s: float = 0.0
    kept: dict[str, e.Amount] = {}  # what its driver needs to take it up again
    since_t_s: float | None = None  # since when it was watched first (None: nobody said so)
    unwatched_s: float = 0.0  # how long of that nobody watched


def move(table: Mapping[tuple[str, type], str], state: str, fact: Any, seq: int, what: str) -> str:
    try:
        return table[state, type(fact)]
    except KeyError:
        raise StateError(f"fact {seq}: a {what} that is {state} cannot take {type(fact).__name__}") from None
