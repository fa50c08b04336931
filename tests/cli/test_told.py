"""ask and tell from the shell, and the readers on what came of it."""

import csv
import io
import shlex
import threading
from pathlib import Path
from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.planner.proposal import Proposal
from labloop.runner import told as told_module
from tests.patience import patient_wishes


class Planner:
    """Gives points in a row, without torch; what the real one proposes is its own tests' business."""

    def __init__(self, *_: Any) -> None:
        self.facts = 0

    def start(self) -> None: ...
    def close(self) -> None: ...

    def send_facts(self, records: Any) -> None:
        self.facts += len(records)

    def request(self, count: int, based_on: int, first: int) -> Any:
        from concurrent.futures import Future

        assert self.facts == based_on, "asked on all the facts there are"
        answer: Future[list[Proposal]] = Future()
        answer.set_result(
            [
                Proposal(
                    trial=first + at, settings={"sugar": 10.0 + first + at, "oven": 180.0, "flour": "rye"},
                    source="sobol", seed=5, reason="initial design",
                    predicted={"height": e.Prediction(30.0, 2.0)} if first > 1 else {},
                )
                for at in range(count)
            ]
        )  # fmt: skip
        return answer


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told_module, "PlannerProcess", Planner)


def test_ask_tell_and_look(here: Path, labloop: Any) -> None:
    asked = labloop("ask", "cake.yaml", "--run", "r", "-n", "2", "--json")
    assert asked.code == 0
    first, second = asked.document["proposals"]
    assert (first["trial"], second["trial"]) == (1, 2)
    assert first["settings"] == {"sugar": 11.0, "oven": 180.0, "flour": "rye"}
    assert asked.document["schema"] == 1

    assert (
        labloop("tell", "r", "1", "height=12.34(5)", "--by", "bob").out
        == "trial 1: measured  height = 12.340 ± 0.050 mm\n"
    )
    assert labloop("tell", "r", "2", "height=1.5 cm").code == 0
    third = labloop("ask", "cake.yaml", "--run", "r", "--json").document["proposals"][0]
    assert (third["trial"], third["predicted"]) == (3, {"height": {"mean": 30.0, "sd": 2.0}})
    assert labloop("tell", "r", "3", "--failed", "burnt").code == 0
    assert "would end here" not in labloop("ask", "cake.yaml", "--run", "r").err
    assert labloop("tell", "r", "4", "--void", "cat ate it", "--json").document["told"][0]["state"] == "abandoned"

    status = labloop("status", "r", "--json").document
    assert status["trials"] | {"measured": 2, "failed": 1, "abandoned": 1} == status["trials"]
    assert status["best"]["trial"] == 2
    assert status["best"]["outcomes"]["height"] == {"value": 15.0, "unit": "mm"}
    assert status["runner"] == "gone" and status["simulated"] is False and status["schema"] == 1

    trials = labloop("trials", "r", "--format", "json").document["trials"]
    assert [one["state"] for one in trials] == ["measured", "measured", "failed", "abandoned"]
    assert trials[0]["outcomes"]["height"] == {"value": 12.34, "unit": "mm", "sd": 0.05}
    assert trials[0]["by"] == "bob"
    assert trials[2]["predicted"] == {"height": {"mean": 30.0, "sd": 2.0}}
    assert labloop("trials", "r", "--json").document == labloop("trials", "r", "--format", "json").document

    rows = list(csv.DictReader(io.StringIO(labloop("trials", "r", "--format", "csv").out)))
    assert [row["height"] for row in rows] == ["12.34", "15.0", "", ""]
    assert rows[0]["height.sd"] == "0.05" and rows[3]["reason"] == "cat ate it"
    table = labloop("trials", "r").out.splitlines()
    assert len(table) == 5 and "sugar [g]" in table[0] and table[3].endswith("burnt")
    assert "best: trial 2" in labloop("status", "r").out


def test_where_a_run_would_end_is_said_to_whoever_asks_on(here: Path, labloop: Any) -> None:
    text = (here / "cake.yaml").read_text()
    (here / "short.yaml").write_text(text + "stop_when: {no_improvement: 1 trials}\n")
    for trial, height in ((1, 9), (2, 8)):
        labloop("ask", "short.yaml", "--run", "r")
        labloop("tell", "r", str(trial), f"height={height}")
    said = "no improvement in 1 trials (asked for: 1); best so far is trial 1"
    assert f"A run of this campaign would end here: {said}" in labloop("ask", "short.yaml", "--run", "r").err
    assert labloop("ask", "short.yaml", "--run", "r", "--json").document["enough"] == said


