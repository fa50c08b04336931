"""What a batch shares: the values of those that were proposed just before, until the batch is full or over."""

from collections.abc import Mapping

from labloop.campaign.events import Value
from labloop.campaign.state import OPEN_STATES, CampaignState, TrialState

Settings = Mapping[str, Value]
NOT_PLANNED = ("told", "human")  # sources of trials that no batch was made for


def companions(state: CampaignState, first: int, shared: tuple[str, ...], batch: int) -> dict[int, Settings]:
    """Settings by number of the trials whose batch trial ``first`` joins; none where it begins one.

    Those are the last ones that the planner proposed with the same shared values, while one of them is open and they
    are fewer than ``batch``: what became of the others does not matter, so a result that is late holds nobody up.
    """
    own = [
        trial
        for number, trial in sorted(state.trials.items())
        if number < first and trial.role == "candidate" and trial.proposal.again_of is None
        and trial.proposal.source not in NOT_PLANNED
    ]  # fmt: skip
    last: list[TrialState] = []
    for trial in reversed(own[-batch:]):
        if not all(_alike(trial.settings, one.settings, shared) for one in last):
            break
        last.append(trial)
    if not shared or len(last) >= batch or not any(trial.state in OPEN_STATES for trial in last):
        return {}
    return {trial.trial: trial.settings for trial in reversed(last)}


def _alike(one: Settings, other: Settings, shared: tuple[str, ...]) -> bool:
    """Whether both may be of one batch; a parameter that one of them does not have is as it likes."""
    return all(name not in one or name not in other or one[name] == other[name] for name in shared)
