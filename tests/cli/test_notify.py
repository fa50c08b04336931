"""People outside are told: the verb that tries it, what check and status say, and a run that does not notice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labloop.campaign import events as e
from labloop.journal import Reader
from tests.runner.listening import Listener, listening

from .conftest import Call

NOTIFY = "notify:\n  phone: {env: PHONE, simulated: true}\n  pager: {env: PAGER, about: alarm}\n"


@pytest.fixture
def listener(bench: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    with (bench / "lab.yaml").open("a") as lab:
        lab.write(NOTIFY)
    with listening() as found:
        monkeypatch.setenv("PHONE", found.address)
        monkeypatch.delenv("PAGER", raising=False)
        yield found


def test_each_target_is_tried_and_one_alone(listener: Listener, labloop: Call) -> None:
    said = labloop("notify", "lab.yaml")
    assert said.code == 2 and said.out.splitlines()[0] == "phone: sent"
    assert said.out.splitlines()[1].startswith("pager: NOT sent: the environment variable PAGER is not set")
    assert listener.next()[1].endswith("phone is told about: halted, waiting, alarm, finished.")
    alone = labloop("notify", "lab.yaml", "phone", "--json")
    assert alone.code == 0 and alone.document["targets"] == {"phone": {"sent": True, "why": ""}}


def test_a_name_that_is_none_and_a_lab_without_any(bench: Path, labloop: Call) -> None:
    assert "has no notify:" in labloop("notify", "lab.yaml").err
    (bench / "lab.yaml").write_text((bench / "lab.yaml").read_text() + NOTIFY)
    said = labloop("notify", "lab.yaml", "phon")
    assert said.code == 2 and "Did you mean phone?" in said.err


def test_check_says_what_would_fail_at_night(listener: Listener, labloop: Call) -> None:
    said = labloop("check", "quickstart.yaml")
    assert said.code == 0
    assert "notify.pager would be told nothing: the environment variable PAGER is not set here" in said.err
    assert "notify.phone" not in said.err


def test_a_run_does_not_notice_a_server_that_never_answers(listener: Listener, labloop: Call) -> None:
    listener.answers = [0]
    said = labloop("run", "quickstart.yaml", "--trials", "1", "--speed", "600", "--run", "r")
    assert said.code == 0
    with Reader(Path("r/journal.db")) as reader:
        assert isinstance([record.event for record in reader.records()][-1], e.CampaignFinished)
    assert listener.next()[0] == "SIMULATED silver-nanoparticles: finished"


def test_status_says_who_was_not_told(listener: Listener, labloop: Call) -> None:
    labloop("run", "quickstart.yaml", "--trials", "1", "--virtual", "--run", "r")
    assert labloop("status", "r", "--json").document["notify"] == {}
    Path("r/notify.json").write_text('{"phone": {"sent": 1, "failed": 2, "why": "error=500.", "at": ""}}')
    assert "notify.phone was NOT told: error=500." in labloop("status", "r").out
    assert labloop("status", "r", "--json").document["notify"]["phone"]["failed"] == 2
