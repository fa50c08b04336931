"""Where a person expects the optimum: tried first, leant to, and outvoted by what is measured."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.parameters import Choices
from labloop.campaign.spec import spec_from_dict
from labloop.planner.prior import STRENGTH, prior_of
from labloop.planner.problem import propose, read_problem

PARAMETERS: dict[str, Any] = {
    "T": {"range": ["20 degC", "120 degC"], "unit": "degC", "likely": {"value": "70 degC", "within": "10 K"}},
    "c": {"range": [0.01, 10], "scale": "log", "likely": {"value": 1, "within": 0.5}},
    "solvent": {"choices": ["DMF", "DMSO", "NMP"], "likely": "NMP"},
    "p": {"range": [1, 5], "active_when": "solvent == DMF", "likely": {"value": 2, "within": 1}},
}


def spec_of(parameters: dict[str, Any], **more: Any) -> Any:
    return spec_from_dict({"parameters": parameters, "outcomes": {"y": {"goal": "maximize"}}, **more})


def test_the_first_trial_is_where_the_optimum_is_expected(journal: Callable[[int], Any]) -> None:
    proposal = propose(spec_of(PARAMETERS), journal(1).state)[0]
    assert proposal.settings == {"T": 70.0, "c": pytest.approx(1.0), "solvent": "NMP"}
    assert proposal.reason.endswith("where the optimum is expected")
    refused = propose(spec_of(PARAMETERS, constraints=["T <= 60 degC"]), journal(1).state)[0]
    assert refused.settings["T"] <= 60 and refused.settings != proposal.settings, "constraints stand above it"


def test_the_belief_in_logs_and_its_slopes() -> None:
    encoding = read_problem(spec_of(PARAMETERS)).encoding
    prior = prior_of(encoding, 5)
    assert prior is not None and prior.strength == STRENGTH / 5
    at = encoding.encode([{"T": 80.0, "c": 1.0, "solvent": "NMP"}, {"T": 70.0, "c": 1.0, "solvent": "DMF", "p": 3.0}])
    assert prior.log(at) == pytest.approx(prior.strength * np.array([-0.5, -0.5 - np.log(5.0)]))
    points = np.array([[0.3, 0.6, 2.0, 0.5], [0.3, 0.6, 0.0, 0.9]])
    _, slopes = prior.log_slopes(points)
    for column in (0, 1, 3):
        step = np.zeros(4)
        step[column] = 1e-6
        numeric = (prior.log(points + step) - prior.log(points - step)) / 2e-6
        assert slopes[:, column] == pytest.approx(numeric, rel=1e-5, abs=1e-6)
    assert slopes[0, 3] == 0.0, "of a parameter without a value nothing is expected"
    plain = {name: {k: v for k, v in one.items() if k != "likely"} for name, one in PARAMETERS.items()}
    assert prior_of(read_problem(spec_of(plain)).encoding, 5) is None


def hill(settings: dict[str, Any], top: float) -> float:
    return -(((settings["T"] - top) / 60.0) ** 2) + {"DMF": 0.3, "DMSO": 0.0, "NMP": 0.1}[settings["solvent"]]


def played(journal: Callable[[int], Any], parameters: dict[str, Any], top: float, trials: int, seed: int) -> list[Any]:
    spec, book = spec_of(parameters, design={"initial": {"trials": 4}}), journal(seed)
    for _ in range(trials):
        settings = propose(spec, book.state)[0].settings
        book.measure(settings, y=hill(settings, top))
    return [(trial.settings, trial.proposal) for trial in book.state.trials.values()]


def test_a_good_guess_is_followed_and_a_wrong_one_outvoted(journal: Callable[[int], Any]) -> None:
    parameters = {name: PARAMETERS[name] for name in ("T", "c", "solvent")}
    followed = [settings for settings, _ in played(journal, parameters, 70.0, 8, 3)]
    assert all(abs(one["T"] - 70.0) < 10.0 for one in followed[4:6])
    misled = [settings for settings, _ in played(journal, parameters, 30.0, 24, 3)]
    best = max(misled, key=lambda one: hill(one, 30.0))
    assert best["solvent"] == "DMF" and best["T"] == pytest.approx(30.0, abs=6.0)


@pytest.mark.parametrize(
    ("parameter", "complaint"),
    [
        ({"range": [0, 1], "likely": 0.5}, "likely.*Write {value: 60 degC, within: 10 K}"),
        ({"range": [0, 1], "likely": {"value": 2, "within": 1}}, "likely.value.*outside the range"),
        ({"range": [0, 1], "likely": {"value": 1, "within": 0}}, "likely.within.*above 0"),
        ({"choices": ["a", "b"], "likely": "c"}, "likely.*none of the choices"),
        ({"choices": ["a", "b"], "likely": {"a": -1}}, "likely.*above 0"),
        ({"choices": ["a", "b"], "likely": []}, "likely.*must be a choice"),
        ({"choices": ["a", "b"], "likely": [["a"]]}, "likely.*must be a choice"),
    ],
)
def test_what_cannot_be_expected_is_refused(parameter: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        spec_of({"x": parameter})


@pytest.mark.parametrize("likely", [["NH4+"], "[NH4+]", [["NH4+"]], ["[NH4+]"]])
def test_a_choice_in_brackets_is_no_list(likely: Any) -> None:
    (ion,) = spec_of({"ion": {"choices": ["[NH4+]", "[K+]", "Na"], "likely": likely}}).parameters.values()
    assert isinstance(ion, Choices) and ion.likely == (5.0, 1.0, 1.0)
