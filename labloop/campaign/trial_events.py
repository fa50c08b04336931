"""The facts of results in parts, and of what people correct. Read together with those of a run, see events."""

from .values import Fact, Reading


class PartMeasured(Fact, frozen=True, kw_only=True):
    """Some outcomes of a trial are known, and others are ``owed``: they come later, and until then it is awaiting.

    What was known before stays, unless it was marked as wrong and is told anew.
    """

    trial: int
    outcomes: dict[str, Reading]
    owed: list[str]
    t_s: float = 0.0
    by: str = ""


class ResultWithdrawn(Fact, frozen=True, kw_only=True):
    """A person says that what was measured of a trial is wrong: it is kept, and nothing learns from it any more.

    ``outcomes``: those that are wrong (none named: all of it, a failure as well).
    """

    trial: int
    outcomes: list[str] = []
    by: str = ""
    why: str = ""


class ResultRestored(Fact, frozen=True, kw_only=True):
    """What was withdrawn of a trial is right after all.

    ``outcomes``: the marks that are taken back; "" stands for the one on the trial as a whole (none named: every one).
    """

    trial: int
    outcomes: list[str] = []
    by: str = ""
    why: str = ""
