"""Holds: a pause that a person placed ends by their own word, or by somebody else's force with a reason.

It outlives the runner, the pause's limit and every other end of the run: whoever takes the run up must be whom it waits
for. A pause of labloop's own (an instrument is away) is nobody's hold, and anybody may end it. An interlock holds a run
that goes on for all that (``running``): nothing new begins in it, and whoever looks at it must be told why.
"""

from typing import Final

from . import events as e
from .state import PAUSED, RUNNING, CampaignState

FORCE: Final = "force"  # the argument of a resume that ends another person's hold


def others_hold(state: CampaignState, by: str) -> str:
    """Who else but ``by`` holds the run, and why ("": nobody)."""
    return " and ".join(f"{who} paused it ({fact.reason})" for who, fact in state.holds.items() if who != by)


def interlocked(state: CampaignState) -> dict[str, str]:
    """The interlocks that hold the run and what each saw ("": that is over, and a person's resume is waited for)."""
    if state.state not in (RUNNING, PAUSED):
        return {}
    return {rule: fact.reason if isinstance(fact, e.WatchTripped) else "" for rule, fact in state.held.items()}


def released(state: CampaignState, by: str, why: str) -> list[e.HoldReleased]:
    """Every hold is over, by whom it was placed or by force."""
    return [e.HoldReleased(of=who, by=by, why=why) for who in state.holds]
