"""The calls of an act by hand in a run: in the instrument's turn, and what was told once is written down in it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from labloop.bench import LinkInterrupted, Port, Progress
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.lab_spec import OnLost
from labloop.runner.hands import RunHandAct
from labloop.runner.reach import Reach


class Pump:
    """``order``: what it was told, and what of it was written down, as it came. ``begins``: waits for ``hears``."""

    taken = alarm = ""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.hears = threading.Event()

    def counters(self) -> dict[str, Any]:
        self.order.append("counters")
        return {}

    def begin(self, permit: Any, act: str) -> None:
        self.hears.wait()
        self.order.append("begin")
        self.taken = "it was told to run"

    def read(self) -> None:
        self.order.append("read")

    def progress(self, elapsed_s: float) -> Progress:
        return Progress(done=True)

    def write(self, fact: e.Fact) -> None:
        self.order.append(type(fact).__name__)


@contextmanager
def told(pump: Pump) -> Iterator[tuple[Any, Port]]:
    """Its station, on a port with a thread."""
    link: Any = SimpleNamespace(address="line", resume=lambda: None, interrupt=lambda: None, close=lambda: None)
    port = Port(link)
    expected = SimpleNamespace(
        expected=lambda action, values: SimpleNamespace(duration_s=1.0), most_s=lambda action, values: 2.0
    )
    try:
        yield SimpleNamespace(port=port, driver=pump, begin=pump.begin, actions={}, declaration=expected), port
    finally:
        pump.hears.set()
        port.close()


def reach_to(station: Any) -> Reach:
    memory: Any = SimpleNamespace(state=s.CampaignState(), record=lambda *facts: None)
    clock: Any = SimpleNamespace(speed=1.0, virtual=True)
    return Reach({"pump": station}, memory, clock, asyncio.Event(), OnLost(), lambda name: {})


def act_on(reach: Reach, station: Any, pump: Pump) -> RunHandAct:
    admission: Any = SimpleNamespace(clock=SimpleNamespace(now_s=lambda: 0.0), see=lambda name, readings: None)
    act = e.ByHand(act="run/hand-1", instrument="pump", action="dispense", settings={}, by="ann")
    permit: Any = SimpleNamespace(values={})
    return RunHandAct(
        reach, reach._halt, station, admission, act, permit, write=pump.write, make_safe=lambda why: []
    )  # fmt: skip


def test_that_it_was_taken_is_written_down_before_the_watch_asks_anything() -> None:
    pump = Pump()

    async def acted(station: Any) -> None:
        reach = reach_to(station)
        act = act_on(reach, station, pump)
        with reach.by_hand("pump", act):
            await act.call
            assert act.turn() is None
            await asyncio.sleep(0)
            reading = asyncio.ensure_future(reach.call("pump", pump.read))
            await asyncio.sleep(0)
            pump.hears.set()
            await reading

    with told(pump) as (station, _):
        asyncio.run(acted(station))
    assert pump.order == ["counters", "ByHand", "begin", "ActTaken", "read"]


def test_what_the_watch_is_told_once_is_written_down_for_it_too() -> None:
    pump = Pump()
    pump.hears.set()

    async def acted(station: Any) -> None:
        reach = reach_to(station)
        act = act_on(reach, station, pump)
        with reach.by_hand("pump", act):
            await act.call
            assert act.turn() is None
            await act.call
            pump.alarm = "reset"
            await reach.call("pump", pump.read)
            pump.order.append("the watch is told")
        pump.alarm = "another"
        await reach.call("pump", pump.read)

    with told(pump) as (station, _):
        asyncio.run(acted(station))
    assert pump.order == [
        "counters", "ByHand", "begin", "ActTaken", "read", "AlarmHeard", "the watch is told", "read",
    ]  # fmt: skip


def test_that_a_line_that_came_back_is_asked_is_written_down_first() -> None:
    pump = Pump()
    pump.hears.set()

    async def acted(station: Any) -> None:
        reach = reach_to(station)
        station.port.reopen = lambda: pump.order.append("opened")
        act = act_on(reach, station, pump)
        with reach.by_hand("pump", act):
            await act.call
            assert act.turn() is None
            await act.call
            for _ in range(2):
                await reach._open_again("pump")

    with told(pump) as (station, _):
        asyncio.run(acted(station))
    assert pump.order == ["counters", "ByHand", "begin", "ActTaken", "opened", "InstrumentAsked", "opened"]


def test_nothing_begins_once_the_bench_is_being_made_safe() -> None:
    pump = Pump()

    async def acted(station: Any) -> None:
        reach = reach_to(station)
        act = act_on(reach, station, pump)
        await act.call
        assert act.turn() is None  # it is written down, and goes to its line when the loop comes to it
        reach._halt.set()
        with pytest.raises(LinkInterrupted, match="pump: stopped before the call began"):
            await act.call

    with told(pump) as (station, _):
        asyncio.run(acted(station))
    assert pump.order == ["counters", "ByHand"]
