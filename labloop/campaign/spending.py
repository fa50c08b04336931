"""What trials cost: the campaign's ``cost:``, an expression over the parameters, in whatever the budget counts in.

    cost: 2 + 0.05 * $q_tot        budget: {cost: 500}

Parameters count as plain numbers, in the units that they are declared in: money has no dimension here. Every trial that
was begun is paid for, whatever came of it; told data were paid for by somebody else.
"""

from collections.abc import Mapping

from .constraints import meanings
from .errors import SpecError
from .events import Value
from .formula import quantity_of
from .grammar import CampaignSpec, flat_parameters
from .state import CampaignState
from .units import Quantity


class Spending:
    """What the trials of a campaign have cost; each is worked out once."""

    def __init__(self, spec: CampaignSpec) -> None:
        self._cost = spec.cost
        self._parameters = flat_parameters(spec.parameters)
        self._known: dict[int, float] = {}

    def of(self, settings: Mapping[str, Value]) -> float:
        """The cost of one trial. Raises SpecError where the expression has no number above or at 0."""
        if self._cost is None:
            return 0.0
        values = {
            name: Quantity(one.value, "") if isinstance(one, Quantity) else one
            for name, one in meanings(settings, self._parameters).items()
        }
        quantity = quantity_of(self._cost, values)
        if quantity.unit or not quantity.value >= 0.0:
            raise SpecError(f"cost = {quantity} at {dict(settings)}: must be a plain number that is not negative")
        return float(quantity.value)

    def so_far(self, state: CampaignState) -> float:
        """What every trial that was begun has cost."""
        for number, trial in state.trials.items():
            if number not in self._known and trial.started is not None:
                self._known[number] = self.of(trial.settings)
        return sum(self._known.values())
