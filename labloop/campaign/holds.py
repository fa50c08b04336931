"""Holds: a pause that a person placed ends by their own word, or by somebody else's force with a reason.

It outlives the runner, the pause's limit and every other end of the run: whoever takes the run up must be whom it waits
for. A pause of labloop's own (an instrument is away) is nobody's hold, and anybody may end it.
"""

from typing import Final

from . import events as e
from .state import CampaignState

FORCE: Final = "force"  # the argument of a resume that ends another person's hold


def others_hold(state: CampaignState, by: str) -> str:
    """Who else but ``by`` holds the run, and why ("": nobody)."""
    return " and ".join(f"{who} paused it ({fact.reason})" for who, fact in state.holds.items() if who != by)


def released(state: CampaignState, by: str, why: str) -> list[e.HoldReleased]:
    """Every hold is over, by whom it was placed or by force."""
    return [e.HoldReleased(of=who, by=by, why=why) for who in state.holds]
