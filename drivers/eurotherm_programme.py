"""What is known of the programme that a Eurotherm controller runs by itself, and what became of one.

Ramps and dwells are stored in the controller; the state is 0 reset, 1 run, 2 hold, 3 end. A programme goes on when this
computer dies, and can be joined again.
A programme that is reset leaves no trace in the controller: whether it had ended, was stopped or never began, only they
know who saw it before they reset it.
"""

from collections.abc import Mapping

from labloop.bench import Amount, Verdict

RESET, RUN, PAUSED, END = range(4)
# A programme that is reset at its end leaves no other trace: one that is reset earlier than this was stopped by hand.
SOON = 0.9
RESETS = Verdict(state="cannot_tell", why="its programme is reset: it has ended, was stopped, or never began")


class Trace:
    """What this process saw of the programme. ``stopped_in``: the state that it was seen in last before stop()."""

    def __init__(self) -> None:
        self._state: int | None = None
        self._at_s = 0.0
        self.stopped_in: int | None = None

    def lost(self) -> None:
        """Nobody saw it for a while."""
        self._state = None

    def seen(self, state: int, at_s: float | None = None) -> int:
        """Note a state, ``at_s`` after its beginning where that is known; returns it."""
        self._state = state
        self._at_s = self._at_s if at_s is None else at_s
        return state

    def stopped(self) -> None:
        """It was reset by stop(), and is seen to be."""
        if self._state in (RUN, PAUSED, END):
            self.stopped_in = self._state
        self._state = RESET

    def told(self) -> dict[str, Amount]:
        """For counters()."""
        return {} if self.stopped_in is None else {"stopped_in": Amount(self.stopped_in)}

    def became(self, state: int, time_s: float, achieved: Mapping[str, Amount], ours: bool) -> Verdict:
        """What became of a programme that is in this state now. ``ours``: this process told it to run."""
        if state == RUN:
            return Verdict(state="running", why="its programme runs")
        if state == END:
            return Verdict(state="done", why="its programme has ended", achieved=achieved)
        if state == PAUSED:
            return Verdict(state="partial", why="its programme is on hold", achieved=achieved)
        return self._stopped_early(time_s, achieved) if ours else RESETS

    def _stopped_early(self, time_s: float, achieved: Mapping[str, Amount]) -> Verdict:
        """What became of a programme of this process's own that is reset now and lasts ``time_s``."""
        if self.stopped_in in (RUN, PAUSED) and self._at_s < SOON * time_s:
            why = f"its programme ran at {self._at_s:.0f} s of {time_s:.0f} s, and was stopped then"
            return Verdict(state="partial", why=why, achieved=achieved)
        return was_stopped_in(END, achieved) if self.stopped_in == END else RESETS


def was_stopped_in(state: int | None, achieved: Mapping[str, Amount]) -> Verdict:
    """What became of a programme that was reset as soon as it was seen in this state."""
    if state in (RUN, PAUSED):
        why = f"its programme {'ran' if state == RUN else 'was on hold'} when it was stopped, by its states"
        return Verdict(state="partial", why=why, achieved=achieved)
    if state == END:
        return Verdict(state="done", why="its programme had ended when it was reset, by its states", achieved=achieved)
    return RESETS


def was_reset(before: Mapping[str, Amount]) -> bool:
    """Whether the programme is known to have been reset before an act."""
    return "program_state" in before and before["program_state"].value == RESET
