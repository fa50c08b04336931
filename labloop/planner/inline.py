"""The same planner in the calling process, for notebooks, benchmarks and virtual runs. Loads scipy when started."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from typing import Any

from labloop.campaign.errors import LabloopError
from labloop.campaign.events import Record
from labloop.campaign.spec import CampaignSpec, spec_from_dict
from labloop.campaign.state import CampaignState, fold

from .errors import PlannerError
from .proposal import Proposal


class InlinePlanner:
    """PlannerProcess's interface without the process: a question is answered before ``request`` returns."""

    def __init__(self, spec: Mapping[str, Any] | CampaignSpec, folder: Path | None = None) -> None:
        self._folder = folder or Path()
        self._spec = spec if isinstance(spec, CampaignSpec) else spec_from_dict(dict(spec), self._folder)
        self._former: list[CampaignSpec] = []
        self._state = CampaignState()
        self._problem: Any = None  # a Problem: its class comes with numpy

    def start(self) -> None:
        """Load what is needed and understand the campaign. Raises SpecError for what the planner cannot do."""
        if self._problem is None:
            self._problem = import_module("labloop.planner.problem").read_problem(self._spec, self._former)

    def amend(self, spec: Mapping[str, Any], former: Sequence[Mapping[str, Any]]) -> None:
        """From the next question on the campaign is this one; ``former``: what it was before, oldest first."""
        self._spec, *self._former = (spec_from_dict(dict(one), self._folder) for one in (spec, *former))
        self._problem = None

    def send_facts(self, records: Sequence[Record]) -> None:
        """Tell the planner the journal's next records."""
        fold(records, self._state)

    def request(
        self, count: int, based_on: int = 0, first: int | None = None, deadline_s: float | None = None
    ) -> "Future[list[Proposal]]":
        """``count`` proposals on the facts sent so far; the future is done. ``deadline_s`` cannot be kept here."""
        self.start()
        plan = import_module("labloop.planner.planner").plan
        future: Future[list[Proposal]] = Future()
        try:
            if self._state.seq < based_on:
                raise PlannerError(f"fact {based_on} was not sent to the planner, which knows {self._state.seq}")
            future.set_result(plan(self._problem, self._state, count, first))
        except LabloopError as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing to end."""
