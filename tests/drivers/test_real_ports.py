"""Every driver on its simulator over real ports: ptys, and RFC 2217, where data bits and parity are real."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from labloop.bench import BenchError, LinkError, Port, ProtocolError, open_link
from tests.drivers.stand import Stand, stand_of
from tests.drivers.test_house_rules import DRIVERS
from tests.patience import patient_port

Serve = Callable[..., Any]
SERIAL = [driver for driver in DRIVERS if stand_of(driver).port.startswith("serial:")]


def port_of(driver: type[Any]) -> str:
    """The stand's port, by a name that no other driver's has."""
    port = urlsplit(stand_of(driver).port)
    return urlunsplit(port._replace(path=f"/dev/{driver.__name__}")) if port.scheme == "serial" else port.geturl()


def plan_of(drivers: list[type[Any]]) -> dict[str, Any]:
    def one(driver: type[Any], stand: Stand) -> dict[str, Any]:
        return {
            "simulator": stand.simulator,
            "port": port_of(driver),
            "options": {**stand.options, **stand.simulation},
        }

    return {"instruments": {driver.__name__: one(driver, stand_of(driver)) for driver in drivers}}


def at_once(call: Callable[[type[Any]], Any], drivers: list[type[Any]]) -> dict[str, Any]:
    """A call for each driver, all at once; the first complaint is raised."""
    with ThreadPoolExecutor(len(drivers)) as pool:
        futures = {driver.__name__: pool.submit(call, driver) for driver in drivers}
        return {name: future.result(timeout=300) for name, future in futures.items()}


def insist(call: Callable[[], Any], tries: int = 5) -> Any:
    for n in range(tries):
        try:
            return call()
        except (LinkError, ProtocolError):
            if n == tries - 1:
                raise
            time.sleep(0.2)


def test_every_driver_opens_acts_and_stops_over_ptys(serve_plan: Serve) -> None:
    served = serve_plan(plan_of(DRIVERS))

    def live(driver: type[Any]) -> str:
        stand, address = stand_of(driver), served.ports[driver.__name__]
        port = patient_port(address)
        try:
            it = driver(port.exchange(driver.__name__, address), **stand.options)
            identity = insist(it.open)
            insist(it.configure)
            insist(it.read)
            action, settings = stand.act
            amounts = {name: value for name, (value, unit) in settings.items()}
            declared = {setting.name: setting for setting in it.actions[action].settings}
            values = {declared[name].argument: value for name, value in amounts.items()}
            defaults = {one.argument: one.default for one in declared.values() if one.default is not None}
            it.begin(action, defaults | values, "act-1")
            assert not it.progress(0.0).done or not stand.acts
            it.stop()
            it.stop()
            it.close()
            return str(identity.model)
        finally:
            port.close()

    assert all(at_once(live, DRIVERS).values())


def test_wrong_line_settings_are_complaints_that_name_the_port(serve_plan: Serve) -> None:
    served = serve_plan(plan_of(SERIAL), transport="rfc2217")

    def opened(driver: type[Any], address: str) -> Any:
        port = Port(insist(lambda: open_link(address), tries=40))
        try:
            return driver(port.exchange(driver.__name__, address), **stand_of(driver).options).open()
        finally:
            port.close()

    def wrong_then_right(driver: type[Any]) -> str:
        address = served.ports[driver.__name__]
        where = address.partition("?")[0]
        other = "bytesize=8&parity=N" if "parity=" in address else "bytesize=7&parity=E"
        baud = next(pair for pair in address.partition("?")[2].split("&") if pair.startswith("baud="))
        with pytest.raises(BenchError) as caught:
            opened(driver, f"{where}?{baud}&{other}")
        assert f"{driver.__name__} on {where}" in str(caught.value), str(caught.value)
        return str(insist(lambda: opened(driver, address)).model)

    assert all(at_once(wrong_then_right, SERIAL).values())
