"""A sample ages from when its act can have ended at the earliest, where nobody saw it end."""

import json
from collections.abc import Callable, Iterator

import pytest
from solo import Solo
from test_kill_anywhere import memory_folder
from test_moved_meanwhile import Kill

from drivers.grbl import Stage
from drivers.new_era import NE1000
from labloop.bench import Driver
from labloop.campaign import state as s
from labloop.runner.loop import Loop


class Waited(Solo):
    """What its instrument made may wait for 20 s until it is weighed; a lost line is waited for all day."""

    def _write(self) -> None:
        super()._write()
        for name, change in (
            ("lab.yaml", lambda lab: lab.update(on_lost={"retry_for": "1 d"})),
            ("campaign.yaml", lambda campaign: campaign["trial"][1].update(start_within="20 s")),
        ):
            text = json.loads((self.folder / name).read_text())
            change(text)
            (self.folder / name).write_text(json.dumps(text))

    def begun_s(self) -> float:
        return self.steps[0].begun.t_s


def away(it: Solo) -> None:
    it.line._silent_until_s = it.clock.now_s() + 1800.0


@pytest.fixture
def place() -> Iterator[Callable[..., Waited]]:
    with memory_folder() as folder:
        yield lambda driver, **what: Waited(folder, driver, **what)


@pytest.mark.parametrize(("driver", "lasts_s"), [(NE1000, 60.0), (Stage, 0.0)])
def test_what_ended_while_its_line_was_away_ended_then(
    place: Callable[..., Waited], driver: type[Driver], lasts_s: float
) -> None:
    it = place(driver, at=40, befalls=away)
    assert it.run() == 0
    assert it.spans and it.steps[0].state == s.FINISHED, "its act was under way when the line went"
    assert lasts_s <= it.steps[0].ended_t_s - it.begun_s() <= max(lasts_s, 12.0)
    first, *_ = it.state.trials.values()
    assert first.state == s.ABANDONED and "start_within is 20 s" in first.reason
    assert it.state.measured == 1, "its settings were tried again"


@pytest.mark.parametrize(("driver", "gone_s", "measured"), [(NE1000, 70.0, True), (Stage, 30.0, False)])
def test_what_ended_while_its_runner_was_dead_ended_no_later_than_it_can_have(
    place: Callable[..., Waited], monkeypatch: pytest.MonkeyPatch, driver: type[Driver], gone_s: float, measured: bool
) -> None:
    """How long a pump takes is known, how long a move takes only at worst: where it came from nobody asked."""

    def killed(*_: object) -> None:
        raise Kill

    it = place(driver)
    with monkeypatch.context() as dying:
        dying.setattr(driver, "progress", killed)
        dying.setattr(Loop, "_make_safe", killed)
        with pytest.raises(Kill):
            it.run()
    it.pass_time(gone_s)
    assert it.run() == 0
    assert it.steps[0].state == s.FINISHED and it.steps[0].by == "instrument"
    first, *_ = it.state.trials.values()
    assert first.state == (s.MEASURED if measured else s.ABANDONED), first.reason
