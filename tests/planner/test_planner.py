"""Proposals: better than chance on what can be solved, legal on everything, the same for the same facts and seed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from labloop.campaign import events as e
from labloop.planner.encoding import Column, Encoding, Linear
from labloop.planner.errors import NothingLeftError, SurrogateError
from labloop.planner.goals import Goal
from labloop.planner.planner import Engine, Problem, plan
from labloop.planner.search import Effort

QUICK = Engine(samples=32, effort=Effort(raw_samples=128, restarts=3, iterations=30))
CUBE = Encoding((Column("yield", "real", -1.0, 1.0), Column("N", "real", 0.0, 10.0)))
MIXED = Encoding(
    (
        Column("time", "real", 1.0, 100.0, log=True),
        Column("step", "grid", 0.0, 100.0, step=5.0),
        Column("N", "grid", 1.0, 6.0, step=1.0, integer=True),
        Column("size", "ordered", values=(1, 2, 5, 10)),
        Column("solvent", "label", values=("DMF", "DMSO", "NMP", "THF")),
    )
)


def bowl(settings: dict) -> float:
    """Least, 0, at (0.3, 7)."""
    return (settings["yield"] - 0.3) ** 2 + ((settings["N"] - 7.0) / 5.0) ** 2


def reaction(settings: dict) -> float:
    """Most, 1, at THF, time 10, step 40, N 4, size 5."""
    solvent = {"DMF": 0.3, "DMSO": 0.0, "NMP": 0.2, "THF": 0.45}[settings["solvent"]]
    slope = (
        (np.log10(settings["time"]) - 1.0) ** 2
        + ((settings["step"] - 40.0) / 60.0) ** 2
        + ((settings["N"] - 4) / 5.0) ** 2
        + ((settings["size"] - 5) / 8.0) ** 2
    )
    return solvent + 0.55 * float(np.exp(-1.5 * slope))


def run(journal, problem: Problem, truth: Callable[[dict], dict], trials: int, seed: int = 1) -> list[dict]:
    """A campaign of one trial after the other; settings in order."""
    facts = journal(seed)
    for _ in range(trials):
        settings = plan(problem, facts.state, 1)[0].settings
        facts.measure(settings, **truth(settings))
    return [trial.settings for trial in facts.state.trials.values()]


def test_model_beats_chance_on_a_noisy_bowl(journal) -> None:
    rng = np.random.default_rng(0)
    problem = Problem(CUBE, (Goal("y", -1),), initial=5, engine=QUICK)
    tried = run(journal, problem, lambda s: {"y": bowl(s) + 0.02 * rng.standard_normal()}, 16)
    assert min(map(bowl, tried)) < 0.02  # sixteen random points: 0.02 in one run of ten


def test_model_beats_chance_on_a_mixed_space(journal) -> None:
    problem = Problem(MIXED, (Goal("y", 1),), initial=8, engine=QUICK)
    runs = [run(journal, problem, lambda s: {"y": reaction(s)}, 26, seed) for seed in (1, 2, 3)]
    by_model = sorted(max(map(reaction, tried)) for tried in runs)[1]
    by_chance = Problem(MIXED, (Goal("y", 1),), method="random", initial=1000)
    chance = [max(reaction(s) for s in run(journal, by_chance, lambda s: {"y": 0.0}, 26, seed)) for seed in range(20)]
    assert by_model > np.quantile(chance, 0.95)
    assert by_model > 0.98


def test_constraint_is_kept_where_the_optimum_presses_on_it(journal) -> None:
    encoding = Encoding(CUBE.columns, (Linear({"yield": 10.0, "N": 1.0}, 5.0),))
    problem = Problem(encoding, (Goal("y", -1),), initial=5, engine=QUICK)
    tried = run(journal, problem, lambda s: {"y": bowl(s)}, 16)
    assert all(10 * s["yield"] + s["N"] <= 5.0 for s in tried)
    best = min(tried, key=bowl)
    assert bowl(best) < 0.2 * 1.02  # the least on the line is 0.2, at (-0.1, 6)


def test_log_constraint_that_is_not_linear_in_the_cube(journal) -> None:
    columns = (Column("a", "real", 0.1, 10.0, log=True), Column("b", "real", 0.0, 10.0))
    problem = Problem(Encoding(columns, (Linear({"a": 1.0, "b": 1.0}, 8.0),)), (Goal("y", 1),), initial=4, engine=QUICK)
    tried = run(journal, problem, lambda s: {"y": s["a"] + s["b"]}, 12)
    assert all(s["a"] + s["b"] <= 8.0 for s in tried)
    assert max(s["a"] + s["b"] for s in tried) > 7.6


def test_mixture_keeps_its_sum(journal) -> None:
    columns = tuple(Column(name, "real", 0.0, 1.0) for name in "abc")
    encoding = Encoding(columns, (Linear(dict.fromkeys("abc", 1.0), 1.0, equality=True),))
    problem = Problem(encoding, (Goal("y", 1),), initial=4, engine=QUICK)
    tried = run(journal, problem, lambda s: {"y": -((s["a"] - 0.7) ** 2) - (s["b"] - 0.2) ** 2}, 14)
    assert all(sum(s.values()) == pytest.approx(1.0, abs=1e-9) for s in tried)
    best = max(tried, key=lambda s: -((s["a"] - 0.7) ** 2) - (s["b"] - 0.2) ** 2)
    assert best["a"] == pytest.approx(0.7, abs=0.1)


def test_candidates_each_once_and_exactly_as_they_stand(journal) -> None:
    rng = np.random.default_rng(1)
    table = [{"yield": float(a), "N": float(b)} for a, b in rng.random((60, 2)) * [2, 10] - [1, 0]]
    problem = Problem(Encoding(CUBE.columns, table=table), (Goal("y", -1),), initial=4, engine=QUICK)
    tried = run(journal, problem, lambda s: {"y": bowl(s)}, 14)
    assert all(settings in table for settings in tried)
    assert len({tuple(s.values()) for s in tried}) == 14
    assert min(map(bowl, tried)) == min(map(bowl, table))


def test_a_table_is_used_up_then_refused_unless_repeats_are_asked_for(journal) -> None:
    table = [{"yield": 0.1 * i, "N": 5.0} for i in range(5)]
    encoding = Encoding(CUBE.columns, table=table)
    facts = journal(1)
    for row in table:
        facts.measure(row, y=bowl(row))
    with pytest.raises(NothingLeftError, match="repeats"):
        plan(Problem(encoding, (Goal("y", -1),), initial=2, engine=QUICK), facts.state, 1)
    repeating = Engine(samples=32, effort=QUICK.effort, repeats=True)
    assert plan(Problem(encoding, (Goal("y", -1),), initial=2, engine=repeating), facts.state, 1)[0].settings in table


def test_front_of_two_outcomes_is_found(journal) -> None:
    problem = Problem(CUBE, (Goal("a", -1), Goal("b", -1)), initial=5, engine=QUICK)

    def truth(s: dict) -> dict:
        return {
            "a": (s["yield"] + 0.5) ** 2 + (s["N"] - 5) ** 2 / 25,
            "b": (s["yield"] - 0.5) ** 2 + (s["N"] - 5) ** 2 / 25,
        }

    tried = run(journal, problem, truth, 15)
    # The front is N = 5, yield from -0.5 to 0.5: most of what the model chose lies near it, at both ends and between.
    near = [s["yield"] for s in tried[5:] if abs(s["N"] - 5) < 0.5 and abs(s["yield"]) < 0.6]
    assert len(near) >= 6
    assert min(near) < -0.2 and max(near) > 0.2


def test_target_with_tolerance(journal) -> None:
    problem = Problem(CUBE, (Goal("nm", target=530.0, tolerance=5.0),), initial=5, engine=QUICK)
    tried = run(journal, problem, lambda s: {"nm": 400 + 150 * s["yield"] + 12 * s["N"]}, 10)
    assert min(abs(400 + 150 * s["yield"] + 12 * s["N"] - 530) for s in tried) <= 5.0


def test_limit_on_another_outcome(journal) -> None:
    goals = (Goal("y", 1), Goal("impurity", upper=0.5))
    problem = Problem(CUBE, goals, initial=5, engine=QUICK)
    truth = lambda s: {"y": s["yield"] + s["N"] / 10, "impurity": (s["yield"] + 1) / 2}  # noqa: E731
    tried = run(journal, problem, truth, 13)
    legal = [truth(s)["y"] for s in tried if truth(s)["impurity"] <= 0.5]
    assert max(legal) > 0.9  # the best within the limit is yield 0, N 10: 1.0


def test_weights_make_one_number_of_two_outcomes(journal) -> None:
    goals = (Goal("a", 1, weight=3.0), Goal("b", -1, weight=0.001))
    facts = journal(1)
    for x in np.linspace(-1, 1, 6):
        facts.measure({"yield": float(x), "N": 5.0}, a=float(x), b=1000.0 * float(x))
    proposal = plan(Problem(CUBE, goals, initial=2, engine=QUICK), facts.state, 1)[0]
    assert proposal.acquisition == "LogEI"
    assert proposal.settings["yield"] > 0.9  # 3 a - b/1000 rises with it


def test_open_trials_are_pending_points(journal) -> None:
    problem = Problem(CUBE, (Goal("y", -1),), initial=5, engine=QUICK)
    facts = journal(3)
    for proposal in plan(problem, facts.state, 5):
        facts.measure(proposal.settings, y=bowl(proposal.settings))
    alone = plan(problem, facts.state, 1)[0]
    batch = plan(problem, facts.state, 3)
    assert batch[0] == alone
    facts.propose(alone.settings)  # the same as being second in the batch
    assert plan(problem, facts.state, 1)[0] == batch[1]
    points = CUBE.encode([one.settings for one in batch])
    assert min(np.linalg.norm(points[i] - points[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > 0.02


def test_no_duplicate_of_an_open_trial_in_a_discrete_space(journal) -> None:
    encoding = Encoding((Column("a", "label", values=tuple("uvwxyz")), Column("N", "grid", 1.0, 3.0, step=1.0)))
    problem = Problem(encoding, (Goal("y", 1),), initial=3, engine=QUICK)
    facts = journal(2)
    facts.measure({"a": "u", "N": 1}, y=1.0)
    facts.measure({"a": "v", "N": 2}, y=2.0)
    facts.fail({"a": "w", "N": 3})
    facts.propose({"a": "z", "N": 3})
    proposed = plan(problem, facts.state, 14)
    assert len({tuple(p.settings.values()) for p in proposed} | {("u", 1), ("v", 2), ("w", 3), ("z", 3)}) == 18
    assert {p.source for p in proposed} == {"model"}
    assert [p.settings for p in plan(problem, facts.state, 15)] == [p.settings for p in proposed], "there are no more"
    for proposal in proposed:
        facts.propose(proposal.settings)
    with pytest.raises(NothingLeftError):
        plan(problem, facts.state, 1)


def test_failed_settings_are_kept_away_from(journal) -> None:
    problem = Problem(CUBE, (Goal("y", 1),), initial=4, engine=QUICK)
    facts = journal(1)
    for x, n in ((-0.9, 1.0), (-0.5, 8.0), (0.0, 3.0), (0.2, 6.0), (0.4, 2.0), (0.5, 8.0), (0.5, 5.0)):
        facts.measure({"yield": x, "N": n}, y=-((x - 0.95) ** 2))
    eager = plan(problem, facts.state, 1)[0]
    for n in (1.0, 3.0, 5.0, 7.0, 9.0):
        facts.fail({"yield": 0.95, "N": n})
    warned = plan(problem, facts.state, 1)[0]
    assert eager.settings["yield"] > 0.8
    assert warned.settings["yield"] < eager.settings["yield"] - 0.1
    assert "chance to work" in warned.acquisition


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([({"yield": 0.0, "N": 5.0}, 1.0)], id="one point"),
        pytest.param([({"yield": 0.1 * i, "N": 5.0}, 3.0) for i in range(6)], id="all equal"),
        pytest.param([({"yield": 0.5, "N": 5.0}, 1.0 + 0.01 * i) for i in range(6)], id="one place only"),
        pytest.param([({"yield": 0.5, "N": 5.0}, 1.0)] * 6, id="duplicates"),
        pytest.param([({"yield": 0.1 * i, "N": 5.0}, 1e300 * i) for i in range(6)], id="huge"),
        pytest.param([({"yield": 0.1 * i, "N": 5.0}, 1e-300 * i) for i in range(6)], id="tiny"),
        pytest.param([({"yield": 0.1 * i, "N": 5.0}, [float("nan"), 1.0][i % 2]) for i in range(6)], id="some NaN"),
    ],
)
@pytest.mark.parametrize(
    "asked",
    [{}, {"robust": True}, {"transform": "y"}, {"drift": True}, {"warp": True}, {"model": "saas"}, {"model": "auto"}],
)
def test_always_an_answer(journal, asked: dict, told: list[tuple[dict, float]]) -> None:
    facts = journal(1)
    for settings, y in told:
        facts.measure(settings, y=y)
    engine = replace(QUICK, **asked)
    proposal = plan(Problem(CUBE, (Goal("y", 1),), initial=1, engine=engine), facts.state, 1)[0]
    assert -1.0 <= proposal.settings["yield"] <= 1.0 and 0.0 <= proposal.settings["N"] <= 10.0
    assert proposal.source == "model" or (not asked and proposal.reason.startswith("surrogate failed: "))


def test_all_nan_is_no_knowledge(journal) -> None:
    facts = journal(1)
    for i in range(6):
        facts.measure({"yield": 0.1 * i, "N": 5.0}, y=float("nan"))
    proposal = plan(Problem(CUBE, (Goal("y", 1),), initial=2, engine=QUICK), facts.state, 1)[0]
    assert proposal.source == "sobol"
    assert proposal.reason == "nothing is known yet of y"


def test_a_fit_that_fails_is_said_and_the_design_answers(journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise SurrogateError("matrix is singular")

    monkeypatch.setattr("labloop.planner.belief.fit", broken)
    facts = journal(1)
    for i in range(6):
        facts.measure({"yield": 0.1 * i, "N": 5.0}, y=float(i))
    proposal = plan(Problem(CUBE, (Goal("y", 1),), initial=2, engine=QUICK), facts.state, 1)[0]
    assert proposal.source == "sobol"
    assert proposal.reason == "surrogate failed: no model of y from 6 trials: matrix is singular"


def test_partial_and_foreign_trials_do_not_disturb(journal) -> None:
    facts = journal(1)
    for i in range(6):
        facts.measure({"yield": 0.1 * i, "N": 5.0}, **({"a": float(i)} if i % 2 else {"a": float(i), "b": -float(i)}))
    facts.measure({"yield": "out of space", "N": 5.0}, a=1.0, b=1.0)
    proposal = plan(Problem(CUBE, (Goal("a", 1), Goal("b", 1)), initial=2, engine=QUICK), facts.state, 1)[0]
    assert proposal.source == "model"
    assert set(proposal.predicted) == {"a", "b"}
    assert "1 trials left out" in proposal.model


def test_told_data_count_as_initial_trials(journal) -> None:
    facts = journal(1)
    for i in range(4):
        facts.measure({"yield": 0.1 * i, "N": float(i)}, y=float(i))
    problem = Problem(CUBE, (Goal("y", 1),), initial=5, engine=QUICK)
    assert [p.source for p in plan(problem, facts.state, 2)] == ["sobol", "model"]


def test_same_facts_and_seed_give_the_same_bits(journal) -> None:
    import torch

    problem = Problem(MIXED, (Goal("y", 1),), initial=3, engine=QUICK)
    answers = []
    for noise in (0, 1):
        torch.manual_seed(noise)  # the caller's own stream is neither used nor moved
        before = torch.get_rng_state()
        facts = journal(11)
        for proposal in plan(problem, facts.state, 4):
            facts.measure(proposal.settings, y=reaction(proposal.settings))
        answers.append(plan(problem, facts.state, 2))
        assert torch.equal(torch.get_rng_state(), before)
    assert answers[0] == answers[1]
    other = journal(12)
    for trial in facts.state.trials.values():
        other.measure(trial.settings, y=reaction(trial.settings))
    assert plan(problem, other.state, 1)[0].seed != answers[0][0].seed


def test_a_proposal_says_what_it_expects(journal) -> None:
    facts = journal(1)
    for i in range(8):
        facts.measure({"yield": -1 + 0.25 * i, "N": float(i)}, y=float(i))
    proposal = plan(Problem(CUBE, (Goal("y", 1),), initial=2, engine=QUICK), facts.state, 1)[0]
    assert proposal.source == "model" and proposal.acquisition == "LogEI"
    assert proposal.predicted["y"].sd > 0
    assert proposal.acquisition_value is not None
    assert all(one.acquisition <= proposal.acquisition_value for one in proposal.runners_up)
    assert proposal.reason.startswith("y expected ")
    assert isinstance(proposal.runners_up[0], e.RunnerUp)
