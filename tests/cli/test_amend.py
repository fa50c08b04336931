"""A campaign amended from the shell: shown first, asked, written into the journal, and taken back."""

import csv
import shutil
from pathlib import Path

import pytest

from labloop.campaign import events as e
from labloop.campaign.state import CampaignState
from labloop.cli.lines import LineView
from labloop.journal import Reader

from .conftest import TOLD, Call, begun


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign that is asked and told: three results, and three proposals that wait."""
    results = [f"tell r {trial} height={10 * trial}" for trial in (1, 2, 3)]
    return begun(tmp_path_factory.mktemp("told"), TOLD, "ask c.yaml --run r -n 6", *results)


@pytest.fixture
def run(told: Path, here: Path) -> Path:
    """A copy of it, to be amended."""
    shutil.copytree(told, here / "r")
    return here / "r"


def changed(here: Path, labloop: Call, *pairs: str) -> Path:
    """A changed copy of the campaign as it is now: each pair old, new."""
    text = labloop("amend", "r", "--show").out
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    path = here / "changed.yaml"
    path.write_text(text)
    return path


def facts(run: Path, kind: type) -> list[e.Fact]:
    with Reader(run / "journal.db") as reader:
        return [record.event for record in reader.records() if isinstance(record.event, kind)]


def test_it_is_shown_asked_written_down_and_followed(run: Path, here: Path, labloop: Call) -> None:
    file = changed(
        here, labloop, "[10, 90]", "[40, 60]", "[wheat, rye, spelt]", "[wheat, rye]", "trials: 30", "trials: 50"
    )
    before = (run / "campaign.yaml").read_bytes()
    looked = labloop("amend", "r", file, "--preview")
    assert looked.code == 0 and not facts(run, e.Amended)
    assert looked.out.splitlines()[:3] == [
        "parameters.sugar.range: [10, 90] -> [40, 60] g (narrowed)",
        "parameters.flour.choices: spelt is retired",
        "budget.trials: 30 -> 50",
    ]
    unasked = labloop("amend", "r", file)
    assert unasked.code == 2 and "Add --yes" in unasked.err and not facts(run, e.Amended)
    said = labloop("amend", "r", file, "--yes", "--by", "bob", "--why", "too sweet")
    assert said.code == 0 and "accepted: amended: parameters.sugar.range" in said.out
    (fact,) = facts(run, e.Amended)
    assert isinstance(fact, e.Amended) and (fact.by, fact.why) == ("bob", "too sweet") and len(fact.changes) == 3
    assert (run / "campaign.yaml").read_bytes() == before, "the text that it was begun with stays as it was"
    assert (run / "blobs" / fact.campaign_sha256).read_bytes() == file.read_bytes()
    assert labloop("amend", "r", "--show").out == file.read_text()
    assert labloop("status", "r", "--verify").code == 0

    assert labloop("ask", "cake.yaml", "--run", "r").code == 2, "the old text is another campaign now"
    for row in labloop("ask", file, "--run", "r", "-n", 8, "--json").document["proposals"]:
        assert 40 <= row["settings"]["sugar"] <= 60 and row["settings"]["flour"] in ("wheat", "rye")
    told = labloop("status", "r", "--json").document
    (entry,) = told["amendments"]
    assert entry["in_force"] and entry["by"] == "bob" and told["budget_left"]["trials"] == 47
    assert "too sweet" in labloop("status", "r").out
    table = labloop("trials", "r", "--format", "csv")
    for said in (labloop("trials", "r"), table):
        assert f"fact {entry['seq']}, after trial 6: amended by bob" in said.err
    column = [row["amended"] for row in csv.DictReader(table.out.splitlines())]
    assert set(column[:6]) == {""} and len(column) > 6 and set(column[6:]) == {str(entry["seq"])}
    rows = labloop("trials", "r", "--json").document["trials"]
    assert {row["amended"] for row in rows[:6]} == {0} and {row["amended"] for row in rows[6:]} == {entry["seq"]}
    assert "amended by bob" in labloop("why", "r", 8).out and "amended by" not in labloop("why", "r", 2).out


def test_a_place_that_is_typed_is_as_good_as_a_changed_copy(run: Path, here: Path, labloop: Call) -> None:
    typed = ["--set", "parameters.sugar.range=0.04 to 0.06 kg", "--set", "parameters.flour.choices=-spelt"]
    file = changed(here, labloop, "[10, 90]", "[40, 60]", "[wheat, rye, spelt]", "[wheat, rye]")
    assert labloop("amend", "r", *typed, "--preview").out == labloop("amend", "r", file, "--preview").out
    assert labloop("amend", "r", *typed, "--yes", "--by", "bob", "--why", "too sweet").code == 0
    (fact,) = facts(run, e.Amended)
    assert isinstance(fact, e.Amended) and fact.why == "too sweet" and len(fact.changes) == 2
    assert labloop("amend", "r", "--show").out == (run / "blobs" / fact.campaign_sha256).read_text()
    same = labloop("amend", "r", "--set", "parameters.sugar.range=40 g to 60 g", "--yes")
    assert same.code == 2 and "nothing is another" in same.err
    refused = labloop("amend", "r", "--set", "parameters.sugar.unit=kg", "--yes")
    assert refused.code == 2 and "may not be amended" in refused.err and len(facts(run, e.Amended)) == 1
    assert labloop("amend", "r", "--undo", "--yes").code == 0


def test_it_is_told_once_in_the_lines_of_a_run(
    run: Path, here: Path, labloop: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "amended" not in labloop("trials", "r", "--format", "csv").out, "nothing was amended so far"
    assert labloop("amend", "r", changed(here, labloop, "[10, 90]", "[40, 60]"), "--yes", "--by", "bob").code == 0
    assert labloop("tell", "r", 4, "height=12").code == 0
    view, state = LineView(run), CampaignState()
    with Reader(run / "journal.db") as reader:
        refused = e.RequestAnswered(id="another", accepted=False, message="that is no amendment")
        for record in [*reader.records(), e.Record(seq=reader.last_seq + 1, at="2026-01-01T00:00:00Z", event=refused)]:
            state.apply(record)
            view(record, state)
    said = capsys.readouterr().err
    assert said.count("parameters.sugar.range: [10, 90] -> [40, 60] g (narrowed)") == 1
    assert "amended by bob: " in said and "request refused: that is no amendment" in said


def test_every_text_is_held_against_its_hash(run: Path, here: Path, labloop: Call) -> None:
    for old, new in (("[10, 90]", "[40, 60]"), ("[40, 60]", "[45, 50]")):
        assert labloop("amend", "r", changed(here, labloop, old, new), "--yes").code == 0
    for fact in facts(run, e.Amended):
        assert isinstance(fact, e.Amended)
        blob = run / "blobs" / fact.campaign_sha256
        sound = blob.read_bytes()
        blob.write_bytes(sound + b" ")
        assert "this blob is damaged" in labloop("status", "r", "--verify").err
        blob.write_bytes(sound)
    assert labloop("status", "r", "--verify").code == 0


def test_it_is_taken_back_as_another_fact(run: Path, here: Path, labloop: Call) -> None:
    labloop("amend", "r", changed(here, labloop, "[10, 90]", "[40, 60]"), "--yes")
    labloop("amend", "r", changed(here, labloop, "[40, 60]", "[45, 50]"), "--yes")
    said = labloop("amend", "r", "--undo", "--yes")
    assert said.code == 0 and "[45, 50] -> [40, 60] g (widened)" in said.out and "taken back" in said.out
    assert "[40, 60]" in labloop("amend", "r", "--show").out
    assert labloop("amend", "r", "--undo", "--yes", "--json").document["accepted"] is True
    assert "[10, 90]" in labloop("amend", "r", "--show").out
    nothing = labloop("amend", "r", "--undo", "--yes")
    assert nothing.code == 2 and "no amendment is in force" in nothing.err
    assert [one["in_force"] for one in labloop("status", "r", "--json").document["amendments"]] == [False] * 4
    assert labloop("ask", "cake.yaml", "--run", "r").code == 0, "the text that it was begun with is in force again"
    assert labloop("status", "r", "--verify").code == 0


def test_proposals_that_a_person_may_be_making_are_named_and_stand(run: Path, here: Path, labloop: Call) -> None:
    file = changed(here, labloop, "[10, 90]", "[10, 11]")
    looked = labloop("amend", "r", file, "--preview", "--json").document
    assert looked["pending"] == [4, 5, 6] and looked["leaves"] and set(looked["outside"]) <= {1, 2, 3}
    assert any("stand until they are told" in line for line in looked["words"])
    labloop("amend", "r", file, "--yes")
    assert labloop("tell", "r", looked["leaves"][0], "height=7").code == 0
    assert labloop("status", "r", "--json").document["best"]["in_space"] is (3 not in looked["outside"])
    assert "outside the space as it was amended" in labloop("status", "r").out


def test_a_dict_of_python_is_amended_by_a_file_that_begins_with_a_brace(here: Path, labloop: Call) -> None:
    import labloop as package

    with package.Campaign({"parameters": {"x": {"range": [0, 1]}}, "outcomes": {"y": {"goal": "maximize"}}}, run="p"):
        pass
    (here / "f.yaml").write_text(
        "{campaign: campaign, parameters: {x: {range: [0, 2]}}, outcomes: {y: {goal: maximize}}}"
    )
    said = labloop("amend", "p", "f.yaml", "--yes")
    assert said.code == 0 and "[0, 1] -> [0, 2] (widened)" in said.out
    assert labloop("status", "p", "--verify").code == 0 and "{campaign: campaign" in labloop("amend", "p", "--show").out


def test_a_choice_that_a_condition_names_goes_by_a_constraint(here: Path, labloop: Call) -> None:
    cake = (here / "cake.yaml").read_text().replace("step: 10}", "step: 10, active_when: flour == rye}")
    (here / "cake.yaml").write_text(cake)
    labloop("ask", "cake.yaml", "--run", "r", "-n", 3)
    refused = labloop("amend", "r", changed(here, labloop, "[wheat, rye, spelt]", "[wheat, spelt]"), "--yes")
    assert refused.code == 2 and "rye" in refused.err
    file = changed(here, labloop, "outcomes:", "constraints: [flour != rye]\noutcomes:")
    assert labloop("amend", "r", file, "--yes").code == 0
    rows = labloop("ask", file, "--run", "r", "-n", 6, "--json").document["proposals"]
    assert {row["settings"]["flour"] for row in rows} == {"wheat", "spelt"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("unit: degC", "unit: K", "changed.yaml:5:35: parameters.oven.unit = K: was degC so far"),
        ("  flour:", "  corn:", "parameters.flour: was taken out"),
        ("seed: 3", "seed: 4", "design.seed = 4: was 3 so far"),
        ("campaign: cake", "campaign: pie", "campaign = pie: was cake so far"),
        ("[10, 90]", "[90, 10]", "the low bound must be below the high one"),
        ("seed: 3}", "seed: 3}\nengine: {wurp: true}", "engine.wurp"),
        ("seed: 3}", "seed: 3}\nconstraints: [sugar <= 1 g]", "leaves no point"),
        ("campaign: cake", "campaign: cake # the same", "nothing is another in it"),
    ],
)
def test_what_cannot_be_amended_changes_nothing(
    run: Path, here: Path, labloop: Call, old: str, new: str, said: str
) -> None:
    refused = labloop("amend", "r", changed(here, labloop, old, new), "--yes")
    assert refused.code == 2 and said in refused.err
    assert not facts(run, e.Amended) and not facts(run, e.Requested)


def test_what_is_asked_of_it_must_be_one_thing(run: Path, here: Path, labloop: Call) -> None:
    for words in ([], ["cake.yaml", "--undo"], ["--undo", "--show"], ["--undo", "--set", "title=a"]):
        assert "one of the four" in labloop("amend", "r", *words).err
    own = labloop("amend", "r", run / "campaign.yaml", "--yes")
    assert own.code == 2 and "the run's own copy" in own.err
    assert labloop("amend", "r", "nowhere.yaml", "--yes").code == 2


def test_asked_for_as_a_request_it_names_the_verb(run: Path, labloop: Call) -> None:
    said = labloop("request", "r", "amend", "changed.yaml")
    assert said.code == 2 and "amend: is a verb of its own: labloop amend " in said.err


def test_files_that_it_names_are_found_beside_it_or_among_the_runs_own(here: Path, labloop: Call) -> None:
    (here / "flours.csv").write_text("name\nwheat\nrye\nspelt\n")
    cake = (here / "cake.yaml").read_text().replace("[wheat, rye, spelt]", "flours.csv")
    (here / "cake.yaml").write_text(cake)
    labloop("ask", "cake.yaml", "--run", "r")
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.yaml").write_text(cake.replace("[10, 90]", "[10, 80]"))
    assert labloop("amend", "r", elsewhere / "c.yaml", "--yes").code == 0
    (elsewhere / "flours.csv").write_text("name\nwheat\nrye\nspelt\nmaize\n")
    said = labloop("amend", "r", elsewhere / "c.yaml", "--yes")
    assert said.code == 0 and "maize is added" in said.out
    (elsewhere / "flours.csv").unlink()
    assert labloop("status", "r", "--verify").code == 0
    assert "maize" in labloop("amend", "r", "--undo", "--preview").out