def test_a_best_that_breaks_its_limit_says_so(here: Path, labloop: Any) -> None:
    (here / "cake.yaml").write_text((here / "cake.yaml").read_text().replace("unit: mm", "unit: mm, limit: <= 10"))
    labloop("ask", "cake.yaml", "--run", "r", "-n", "2")
    labloop("tell", "r", "1", "height=12")
    assert labloop("status", "r").out.count("; breaks a limit") == 1
    assert labloop("status", "r", "--json").document["best"]["keeps_limits"] is False
    labloop("tell", "r", "2", "height=9")
    assert "best: trial 2" in labloop("status", "r").out and "breaks" not in labloop("status", "r").out


def test_a_run_is_named_by_its_folder_its_journal_or_its_name(here: Path, labloop: Any) -> None:
    labloop("ask", "cake.yaml", "--run", "runs/monday")
    for name in ("runs/monday", "runs/monday/journal.db", "monday", here / "runs" / "monday"):
        assert labloop("status", name, "--json").document["campaign"] == "cake"
    assert "Did you mean runs/monday?" in labloop("status", "munday").err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["9", "height=12"], "there is no trial 9"),
        (["1", "hieght=12"], "Did you mean height?"),
        (["1", "height"], "name=value"),
        (["1", "height=tall"], "height: "),
        (["1", "height=12 g"], "height: 12 g is a mass"),
        (["1", "height=nan"], "height: "),
        (["1", "height=inf"], "height: "),
        (["1", "height=1e999"], "height: "),
        (["1", "height=9.9E37"], "what an instrument says when it has no reading"),
        (["1", "height=9.9E37 nm"], "what an instrument says when it has no reading"),
        (["1", "height=3 +- 1e200"], "a standard deviation of 1e+200"),
        (["1", "height=3 +- -1"], "a standard deviation below 0"),
        (["1", "height=>"], "height: "),
        (["1", "height=><3"], "height: "),
        (["1", "height=12", "height=13"], "twice"),
        (["1"], "tell its outcomes, or that it failed, or that it is void: one of the three"),
        (["1", "height=12", "--failed", "burnt"], "one of the three"),
        ([], "TRIAL"),
    ],
)
def test_what_cannot_be_told(arguments: list[str], word: str, here: Path, labloop: Any) -> None:
    labloop("ask", "cake.yaml", "--run", "r")
    said = labloop("tell", "r", *arguments)
    assert said.code == 2
    assert word in said.err
    assert labloop("status", "r", "--json").document["trials"]["proposed"] == 1


def test_the_first_result_is_kept_and_the_second_noted(here: Path, labloop: Any) -> None:
    labloop("ask", "cake.yaml", "--run", "r")
    labloop("tell", "r", "1", "height=12")
    again = labloop("tell", "r", "1", "height=13", "--by", "eve")
    assert again.code == 2
    assert "measured already (height = 12.0)" in again.err and "the first result is kept" in again.err
    status = labloop("status", "r", "--json").document
    assert status["best"]["outcomes"]["height"]["value"] == 12.0
    assert [(note["by"], "13" in note["text"]) for note in status["notes"]] == [("eve", True)]


def test_a_bound_is_told_as_chemists_write_it_and_is_never_the_best(here: Path, labloop: Any) -> None:
    labloop("ask", "cake.yaml", "--run", "r", "-n", "3")
    assert labloop("tell", "r", "1", "height=12").code == 0
    assert labloop("tell", "r", "2", "height=> 3 cm").out == "trial 2: measured  height = > 30 mm\n"
    assert labloop("tell", "r", "3", "height=<0.05").code == 0
    trials = labloop("trials", "r", "--json").document["trials"]
    assert trials[1]["outcomes"]["height"] == {"value": 30.0, "unit": "mm", "censored": "above"}
    assert trials[2]["outcomes"]["height"] == {"value": 0.05, "unit": "mm", "censored": "below"}
    assert labloop("status", "r", "--json").document["best"]["trial"] == 1
    rows = list(csv.DictReader(io.StringIO(labloop("trials", "r", "--format", "csv").out)))
    assert [row["height.censored"] for row in rows] == ["", "above", "below"]
    assert "measured > 30 mm" in labloop("why", "r", "2").out
    assert labloop("why", "r", "2", "--json").document["outcomes"]["height"]["surprise_sd"] is None
    again = labloop("tell", "r", "2", "height=31")
    assert "measured already (height = > 30.0)" in again.err


