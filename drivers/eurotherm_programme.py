"""What is known of the programme that a Eurotherm controller runs by itself, and what became of one.

Ramps and dwells are stored in the controller; the state is 0 reset, 1 run, 2 hold, 3 end. A programme goes on when this
computer dies, and can be joined again.
A programme that is reset leaves no trace in the controller: whether it had ended, was stopped or never began, only they
know who asked for its state right before they reset it. What was seen earlier tells nothing: it may have ended since.
"""

from collections.abc import Mapping

from labloop.bench import Amount, InstrumentFault, Progress, ProtocolError, Reading, Verdict

RESET, RUN, PAUSED, END = range(4)
# A programme that is reset at its end leaves no other trace: one that is reset earlier than this was stopped by hand.
SOON = 0.9
RESETS = Verdict(state="cannot_tell", why="its programme is reset: it has ended, was stopped, or never began")


def counted(state: int, stopped_in: int | None) -> dict[str, Amount]:
    """For counters(): the state now; and in which the programme was found by who has reset it."""
    now = {"program_state": Amount(state)}
    return now if stopped_in is None else {**now, "stopped_in": Amount(stopped_in)}


def was_cut(state: int, elapsed_s: float, time_s: float) -> bool:
    """Whether a programme of ``time_s`` that this process watched was reset long before its end."""
    return state == RESET and elapsed_s < SOON * time_s


def course(
    state: int, elapsed_s: float, time_s: float, achieved: Mapping[str, Amount], readings: Mapping[str, Reading]
) -> Progress:
    """How far a programme of ``time_s`` has come, ``elapsed_s`` after it began.

    Raises InstrumentFault where it was stopped, ProtocolError for a state that there is none of.
    """
    if state not in (RESET, RUN, PAUSED, END):
        raise ProtocolError(f"the state of its programme is told as {state}")
    if state == PAUSED:
        raise InstrumentFault("its programme was put on hold", kind="paused")
    if was_cut(state, elapsed_s, time_s):
        raise InstrumentFault(f"its programme was reset after {elapsed_s:.0f} s", kind="stopped")
    if state == RUN:
        return Progress(done=False, readings=readings, again_in_s=10.0)
    return Progress(done=True, achieved=achieved, readings=readings)


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
