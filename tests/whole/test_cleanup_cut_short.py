"""An act of a cleanup that a crash cut short: what is owed is done, as the recipe or a person says, and no more."""

import json
from collections.abc import Iterator

import pytest
from test_kill_anywhere import memory_folder
from test_moved_everywhere import Left

from drivers.new_era import NE1000
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
