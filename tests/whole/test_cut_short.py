"""An act that a crash cut short: what is owed is done, as the recipe or a person says, and no more."""

import json
from collections.abc import Iterator

import pytest
from test_kill_anywhere import memory_folder
from test_moved_everywhere import Left

from drivers.new_era import NE1000
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.runner import wishes


class Cleaned(Left):
    """Its pump is used in the cleanup alone; killed in the middle of that, and stopped by the guard a second later."""

    says = ""
    wished = True  # nobody stops it

    def _write(self) -> None:
        super()._write()
        campaign = json.loads((self.folder / "campaign.yaml").read_text())
        pumped, weighed = campaign["trial"]
        campaign |= {"trial": [weighed], "cleanup": [pumped | {"if_interrupted": self.says}]}
        (self.folder / "campaign.yaml").write_text(json.dumps(campaign))


class Least(Cleaned):
    """The same in its trial; on this bench it never moves less than 30 uL."""

    def _write(self) -> None:
        super()._write()
        lab, campaign = (json.loads((self.folder / name).read_text()) for name in ("lab.yaml", "campaign.yaml"))
        lab["limits"] = {"it": {"volume": {"min": "30 uL"}}}
        campaign["trial"] = campaign.pop("cleanup") + campaign["trial"]
        (self.folder / "lab.yaml").write_text(json.dumps(lab))
        (self.folder / "campaign.yaml").write_text(json.dumps(campaign))


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("READ_S", "STANDS_S", "LIST_AFTER_S", "SAFE_S"):
        monkeypatch.setattr(f"labloop.bench.rescue.{name}", 60.0)
    yield


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("says", ["remainder", "ask"])
def test_the_rest_of_it_is_done_and_not_all_of_it_again(monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    monkeypatch.setattr(Cleaned, "says", says)
    with memory_folder() as folder, memory_folder() as other:
        whole, it = Cleaned(other, NE1000), Cleaned(folder, NE1000)
        assert whole.run() == 0
        it.dies(monkeypatch, "in its act")
        it.guard()
        code = it.run()
        if says == "ask":
            (question,) = it.state.questions.values()
            assert code == 6 and "will do the rest now" in question.answers["not-done"]
            assert wishes.ask(it.folder / "run", "resolve", ["1.it", "not-done"], by="ann", why="").accepted
            code = it.run()
        assert code == 0, it.state.reason
        first, rest = it.spans
        assert first.amount > 0.0 and it.steps[1].state == s.FINISHED
        assert first.amount + rest.amount == pytest.approx(whole.spans[0].amount, abs=0.1)


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("says", ["remainder", "ask"])
def test_a_rest_that_is_too_little_to_be_done_is_promised_to_nobody(monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    monkeypatch.setattr(Least, "says", says)
    with memory_folder() as folder:
        it = Least(folder, NE1000)
        it.dies(monkeypatch, "in its act")
        it.pass_time(44.0)  # 45 uL of 60 uL
        it.guard()
        code = it.run()
        if says == "ask":
            (question,) = it.state.questions.values()
            assert code == 6 and "The rest cannot be done: it.dispense: volume = 15 uL is below" in question.question
            assert "in full" in question.answers["not-done"] and "on top of" in question.answers["not-done"]
            assert wishes.ask(it.folder / "run", "resolve", ["1.it", "done", "0.05 mL"], by="ann", why="").accepted
            assert it.steps[0].achieved["volume"].value == 45.0 and it.run() == 0
            assert it.steps[0].state == s.FINISHED and it.steps[0].achieved == {"volume": e.Amount(50.0, "uL")}
            return
        first, second = it.state.trials.values()
        assert code == 0 and first.state == s.ABANDONED and second.state == s.MEASURED, it.state.reason
        assert it.steps[-1].state == s.FINISHED and len(it.steps) == 2, "its settings were tried again"


@pytest.mark.usefixtures("folders")
def test_in_a_cleanup_a_rest_that_is_too_little_is_asked_about_and_not_all_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No sample can be discarded there: all of it again would come on top of what was done."""
    monkeypatch.setattr(Cleaned, "says", "remainder")
    with memory_folder() as folder:
        it = Cleaned(folder, NE1000)
        lab = json.loads((folder / "lab.yaml").read_text())
        (folder / "lab.yaml").write_text(json.dumps(lab | {"limits": {"it": {"volume": {"min": "30 uL"}}}}))
        it.dies(monkeypatch, "in its act")
        it.pass_time(44.0)
        it.guard()
        assert it.run() == 6 and len(it.steps) == 1, it.state.reason
        (question,) = it.state.questions.values()
        assert "The rest cannot be done" in question.question and "on top of" in question.answers["not-done"]
