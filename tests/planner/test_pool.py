"""The pruned argmax is that of scoring every row, for less than scoring every row."""

from dataclasses import replace

import numpy as np
import pytest

from labloop.campaign.desirability import Shape, Slope
from labloop.planner import bounds, gpu, pool
from labloop.planner.acquisition import Acquisition, Improvement, build
from labloop.planner.encoding import Column, Encoding
from labloop.planner.goals import Goal
from labloop.planner.known import Known, Observations
from labloop.planner.surrogate import fit_all

MIXED = Encoding((*(Column(f"x{i}", "real") for i in range(3)), Column("c", "label", values=("a", "b", "c"))))
RNG = np.random.default_rng(0)
ROWS = np.column_stack([RNG.random((20_000, 3)), RNG.integers(0, 3, 20_000)]).astype(float)
SOME = ROWS[:6_000]
UP, DOWN = Shape((Slope(-0.2, 1.1, 2.0),)), Shape((Slope(0.6, 0.1),))
WISHES = {
    "one": (Goal("a", 1),),
    "least": (Goal("a", -1),),
    "weights": (Goal("a", 1, weight=2.0), Goal("b", -1, weight=0.5)),
    "limit": (Goal("a", 1), Goal("b", upper=0.3)),
    "target": (Goal("a", target=0.5),),
    "front": (Goal("a", 1), Goal("b", -1)),
    "weighed target": (Goal("a", target=0.5, weight=2.0), Goal("b", -1, weight=0.5)),
    "front with a target": (Goal("a", target=0.5), Goal("b", -1)),
    "desired": (Goal("a", 1, shape=UP), Goal("b", -1, weight=0.5, shape=DOWN), Goal("c", upper=0.4)),
    "desired target": (
        Goal("a", 1, shape=UP),
        Goal("b", target=0.1, shape=Shape((*DOWN.slopes, Slope(-0.5, 0.0, 0.5)))),
    ),
}
# Of a target that is nearly met there are many rows that may be as near.
FEW = [name for name in WISHES if name != "target"]


def score(
    goals: tuple[Goal, ...], flying: int, failed: int, noise: float, shapes: tuple[str, ...] = ("matern", "rbf")
) -> Acquisition:
    x, generator = ROWS[:40], np.random.default_rng(1)
    values = {"a": x[:, 0] - x[:, 1] ** 2 + 0.2 * x[:, 3], "b": np.sin(4 * x[:, 0]) * x[:, 1], "c": x[:, 2] ** 2}
    data = {
        goal.outcome: Observations(
            x, values[goal.outcome] + noise * generator.standard_normal(40), np.zeros(40), np.arange(1, 41)
        )
        for goal in goals
    }
    surrogate = fit_all(data, MIXED, shapes)
    return build(surrogate, goals, Known(x, ROWS[40 : 40 + flying], x, ROWS[50 : 50 + failed]), MIXED, 0)


