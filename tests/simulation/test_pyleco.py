"""pyleco, LECO's reference code: its Coordinator and Actor take our driver, its Director drives our simulator."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyleco.actors.actor import Actor
from pyleco.coordinators.coordinator import Coordinator
from pyleco.directors.director import Director
from pyleco.json_utils.errors import JSONRPCError
from pyleco.utils.communicator import Communicator
from pyleco.utils.coordinator_utils import ZmqMultiSocket

from drivers.leco import LecoActor
from labloop.bench import Amount, InstrumentFault, LinkTimeout
from labloop.keys import Context
from tests.patience import patient_port

PORT = "zmq+tcp://127.0.0.1:12301?actor=N1.evaporator"


class Shaker:
    """Any Python object: attributes are parameters, methods are actions."""

    idn = "SHAKER 7"

    def __init__(self) -> None:
        self.speed_rpm, self.running, self.turns = 0.0, False, 0.0
        self.motor = self

    def shake(self, turns: float) -> str:
        self.turns += turns
        return "shaken"

    def halt(self) -> None:
        self.running = False

    def profile(self) -> list[float]:
        return [0.0, 0.5, 1.0]

    @property
    def current_a(self) -> float:
        raise ConnectionError("its cable is out")


SHAKER: dict[str, Any] = {
    "identity": {"parameter": "idn", "is": "^SHAKER"},
    "readings": {"speed": {"parameter": "motor.speed_rpm", "unit": "rpm"}, "running": {}},
    "actions": {
        "run": {
            "act": True,
            "settings": {"speed": {"parameter": "motor.speed_rpm", "unit": "rpm", "from": 10, "to": 900}},
            "parameters": {"running": True},
        },
        "shake": {
            "act": True,
            "call": "shake",
            "settings": {"turns": {"argument": "turns", "unit": "count", "from": 1, "to": 1000}},
            "counts": {"parameter": "turns", "setting": "turns"},
            "gives": {"word": {"result": ""}, "turns": {"parameter": "turns", "unit": "count"}},
        },
        "profile": {"call": "profile", "repeatable": True, "gives": {"profile": {"array": True}}},
        "load": {"call": "profile", "repeatable": True, "gives": {"load": {"parameter": "current_a", "unit": "A"}}},
    },
    "stop": {"call": "halt", "parameters": {"running": False}},
}


class AnyPort(ZmqMultiSocket):
    """A Coordinator's socket on whichever port of this machine is free."""

    number = 0

    def bind(self, host: str = "127.0.0.1", port: str | int = 0) -> None:
        self.number = self._sock.bind_to_random_port(f"tcp://{host}")


@pytest.fixture
def shaker() -> Iterator[tuple[Shaker, str]]:
    """A Coordinator and an Actor, each in a thread; the wrapped object and where it is."""
    context = Context()
    ear = AnyPort(context)
    coordinator = Coordinator(namespace="N1", host="127.0.0.1", context=context, multi_socket=ear)
    number = ear.number
    ended = threading.Event()
    router = threading.Thread(target=coordinator.routing, kwargs={"stop_event": ended}, daemon=True)
    router.start()
    actor = Actor("shaker", Shaker, host="127.0.0.1", port=number, context=context)
    actor.connect()
    listener = threading.Thread(target=actor.listen, kwargs={"stop_event": ended, "waiting_time": 20}, daemon=True)
    listener.start()
    until_s = time.monotonic() + 60.0
    while b"shaker" not in coordinator.directory.get_components():
        assert time.monotonic() < until_s, "the actor did not sign in"
        time.sleep(0.01)
    yield actor.device, f"zmq+tcp://127.0.0.1:{number}?actor=N1.shaker"
    ended.set()
    listener.join(60.0)
    router.join(60.0)
    actor.disconnect()
    coordinator.close()
    context.destroy(linger=0)


def test_our_driver_works_a_pyleco_actor(shaker: tuple[Shaker, str]) -> None:
    device, address = shaker
    port = patient_port(address)
    try:
        it = LecoActor(port.exchange("shaker", address), **SHAKER)
        assert (it.open().model, it.read()["speed"].value, it.read()["running"].value) == ("SHAKER 7", 0.0, "false")
        it.begin("run", {"speed": 300.0}, "act-1")
        assert it.progress(0.0).done and (device.speed_rpm, device.running) == (300.0, True)
        assert it.happened("run", {"speed": Amount(300.0, "rpm")}, {}, "act-9").state == "done"
        before = it.counters()
        it.begin("shake", {"turns": 40.0}, "act-2")
        look = it.progress(0.0)
        assert look.done and look.achieved["turns"] == Amount(40.0, "count") and look.readings["word"].value == "shaken"
        assert it.happened("shake", {"turns": Amount(40.0, "count")}, before, "act-9").state == "done"
        it.begin("profile", {}, "act-3")
        assert len(it.progress(0.0).arrays["profile"]) == 24
        it.begin("load", {}, "act-4")
        with pytest.raises(InstrumentFault, match="its cable is out"):
            it.progress(0.0)
        it.stop()
        it.stop()
        assert not device.running
        it.close()
        assert it.open().model == "SHAKER 7"
    finally:
        port.close()


def test_an_actor_that_is_not_there_is_waited_for(shaker: tuple[Shaker, str]) -> None:
    _, address = shaker
    other = address.replace("N1.shaker", "N1.furnace")
    port = patient_port(other)
    try:
        with pytest.raises(LinkTimeout, match="furnace"):
            LecoActor(port.exchange("furnace", other), **SHAKER).open()
    finally:
        port.close()


def test_a_pyleco_director_drives_the_simulated_evaporator(serve_plan: Callable[..., Any]) -> None:
    plan = {"instruments": {"it": {"simulator": "simulators.evaporator:Evaporator", "port": PORT}}}
    number = int(serve_plan(plan, speed=60).ports["it"].partition("?")[0].rpartition(":")[2])
    with Communicator("judge", host="127.0.0.1", port=number, timeout=60) as communicator:
        director = Director("N1.evaporator", communicator)
        assert director.get_parameters(["idn"]) == {"idn": "EVAPORATOR 3, S/N 0042"}
        director.set_parameters({"setpoint_c": 80.0, "heater": True})
        director.call_action("deposit", thickness_nm=30.0)
        until_s = time.monotonic() + 60.0
        while director.get_parameters("state")["state"] != "idle":
            assert time.monotonic() < until_s, "it does not come to an end"
            time.sleep(0.05)
        assert director.get_parameters(["deposited_nm", "setpoint_c"]) == {"deposited_nm": 30.0, "setpoint_c": 80.0}
        assert len(director.call_action("spectrum", points=11)) == 11
        with pytest.raises(JSONRPCError, match="AttributeError"):
            director.get_parameters(["colour"])
