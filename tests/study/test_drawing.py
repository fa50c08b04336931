"""Figures from a process of their own, on a real journal."""

import os
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue

import pytest

from labloop.campaign import events as e
from labloop.journal import Journal
from labloop.planner.figure import Figure, NoFigure, Want, pack, read_answer
from labloop.study.drawing import Drawer, latest

CAMPAIGN = """\
labloop: 1
campaign: hill
parameters:
  a: {range: [0, 10]}
outcomes:
  y: {goal: maximize, from: told}
"""


@pytest.fixture
def run(tmp_path):
    """A run whose trials are told one by one; the journal stays open, as a living runner's does."""
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    with Journal.create(tmp_path / "journal.db") as journal:
        journal.append(
            e.CampaignOpened(campaign="hill", run_id="r", version="0", mode="told", seed=1, campaign_sha256="x")
        )
        yield Run(tmp_path, journal)


class Run:
    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder, self.journal, self.trials = folder, journal, 0

    def tell(self, *values: float) -> None:
        for a in values:
            self.trials += 1
            self.journal.append(
                e.ProposalMade(trial=self.trials, sample=f"s{self.trials}", settings={"a": a}, source="told"),
                e.TrialMeasured(trial=self.trials, outcomes={"y": e.Reading(value=-((a - 4.0) ** 2))}),
            )


def wanted(number: int, kind="slices", **more) -> Want:
    return Want(number=number, kind=kind, **more)


def test_a_figure_rests_on_the_facts_of_now(run):
    drawer = Drawer(run.folder, clock=iter(range(100)).__next__)
    nothing = drawer.draw(wanted(1))
    assert isinstance(nothing, NoFigure) and "No trial is measured yet" in nothing.words
    run.tell(1.0, 5.0, 9.0)
    first = drawer.draw(wanted(2))
    assert isinstance(first, Figure) and (first.known, first.through, first.took_s) == (3, 2, 1.0)
    run.tell(4.0)
    second = drawer.draw(wanted(3))
    assert isinstance(second, Figure) and (second.known, second.through) == (4, 4)


def test_facts_that_teach_nothing_make_no_new_model(run):
    drawer = Drawer(run.folder)
    run.tell(1.0, 5.0, 9.0)
    drawer.draw(wanted(1))
    before = drawer._portrait
    run.journal.append(e.NoteTaken(text="lunch", by="ann"))
    drawer.draw(wanted(2, "parity"))
    assert drawer._portrait is before
    run.tell(2.0)
    drawer.draw(wanted(3))
    assert drawer._portrait is not before


def test_a_journal_that_breaks_off_still_has_the_figure_of_what_stands_before(run, monkeypatch):
    run.tell(1.0, 5.0, 9.0)
    drawer = Drawer(run.folder)
    drawer.draw(wanted(1))
    run.journal.close()
    (run.folder / "journal.db").write_bytes(b"not a database at all" * 400)
    figure = drawer.draw(wanted(2))
    assert isinstance(figure, Figure) and figure.known == 3
    assert any("cannot be read on behind fact" in note for note in figure.notes)
    none = Drawer(run.folder).draw(wanted(3))
    assert isinstance(none, NoFigure) and "journal.db" in none.words


def test_a_folder_without_a_run_says_so(tmp_path):
    answer = Drawer(tmp_path).draw(wanted(7))
    assert isinstance(answer, NoFigure) and answer.number == 7 and "there is no journal" in answer.words


def test_of_several_wants_the_last_one_counts():
    inbox = SimpleQueue()
    for number in (1, 2, 3):
        inbox.put(pack(wanted(number)))
    assert latest(inbox).number == 3 and inbox.empty()


def test_the_process_answers_steps_back_and_ends_with_its_reader(run):
    run.tell(1.0, 5.0, 9.0)
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "labloop.study.drawing", str(run.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None
    with child:
        child.stdin.write(pack(wanted(1)))
        answer = read_answer(child.stdout.readline())
        assert isinstance(answer, Figure) and answer.number == 1
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 19
        modules = Path(f"/proc/{child.pid}/maps")
        if modules.exists():
            assert "libtorch" not in modules.read_text()  # only where a campaign asks for BoTorch
        child.stdin.close()
        assert child.wait(timeout=60) == 0
