"""Ways to choose the next condition, all behind one small face: told conditions and their outcomes, asked for more.

labloop        the campaign as it is written: its planner, in this process
random         conditions by chance, none twice
NAME=FILE      another campaign file over the same parameters: other engine words, say
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Protocol

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import CampaignSpec
from labloop.planner import InlinePlanner, NothingLeftError

from .worlds import World

LABLOOP = "labloop"
RANDOM = "random"
_AT = "1970-01-01T00:00:00+00:00"  # facts need a stamp, and nothing here is about time


class Strategy(Protocol):
    """Told what was measured (conditions of a world), asked for the next ones."""

    def tell(self, conditions: Sequence[int]) -> None: ...
    def ask(self, count: int) -> list[int]: ...


class Chance:
    """Conditions by chance."""

    def __init__(self, world: World, seed: int) -> None:
        self._deck = world.by_chance([seed, 1])
        self._told: set[int] = set()

    def tell(self, conditions: Sequence[int]) -> None:
        """What was measured is not asked for again."""
        self._told.update(conditions)

    def ask(self, count: int) -> list[int]:
        """The next of the deck."""
        return list(islice((one for one in self._deck if one not in self._told), count))


class Planned:
    """A campaign's own planner. Raises SpecError for what it cannot plan."""

    def __init__(self, spec: CampaignSpec, world: World, seed: int, initial: int) -> None:
        self._world = world
        self._units = {name: one.unit for name, one in spec.outcomes.items()}
        self._planner = InlinePlanner(world.campaign(spec, seed=seed, initial=initial))
        self._planner.start()
        self._seq = self._trials = 0
        self._open: dict[int, int] = {}  # condition -> trial
        self._send(
            e.CampaignOpened(campaign=spec.campaign, run_id="", version="", mode="told", seed=seed, campaign_sha256="")
        )

    def tell(self, conditions: Sequence[int]) -> None:
        """The outcomes of conditions, proposed or not."""
        for condition in conditions:
            trial = self._open.pop(condition, None)
            if trial is None:
                trial = self._propose(dict(self._world.settings(condition)), "told")
            outcomes = {
                name: e.Reading(value=value, unit=self._units[name])
                for name, value in self._world.outcomes(condition).items()
            }
            self._send(e.TrialMeasured(trial=trial, outcomes=outcomes, by="a table"))

    def ask(self, count: int) -> list[int]:
        """The planner's next conditions; none where it has no more."""
        given = []
        asked = self._planner.request(count, based_on=self._seq, first=self._trials + 1)
        try:
            proposals = asked.result()
        except NothingLeftError:
            return []
        for one in proposals:
            condition = self._world.find(one.settings)
            self._open[condition] = self._propose(dict(one.settings), one.source)
            given.append(condition)
        return given

    def _propose(self, settings: dict[str, Any], source: str) -> int:
        self._trials += 1
        self._send(e.ProposalMade(trial=self._trials, sample=f"S{self._trials}", settings=settings, source=source))
        return self._trials

    def _send(self, fact: e.Fact) -> None:
        self._seq += 1
        self._planner.send_facts([e.Record(seq=self._seq, at=_AT, event=fact)])


def strategy(name: str, spec: CampaignSpec, world: World, *, seed: int, initial: int) -> Strategy:
    """The strategy called ``name`` (``spec``: its campaign) in a world. Raises SpecError."""
    if name == RANDOM:
        return Chance(world, seed)
    return Planned(spec, world, seed, initial)


def check_names(names: Sequence[str]) -> None:
    """Refuse names given twice and empty ones. Raises SpecError."""
    for name in names:
        if not name or names.count(name) > 1:
            raise SpecError(f"--against {name or '(nothing)'}: give each strategy a name of its own, once")
