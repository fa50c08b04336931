"""The facts of the watch over a bench that works. Read together with those of a run, see events."""

from .values import Fact


class WatchTripped(Fact, frozen=True, kw_only=True):
    """What is watched between and during steps has left the envelope, or an interlock's condition holds.

    ``rule`` is its place in lab or campaign (``limits.hotplate.plate``, ``interlocks.door``), ``then`` what it brings:
    hold (nothing new begins), safe (the bench is made safe and the run ends), halt (the same, and a person is waited
    for).
    """

    rule: str
    then: str
    reason: str
    t_s: float = 0.0


class WatchCleared(Fact, frozen=True, kw_only=True):
    """A hold's condition is over. ``released``: by its own word, or ``by`` a person, and steps may begin again."""

    rule: str
    released: bool = False
    by: str = ""
    t_s: float = 0.0
