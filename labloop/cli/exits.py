"""Exit codes: which end of a command means what, and whose fault becomes which number.

0 done                                    4 stopped by a person
1 the campaign failed                     5 the store is locked, full or newer than this version
2 usage or an invalid file                6 halted, waits for a person
3 an instrument was lost or refused     130 interrupted

After 3 the bench is safe, or what is not is named: ``meaning`` says which. After 5 the message of a run says it. A
campaign that is done, and whose bench could not be made safe, ends with 3; what a person or a question ended keeps its
code, and says the same in words.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from labloop.campaign.state import CampaignState

DONE, FAILED, USAGE, BENCH, STOPPED, STORE, HALTED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130

# By the name of the class, so that this table needs none of them imported; a subclass has the code of the nearest
# base named here (test_exits walks every LabloopError there is).
CODES: Final[Mapping[str, int]] = {
    "SpecError": USAGE,
    "StateError": USAGE,
    "BenchError": BENCH,
    "BenchOwes": HALTED,
    "StoreError": STORE,
    "NothingLeftError": FAILED,
    "SurrogateError": FAILED,
    "PlannerError": FAILED,
}
MEANINGS: Final[Mapping[int, str]] = {
    DONE: "done",
    FAILED: "the campaign failed: nothing was ever measured",
    USAGE: "nothing moved: the command or a file is not right",
    BENCH: "an instrument was lost or refused",
    STOPPED: "stopped by a person",
    STORE: "the store is locked, full or newer than this version",
    HALTED: "halted: it waits for a person",
    INTERRUPTED: "interrupted",
}


def meaning(code: int, state: "CampaignState") -> str:
    """What an end means, in words, and whether the bench is safe, where it is not or had to do with it."""
    words = MEANINGS.get(code, "ended")
    if code == HALTED and (state.questions or state.asked):
        words = "halted: a question waits for a person"
    if state.unsafe or (code == BENCH and state.steps and not state.safe):
        return f"{words}, and not all of the bench is known to be safe"
    if code != BENCH:
        return words
    return f"{words}, the bench is safe" if state.safe else f"{words}, nothing has moved"


def code_of(error: BaseException) -> int:
    """The exit code of an error that labloop says to a person; one that brings its own (a runner's) keeps it."""
    own = getattr(error, "exit_code", None)
    if isinstance(own, int):
        return own
    for kind in type(error).__mro__:
        if kind.__name__ in CODES:
            return CODES[kind.__name__]
    return FAILED
