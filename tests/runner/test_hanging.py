"""A driver that does not return from a call: nobody waits for it for ever, and it is named."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from labloop.bench import LinkInterrupted, Port
from labloop.campaign import state as s
from labloop.campaign.lab_spec import OnLost
from labloop.runner import reach as reach_module
from labloop.runner.reach import InstrumentGone, Reach


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
