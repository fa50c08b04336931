"""A campaign's facts made by hand, so that the planner is tested without a runner."""

from collections.abc import Callable, Mapping

import pytest

from labloop.campaign import events as e
from labloop.campaign.state import CampaignState


class Journal:
    """Facts one after the other, and the state they add up to."""

    def __init__(self, seed: int) -> None:
        self.records: list[e.Record] = []
        self.state = CampaignState()
        self.put(e.CampaignOpened(campaign="c", run_id="r", version="0", mode="told", seed=seed, campaign_sha256="x"))

    def put(self, event: object) -> None:
        record = e.Record(len(self.records) + 1, "2026-11-23T12:00:00+00:00", event)
        self.records.append(record)
        self.state.apply(record)

    def propose(self, settings: Mapping[str, e.Value], source: str = "told") -> int:
        trial = self.state.next_trial()
        self.put(e.ProposalMade(trial=trial, sample=f"s{trial}", settings=dict(settings), source=source))
        return trial

    def measure(self, settings: Mapping[str, e.Value], sd: float | None = None, **outcomes: float) -> int:
        trial = self.propose(settings)
        readings = {name: e.Reading(value=value, sd=sd) for name, value in outcomes.items()}
        self.put(e.TrialMeasured(trial=trial, outcomes=readings))
        return trial

    def fail(self, settings: Mapping[str, e.Value]) -> int:
        trial = self.propose(settings)
        self.put(e.TrialFailed(trial=trial, reason="clogged"))
        return trial


@pytest.fixture(scope="session")
def journal() -> Callable[[int], Journal]:
    return Journal