@pytest.mark.parametrize(("flying", "failed", "noise"), [(0, 0, 0.0), (3, 2, 0.3)])
@pytest.mark.parametrize("goals", WISHES.values(), ids=WISHES)
def test_is_the_argmax(goals: tuple[Goal, ...], flying: int, failed: int, noise: float) -> None:
    acquisition = score(goals, flying, failed, noise)
    found, scores = pool.top(acquisition, SOME, 4)
    every = acquisition.of_rows(SOME)
    wanted = np.argsort(-every, kind="stable")[:4]
    assert scores == pytest.approx(every[wanted], abs=1e-9)
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("goals", [WISHES[name] for name in FEW], ids=FEW)
def test_few_rows_are_scored_in_full(goals: tuple[Goal, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    acquisition = score(goals, 0, 0, 0.05)
    scored: list[int] = []
    whole = Acquisition.of_rows
    monkeypatch.setattr(Acquisition, "of_rows", lambda self, rows: scored.append(len(rows)) or whole(self, rows))
    pool.top(acquisition, ROWS, 4)
    assert sum(scored) < len(ROWS) / 4


def test_where_a_target_is_met_the_rows_that_are_likeliest_within_it_come_first() -> None:
    acquisition = score((Goal("a", target=0.5, tolerance=0.5),), 3, 2, 0.05)
    assert acquisition.name.startswith("LogP(within)sd")
    every = acquisition.of_rows(SOME)
    found, scores = pool.top(acquisition, SOME, 4)
    assert found.tolist() == np.argsort(-every, kind="stable")[:4].tolist()
    assert scores.tolist() == every[found].tolist()


@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_a_target_that_is_met_or_nearly_is_cut_by_bounds_like_any(tolerance: float) -> None:
    acquisition, rows = score((Goal("a", target=0.5, tolerance=tolerance),), 0, 0, 0.05), SOME[100:5_100]
    for gain in (0.0, 1e-14, 1e-12, 1e-10, 1e-7):
        teams = []
        for team in acquisition.teams:
            assert isinstance(team.merit, Improvement)
            best = np.full_like(team.merit.best, -gain * team.merit.goals[0].factor)
            teams.append(replace(team, merit=replace(team.merit, best=best)))
            values = teams[-1].values(rows)
            scores = np.logaddexp.reduce(values, axis=0) - np.log(len(values))
            assert np.all(scores <= bounds.Pass.of(teams[-1], "").bound(rows))
        nearly = replace(acquisition, teams=tuple(teams))
        wanted = np.argsort(-nearly.of_rows(rows), kind="stable")[:3]
        assert pool.top(nearly, rows, 3)[0].tolist() == wanted.tolist()


def test_a_bound_that_is_no_number_rules_no_row_out(monkeypatch: pytest.MonkeyPatch) -> None:
    acquisition = score(WISHES["one"], 0, 0, 0.05)
    wanted = pool.top(acquisition, SOME, 3)[0].tolist()
    monkeypatch.setattr(bounds.Pass, "bound", lambda self, rows: np.full(len(rows), np.nan))
    assert pool.top(acquisition, SOME, 3)[0].tolist() == wanted


@pytest.mark.parametrize("flying", [0, 3])
@pytest.mark.parametrize("goals", WISHES.values(), ids=WISHES)
def test_no_score_is_above_its_bound(goals: tuple[Goal, ...], flying: int) -> None:
    acquisition = score(goals, flying, 0, 0.05)
    for team in acquisition.teams:
        bound = bounds.Pass.of(team, "").bound(SOME)
        values = team.values(SOME)
        assert np.all(values.max(0) - np.log(len(values)) <= bound)
        assert np.all(np.logaddexp.reduce(values, axis=0) - np.log(len(values)) <= bound)


LARGE = ("weights", "front")
# Where there is a GPU it is tried too: the same code with other hands.
DEVICES = ["cpu", *([gpu.device()] if gpu.device() else [])]


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("shapes", [("matern",), ("rbf",)])
def test_torch_works_out_the_same_pass(where: str, shapes: tuple[str, ...]) -> None:
    acquisition = score(WISHES["weights"], 3, 0, 0.05, shapes)
    for team in acquisition.teams:
        for member, here, there in zip(
            team.members, bounds.Pass.of(team, "").works, bounds.Pass.of(team, where).works, strict=True
        ):
            error = member.kernel.roughness(member.theta) * bounds.ERRORS
            reach = np.abs(member.alpha).sum() + len(member.x)
            for mine, torchs in zip(here(ROWS), there(ROWS), strict=True):
                assert torchs.shape == mine.shape and torchs.dtype == np.float32
                assert np.abs(torchs - mine).max() <= 2 * error * reach


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("goals", [WISHES[name] for name in LARGE], ids=LARGE)
def test_a_large_table_has_the_same_best_rows_whoever_passes_over_it(
    goals: tuple[Goal, ...], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquisition = score(goals, 3, 2, 0.3)
    rows = np.column_stack([np.random.default_rng(1).random((60_000, 3)), np.arange(60_000) % 3]).astype(float)
    monkeypatch.setattr(gpu, "device", lambda: "")
    found, scores = pool.top(acquisition, rows, 4)
    monkeypatch.setattr(gpu, "device", lambda: where)
    monkeypatch.setattr(gpu, "ELEMENTS", 1 << 20)
    others, again = pool.top(acquisition, rows, 4)
    assert others.tolist() == found.tolist() and again == pytest.approx(scores, abs=1e-12)


def test_the_first_of_equal_rows_is_taken() -> None:
    acquisition = score(WISHES["one"], 0, 0, 0.05)
    best = pool.top(acquisition, ROWS, 1)[0][0]
    rows = np.concatenate([ROWS, np.repeat(ROWS[best : best + 1], 5, axis=0)])
    assert pool.top(acquisition, rows, 1)[0][0] == best