def test_a_table_of_old_data(here: Path, labloop: Any) -> None:
    labloop("ask", "cake.yaml", "--run", "r")
    (here / "old.csv").write_text("sugar,oven,flour,height\n20,160,wheat,11\n30 g,170,rye,2.5 cm\n")
    assert labloop("tell", "r", "--table", "old.csv").code == 0
    trials = labloop("trials", "r", "--json").document["trials"]
    assert [(one["source"], one["outcomes"].get("height", {}).get("value")) for one in trials] == [
        ("sobol", None), ("told", 11.0), ("told", 25.0),
    ]  # fmt: skip
    assert labloop("status", "r", "--json").document["budget_left"]["trials"] == 30, "old data costs no budget"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("sugar,oven,flour,hight\n20,160,wheat,11\n", ["old.csv:1: hight", "Did you mean height"]),
        ("sugar,oven,height\n20,160,11\n", ["flour is missing"]),
        ("sugar,oven,flour,height\n20,160,wheat,11\n95,160,oat,\n", ["row 2: ", "oat"]),
        ("sugar,oven,flour,height\n95,160,rye,11\n", ["95 g is above the high bound of 90 g"]),
        ("trial,height\n1,12\n7,13\n", ["old.csv:3: there is no trial 7"]),
        ("trial,height\n1,12\n1,13\n", ["old.csv:3: trial 1 stands twice"]),
    ],
)
def test_a_bad_table_is_refused_whole(table: str, words: list[str], here: Path, labloop: Any) -> None:
    labloop("ask", "cake.yaml", "--run", "r")
    (here / "old.csv").write_text(table)
    said = labloop("tell", "r", "--table", "old.csv")
    assert said.code == 2
    assert all(word in said.err for word in words), said.err
    assert labloop("status", "r", "--json").document["trials"]["measured"] == 0


def test_a_table_of_results_by_trial(here: Path, labloop: Any) -> None:
    labloop("ask", "cake.yaml", "--run", "r", "-n", "2")
    (here / "new.csv").write_text("trial,height\n2,13\n1,12(1)\n")
    assert labloop("tell", "r", "--table", "new.csv").code == 0
    assert labloop("status", "r", "--json").document["best"]["trial"] == 2


def test_verify_finds_a_damaged_blob(here: Path, labloop: Any) -> None:
    (here / "flours.csv").write_text("name,protein\nwheat,12\nrye,9\n")
    text = (here / "cake.yaml").read_text().replace("[wheat, rye, spelt]", "flours.csv, descriptors: [protein]")
    (here / "cake.yaml").write_text(text)
    labloop("ask", "cake.yaml", "--run", "r")
    assert labloop("status", "r", "--verify", "--json").document["verified"] == {"rows": 2, "blobs": 1, "files": 1}
    said = labloop("status", "r", "--verify").out
    assert "NOT noted outside the run: a campaign that is asked and told has no bench that notes it" in said
    next((here / "r" / "blobs").iterdir()).write_text("name,protein\nwheat,13\nrye,9\n")
    said = labloop("status", "r", "--verify")
    assert said.code == 5 and "damaged" in said.err


def test_requests_without_a_bench(here: Path, labloop: Any) -> None:
    labloop("ask", "cake.yaml", "--run", "r", "-n", "2")
    assert labloop("request", "r", "note", "flour", "was", "damp", "--by", "bob").out == "note: accepted: noted\n"
    assert labloop("request", "r", "veto", "2", "--why", "too sweet").code == 0
    assert labloop("request", "r", "veto", "2").code == 2
    assert labloop("request", "r", "approve", "1").code == 0
    refused = labloop("request", "r", "pause", "--json")
    assert refused.code == 2 and refused.document["accepted"] is False
    assert "no bench" in labloop("request", "r", "refill", "pump", "3 mL").out
    for wrong in (("resume", "--force"), ("pause", "--force", "--why", "w")):
        said = labloop("request", "r", *wrong)
        assert said.code == 2 and "with a reason (--why TEXT)" in said.err
    said = labloop("request", "r", "pawse")
    assert said.code == 2 and "Did you mean pause?" in said.err
    status = labloop("status", "r", "--json").document
    assert status["notes"][0]["text"] == "flour was damp" and status["trials"]["abandoned"] == 1


