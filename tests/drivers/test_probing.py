"""Who is on a port? Each known driver asks in its own way, and only the right one is answered."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from labloop.bench import BenchError, Driver
from labloop.runner.probing import Heard, known, probe
from tests.drivers.rigs import Rig
from tests.drivers.stand import stand_of
from tests.drivers.test_house_rules import DRIVERS

Serve = Callable[..., Any]
SERIAL = [driver for driver in DRIVERS if stand_of(driver).port.startswith("serial:")]
# What is left of a question that was not understood: an error that waits to be asked for, a line without its end.
LEFT = {"wrong", "errors", "event", "typed"}
PLATE = "serial:///dev/plate?baud=9600&bytesize=7&parity=E"


def test_every_serial_driver_that_is_shipped_is_known_once() -> None:
    names = [one.driver for one in known()]
    assert len(names) == len(set(names)) >= 12
    assert {f"{driver.__module__}:{driver.__name__}" for driver in SERIAL} == set(names)
    assert "drivers.spectrometer:Spectrometer" not in names, "it has no serial port"


def test_only_the_right_driver_is_answered(serve_plan: Serve) -> None:
    """Asked at once over each transport: most of the time goes into waiting for who does not answer."""
    plan = {"instruments": {"plate": {"simulator": "simulators.ika:RCT", "port": PLATE, "options": {}}}}
    places = {
        transport: serve_plan(plan, transport=transport).ports["plate"].partition("?")[0]
        for transport in ("pty", "tcp", "rfc2217")
    }
    others = {transport: ["drivers.new_era:NE1000"] for transport in places}
    others["pty"].append("drivers.alicat:MC")

    def ask(transport: str) -> dict[str, Heard]:
        some = [one for one in known() if one.driver in ("drivers.ika:RCT", *others[transport])]
        return {one.driver: one for one in probe(places[transport], some)}

    with ThreadPoolExecutor(len(places)) as pool:
        answers = dict(zip(places, pool.map(ask, places), strict=True))
    for transport, heard in answers.items():
        assert heard.keys() == {"drivers.ika:RCT", *others[transport]}
        assert heard["drivers.ika:RCT"].model.startswith("RCT")
        settings = "" if transport == "tcp" else "?baud=9600&bytesize=7&parity=E"
        assert heard["drivers.ika:RCT"].address == f"{places[transport]}{settings}"
        for other in others[transport]:
            assert not heard[other].model and heard[other].error


def test_a_grbl_is_found_under_whatever_name_and_tells_it(serve_plan: Serve) -> None:
    stage = {"simulator": "simulators.grbl:Grbl", "port": "serial:///dev/x?baud=115200", "options": {"name": "Mill 3"}}
    place = serve_plan({"instruments": {"stage": stage}}, transport="tcp").ports["stage"].partition("?")[0]
    some = [one for one in known() if one.driver in ("drivers.grbl:Stage", "drivers.spin_coater:SpinCoater")]
    assert [(one.model, one.serial, one.error) for one in probe(place, some)] == [("Grbl 1.1", "MILL3", "")] * 2


def test_a_port_that_does_not_open_says_so_for_each() -> None:
    (heard,) = probe("serial:///dev/there-is-no-such-port", known()[:1])
    assert not heard.model and "there-is-no-such-port" in heard.error


@pytest.mark.parametrize("there", SERIAL, ids=lambda driver: driver.__name__)
def test_no_driver_asks_who_is_there_in_words_that_are_an_order_to_another_instrument(there: type[Driver]) -> None:
    for driver in SERIAL:
        stand = stand_of(driver)
        it, alone = Rig(there), Rig(there)
        stranger = driver(it.port.exchange("it", stand.port), **stand.options)
        for _ in range(2):
            with suppress(BenchError):
                found = stranger.open()
                assert driver is there, f"{driver.__name__} takes it for {found.model}"
        for one in (it, alone):
            one.clock.advance_to(100.0)
            one.bench.settle(100.0)
        now, before = it.device.state(), alone.device.state()
        changed = {key for key in now if now[key] != before[key]} - stand_of(there).hearing - LEFT
        assert not changed and it.ledger == alone.ledger, (driver.__name__, changed)
