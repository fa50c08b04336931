"""What a batch shares: the values of those that were proposed just before, until the batch is full or over."""

from collections.abc import Mapping

from labloop.campaign.events import Value
from labloop.campaign.state import OPEN_STATES, CampaignState, TrialState

Settings = Mapping[str, Value]
NOT_PLANNED = ("told", "human")  # sources of trials that no batch was made for


def companions(state: CampaignState, first: int, shared: tuple[str, ...], batch: int) -> dict[int, Settings]:
    """Settings by number of the trials whose batch trial ``first`` joins; none where it begins one.

    Those are the last ones that the planner proposed with the same shared values, while one of them is open and they
    are fewer than ``batch``: what became of the others does not matter, so a result that is late holds nobody up. Each
    batch is followed from its first trial on, for the next one may have the same values by chance.
    """
    if not shared:
        return {}
    last: list[TrialState] = []
    for number, trial in sorted(state.trials.items()):
        if number >= first or trial.role != "candidate" or trial.proposal.again_of is not None:
            continue
        if trial.proposal.source in NOT_PLANNED:
            continue
        knew = trial.proposal.knew or trial.seq
        is_open = any(not 0 < one.finished_seq <= knew for one in last)
        joins = is_open and len(last) < batch and all(_alike(trial.settings, one.settings, shared) for one in last)
        last = [*last, trial] if joins else [trial]
    if len(last) >= batch or not any(trial.state in OPEN_STATES for trial in last):
        return {}
    return {trial.trial: trial.settings for trial in last}


def _alike(one: Settings, other: Settings, shared: tuple[str, ...]) -> bool:
    """Whether both may be of one batch; a parameter that one of them does not have is as it likes."""
    return all(name not in one or name not in other or one[name] == other[name] for name in shared)