def test_abort_where_nothing_runs(here: Path, labloop: Any) -> None:
    said = labloop("abort")
    assert said.code == 0 and "No run lives" in said.err and "done by hand" in said.err
    assert "nothing was stopped there" in said.err
    nobody = labloop("abort", "")
    assert nobody.code == 2 and "name of the run is empty" in nobody.err


def test_one_abort_that_fails_hides_no_other(here: Path, labloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from labloop.runner import registry, wishes

    def ask(folder: Path, *_: Any, **__: Any) -> wishes.Reply:
        if folder.name == "a":
            raise PermissionError("a/journal.db.lock")
        return wishes.Reply(accepted=True, message="the bench is safe", safe=True)

    monkeypatch.setattr(registry, "living", lambda: [here / "a", here / "b"])
    monkeypatch.setattr(wishes, "ask", ask)
    said = labloop("abort")
    assert said.code == 3 and "abort FAILED, go to the bench" in said.err and "the bench is safe" in said.out
    for name in ("a", "b"):
        (here / name).mkdir()
        (here / name / "journal.db").touch()
    said = labloop("request", "a", "abort", "--json")
    assert (said.code, said.document["accepted"], said.document["safe"]) == (3, False, False)
    assert "FAILED, go to the bench: PermissionError" in labloop("request", "a", "abort").err


@pytest.mark.parametrize(
    "accepted, safe, code",
    [(True, True, 0), (True, None, 3), (None, None, 3), (True, False, 3), (False, None, 2), (False, True, 2)],
)
def test_an_abort_ends_with_0_where_the_bench_is_known_to_be_safe(
    here: Path, labloop: Any, monkeypatch: pytest.MonkeyPatch, accepted: bool | None, safe: bool | None, code: int
) -> None:
    from labloop.runner import registry, wishes

    (here / "a").mkdir()
    (here / "a" / "journal.db").touch()
    monkeypatch.setattr(registry, "living", lambda: [here / "a"])
    monkeypatch.setattr(wishes, "ask", lambda *_, **__: wishes.Reply(accepted=accepted, message="it is so", safe=safe))
    assert labloop("abort").code == labloop("request", "a", "abort").code == code
    assert labloop("request", "a", "stop").code == (3 if safe is False else 2 if accepted is False else 0)


def test_a_result_reaches_a_living_runner(here: Path, labloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a runner has the journal, what is told goes through its inbox, checked before and answered by it."""
    from labloop.campaign.state import fold
    from labloop.journal import Journal, Presence, inbox
    from labloop.runner.requests import answer

    patient_wishes(monkeypatch)
    labloop("ask", "cake.yaml", "--run", "r", "-n", "2")
    ended = threading.Event()

    def runner() -> None:
        with Presence(here / "r"), Journal.open(here / "r" / "journal.db") as journal:
            begun.set()
            while not ended.wait(0.01):
                for wish in inbox.take(here / "r" / "requests")[0]:
                    inbox.done(here / "r" / "requests", wish.id)
                    fact = e.Requested(id=wish.id, request=wish.request, arguments=wish.arguments, by=wish.by)
                    says = answer(fold(journal.records()), fact, alive=True, t_s=7.0)
                    said = e.RequestAnswered(id=wish.id, accepted=says.accepted, message=says.message)
                    journal.append(fact, *says.facts, said)

    begun = threading.Event()
    thread = threading.Thread(target=runner)
    thread.start()
    begun.wait(300.0)
    try:
        told = labloop("tell", "r", "1", "height=1.23(5) cm", "--by", "bob", "--json")
        assert told.code == 0, told.err
        assert told.document["told"][0]["outcomes"]["height"] == {"value": 12.3, "unit": "mm", "sd": 0.5}
        again = labloop("tell", "r", "1", "height=13")
        assert again.code == 2 and "the first result is kept" in again.err
        assert labloop("tell", "r", "2", "hieght=13").code == 2
        assert labloop("tell", "r", "2", "--failed", "burnt").code == 0
    finally:
        ended.set()
        thread.join()
    trials = labloop("trials", "r", "--json").document["trials"]
    assert [(one["state"], one["by"]) for one in trials] == [("measured", "bob"), ("failed", "ann")]


@pytest.mark.parametrize("arguments", [[], ["{}"], ['{"type":"NoteTaken","text":"x"}'], ["height=3"]])
def test_a_posted_result_that_is_none_is_refused(arguments: list[str]) -> None:
    from labloop.campaign.state import CampaignState
    from labloop.runner.requests import answer

    says = answer(CampaignState(), e.Requested(id="x", request="tell", arguments=arguments), alive=True, t_s=0.0)
    assert not says.accepted and "labloop tell" in says.message and not says.facts


def test_what_is_shown_to_be_typed_next_can_be_typed(labloop):
    said = labloop("ask", "cake.yaml", "--run", "my cake")
    _, _, command = said.err.partition("labloop tell ")
    words = shlex.split(command)
    assert words[0] == "my cake"
    told = labloop("tell", *words[:2], "height=31")
    assert told.code == 0, told.err


def test_many_proposals_are_counted_on_a_terminal(here: Path, labloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labloop.cli.ask.is_watched", lambda: True)
    asked = labloop("ask", "cake.yaml", "--run", "r", "-n", "45", "--json")
    assert [one["trial"] for one in asked.document["proposals"]] == list(range(1, 46))
    assert [line for line in asked.err.splitlines() if "proposed" in line] == [
        f"{done} of 45 proposed" for done in (10, 20, 30, 40)
    ]
    assert "proposed" not in labloop("ask", "cake.yaml", "--run", "r", "-n", "10").err, "nobody waits for ten"


def test_many_proposals_say_nothing_where_nobody_watches(here: Path, labloop: Any) -> None:
    assert "proposed" not in labloop("ask", "cake.yaml", "--run", "r", "-n", "45").err


def test_proposals_cut_short_are_not_lost(here: Path, labloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Planner):
        def request(self, count: int, based_on: int, first: int) -> Any:
            if first > 20:
                raise KeyboardInterrupt
            return super().request(count, based_on, first)

    monkeypatch.setattr(told_module, "PlannerProcess", Interrupted)
    monkeypatch.setattr("labloop.cli.ask._progress", lambda count: lambda done: None)
    asked = labloop("ask", "cake.yaml", "--run", "r", "-n", "45")
    assert asked.code != 0 and "20 proposals from trial 1 on are written down: labloop trials r" in asked.err
    assert len(labloop("trials", "r", "--json").document["trials"]) == 20


def test_a_result_in_parts_and_how_desirable_it_is(here: Path, labloop: Any) -> None:
    goals = "  height: {goal: maximize, unit: mm, desirability: [10, 20], weight: 2}\n" + (
        "  hours: {goal: minimize, unit: h, desirability: {between: [1, 5], exponent: 0.5}}\n"
    )
    text = (here / "cake.yaml").read_text().replace("  height: {goal: maximize, unit: mm}\n", goals)
    (here / "cake.yaml").write_text(text)
    checked = labloop("check", "cake.yaml")
    assert "desirable   height: 0 at 10 and 1 at 20 mm; weight 2" in checked.out
    assert "desirable   hours: 0 at 5 and 1 at 1 h, exponent 0.5; weight 1" in checked.out
    labloop("ask", "cake.yaml", "--run", "r", "-n", "2")
    assert labloop("tell", "r", "1", "height=15").out == "trial 1: awaiting  height = 15 mm; waits for hours\n"
    assert "waits for: trial 1 hours" in labloop("status", "r").out
    assert labloop("status", "r", "--json").document["owed"] == [{"trial": 1, "outcomes": ["hours"]}]
    assert labloop("trials", "r").out.splitlines()[1].endswith("waits for hours")
    refused = labloop("tell", "r", "1", "height=16")
    assert refused.code == 2 and "labloop request RUN wrong 1 height --why TEXT" in refused.err
    assert labloop("tell", "r", "1", "hours=4").out == "trial 1: measured  height = 15 mm, hours = 4 h\n"
    assert "desirability 0.500 (height 0.50, hours 0.50)" in labloop("status", "r").out
    (entry, _) = labloop("trials", "r", "--json").document["trials"]
    assert entry["desirability"] == {"overall": pytest.approx(0.5), "each": {"height": 0.5, "hours": 0.5}}
    assert entry["owed"] == [] and "waits for" not in labloop("status", "r").out
    (row, _) = csv.DictReader(io.StringIO(labloop("trials", "r", "--format", "csv").out))
    assert float(row["desirability"]) == pytest.approx(0.5)
    said = labloop("why", "r", "1").out
    assert "; desirability measured 0.500" in said and "desirability  measured 0.500" in said
