"""What stands at the instruments is noted and compared though a driver fails or hangs; the heart beats meanwhile."""

import asyncio
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from people import People, wish
from reach import Reach
from test_moved_meanwhile import LAB, WARM, come, stopped

from drivers.ika import RCT
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.journal.presence import HUNG_AFTER_S, Presence
from labloop.runner import left_standing
from labloop.runner.left_standing import LeftStanding


def test_the_heart_beats_while_the_end_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the guard takes a run that was just ending for one that hangs."""
    note, beat, beats_s, noting_s = LeftStanding.note, Presence.beat, [], []

    async def slow(self: LeftStanding) -> None:
        noting_s.append(self._now())
        await asyncio.sleep(2.0 * HUNG_AFTER_S)  # lab seconds
        await note(self)
        noting_s.append(self._now())

    def beats(self: Presence, **shown: Any) -> None:
        assert reach.clock is not None
        beats_s.append(reach.clock.now_s())
        beat(self, **shown)

    monkeypatch.setattr(LeftStanding, "note", slow)
    monkeypatch.setattr(Presence, "beat", beats)
    reach = Reach(tmp_path, LAB, WARM, People(tmp_path, (30.0, wish("stop", by="ann"))))
    assert reach.run() == 4 and reach.facts(e.SettingsLeft)
    began_s, ended_s = noting_s
    times = [began_s, *(at_s for at_s in beats_s if began_s < at_s < ended_s), ended_s]
    assert max(b - a for a, b in pairwise(times)) < HUNG_AFTER_S / 2


def mistaken(self: RCT) -> Any:
    raise KeyError("x")


def test_a_drivers_own_mistake_keeps_no_end_from_being_written_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setattr(RCT, "stands", mistaken)
        reach = stopped(tmp_path)
    assert reach.state().state == s.STOPPED and "KeyError: 'x'" in (tmp_path / "run" / "log.jsonl").read_text()
    (noted,) = reach.facts(e.SettingsLeft)
    assert "hotplate" not in noted.stands and "valve" in noted.stands


def test_a_drivers_own_mistake_at_a_start_is_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reach = stopped(tmp_path)
    with monkeypatch.context() as wrong:
        wrong.setattr(RCT, "stands", mistaken)
        come(reach, tmp_path, (100.0, wish("resume", "force", by="bob", why="I looked")))
        assert reach.run() == 0
    (asked,) = reach.facts(e.CampaignPaused)
    assert "hotplate (its driver cannot tell what stands there: KeyError: 'x')" in asked.reason


def test_a_driver_that_never_returns_keeps_no_end_from_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_standing, "ENOUGH_S", 0.0)
    monkeypatch.setattr(left_standing, "BREAKS_OFF_S", 0.0)
    noted: list[Any] = []
    interrupted: list[str] = []
    never = asyncio.Event()

    async def call(name: str, stands: Any) -> Any:
        await never.wait()

    port = SimpleNamespace(lost=False, interrupt=lambda: interrupted.append("port"))
    station = SimpleNamespace(port=port, stranger="", driver=SimpleNamespace(stands=None))
    hand: Any = SimpleNamespace(
        stations={"hotplate": station}, clock=SimpleNamespace(virtual=False, now_s=lambda: 0.0, speed=1.0),
        envelope=SimpleNamespace(declared={}), reach=SimpleNamespace(call=call, unsettled=lambda name: False),
    )  # fmt: skip
    state = SimpleNamespace(left=None, unsafe=[], configured={"hotplate"})
    memory: Any = SimpleNamespace(state=state, record=noted.append)
    asyncio.run(asyncio.wait_for(LeftStanding(hand, memory).note(), 60.0))
    assert interrupted == ["port"] and noted == [e.SettingsLeft(stands={})]
