"""The search: what is in flight is kept apart from, while the space has room, and measured points are not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labloop.campaign.spec import spec_from_dict
from labloop.planner import acquisition, propose
from labloop.planner.acquisition import CROWD
from labloop.planner.search import Effort

Q = 8


def corner(journal: Any, parameters: dict[str, Any], noise: float = 1.0, **words: Any) -> tuple[Any, Any]:
    """A campaign whose best is a corner, and twenty trials in it whose noise hides which of the best is better."""
    document = {
        "labloop": 1, "campaign": "corner", "parameters": parameters, "outcomes": {"y": {"goal": "maximize"}},
        "design": {"initial": {"trials": 4}}, **words,
    }  # fmt: skip
    told, random = journal(5), np.random.default_rng(7)
    for _ in range(20):
        settings = {name: _value(one, random) for name, one in parameters.items()}
        size = sum(value for value in settings.values() if isinstance(value, float | int))
        told.measure(settings, y=3.0 * size + noise * random.normal())
    return spec_from_dict(document, Path()), told


def _value(parameter: dict[str, Any], random: np.random.Generator) -> Any:
    if "choices" in parameter:
        return str(random.choice(parameter["choices"]))
    low, high = parameter["range"]
    step = parameter.get("step")
    u = float(random.choice([0.0, 0.5, 1.0]))
    return low + (high - low) * u if step is None else low + round((high - low) * u / step) * step


def gaps(settings: list[dict[str, Any]], numbers: dict[str, float]) -> np.ndarray:
    """How far apart each two are, in the largest share of a number's range; what differs by a choice is 1 apart."""
    apart = []
    for at, one in enumerate(settings):
        for other in settings[:at]:
            near = max(abs(one[name] - other[name]) / width for name, width in numbers.items())
            apart.append(1.0 if any(one[n] != other[n] for n in one if n not in numbers) else near)
    return np.array(apart)


def test_a_batch_in_a_noisy_corner_holds_no_settings_twice(journal) -> None:
    parameters = {"a": {"range": [0, 1]}, "b": {"range": [0, 1]}, "s": {"choices": ["u", "v"]}}
    spec, told = corner(journal, parameters)
    batch = [one.settings for one in propose(spec, told.state, Q)]
    assert gaps(batch, {"a": 1.0, "b": 1.0}).min() >= 0.01
    assert sum(one["a"] > 0.9 and one["b"] > 0.9 for one in batch) > 1, "the corner is still what is searched"


def test_one_after_the_other_is_as_a_batch(journal) -> None:
    spec, told = corner(journal, {"a": {"range": [0, 1]}, "b": {"range": [0, 1]}})
    batch = propose(spec, told.state, 4)
    again = []
    for _ in range(4):
        (one,) = propose(spec, told.state, 1)
        told.propose(one.settings, "model")
        again.append(one)
    assert [one.settings for one in again] == [one.settings for one in batch]
    assert gaps([one.settings for one in batch], {"a": 1.0, "b": 1.0}).min() >= 0.01


def test_a_measured_point_may_be_measured_again(journal) -> None:
    spec, told = corner(journal, {"a": {"range": [0, 1]}, "b": {"range": [0, 1]}}, noise=0.0)
    told.measure({"a": 1.0, "b": 1.0}, y=6.0)
    told.measure({"a": 1.0, "b": 1.0}, y=4.0)
    seen = [one.settings for one in propose(spec, told.state, Q)]
    assert {"a": 1.0, "b": 1.0} in seen and seen.count({"a": 1.0, "b": 1.0}) == 1


@pytest.mark.parametrize("constraint", ["a >= 0.995", "a + b >= 1.998"])
def test_a_space_of_hardly_any_room_still_gives_different_settings(journal, constraint: str) -> None:
    spec, told = corner(journal, {"a": {"range": [0, 1]}, "b": {"range": [0.999, 1]}}, constraints=[constraint])
    batch = [one.settings for one in propose(spec, told.state, 4)]
    assert gaps(batch, {"a": 1.0, "b": 0.001}).min() >= 1e-4


def test_a_space_of_one_point_gives_it_again(journal) -> None:
    spec, told = corner(journal, {"a": {"range": [0, 1]}, "b": {"range": [0, 1]}}, constraints=["a + b == 2"])
    assert [one.settings for one in propose(spec, told.state, 3)] == [{"a": 1.0, "b": 1.0}] * 3


def test_steps_of_a_grid_are_settings_of_their_own(journal) -> None:
    fine = {"a": {"range": [0, 1]}, "g": {"range": [0, 1000], "step": 1}}
    spec, told = corner(journal, fine)
    batch = [one.settings for one in propose(spec, told.state, Q)]
    assert len({(one["a"], one["g"]) for one in batch}) == Q
    assert all(one["g"] != other["g"] or abs(one["a"] - other["a"]) >= 0.01
               for at, one in enumerate(batch) for other in batch[:at])  # fmt: skip


def test_many_at_once_are_all_different_and_searched_with_less_effort(journal) -> None:
    spec, told = corner(journal, {"a": {"range": [0, 1]}, "b": {"range": [0, 1]}})
    batch = [one.settings for one in propose(spec, told.state, CROWD + 8)]
    assert gaps(batch, {"a": 1.0, "b": 1.0}).min() >= 0.01
    assert Effort().among(CROWD) == Effort()
    assert Effort().among(2 * CROWD) == Effort(raw_samples=256, restarts=3, iterations=30)
    assert Effort(raw_samples=32).among(10_000) == Effort(raw_samples=32, restarts=2, iterations=10)


def test_of_very_many_in_flight_the_latest_condition_the_model(journal, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, told = corner(journal, {"a": {"range": [0, 1]}, "b": {"range": [0, 1]}})
    whole = propose(spec, told.state, 6)
    monkeypatch.setattr(acquisition, "MOST_FLYING", 3)
    batch = propose(spec, told.state, 6)
    assert batch[:4] == whole[:4] and batch[4:] != whole[4:]
    assert gaps([one.settings for one in batch], {"a": 1.0, "b": 1.0}).min() >= 0.01, "from earlier ones too"


def test_a_front_beside_many_in_flight_is_drawn_less_often(journal, monkeypatch: pytest.MonkeyPatch) -> None:
    told = journal(5)
    for at in range(8):
        told.measure({"a": at / 7, "b": at % 3 / 2}, y=at + at % 3, z=at % 3 - at)
    document = {
        "parameters": {"a": {"range": [0, 1]}, "b": {"range": [0, 1]}},
        "outcomes": {"y": {"goal": "maximize"}, "z": {"goal": "maximize"}}, "design": {"initial": {"trials": 4}},
    }  # fmt: skip
    spec = spec_from_dict(document, Path())
    whole = propose(spec, told.state, 4)
    monkeypatch.setattr(acquisition, "CROWD", 2)
    batch = propose(spec, told.state, 4)
    assert batch[:3] == whole[:3] and batch[3] != whole[3]
    assert len({tuple(one.settings.items()) for one in batch}) == 4
