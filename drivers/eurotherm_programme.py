"""What is known of the programme that a Eurotherm controller runs by itself, and what became of one.

Ramps and dwells are stored in the controller; the state is 0 reset, 1 run, 2 hold, 3 end. A programme goes on when this
computer dies, and can be joined again.
A programme that is reset leaves no trace in the controller: whether it had ended, was stopped or never began, only they
know who asked for its state right before they reset it. What was seen earlier tells nothing: it may have ended since.
"""

from collections.abc import Mapping

from labloop.bench import Amount, Verdict

RESET, RUN, PAUSED, END = range(4)
# A programme that is reset at its end leaves no other trace: one that is reset earlier than this was stopped by hand.
SOON = 0.9
RESETS = Verdict(state="cannot_tell", why="its programme is reset: it has ended, was stopped, or never began")


def counted(state: int, stopped_in: int | None) -> dict[str, Amount]:
    """For counters(): the state now; and in which the programme was found by who has reset it."""
    now = {"program_state": Amount(state)}
    return now if stopped_in is None else {**now, "stopped_in": Amount(stopped_in)}


def became(state: int, achieved: Mapping[str, Amount], stopped_in: int | None) -> Verdict:
    """What became of a programme that is in this state now. ``stopped_in``: that in which who has reset it found it."""
    if state == RUN:
        return Verdict(state="running", why="its programme runs")
    if state == END:
        return Verdict(state="done", why="its programme has ended", achieved=achieved)
    if state == PAUSED:
        return Verdict(state="partial", why="its programme is on hold", achieved=achieved)
    return was_stopped_in(stopped_in, achieved)


def was_stopped_in(state: int | None, achieved: Mapping[str, Amount]) -> Verdict:
    """What became of a programme that was found in this state by who has reset it then. None: nobody knows."""
    if state in (RUN, PAUSED):
        why = f"its programme {'ran' if state == RUN else 'was on hold'} when it was stopped, by its states"
        return Verdict(state="partial", why=why, achieved=achieved)
    if state == END:
        return Verdict(state="done", why="its programme had ended when it was reset, by its states", achieved=achieved)
    return RESETS


def was_reset(before: Mapping[str, Amount]) -> bool:
    """Whether the programme is known to have been reset before an act."""
    return "program_state" in before and before["program_state"].value == RESET
