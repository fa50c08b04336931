"""The facts of what people correct of trials that are over. Read together with those of a run, see events."""

from .values import Fact


class ResultWithdrawn(Fact, frozen=True, kw_only=True):
    """A person says that what was measured of a trial is wrong: it is kept, and nothing learns from it any more.

    ``outcomes``: those that are wrong (none named: all of it, a failure as well).
    """

    trial: int
    outcomes: list[str] = []
    by: str = ""
    why: str = ""


class ResultRestored(Fact, frozen=True, kw_only=True):
    """What was withdrawn of a trial is right after all."""

    trial: int
    by: str = ""
    why: str = ""
