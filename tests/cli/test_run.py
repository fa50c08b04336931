"""run and resume: the whole path on a virtual bench, and what the line view and the exit code make of it."""

import io
import json
import shutil
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.cli.lines import LineView
from labloop.journal import Journal, Presence, Reader
from labloop.runner import registry

HOUSE = Path(__file__).parents[2]
QUICKSTART = HOUSE / "campaigns" / "quickstart.yaml"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A virtual run of two trials, and the events that --json printed."""
    from labloop.cli.app import app

    folder = tmp_path_factory.mktemp("done") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder.parent / "state"))
        said = CliRunner().invoke(
            app,
            ["run", str(QUICKSTART), "--virtual", "--trials", "2", "--run", str(folder), "--json", "--why", "to see"],
        )
    assert said.exit_code == 0, said.stderr
    return folder, [json.loads(line) for line in said.stdout.splitlines()]


@pytest.fixture
def run(done: tuple[Path, list[dict[str, Any]]], here: Path) -> Path:
    """A copy of that run, to go on with."""
    shutil.copytree(done[0], here / "run")
    return here / "run"


def test_json_is_every_fact_in_order(done: tuple[Path, list[dict[str, Any]]]) -> None:
    _, events = done
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["type"] for event in events]
    assert kinds[0] == "CampaignOpened" and kinds[-1] == "CampaignFinished"
    assert events[0]["mode"] == "virtual" and events[0]["at"].endswith("+00:00")
    for needed in ("ProposalMade", "TrialStarted", "StepStarted", "StepFinished", "TrialMeasured", "NoteTaken"):
        assert needed in kinds
    assert kinds.count("TrialMeasured") == 2


def test_resume_goes_on_and_says_how_it_went(run: Path, labloop: Any) -> None:
    said = labloop("resume", "run", "--trials", "+1", "-v", "--by", "ann", "--why", "more")
    assert said.code == 0
    lines = said.out.splitlines()
    ends = [line for line in lines if line.startswith("SIMULATED")]
    assert len(ends) == 1
    assert "trial   3" in ends[0] and "spectrum_loss = 0." in ends[0] and "best 0." in ends[0] and "q_tot=" in ends[0]
    assert ends[0].endswith("sobol")
    assert any("trial 3 pump_agno3.dispense  rate = " in line for line in lines), "steps with -v"
    assert any(line.startswith("best: trial ") for line in lines)
    assert "journal: run/journal.db" in lines
    assert "    labloop resume run --trials +20" in lines
    assert "finished: the budget of 3 trials is measured (exit 0, done)" in said.err
    status = labloop("status", "run", "--json").document
    assert status["trials"]["measured"] == 3 and status["state"] == "finished" and status["exit_code"] == 0
    assert status["simulated"] is True


def test_the_bench_notes_how_far_the_journal_came_and_notices_a_shorter_one(
    run: Path, here: Path, labloop: Any
) -> None:
    shutil.copy(run / "journal.db", here / "older.db")
    assert labloop("resume", "run", "--trials", "+1").code == 0
    with Reader(run / "journal.db") as journal:
        rows = journal.last_seq
    with Reader(run / "bench.db") as bench:
        notes = [one.event.seq for one in bench.records() if isinstance(one.event, e.JournalNoted)]
    assert len(notes) == 4 and notes == sorted(notes) and notes[-1] == rows, "when it begins and when it ends, twice"
    noted = labloop("status", "run", "--verify", "--json").document["noted"]
    assert (noted["rows"], noted["later"], noted["why"]) == (rows, 0, "")
    assert labloop("request", "run", "note", "all", "clean").code == 0
    assert f"\nnoted: rows 1 to {rows}, at 2000-01-0" in (said := labloop("status", "run", "--verify").out)
    assert said.endswith("/bench.db; 3 came after\n")
    (run / "journal.db").write_bytes((here / "older.db").read_bytes())
    said = labloop("status", "run", "--verify")
    assert said.code == 5 and "run/journal.db: ends at row " in said.err and f"noted its row {notes[3]}" in said.err
    before = (run / "bench.db").read_bytes()
    said = labloop("resume", "run", "--trials", "+1")
    assert said.code == 5 and "an older copy was put in its place" in said.err
    assert (run / "bench.db").read_bytes() == before, "nobody took the bench"


def test_run_on_the_same_folder_resumes(run: Path, labloop: Any) -> None:
    said = labloop("run", QUICKSTART, "--virtual", "--run", "run")
    assert said.code == 0
    assert "SIMULATED" not in said.out, "its budget is measured already"


def test_run_on_another_campaigns_folder_is_refused(run: Path, here: Path, labloop: Any) -> None:
    text = QUICKSTART.read_text().replace("lab: lab.yaml", f"lab: {QUICKSTART.parent}/lab.yaml")
    text = text.replace("target_spectrum.csv", f"{QUICKSTART.parent}/target_spectrum.csv")
    (here / "other.yaml").write_text(text)
    said = labloop("run", "other.yaml", "--virtual", "--run", "run")
    assert said.code == 2 and "another campaign" in said.err


def test_trials_say_what_was_achieved(run: Path, labloop: Any) -> None:
    first = labloop("trials", "run", "--json").document["trials"][0]
    assert first["role"] == "candidate" and first["state"] == "measured" and first["sample"] == "S1"
    assert first["achieved"]["pump_agno3.dispense"]["volume"]["unit"] == "uL"
    steps = {f"{step['instrument']}.{step['action']}": step["state"] for step in first["steps"]}
    assert steps["spectrometer.measure"] == "finished" and steps["spectrometer.rinse"] == "finished"


def test_status_says_whether_a_runner_lives(run: Path, labloop: Any) -> None:
    with Presence(run):
        registry.enter(run)
        assert labloop("status", "run", "--json").document["runner"] == "alive"
        assert registry.living() == [run.resolve()]
    assert labloop("status", "run", "--json").document["runner"] == "gone"
    assert registry.living() == []


def test_an_interlock_that_holds_a_run_is_told_wherever_it_is_looked_at(run: Path, labloop: Any, capsys: Any) -> None:
    tripped = e.WatchTripped(rule="interlocks.door", then="hold", reason="box.door == open")
    show = LineView(Path("run"))
    with Journal.open(run / "journal.db") as journal:
        *_, record = journal.append(e.RunStarted(resumed=True), tripped)
        show(record, s.CampaignState())
        assert "interlocks.door holds the run, no new step starts: box.door == open" in capsys.readouterr().err
        said = labloop("status", "run", "--since", "1 h").out
        assert "\nheld by interlocks.door: box.door == open\n" in said
        assert "interlocks.door holds the run: box.door == open" in said
        held = labloop("status", "run", "--json").document["interlocks"]
        assert held == [{"rule": "interlocks.door", "reason": "box.door == open", "over": False}]
        (over,) = journal.append(e.WatchCleared(rule="interlocks.door"))
        show(over, s.CampaignState())
        assert "interlocks.door is over; steps wait for: labloop request run resume" in capsys.readouterr().err
        assert "over; steps begin again after labloop request run resume" in labloop("status", "run").out
        journal.append(e.WatchCleared(rule="interlocks.door", released=True, by="ann"))
        assert "interlocks" not in labloop("status", "run").out


def test_an_abort_is_not_broken_off_and_says_whether_the_bench_is_safe(
    run: Path, labloop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labloop.runner import wishes

    ending = [getattr(signal, name) for name in ("SIGHUP", "SIGTERM") if hasattr(signal, name)]
    seen = []

    def ask(*_: Any, **__: Any) -> Any:
        seen.append([signal.getsignal(number) for number in ending])
        return wishes.Reply(accepted=True, message="the bench is NOT safe", safe=False)

    before = [signal.getsignal(number) for number in ending]
    assert "safe" not in labloop("request", "run", "pause", "--json").document
    monkeypatch.setattr(wishes, "ask", ask)
    said = labloop("request", "run", "abort", "--json")
    assert said.code == 3 and said.document["safe"] is False
    assert labloop("abort", "run").code == 3
    labloop("request", "run", "pause")
    assert seen == [[signal.SIG_IGN] * len(ending)] * 2 + [before], "only an abort is for nobody to end"
    assert [signal.getsignal(number) for number in ending] == before


def test_a_refill_reaches_the_simulated_bench(run: Path, labloop: Any) -> None:
    assert "did you mean 'pump_pva'?" in labloop("request", "run", "refill", "pump_pvb", "9 mL").out
    assert "write it in mL" in labloop("request", "run", "refill", "pump_pva", "9 g").out
    assert "'-3 mL' is no amount" in labloop("request", "run", "refill", "pump_pva", "-3 mL", "--by", "bob").out
    said = labloop("request", "run", "refill", "pump_pva", "9 mL", "--by", "bob")
    assert (said.code, said.out) == (0, "refill: accepted: pump_pva holds 9 mL now\n")
    with Journal.open(run / "bench.db") as bench:
        fact = list(bench.records())[-1].event
    assert isinstance(fact, e.StockSet) and fact.wish
    assert fact == e.StockSet(name="pump_pva", amount=e.Amount(9.0, "mL"), by="bob", wish=fact.wish)
    told = [json.loads(path.read_text()) for path in (run / "simulators" / "by-hand").glob("*.json")]
    assert told == [{"instrument": "pump_pva", "holds_ul": 9000.0}]


def test_a_refill_that_the_bench_cannot_take_down_is_not_accepted(run: Path, labloop: Any) -> None:
    with Reader(run / "journal.db") as journal:
        before = list(journal.records())
    with Journal.open(run / "bench.db"):
        said = labloop("request", "run", "refill", "pump_pva", "9 mL")
    assert said.code == 5 and "accepted" not in said.out and "has a controller already" in said.err
    with Reader(run / "journal.db") as journal:
        assert list(journal.records()) == before


def test_an_amount_that_is_none_is_refused_and_the_run_goes_on_with_one_that_is(run: Path, labloop: Any) -> None:
    """The run has ended, and its teardown has a step in doubt: a person says how much it did."""
    settings = {"rate": e.Amount(300.0, "uL/min"), "volume": e.Amount(20.0, "uL")}
    begun = e.StepStarted(
        step="each_batch-9.each_batch.0.0.1", phase="each_batch", number=9, stage=0, index=0, instrument="pump_pva",
        action="dispense", act=True, settings=settings,
    )  # fmt: skip
    with Journal.open(run / "journal.db") as journal:
        journal.append(begun, e.StepInDoubt(step=begun.step, question="was it?"))
    for amount, why in (("0.14", "with its unit"), ("5 K", "write it in uL"), ("-- -5 mL", "not negative")):
        said = labloop("request", "run", "resolve", "each_batch.pump_pva", "done", *amount.split())
        assert said.code != 0 and why in said.out
    said = labloop("request", "run", "resolve", "each_batch.pump_pva", "done", "0.014 mL")
    assert said.out == "resolve: accepted: each_batch.pump_pva: done\n"
    assert labloop("resume", "run", "--trials", "+1").code == 0
    with Reader(run / "bench.db") as bench:
        drawn = [one.event for one in bench.records() if isinstance(one.event, e.StockDrawn)]
    assert [one.amount for one in drawn if one.act.endswith(begun.step)] == [e.Amount(pytest.approx(0.014), "mL")]


def test_a_wish_goes_to_the_inbox_of_a_living_runner(run: Path, labloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from labloop.runner import wishes

    monkeypatch.setattr(wishes, "ANSWER_WITHIN_S", 0.0)
    with Presence(run):
        reply = wishes.ask(run, "pause", [], by="ann", why="lunch", wait_s=0.0)
    assert reply.accepted is None and "has not answered" in reply.message
    posted = [json.loads(path.read_text()) for path in (run / "requests").glob("*.json")]
    assert [(one["request"], one["by"], one["why"]) for one in posted] == [("pause", "ann", "lunch")]


@pytest.mark.parametrize(
    ("request_", "journaled", "accepted"), [("note", False, True), ("pause", False, False), ("pause", True, None)]
)
def test_a_wish_that_an_ending_runner_did_not_take_does_not_wait_for_the_next_start(
    run: Path, request_: str, journaled: bool, accepted: bool | None
) -> None:
    """What it has journaled is answered by the next one."""
    from labloop.runner import wishes

    presence = Presence(run)
    presence.__enter__()

    def ends(seconds: float) -> None:
        if journaled:
            (posted,) = (run / "requests").glob("*.json")
            with Journal.open(run / "journal.db") as journal:
                journal.append(e.Requested(id=posted.stem, request=request_, arguments=[], by="ann"))
        presence.__exit__(None, None, None)

    reply = wishes.ask(run, request_, ["lamp"] if request_ == "note" else [], by="ann", why="", sleep=ends)
    assert reply.accepted is accepted, reply
    assert bool(list((run / "requests").glob("*.json"))) == journaled


@pytest.mark.parametrize("lives", [False, True])
def test_a_wish_that_is_too_long_for_the_inbox_is_refused_and_an_abort_is_not(run: Path, lives: bool) -> None:
    """Whoever reads the inbox puts it aside, and nobody would answer it."""
    from labloop.journal import inbox
    from labloop.runner import wishes

    long = "x" * inbox.LIMIT
    with Presence(run) if lives else nullcontext():
        with pytest.raises(SpecError, match=r"note: is 65\d\d\d bytes long, and a wish has 65536 at the most"):
            wishes.ask(run, "note", [long], by="ann", why="", wait_s=0.0)
        wishes.ask(run, "abort", [], by="ann", why=long, wait_s=0.0)
    if lives:
        ((abort,), refused) = inbox.take(run / "requests")
        assert abort.request == "abort" and not refused


@pytest.mark.parametrize("lives", [False, True])
def test_a_wish_that_is_taken_back_while_the_next_runner_has_read_it_is_granted_once(
    run: Path, lives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labloop.journal import inbox
    from labloop.runner import wishes

    take_back, look = inbox.take_back, wishes.look
    ending, starting = Presence(run), list[Presence]()
    read: list[inbox.Posted] = []

    def reads(folder: Path, id: str) -> bool:
        read.extend(inbox.take(folder)[0])
        return take_back(folder, id)

    def grants(folder: Path) -> str:
        if read:
            wish = read.pop()
            with Journal.open(run / "journal.db") as journal:
                journal.append(
                    e.Requested(id=wish.id, request="note", arguments=["lamp"], by="ann"),
                    e.NoteTaken(text="lamp", by="ann"), e.RequestAnswered(id=wish.id, accepted=True, message="noted"),
                )  # fmt: skip
            if lives:
                starting.append(Presence(run))
                starting[0].__enter__()
        return look(folder)

    monkeypatch.setattr(inbox, "take_back", reads)
    monkeypatch.setattr(wishes, "look", grants)
    ending.__enter__()
    reply = wishes.ask(
        run, "note", ["lamp"], by="ann", why="", wait_s=0.2, sleep=lambda _: ending.__exit__(None, None, None)
    )
    assert (reply.accepted, reply.message) == (True, "noted")
    for one in starting:
        one.__exit__(None, None, None)
    with Reader(run / "journal.db") as reader:
        notes = [one.event for one in reader.records() if isinstance(one.event, e.NoteTaken)]
    assert sum(one.text == "lamp" for one in notes) == 1


def test_an_answer_from_the_runner_is_waited_for(run: Path) -> None:
    from labloop.journal import inbox
    from labloop.runner import wishes

    with Presence(run), Journal.open(run / "journal.db") as journal:

        def answer(_: float) -> None:
            for wish in inbox.take(run / "requests")[0]:
                inbox.done(run / "requests", wish.id)
                journal.append(
                    e.Requested(id=wish.id, request=wish.request),
                    e.RequestAnswered(id=wish.id, accepted=True, message="it rests"),
                )

        reply = wishes.ask(run, "pause", [], by="", why="", wait_s=300.0, sleep=answer)
    assert reply == wishes.Reply(accepted=True, message="it rests")


def test_the_default_folder_counts_up(here: Path, labloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from labloop.runner import session

    begun: list[Any] = []
    monkeypatch.setattr(session, "begin", lambda order, view, **_: begun.append(order) or 0)
    monkeypatch.setattr("labloop.cli.lines.LineView.end", lambda self, code: code)
    for _ in range(2):
        assert labloop("run", QUICKSTART, "--virtual", "--seed", "3").code == 0
        begun[-1].run.mkdir(parents=True)
    assert [str(order.run) for order in begun] == ["runs/silver-nanoparticles-1", "runs/silver-nanoparticles-2"]
    assert begun[0].virtual and begun[0].seed == 3 and not begun[0].live


@pytest.mark.parametrize("code", [1, 3, 4, 6, 130])
def test_the_exit_code_is_the_runs(code: int, here: Path, labloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from labloop.runner import session

    monkeypatch.setattr(session, "begin", lambda order, view, **_: code)
    assert labloop("run", QUICKSTART, "--virtual").code == code


def test_a_bench_that_was_not_made_safe_is_not_called_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view = LineView(here)
    for errors in ([], ["hotplate.stop: no answer"]):
        fact = e.SafeStateReached(why="abort by ann", errors=errors)
        view(e.Record(seq=1, at="2026-01-01T00:00:00+00:00", event=fact), s.CampaignState())
    safe, *unsafe = capsys.readouterr().err.splitlines()
    assert safe == "the bench is safe (abort by ann)"
    assert unsafe == ["LOOK AT THE BENCH: not all of it was made safe (abort by ann)", "    hotplate.stop: no answer"]


def test_a_best_that_breaks_its_limit_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "cake.yaml").write_text((here / "cake.yaml").read_text().replace("unit: mm", "unit: mm, limit: <= 10"))
    view = LineView(here, here / "cake.yaml")

    def tell(trial: int, height: float) -> list[str]:
        proposal = e.ProposalMade(trial=trial, sample="", settings={"sugar": 20.0}, source="human")
        told = e.TrialMeasured(trial=trial, outcomes={"height": e.Reading(value=height, unit="mm")}, by="ann")
        for fact in (proposal, told):
            record = e.Record(seq=view.state.seq + 1, at="2026-01-01T00:00:00+00:00", event=fact)
            view(record, s.fold([record], view.state))
        view.end(0)
        return capsys.readouterr().out.splitlines()

    line, best, *_ = tell(1, 12.0)
    assert "best 12 (trial 1, breaks a limit)  sugar=20" in line and best.endswith("height = 12 mm; breaks a limit")
    line, best, *_ = tell(2, 9.0)
    assert "best 9 (trial 2)  sugar=20" in line and best.endswith("height = 9 mm")


def test_the_last_exchanges_are_shown_byte_by_byte() -> None:
    from typer.testing import CliRunner

    from labloop.cli.app import app

    said = CliRunner().invoke(app, ["instruments", "campaigns/lab.yaml", "hotplate", "--hex"])
    assert said.exit_code == 0
    assert "sent     49 4e 5f 4e 41 4d 45 20 0d 0a  |IN_NAME ..|" in said.stdout
    assert "received 52 43 54" in said.stdout and "30 56 45 52" not in said.stdout, "the pumps were not asked"


def test_a_run_outlives_whoever_reads_its_lines(tmp_path: Path) -> None:
    import subprocess
    import sys

    runner = subprocess.Popen(
        [sys.executable, "-m", "labloop", "run", "campaigns/quickstart.yaml", "--virtual", "--trials", "3", "--run",
         str(tmp_path / "r"), "--no-dashboard"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert runner.stdout is not None and runner.stderr is not None
    assert "trial   1" in runner.stdout.readline()
    runner.stdout.close()
    said = runner.stderr.read()
    assert runner.wait(timeout=300) == 0 and "itself failed" not in said
    with Reader(tmp_path / "r" / "journal.db") as reader:
        assert s.fold(reader.records()).state == s.FINISHED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that takes nothing is there on Linux")
@pytest.mark.parametrize("json", [False, True])
def test_a_run_outlives_a_full_disk_behind_its_lines(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], json: bool
) -> None:
    from labloop.planner.inline import InlinePlanner
    from labloop.runner import session
    from labloop.runner.parts import Parts

    view = LineView(run, json=json)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        parts = Parts(planner=lambda spec, path: InlinePlanner(spec, path))
        assert view.end(session.resume(run, 1, view, parts=parts)) == 0
    assert capsys.readouterr().err.count("the output: No space left on device. What could not be written there is") == 1
    with Reader(run / "journal.db") as reader:
        assert s.fold(reader.records()).measured == 3


def test_a_folder_with_a_space_is_quoted_where_it_is_to_be_typed(run: Path, here: Path, labloop: Any) -> None:
    run.rename(here / "my run")
    said = labloop("resume", "my run", "--trials", "+1")
    assert said.code == 0 and "    labloop resume 'my run' --trials +20" in said.out.splitlines()


@pytest.mark.parametrize("elsewhere", ["stdin", "stdout", "stderr"])
def test_no_dashboard_opens_where_it_would_be_drawn_into_a_file(
    elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labloop.cli.run import _wants_dashboard

    class Stream(io.StringIO):
        def __init__(self, terminal: bool) -> None:
            super().__init__()
            self._terminal = terminal

        def isatty(self) -> bool:
            return self._terminal

    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(f"sys.{name}", Stream(True))
    assert _wants_dashboard(None, False)
    monkeypatch.setattr(f"sys.{elsewhere}", Stream(False))
    assert not _wants_dashboard(None, False)
    with pytest.raises(SpecError, match="needs a terminal"):
        _wants_dashboard(True, False)
