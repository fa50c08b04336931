"""What was done or moved in a pause, and nobody has said that it is right, is asked though the pause did not last."""

from pathlib import Path
from typing import Any

import pytest
from people import People, hand, wish
from reach import Reach
from test_hands import ACT, PAUSE, RUN, kill, run, run_till_killed
from test_rest import LAB as SHORT
from test_rest import Patient

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.journal import inbox
from labloop.runner.rereading import Rereading
from labloop.runner.rest import Rest

KEYS = hand("pump_a", b"0VOL100\r", b"0RUN\r")
MOVED = "pump_a.infused (stood at 300 uL, stands at 400 uL)"
ENDS = [wish("stop", by="ann"), wish("abort", by="ann"), kill]


def ended(reach: Reach, end: Any) -> Reach:
    if end is kill:
        run_till_killed(reach)
    else:
        assert reach.run() == 4
    reach.meddle = lambda bench, now_s: None
    return reach


@pytest.mark.parametrize("end", ENDS, ids=["stop", "abort", "kill"])
def test_what_the_run_did_by_hand_in_the_pause_in_which_it_ended(tmp_path: Path, end: Any) -> None:
    reach = ended(run(tmp_path, PAUSE, ACT, (250.0, end)), end)
    with pytest.raises(SpecError, match=r"waste.dispense by ann \(volume = 20.*sample of trial 1 .*--as-it-is --why"):
        reach.run(again={"by": "ann"})
    assert reach.run(again={"by": "ann", "as_it_is": True, "why": "only waste"}) == 0
    assert [one.why for one in reach.facts(e.MovedAccepted)] == ["only waste"]
    assert len(reach.facts(e.ByHandSeen)) == 1, "it is known already"


@pytest.mark.parametrize("asked", [(), ((200.0, wish("resume", by="ann")),)], ids=["not asked", "asked"])
@pytest.mark.parametrize("end", ENDS, ids=["stop", "abort", "kill"])
def test_what_was_moved_in_the_pause_in_which_it_ended(tmp_path: Path, asked: Any, end: Any) -> None:
    reach = ended(run(tmp_path, PAUSE, (120.0, KEYS), *asked, (250.0, end)), end)
    for _ in range(2):
        assert reach.run(again={"by": "ann"}) == 6 and MOVED in reach.state().reason
        assert not [one for one in reach.ledger("pump_b", "begin")]
    assert reach.run(again={"by": "ann", "force": True, "why": "it went beside"}) == 0


def test_what_was_moved_in_a_pause_that_had_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reach = Reach(tmp_path, SHORT, RUN, People(tmp_path, PAUSE, (95.0, KEYS)))
    reach.time = lambda opened, state, note: Patient(state.t_s)
    rests, words = Rest.run, iter([[], ["force"]])

    async def run(self: Rest) -> int | None:
        inbox.post(tmp_path / "run" / "requests", "resume", next(words), by="ann", why="it went beside")
        return await rests(self)

    monkeypatch.setattr(Rest, "run", run)
    assert reach.run(virtual=False) == 0
    (asked,) = [one for one in reach.facts(e.SettingsRead) if one.moved]
    assert MOVED.startswith(f"pump_a.infused ({asked.moved['pump_a.infused']}")


def test_what_nobody_moved_is_not_asked(tmp_path: Path) -> None:
    reach = ended(run(tmp_path, PAUSE, (250.0, ENDS[0])), ENDS[0])
    assert reach.run(again={"by": "ann"}) == 0


def test_what_was_refilled_meanwhile_is_not_asked(tmp_path: Path) -> None:
    refill = wish("refill", "pump_a", "10 mL", by="ann")
    reach = ended(run(tmp_path, PAUSE, (120.0, KEYS), (130.0, refill), (250.0, ENDS[0])), ENDS[0])
    assert reach.run(again={"by": "ann"}) == 0


def test_what_the_run_wiped_before_the_last_had_come_to_rest_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An act that the pause forestalled had its counters cleared after they were read."""
    reads = Rereading._read_first

    async def read_first(self: Rereading, name: str) -> None:
        await reads(self, name)
        if name == "pump_a":
            self._memory.record(e.CountersCleared(instrument=name))
            await self._hand.reach.named(name, self._hand.stations[name].driver.clear_counters)

    monkeypatch.setattr(Rereading, "_read_first", read_first)
    reach = ended(run(tmp_path, PAUSE, (250.0, ENDS[0])), ENDS[0])
    monkeypatch.undo()
    assert reach.facts(e.CountersCleared)
    assert reach.run(again={"by": "ann"}) == 0
