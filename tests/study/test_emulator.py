"""Emulators: a table made answer everywhere in a campaign's space, with its error said, and campaigns against it."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.objective import Objective
from labloop.campaign.spec import CampaignSpec, read_spec
from labloop.study.backtest import COURSES, Backtest, Order, play
from labloop.study.curves import draw
from labloop.study.emulator import fit_emulator
from labloop.study.measured import read_measured

CAMPAIGN = """
labloop: 1
campaign: hill
parameters:
  x: {range: [0, 10]}
  y: {range: [1, 100], scale: log}
  solvent: {choices: [DMF, NMP]}
constraints: [x + y <= 90]
outcomes:
  height: {goal: maximize, unit: cm}
design: {seed: 3}
budget: {trials: 10}
"""


def height(x: float, y: float, solvent: str) -> float:
    return 50.0 - (x - 7.1) ** 2 - 4.0 * (np.log10(y) - 1.2) ** 2 + (3.0 if solvent == "NMP" else 0.0)


def write(path: Path, text: str = CAMPAIGN, rows: int = 60, **only: tuple[float, float]) -> tuple[Path, Path]:
    random = np.random.default_rng(5)
    campaign, table = path / "hill.yaml", path / "hill.csv"
    campaign.write_text(text)
    xs = random.uniform(*only.get("x", (0.0, 10.0)), rows)
    ys = 10.0 ** random.uniform(0.0, 1.9, rows)
    lines = [(x, y, s, height(x, y, s)) for x, y, s in zip(xs, ys, ["DMF", "NMP"] * rows, strict=False)]
    table.write_text("x,y,solvent,height,cost\n" + "".join(f"{x},{y},{s},{h},{x}\n" for x, y, s, h in lines))
    return campaign, table


def order(files: tuple[Path, Path], folder: Path, **words: Any) -> Order:
    given = {"seeds": 2, "jobs": "1", "emulator": True, "trials": 9, **words}
    return Order(campaign=files[0], table=files[1], folder=folder, **given)


def emulator_of(files: tuple[Path, Path]) -> Any:
    spec: CampaignSpec = read_spec(files[0])
    return fit_emulator(spec, read_measured(files[1], spec))


def test_it_answers_anywhere_as_well_as_its_error_says(tmp_path: Path) -> None:
    emulator = emulator_of(write(tmp_path))
    assert emulator.errors["height"].r2 > 0.99 and emulator.open_share < 0.01
    fresh = list(islice(emulator.by_chance([9]), 200))
    off = [emulator.answer(at)["height"] - height(at["x"], at["y"], at["solvent"]) for at in fresh]
    assert 0.3 < float(np.sqrt(np.mean(np.square(off)))) / emulator.errors["height"].rmse < 3.0
    assert emulator.answer(fresh[0]) == emulator.answer(fresh[0]), "the same settings, the same answer"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"x": 11.0, "y": 10.0, "solvent": "DMF"}, "x: "),
        ({"x": 9.0, "y": 89.0, "solvent": "DMF"}, r"x \+ y <= 90 is broken"),
        ({"x": 9.0, "y": 10.0, "solvent": "H2O"}, "solvent: "),
    ],
)
def test_it_answers_nothing_outside_the_space(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=f"asked of the emulator, and is not in the space.*{said}"):
        emulator_of(write(tmp_path)).answer(settings)


def test_its_optimum_is_that_of_the_space(tmp_path: Path) -> None:
    files = write(tmp_path)
    spec = read_spec(files[0])
    measured = read_measured(files[1], spec)
    emulator = fit_emulator(spec, measured)
    (best,) = emulator.best(Objective(spec), measured)
    assert best["settings"]["solvent"] == "NMP"
    assert best["settings"]["x"] == pytest.approx(7.1, abs=0.3)
    drawn = max(one["height"] for one in emulator.at(emulator.drawn))
    assert best["outcomes"]["height"] > drawn, "better than any point that was drawn"
    assert best["outcomes"]["height"] == pytest.approx(53.0, abs=0.5)


@pytest.mark.parametrize(
    ("old", "new", "rows", "only", "said"),
    [
        ("", "", 12, {}, "of 12 conditions no emulator is learnt; 20 are the least"),
        ("", "", 60, {"x": (0.0, 6.0)}, "x goes from .* to .* in the space, and from .* to 5.9.* in the table"),
        ("[DMF, NMP]", "[DMF, NMP, DMSO]", 60, {}, "of solvent the table has no row with DMSO"),
    ],
)
def test_a_space_that_the_table_does_not_cover_is_refused(
    tmp_path: Path, old: str, new: str, rows: int, only: dict[str, tuple[float, float]], said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        emulator_of(write(tmp_path, CAMPAIGN.replace(old, new) if old else CAMPAIGN, rows, **only))


def test_an_outcome_that_the_settings_say_nothing_of_is_refused(tmp_path: Path) -> None:
    files = write(tmp_path)
    random = np.random.default_rng(1)
    lines = files[1].read_text().splitlines()
    noise = [",".join([*line.split(",")[:3], f"{random.normal():.3f}", "1"]) for line in lines[1:]]
    files[1].write_text("\n".join([lines[0], *noise]))
    with pytest.raises(SpecError, match=r"height is foretold no better than by its mean \(R2 -"):
        emulator_of(files)


def test_campaigns_run_over_their_own_space(tmp_path: Path) -> None:
    files = write(tmp_path)
    test = Backtest(order(files, tmp_path / "out"))
    courses = list(test.run())
    assert len(courses) == 4
    table = [one["x"] for one in test.measured.settings]
    for course in courses:
        assert course.rows == list(range(9)), "no condition twice"
        assert all(not test.emulator.space.contains(one) for one in course.conditions)
        assert not any(one["x"] in table for one in course.conditions), "not the table's rows"
        assert course.outcomes == [test.emulator.answer(one) for one in course.conditions]
    one, other = (next(c for c in courses if (c.strategy, c.seed) == (name, 0)) for name in ("labloop", "random"))
    assert one.conditions[:5] == other.conditions[:5] and one.conditions[5:] != other.conditions[5:]
    document = json.loads(json.dumps(test.document()))
    assert document["emulator"]["errors"]["height"]["r2"] > 0.99 and document["emulator"]["folds"] == 10
    found = document["strategies"]["labloop"]
    assert found["last"]["mean"] > document["strategies"]["random"]["last"]["mean"]
    assert found["to_top"]["reached"] >= 1 and found["best"]["height"]["median"] > 51.0
    draw(document, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    files, folder = write(tmp_path), tmp_path / "out"
    (first,) = Backtest(order(files, folder, seeds=1, against=())).run()
    again = Backtest(order(files, folder, against=()))
    assert [one.seed for one in again.pieces()] == [1]
    assert len(Backtest(order(files, folder, against=(), emulator=False)).pieces()) == 2, "rows are another world"
    (piece,) = Backtest(order(files, tmp_path / "b", seeds=1, against=())).pieces()
    assert play(piece).outcomes == first.outcomes
    kept = json.loads((folder / COURSES).read_text().splitlines()[0])
    assert kept["conditions"] == first.conditions


def test_a_front_is_scored_by_what_is_in_reach(tmp_path: Path) -> None:
    two = CAMPAIGN.replace("height: {goal: maximize, unit: cm}", "height: {goal: maximize}\n  cost: {goal: minimize}")
    test = Backtest(order(write(tmp_path, two), tmp_path / "out", seeds=1))
    list(test.run())
    document = test.document()
    assert document["goal"] == "hypervolume" and len(document["emulator"]["optimum"]) > 5
    assert 0.5 < document["strategies"]["labloop"]["last"]["mean"] <= 1.0


def test_a_space_of_few_points_ends_when_they_are_measured(tmp_path: Path) -> None:
    few = CAMPAIGN.replace("range: [0, 10]", "range: [0, 10], step: 1").replace("x + y <= 90", "x <= 9")
    few = few.replace("{range: [1, 100], scale: log}", "{choices: [5]}")
    files = write(tmp_path, few)
    rows = [(x, 5, s, height(x, 5, s)) for x in range(11) for s in ("DMF", "NMP")]
    files[1].write_text("x,y,solvent,height\n" + "".join(f"{x},{y},{s},{h}\n" for x, y, s, h in rows))
    test = Backtest(order(files, tmp_path / "out", seeds=1, trials=40, batch=4, initial=8))
    assert [len(one.rows) for one in test.run()] == [20, 20], "those that keep the constraint, each once"
    assert len(test.document()["strategies"]["random"]["curve"]["50"]) == 20


def test_candidates_of_the_campaign_are_the_space(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        "x,y,solvent\n" + "".join(f"{x},{y},{s}\n" for x in range(1, 10) for y in (2, 20) for s in ("DMF", "NMP"))
    )
    test = Backtest(order(write(tmp_path, CAMPAIGN + "candidates: list.csv\n"), tmp_path / "out", seeds=1))
    for course in test.run():
        assert len(course.rows) == 9 and all(one["y"] in (2, 20) for one in course.conditions)
    assert test.document()["emulator"]["drawn"] == 36


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[0, 10]", "[0, 9.5]", "lies in that of the campaign it is compared with"),
        ("<= 90", "<= 95", "lies in its space"),
        ("seed: 3", "seed: 4", None),
    ],
)
def test_another_campaign_needs_the_same_space(tmp_path: Path, old: str, new: str, said: str | None) -> None:
    files = write(tmp_path, x=(0.0, 9.4))  # so that both hold all of the table
    other = tmp_path / "other.yaml"
    other.write_text(CAMPAIGN.replace(old, new))
    asked = order(files, tmp_path / "out", against=(f"other={other}",))
    if said is None:
        assert len(Backtest(asked).pieces()) == 4
        return
    with pytest.raises(SpecError, match=said):
        Backtest(asked)


def test_the_command_says_how_far_off_the_emulator_is(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from labloop.cli.app import app

    files, out = write(tmp_path), tmp_path / "out"
    words = ["backtest", str(files[0]), "--table", str(files[1]), "--emulator", "--seeds", "1", "--trials", "7"]
    said = CliRunner().invoke(app, [*words, "--jobs", "1", "--out", str(out)])
    assert said.exit_code == 0, said.output
    assert "emulator, height: RMSE" in said.stdout and "(10-fold cross-validation)" in said.stdout
    assert json.loads((out / "backtest.json").read_text())["emulator"]["errors"]["height"]["rmse"] > 0.0
