"""A person's pause: how long it may last, who ends it, and what is looked at before anything goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from reach import Reach

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.journal import inbox

WARM = """
    setup:
      - hotplate.stir: {speed: 300 rpm}
      - hotplate.heat: {temperature: 40 degC}
    trial:
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
      - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
    budget: {trials: 2}
"""
WATCHED = "limits: {hotplate: {plate: {max: 100 degC, stale_after: 5 s}}}\n"


class People:
    """What is asked of a run, each at its time (lab seconds); the bench's devices are theirs as well."""

    def __init__(self, folder: Path, *wishes: tuple[float, Callable[[Path], object]]) -> None:
        self.inbox, self.wishes = folder / "run" / "requests", list(wishes)

    def __call__(self, bench: object, now_s: float) -> None:
        while self.wishes and now_s >= self.wishes[0][0]:
            self.wishes.pop(0)[1](self.inbox)


def wish(request: str, *arguments: str, by: str, why: str = "") -> Callable[[Path], object]:
    return lambda box: inbox.post(box, request, list(arguments), by=by, why=why)


@pytest.mark.parametrize("lab, campaign", [
    ("pause: {hold: 10 min, then: safe}\n", ""),
    ("pause: {hold: 20 min}\n", "    pause: {hold: 10 min}\n"),
    ("", "    pause: {hold: 10 min}\n"),
])  # fmt: skip
def test_a_pause_has_a_limit_and_keeps_what_is_to_be_kept(tmp_path: Path, lab: str, campaign: str) -> None:
    people = People(tmp_path, (30.0, wish("pause", by="ann", why="lunch")))
    reach = Reach(tmp_path, f"keep: [hotplate.stir]\n{WATCHED}{lab}", WARM + campaign, people)
    assert reach.run() == 6
    state = reach.state()
    assert state.state == s.HALTED and state.safe
    assert state.reason == "paused by ann for 10 min (lunch), and nobody said resume"
    (one,) = reach.ledger("pump_a")
    assert one.amount == pytest.approx(300.0, abs=0.1), "what ran when it was paused came to its end"
    assert not reach.ledger("pump_b", "begin")
    rested_s = next(step.ended_t_s for step in state.trials[1].steps)
    assert reach.clock.now_s() == pytest.approx(rested_s + 600.0, abs=5.0)
    plate = reach.bench.devices["hotplate"]
    assert not plate.heats and plate.stirs


def test_whoever_takes_it_up_later_is_whom_it_waits_for(tmp_path: Path) -> None:
    people = People(tmp_path, (30.0, wish("pause", by="ann", why="lunch")))
    reach = Reach(tmp_path, f"{WATCHED}pause: {{hold: 10 min}}\n", WARM, people)
    assert reach.run() == 6
    before = len(reach.records())
    for again in ({}, {"by": "bob"}, {"by": "bob", "force": True}):
        with pytest.raises(SpecError, match=r"ann paused it \(lunch\)|needs a reason"):
            reach.run(again=again)
    assert len(reach.records()) == before, "nothing was written, and nothing moved"
    assert reach.run(again={"by": "ann"}) == 0
    assert reach.facts(e.HoldReleased) == [e.HoldReleased(of="ann", by="ann")]
    assert len(reach.facts(e.InstrumentConfigured)) == 8, "everything was set up again"


def test_somebody_else_takes_it_up_by_force_and_says_why(tmp_path: Path) -> None:
    people = People(tmp_path, (30.0, wish("pause", by="ann", why="lunch")))
    reach = Reach(tmp_path, f"{WATCHED}pause: {{hold: 10 min}}\n", WARM, people)
    assert reach.run() == 6
    assert reach.run(again={"by": "bob", "force": True, "why": "ann is ill"}) == 0
    assert reach.facts(e.HoldReleased) == [e.HoldReleased(of="ann", by="bob", why="ann is ill")]


def test_a_pause_ends_when_its_person_says_so_and_nobody_else(tmp_path: Path) -> None:
    people = People(
        tmp_path, (30.0, wish("pause", by="ann", why="lunch")), (200.0, wish("resume", by="bob")),
        (300.0, wish("resume", by="ann")),
    )  # fmt: skip
    reach = Reach(tmp_path, WATCHED, WARM, people)
    assert reach.run() == 0
    assert [one.accepted for one in reach.facts(e.RequestAnswered)] == [True, False, True]
    begun = [one.at_s for one in reach.ledger("pump_b", "begin")]
    assert begun[0] == pytest.approx(301.0, abs=3.0), "after ann's word"
