"""What the planner thought when it proposed a trial, and what it would have thought of another point.

A proposal is a pure function of facts and seed, so the thought is made again from the facts before it: the same data
give the same model and the same score, and nothing of it needs to be kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labloop.campaign.events import Prediction, Value
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import CampaignState

from .acquisition import WITHIN
from .errors import SurrogateError
from .history import read
from .importance import importance
from .planner import Believer, score_of, trial_seed, turn_of
from .problem import read_problem
from .surrogate import Model, Surrogate
from .threads import one_thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What was thought of one point. ``score``: as the proposal's acquisition_value, comparable with it alone."""

    predicted: dict[str, Prediction]
    score: float


class Thought:
    """The planner as it stood before a trial was proposed.

    spec: the campaign as it was then; former: what it was before that. state: the facts before the proposal. Raises
    SurrogateError where there was no model yet, SpecError.
    """

    def __init__(
        self, spec: CampaignSpec, state: CampaignState, trial: int, former: Sequence[CampaignSpec] = ()
    ) -> None:
        self._problem = read_problem(spec, former)
        history = read(state, self._problem.encoding, self._problem.goals)
        if not len(history.known.observed):
            raise SurrogateError("nothing was measured yet, so there was no model")
        with one_thread():
            self._model: Model = Believer(self._problem, history.data, trial_seed(state.seed, 0))()
            self._score = score_of(self._problem, self._model, history, trial_seed(state.seed, turn_of(state, trial)))

    def of(self, settings: Mapping[str, Value]) -> Opinion:
        """The opinion of one point of the space."""
        with one_thread():
            point = self._problem.encoding.encode([settings])
            mean, sd = self._model.predict(point)
            score = float(self._score.of_rows(point)[0])
        names = self._model.outcomes
        predicted = {name: Prediction(float(mean[0, at]), float(sd[0, at])) for at, name in enumerate(names)}
        return Opinion(predicted=predicted, score=score)

    @property
    def hope(self) -> str:
        """What a score is the logarithm of, in words."""
        is_met = self._score.name.startswith(WITHIN)
        return "chance to be as good, times what is not known there," if is_met else "expected gain"

    def ahead(self, settings: Mapping[str, Value], other: Mapping[str, Value], outcome: str) -> Prediction:
        """By how much one point was believed to be above another, of an outcome that people compare."""
        assert isinstance(self._model, Surrogate)
        belief = self._model.beliefs[self._model.outcomes.index(outcome)]
        with one_thread():
            mean, covariance = belief.members[0].joint(self._problem.encoding.encode([settings, other]))
        variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
        return Prediction(belief.scale * float(mean[0] - mean[1]), belief.scale * max(variance, 0.0) ** 0.5)

    def importance(self) -> dict[str, dict[str, float]]:
        """{outcome: {parameter: share}}, the shares of each outcome adding up to 1, largest first."""
        with one_thread():
            return importance(self._model, self._problem.encoding)
