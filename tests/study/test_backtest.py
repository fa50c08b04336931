"""Campaigns against tables: what is scored, what is paired, and what goes on after an end."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.objective import Objective
from labloop.campaign.spec import read_spec
from labloop.study.backtest import COURSES, Backtest, Order, play
from labloop.study.curves import draw
from labloop.study.executor import as_done
from labloop.study.measured import merits, read_measured
from labloop.study.scores import Score, Yardstick, score
from labloop.study.worlds import Tabled

CAMPAIGN = """
labloop: 1
campaign: hill
parameters:
  x: {range: [0, 10], unit: mL}
  solvent: {choices: [DMF, NMP]}
outcomes:
  height: {goal: maximize, unit: cm}
design: {seed: 3}
budget: {trials: 14}
"""


def hill(x: float, solvent: str) -> float:
    return -((x - 7.1) ** 2) + (3.0 if solvent == "NMP" else 0.0)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rows = [(x / 2.0, solvent, hill(x / 2.0, solvent)) for x in range(21) for solvent in ("DMF", "NMP")]
    rows += [(7.0, "NMP", 1.0), (99.0, "NMP", 50.0), (1.0, "H2O", 50.0)]  # a replicate, and two outside the space
    table = tmp_path / "hill.csv"
    table.write_text("x,solvent,height\n" + "".join(f"{x},{s},{h}\n" for x, s, h in rows))
    campaign = tmp_path / "hill.yaml"
    campaign.write_text(CAMPAIGN)
    return campaign, table


def scored(rows: list[int], merit: np.ndarray, initial: int) -> Score:
    return score(merit[rows], Yardstick(every=merit), initial)


def order(files: tuple[Path, Path], folder: Path, **words: Any) -> Order:
    return Order(campaign=files[0], table=files[1], folder=folder, **{"seeds": 2, "jobs": "1", **words})


def test_a_table_compares_nothing(files: tuple[Path, Path]) -> None:
    files[0].write_text(CAMPAIGN.replace("{goal: maximize, unit: cm}", "{goal: prefer}"))
    with pytest.raises(SpecError, match=r"hill.yaml:8:11: outcomes.height.*a table compares nothing"):
        read_measured(files[1], read_spec(files[0]))


def test_a_table_is_read_as_conditions(files: tuple[Path, Path]) -> None:
    measured = read_measured(files[1], read_spec(files[0]))
    assert (len(measured), measured.replicates, measured.left_out) == (42, 1, 2)
    best = int(np.argmax(measured.merit))
    assert measured.settings[best] == {"x": 7.5, "solvent": "NMP"}
    assert measured.outcomes[best]["height"] == pytest.approx(2.84)
    (top,) = [one for one, at in zip(measured.outcomes, measured.settings, strict=True) if at["x"] == 7.0
              and at["solvent"] == "NMP"]  # fmt: skip
    assert top["height"] == pytest.approx(1.995), "the mean of 2.99 and 1"


def test_what_passes_and_what_is_desirable_is_read_and_scored(files: tuple[Path, Path]) -> None:
    wishes = "  phase: {goal: pass, words: {clear: pass, hazy: pass, gel: fail}}\n"
    desired = "{goal: maximize, unit: cm, desirability: {between: [0, 4], exponent: 2}}"
    text = CAMPAIGN.replace("{goal: maximize, unit: cm}", desired).replace("design:", f"{wishes}design:")
    files[0].write_text(text)
    files[1].write_text(
        "x,solvent,height,phase\n1,DMF,-3,clear\n2,DMF,2,Hazy\n3,DMF,9,clear\n4,DMF,9,gel\n5,DMF,0,clear\n"
    )
    measured = read_measured(files[1], read_spec(files[0]))
    assert [one["phase"] for one in measured.outcomes] == [1.0, 1.0, 1.0, 0.0, 1.0]
    assert measured.merit[:, 0].tolist() == pytest.approx([-0.75, 0.25, 1.0, -np.inf, 0.0])
    kept = Tabled(measured).campaign(read_spec(files[0]), seed=1, initial=2)
    assert kept.outcomes["phase"].words and kept.outcomes["height"].shape is not None
    files[1].write_text(files[1].read_text().replace("gel", "gell"))
    with pytest.raises(SpecError, match=r"hill.csv:5: phase: 'gell' is none of its words. Did you mean gel?"):
        read_measured(files[1], read_spec(files[0]))


def test_every_strategy_begins_with_the_same_rows_and_measures_none_twice(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    test = Backtest(order(files, tmp_path / "out"))
    courses = list(test.run())
    assert {(one.strategy, one.seed) for one in courses} == {(n, s) for n in ("labloop", "random") for s in (0, 1)}
    for course in courses:
        assert course.rows[:5] == list(islice(Tabled(test.measured).by_chance([course.seed, 0]), 5))
        assert len(course.rows) == len(set(course.rows)) == 14 and len(course.cpu_s) == 9
    assert courses[0].rows[:5] != next(one for one in courses if one.seed == 1).rows[:5]
    figures = test.document()["strategies"]
    assert figures["labloop"]["area"]["mean"] > figures["random"]["area"]["mean"]
    assert figures["labloop"]["to_best"]["reached"] == 2
    assert figures["labloop"]["best"]["height"]["median"] == pytest.approx(2.84)
    draw(test.document(), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_done_is_not_done_again(files: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    whole = list(Backtest(order(files, folder, seeds=1)).run())
    with (folder / COURSES).open("a") as file:
        file.write('{"strategy": "labloop", "seed": 1, "ke')  # killed while it wrote
    again = Backtest(order(files, folder))
    assert {(one.name, one.seed) for one in again.pieces()} == {("labloop", 1), ("random", 1)}
    assert len(list(again.run())) == 2 and len(again.courses) == 4
    assert not list(Backtest(order(files, folder)).run())
    pieces = Backtest(order(files, tmp_path / "b", seeds=1)).pieces()
    assert [one.rows for one in whole] == [play(piece).rows for piece in pieces]
    assert len(Backtest(order(files, folder, trials=12)).pieces()) == 4, "another budget is another course"


def test_campaigns_are_compared(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(CAMPAIGN + "engine: {kernel: rbf}\n")
    test = Backtest(order(files, tmp_path / "out", seeds=1, trials=7, against=(f"rbf={other}", "random")))
    assert {one.strategy for one in test.run()} == {"labloop", "rbf", "random"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[0, 10]", "[0, 6]", "26 conditions lie in its space, and not the same 42"),
        ("[0, 10]", "[-5, 10]", None),  # of the table it holds the same
        ("maximize", "minimize", "orders the table's conditions otherwise"),
        ("unit: cm", "unit: cm, limit: <= 2", "orders the table's conditions otherwise"),
    ],
)
def test_campaigns_that_cannot_be_compared_are_refused(
    files: tuple[Path, Path], tmp_path: Path, old: str, new: str, said: str | None
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(CAMPAIGN.replace(old, new))
    asked = order(files, tmp_path / "out", against=(f"other={other}",))
    if said is None:
        Backtest(asked)
        return
    with pytest.raises(SpecError, match=said):
        Backtest(asked)


def test_a_course_counts_for_the_files_that_its_campaign_names_too(files: tuple[Path, Path], tmp_path: Path) -> None:
    solvents = tmp_path / "solvents.csv"
    solvents.write_text("name,polarity\nDMF,6.4\nNMP,6.7\n")
    files[0].write_text(CAMPAIGN.replace("[DMF, NMP]", "solvents.csv, descriptors: [polarity]"))
    asked = order(files, tmp_path / "out", seeds=1, trials=6)
    assert len(list(Backtest(asked).run())) == 2 and not Backtest(asked).pieces()
    solvents.write_text("name,polarity\nDMF,6.4\nNMP,1.0\n")
    assert len(Backtest(asked).pieces()) == 2


def test_a_folder_of_something_else_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / COURSES).write_bytes(b"\xff\xfe{}")
    with pytest.raises(SpecError, match="is no text"):
        Backtest(order(files, tmp_path)).pieces()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"against": ("chance",)}, "NAME=FILE"),
        ({"against": ("random", "random")}, "once"),
        ({"against": ("random=other.yaml",)}, "another name"),
        ({"initial": 42}, "below the table's 42"),
        ({"initial": 0}, "at least 1"),
        ({"seeds": 0}, "--seeds 0"),
        ({"trials": 5}, "nothing to propose"),
        ({"trials": 0}, "--trials 0"),
        ({"batch": 0}, "--batch 0"),
        ({"batch": -1}, "--batch -1"),
        ({"jobs": "many"}, "--jobs many"),
        ({"jobs": "0"}, "--jobs 0"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    files: tuple[Path, Path], tmp_path: Path, words: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        list(Backtest(order(files, tmp_path / "out", **words)).run())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,height\n1,2\n", "no column solvent"),
        ("x,solvent,height\n1,DMF,high\n", ":2: height = 'high' is no number"),
        ("x,solvent,height\n1,DMF,9.9E37\n", ":2: height = 9.9e.37 is no number"),
        ("x,solvent,height\n11,DMF,1\n12,DMF,2\n", "of its 2 rows 0 lie in"),
        ("x,solvent,height\n1,DMF,101\n2,DMF,102\n", "none of its 2 conditions .* keeps height <= 100"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(files: tuple[Path, Path], text: str, said: str) -> None:
    files[1].write_text(text)
    files[0].write_text(CAMPAIGN.replace("unit: cm", "unit: cm, limit: <= 100"))
    with pytest.raises(SpecError, match=said):
        read_measured(files[1], read_spec(files[0]))


def test_a_course_is_scored_from_the_tables_median_to_its_best() -> None:
    merit = np.arange(101.0)[:, None]
    found = scored([50, 0, 75, 99, 100], merit, 2)
    assert found.curve == (0.0, 0.0, 0.5, 0.98, 1.0)
    assert found.area == pytest.approx((0.5 + 0.98 + 1.0) / 3)
    assert (found.to_top, found.to_best) == (4, 5), "the top 1 % of 101 conditions are two"
    assert scored([0, 1], merit, 1).to_top is None


def test_a_condition_that_breaks_a_limit_is_worth_the_least() -> None:
    merit = np.array([[-np.inf], [0.0], [1.0], [2.0]])
    assert scored([0, 3], merit, 1).curve == (0.0, 1.0)
    barren = np.array([[-np.inf], [-np.inf], [-np.inf], [6.0], [7.0]])
    assert scored([0, 3, 4], barren, 1).curve == (0.0, 0.0, 1.0), "no better than the worst that keeps them"


def test_a_front_is_scored_by_its_share_of_the_hypervolume() -> None:
    merit = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    found = scored([3, 0, 2], merit, 1)
    assert found.curve == (0.0, 0.0, 1.0) and found.to_top is None


def test_a_front_without_volume_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    two = "height: {goal: maximize, limit: <= 5}\n  cost: {goal: minimize}"
    files[0].write_text(CAMPAIGN.replace("height: {goal: maximize, unit: cm}", two))
    rows = [(x, 3 + x, x) for x in range(9)]  # of those that keep the limit, each is cheaper only as it is lower
    files[1].write_text("x,solvent,height,cost\n" + "".join(f"{x},DMF,{h},{c}\n" for x, h, c in rows[::4] + rows[2:3]))
    with pytest.raises(SpecError, match="the front has no volume"):
        Backtest(order(files, tmp_path / "out", initial=1))
    files[1].write_text("x,solvent,height,cost\n" + "".join(f"{x},DMF,{h},{c}\n" for x, h, c in rows))
    Backtest(order(files, tmp_path / "out", initial=1))


def test_merit_follows_goals_weights_and_limits(tmp_path: Path) -> None:
    campaign = tmp_path / "two.yaml"
    text = CAMPAIGN.replace("height: {goal: maximize, unit: cm}", "height: {goal: maximize}\n  cost: {goal: minimize}")
    campaign.write_text(text)
    rows = [{"height": 3.0, "cost": 1.0}, {"height": 2.0, "cost": 9.0}]
    assert merits(Objective(read_spec(campaign)), rows).tolist() == [[3.0, -1.0], [2.0, -9.0]]
    campaign.write_text(
        text.replace("maximize}", "maximize, weight: 2}").replace("minimize}", "minimize, weight: 1, limit: <= 5}")
    )
    assert merits(Objective(read_spec(campaign)), rows).tolist() == [[5.0], [-np.inf]]


def test_pieces_are_done_in_other_processes_too() -> None:
    assert sorted(as_done("2", abs, [-1, -2, 3])) == [1, 2, 3]


def test_the_command_prints_figures_and_leaves_them(files: tuple[Path, Path], tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from labloop.cli.app import app

    out = tmp_path / "out"
    words = ["backtest", str(files[0]), "--table", str(files[1]), "--seeds", "1", "--jobs", "1", "--out", str(out)]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0 and "labloop" in said.stdout and "to top 1 %" in said.stdout
    document = json.loads((out / "backtest.json").read_text())
    assert document["schema"] == 1 and document["strategies"]["random"]["courses"] == 1
    assert (out / "backtest.png").stat().st_size > 10_000
    assert len({path.stat().st_mode for path in out.iterdir()}) == 1, "whoever may read one of them may read all"
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout) == document
