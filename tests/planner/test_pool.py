"""The pruned argmax is that of scoring every row, for less than scoring every row."""

import numpy as np
import pytest

from labloop.planner import pool
from labloop.planner.acquisition import Acquisition, build
from labloop.planner.encoding import Column, Encoding
from labloop.planner.goals import Goal
from labloop.planner.known import Known, Observations
from labloop.planner.surrogate import fit_all

MIXED = Encoding((*(Column(f"x{i}", "real") for i in range(3)), Column("c", "label", values=("a", "b", "c"))))
RNG = np.random.default_rng(0)
ROWS = np.column_stack([RNG.random((20_000, 3)), RNG.integers(0, 3, 20_000)]).astype(float)
WISHES = {
    "one": (Goal("a", 1),),
    "least": (Goal("a", -1),),
    "weights": (Goal("a", 1, weight=2.0), Goal("b", -1, weight=0.5)),
    "limit": (Goal("a", 1), Goal("b", upper=0.3)),
    "target": (Goal("a", target=0.5),),
    "front": (Goal("a", 1), Goal("b", -1)),
}


def score(goals: tuple[Goal, ...], flying: int, failed: int, noise: float) -> Acquisition:
    x = ROWS[:40]
    values = {"a": x[:, 0] - x[:, 1] ** 2 + 0.2 * x[:, 3], "b": np.sin(4 * x[:, 0]) * x[:, 1]}
    data = {
        goal.outcome: Observations(
            x, values[goal.outcome] + noise * RNG.standard_normal(40), np.zeros(40), np.arange(1, 41)
        )
        for goal in goals
    }
    surrogate = fit_all(data, MIXED, ["matern", "rbf"])
    return build(surrogate, goals, Known(x, ROWS[40 : 40 + flying], x, ROWS[50 : 50 + failed]), MIXED, 0)


@pytest.mark.parametrize(("flying", "failed", "noise"), [(0, 0, 0.0), (3, 2, 0.3)])
@pytest.mark.parametrize("goals", WISHES.values(), ids=WISHES)
def test_is_the_argmax(goals: tuple[Goal, ...], flying: int, failed: int, noise: float) -> None:
    acquisition = score(goals, flying, failed, noise)
    found, scores = pool.top(acquisition, ROWS, 4)
    every = acquisition.of_rows(ROWS)
    wanted = np.argsort(-every, kind="stable")[:4]
    assert scores == pytest.approx(every[wanted], abs=1e-9)
    assert found.tolist() == wanted.tolist()


def test_few_rows_are_scored_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    acquisition = score(WISHES["one"], 0, 0, 0.05)
    scored: list[int] = []
    whole = Acquisition.of_rows
    monkeypatch.setattr(Acquisition, "of_rows", lambda self, rows: scored.append(len(rows)) or whole(self, rows))
    pool.top(acquisition, ROWS, 4)
    assert sum(scored) < len(ROWS) / 4


@pytest.mark.parametrize("flying", [0, 3])
def test_no_score_is_above_its_bound(flying: int) -> None:
    acquisition = score(WISHES["weights"], flying, 0, 0.05)
    for team in acquisition.teams:
        bound = pool._Pass.of(team).bound(ROWS)
        values = team.values(ROWS)
        assert np.all(values.max(0) - np.log(len(values)) <= bound)
        assert np.all(np.logaddexp.reduce(values, axis=0) - np.log(len(values)) <= bound)


def test_the_first_of_equal_rows_is_taken() -> None:
    acquisition = score(WISHES["one"], 0, 0, 0.05)
    best = pool.top(acquisition, ROWS, 1)[0][0]
    rows = np.concatenate([ROWS, np.repeat(ROWS[best : best + 1], 5, axis=0)])
    assert pool.top(acquisition, rows, 1)[0][0] == best
