"""A campaign of taste from the shell: ask, compare, and what the readers say of it."""

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from labloop.runner import wishes
from labloop.runner.look import see

from .conftest import begun

BREAD = """\
labloop: 1
campaign: bread
parameters:
  sugar: {range: [10, 90], unit: g}
  oven: {range: [150, 220], unit: degC}
outcomes:
  taste: {goal: prefer}
design: {initial: {method: sobol, trials: 4}, seed: 3}
budget: {trials: 30}
"""


@pytest.fixture
def bread(here: Path) -> Path:
    (here / "bread.yaml").write_text(BREAD)
    return here


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four breads, one of them burnt, and one of which nothing is known."""
    words = "ask c.yaml --run r -n 4", "tell r 3 --failed burnt", "tell r 4 --void 'cat ate it'"
    return begun(tmp_path_factory.mktemp("spoiled"), BREAD, *words)


def test_ask_compare_and_look(bread: Path, labloop: Any) -> None:
    asked = labloop("ask", "bread.yaml", "--run", "r", "-n", "4")
    assert "labloop prefer r 1 over 2 (labloop compare r says with which)" in asked.err
    assert "labloop tell" not in asked.err, "there is no number to tell"
    first = labloop("compare", "r", "--json").document["pairs"]
    assert len(first) == 1 and first[0]["chance"] == pytest.approx(0.5) and first[0]["worth_it"] is True

    said = labloop("prefer", "r", "1", "over", "2", "--by", "anna", "--why", "crumb", "--json").document
    assert [one["trial"] for one in said["compared"]] == [1, 2] and said["schema"] == 1
    one, two = (entry["outcomes"]["taste"] for entry in said["compared"])
    assert one["value"] == pytest.approx(-two["value"]) and one["value"] > 0 and one["sd"] > 0
    assert labloop("prefer", "r", "3", "like", "1").out.startswith("trial 3: taste = ")
    assert labloop("prefer", "r", "3", "over", "4").code == 0
    assert [fact.tie for fact in see(bread / "r").state.tastes.comparisons] == [False, True, False]

    status = labloop("status", "r", "--json").document
    assert status["trials"]["measured"] == 4 and status["best"]["trial"] in (1, 3)
    assert status["comparisons"] == {"outcome": "taste", "made": 3, "open": []}
    assert "compared: 3 times" in labloop("status", "r").out
    trials = labloop("trials", "r", "--json").document["trials"]
    assert [one["state"] for one in trials] == ["measured"] * 4 and trials[0]["by"] == "anna"
    assert trials[0]["outcomes"]["taste"]["value"] > trials[1]["outcomes"]["taste"]["value"]
    assert [one["compared"] for one in trials] == [2, 1, 2, 1]
    rows = list(csv.DictReader(io.StringIO(labloop("trials", "r", "--format", "csv").out)))
    assert float(rows[1]["taste"]) < 0 < float(rows[1]["taste.sd"])
    assert "±" in labloop("trials", "r").out

    (third,) = labloop("ask", "bread.yaml", "--run", "r", "--json").document["proposals"]
    assert third["source"] == "model" and third["predicted"]["taste"]["sd"] > 0
    assert labloop("status", "r", "--json").document["comparisons"]["open"] == [5]
    assert "not compared yet: trial 5" in labloop("status", "r").out
    why = labloop("why", "r", "5")
    assert why.code == 0 and "what matters for taste" in why.out
    assert labloop("compare", "r").out.splitlines()[1].split()[:2] != []
    assert labloop("status", "r", "--verify").code == 0


def test_why_holds_what_is_believed_against_the_best_that_was_believed_then(bread: Path, labloop: Any) -> None:
    labloop("ask", "bread.yaml", "--run", "r", "-n", "4")
    for better, worse in ((1, 2), (1, 3), (1, 4)):
        labloop("prefer", "r", str(better), "over", str(worse))
    labloop("ask", "bread.yaml", "--run", "r")
    labloop("prefer", "r", "5", "over", "1")
    document = labloop("why", "r", "5", "--json").document
    assert "(trial 1)" in document["hope"]["words"]
    best = float(document["reason"].rpartition("believed ")[2])
    ahead = document["outcomes"]["taste"]["expected"]["mean"] - best
    assert 0.02 < document["hope"]["chance"] < 0.98 and (document["hope"]["chance"] > 0.5) == (ahead > 0)
    settings = labloop("trials", "r", "--json").document["trials"]
    same, worst = ([f"{key}={value}" for key, value in settings[at]["settings"].items()] for at in (0, 1))
    instead = labloop("why", "r", "5", "not", *same, "--json").document["instead"]["hope"]
    assert instead["chance"] == 0.0, "what is the best already is not better than it, however unsure its worth is"
    assert 0.0 < labloop("why", "r", "5", "not", *worst, "--json").document["instead"]["hope"]["chance"] < 0.4
    assert document["outcomes"]["taste"]["surprise_sd"] is None, "two beliefs are no surprise"
    assert ", now believed " in labloop("why", "r", "5").out and "measured" not in labloop("why", "r", "5").out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["9", "over", "1"], "there is no trial 9; the last is 4"),
        (["1", "over", "1"], "trial 1 is no better than itself. Name two trials"),
        (["1", "under", "2"], "under: must be over, or like where both are equally good"),
        (["1", "over", "3"], "trial 3 is failed (burnt): there is nothing to compare. Name another trial"),
        (["4", "over", "1"], "trial 4 is abandoned (cat ate it)"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    spoiled: Path, here: Path, labloop: Any, arguments: list[str], word: str
) -> None:
    shutil.copytree(spoiled, here / "r")
    before = labloop("status", "r", "--json").document["last_fact"]["seq"]
    said = labloop("prefer", "r", *arguments)
    assert said.code == 2 and word in said.err
    assert labloop("status", "r", "--json").document["last_fact"]["seq"] == before


def test_a_campaign_of_numbers_compares_nothing(here: Path, labloop: Any) -> None:
    labloop("ask", "cake.yaml", "--run", "r", "-n", "2")
    said = labloop("prefer", "r", "1", "over", "2")
    assert said.code == 2 and "none of its outcomes has goal: prefer. Tell numbers" in said.err
    assert labloop("compare", "r").code == 2
    assert labloop("status", "r", "--json").document["comparisons"] is None


def test_what_else_is_wanted_is_told_first(bread: Path, labloop: Any) -> None:
    (bread / "bread.yaml").write_text(BREAD.replace("goal: prefer}", "goal: prefer}\n  cost: {limit: <= 3, unit: g}"))
    asked = labloop("ask", "bread.yaml", "--run", "r", "-n", "2")
    assert "labloop tell r 1 cost=..." in asked.err and "taste=" not in asked.err
    said = labloop("prefer", "r", "1", "over", "2")
    assert said.code == 2 and "Tell its cost first: labloop tell RUN 1 cost=..." in said.err
    said = labloop("tell", "r", "1", "cost=2", "taste=5")
    assert said.code == 2 and "taste: is told by comparing. Write labloop prefer RUN TRIAL over OTHER" in said.err
    assert labloop("tell", "r", "1", "cost=2").code == 0 and labloop("tell", "r", "2", "cost=4").code == 0
    assert labloop("prefer", "r", "2", "over", "1").code == 0
    best = labloop("status", "r", "--json").document["best"]
    assert best["trial"] == 1 and best["keeps_limits"], "the better one costs too much"


def test_what_is_posted_to_a_runner_is_written_down_as_it_is_said(bread: Path, labloop: Any) -> None:
    labloop("ask", "bread.yaml", "--run", "r", "-n", "2")
    reply = wishes.prefer(bread / "r", 2, 1, tie=False, by="anna", why="crust")
    assert (reply.accepted, reply.message) == (True, "compared")
    status = labloop("status", "r", "--json").document
    assert status["best"]["trial"] == 2 and status["comparisons"]["made"] == 1
    (fact,) = see(bread / "r").state.tastes.comparisons
    assert (fact.trial, fact.over, fact.by, fact.why) == (2, 1, "anna", "crust")
