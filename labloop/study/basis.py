"""The facts that a proposal rested on: what the planner had been told when it was asked.

    knew            all facts up to this one, and the proposals between it and its own (of one batch)
    knew is 0       all facts before its own: a person's proposal, or a journal older than that word
"""

from collections.abc import Iterable

from labloop.campaign import events as e
from labloop.campaign.state import CampaignState, TrialState, fold


def basis(records: Iterable[e.Record], trial: TrialState) -> CampaignState:
    """The state of the campaign that the proposal of ``trial`` was made from."""
    knew = trial.proposal.knew or trial.seq
    return fold(
        record
        for record in records
        if record.seq < trial.seq and (record.seq <= knew or isinstance(record.event, e.ProposalMade))
    )
