"""A driver that does not return from a call: nobody waits for it for ever, and it is named."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labloop.bench import Envelope, LinkInterrupted, LinkTimeout, Port, SafetyError, Standing, Watch
from labloop.bench.lab import Lab
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.lab_spec import OnLost
from labloop.campaign.units import Quantity
from labloop.runner import hand_watch
from labloop.runner import reach as reach_module
from labloop.runner.clock import WallClock
from labloop.runner.reach import InstrumentGone, Reach
from tests.bench.labs import make_lab


@contextmanager
def hung(instruments: tuple[str, ...] = ("pump_a", "pump_b")) -> Iterator[tuple[Any, threading.Event]]:
    """What a Reach is made of, on one line; it is let return at the end."""
    returns, link = threading.Event(), SimpleNamespace(address="line", resume=lambda: None, interrupt=lambda: None)
    link.close = lambda: None
    port = Port(link)  # type: ignore[arg-type]
    driver = SimpleNamespace(alarm="", taken="")
    try:
        yield {name: SimpleNamespace(port=port, driver=driver) for name in instruments}, returns
    finally:
        returns.set()
        port.close()


async def reach_of(stations: Any) -> Reach:
    memory: Any = SimpleNamespace(state=s.CampaignState())
    clock: Any = SimpleNamespace(speed=1.0)
    return Reach(stations, memory, clock, asyncio.Event(), OnLost())


def test_a_run_that_goes_on_gives_its_instrument_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach_module, "HANGS_S", 0.01)

    async def asked(stations: Any, returns: threading.Event) -> list[str]:
        reach = await reach_of(stations)
        gone: list[str] = []
        reach.on_gone = lambda one: gone.append(str(one))
        with pytest.raises(InstrumentGone):
            await reach.call("pump_a", returns.wait)
        return gone

    with hung() as (stations, returns):
        assert asyncio.run(asked(stations, returns)) == ["pump_a: the driver of pump_a does not return from a call"]


def test_a_bench_that_was_made_safe_is_closed_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach_module, "HANGS_SAFE_S", 0.01)

    async def asked(stations: Any, returns: threading.Event) -> None:
        reach = await reach_of(stations)
        running = asyncio.ensure_future(reach.call("pump_a", returns.wait))
        await asyncio.sleep(0)
        reach._halt.set()
        reach.made_safe.set()
        for call in (running, reach.call("pump_b", lambda: "never")):  # the other waits in the same line
            with pytest.raises(LinkInterrupted, match="driver of pump_a does not return"):
                await call

    with hung() as (stations, returns):
        asyncio.run(asked(stations, returns))


def test_what_waited_for_its_turn_while_the_bench_was_made_safe_does_not_begin() -> None:
    order: list[str] = []

    async def made_safe(stations: Any, returns: threading.Event) -> None:
        reach, port = await reach_of(stations), stations["pump_a"].port

        def read() -> None:
            returns.wait()
            raise LinkInterrupted("broken off")

        reading = asyncio.ensure_future(reach.call("pump_a", read))
        await asyncio.sleep(0)
        beginning = asyncio.ensure_future(reach.call("pump_a", order.append, "begin"))
        await asyncio.sleep(0)
        reach._halt.set()
        port.interrupt()
        port.submit(lambda: order.append("stop"))
        returns.set()
        for call in (reading, beginning):
            with pytest.raises(LinkInterrupted):
                await call
        await reach.call("pump_a", order.append, "asked")  # what it came to is asked of a bench that is safe

    with hung() as (stations, returns):
        asyncio.run(made_safe(stations, returns))
    assert order == ["stop", "asked"]


def test_who_shares_its_line_is_asked_again_once_its_call_was_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach_module, "HANGS_S", 0.01)

    async def asked(stations: Any, returns: threading.Event) -> str:
        reach, port = await reach_of(stations), stations["pump_b"].port
        with pytest.raises(InstrumentGone):
            await reach.call("pump_a", returns.wait)
        reach._halt.set()
        with pytest.raises(LinkInterrupted, match="driver of pump_a does not return"):
            await reach.call("pump_b", lambda: "never")
        port.interrupt()
        port.go_on_without(0.0)
        reach.made_safe.set()
        answers = threading.Event()
        asking = asyncio.ensure_future(reach.call("pump_b", lambda: "what it did" if answers.wait() else ""))
        for _ in range(5):
            await asyncio.sleep(0)
        answers.set()
        return await asking

    with hung() as (stations, returns):
        assert asyncio.run(asked(stations, returns)) == "what it did"


def test_a_call_that_failed_is_told_to_its_caller_and_to_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async def asked(stations: Any, returns: threading.Event) -> None:
        reach = await reach_of(stations)

        def fails() -> None:
            returns.wait()
            raise LinkTimeout("silence")

        call = asyncio.ensure_future(reach.call("pump_a", fails))
        await asyncio.sleep(0)
        returns.set()
        with pytest.raises(LinkTimeout):
            await call
        await reach.call("pump_a", int)  # the worker holds the last call until the next one
        gc.collect()

    with hung() as (stations, returns):
        asyncio.run(asked(stations, returns))
    assert caplog.records == []


def test_who_is_on_a_line_is_not_waited_for_for_ever() -> None:
    with hung() as (stations, returns):
        stations["pump_a"].name, stations["pump_a"].identity = "pump_a", None
        lab = Lab(spec=None, instruments={"pump_a": stations["pump_a"]})  # type: ignore[arg-type]
        with pytest.raises(LinkTimeout, match="pump_a: the driver of pump_a does not return"):
            lab._everywhere(["pump_a"], lambda station: returns.wait(), 0.01)
        late = lab.instruments["pump_a"].port
        with pytest.raises(LinkTimeout, match="does not return"):
            late.reopen(0.01)


@pytest.mark.parametrize("hangs", ["the act", "a reading of another"])
def test_the_rules_are_kept_while_somebody_by_hand_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    lab = make_lab(tmp_path, """
        labloop: 1
        instruments:
          oven: {driver: "DRIVER:Box", port: "serial:///dev/a"}
          fan: {driver: "DRIVER:Box", port: "serial:///dev/b"}
        limits: {oven: {temperature: {max: 80 degC, stale_after: 0.3 s}}}
        interlocks: {hot: {when: fan.temperature > 50 degC}}
    """)  # fmt: skip
    monkeypatch.setattr(hand_watch, "LOOK_S", 0.02)
    clock, envelope = WallClock(), Envelope(lab)
    admission: Any = SimpleNamespace(watch=Watch(envelope, Standing(envelope.declared), clock.now_s()))
    with hung(("oven", "fan")) as (stations, returns):
        for one in stations.values():
            one.driver.read, one.declaration = returns.wait, SimpleNamespace(silence_s=0.0)
        bench: Any = SimpleNamespace(instruments=stations)
        watch = hand_watch.HandWatch(bench, admission, clock, "oven")
        bell = threading.Timer(60.0, returns.set)  # whoever waits for ever fails, and does not hang
        bell.start()
        with pytest.raises(SafetyError, match="no fresh reading of temperature"):
            watch.returned(stations["oven"].port.submit(returns.wait)) if hangs == "the act" else watch.read_all()
        bell.cancel()


def test_others_are_read_while_somebody_by_hand_waits_for_a_call_that_takes_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An actor that works while it is called answers after a minute: the others were not asked until then, and its act
    was broken off for readings that had grown stale."""
    lab = make_lab(tmp_path, """
        labloop: 1
        instruments:
          oven: {driver: "DRIVER:Box", port: "serial:///dev/a"}
          fan: {driver: "DRIVER:Box", port: "serial:///dev/b"}
        limits: {fan: {temperature: {max: 80 degC, stale_after: 0.5 s}}}
    """)  # fmt: skip
    monkeypatch.setattr(hand_watch, "LOOK_S", 0.02)
    clock, envelope = WallClock(), Envelope(lab)
    watched = Watch(envelope, Standing(envelope.declared), clock.now_s())
    admission: Any = SimpleNamespace(watch=watched, see=lambda name, said: watched.see(name, said, clock.now_s()))
    with hung(("oven",)) as (ovens, returns), hung(("fan",)) as (fans, _):
        stations = ovens | fans
        for one in stations.values():
            one.driver.read = lambda: {"temperature": e.Reading(value=20.0, unit="degC")}
            one.declaration = SimpleNamespace(silence_s=0.0)
        bench: Any = SimpleNamespace(instruments=stations)
        watch = hand_watch.HandWatch(bench, admission, clock, "oven")
        threading.Timer(1.5, returns.set).start()
        assert watch.returned(stations["oven"].port.submit(returns.wait)).result()
        assert watched.sight(clock.now_s()) == {"fan.temperature": Quantity(20.0, "degC")}
