"""The evaporator behind LECO: what it says as pyleco's Actor would, and its film and holder against closed forms."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.evaporator import Evaporator

HEADER = bytes(16) + b"\x00\x00\x00\x01"
ACTOR = "pyleco 0.6.0, actors/actor.py"


def evaporator(**options: Any) -> Evaporator:
    device = Evaporator(World(), "evaporator", options)
    ask(device, "sign_in", receiver=b"COORDINATOR", sender=b"test")
    return device


def ask(
    device: Evaporator, method: str, params: Any = None, at_s: float = 0.0, receiver: bytes = b"N1.evaporator",
    sender: bytes = b"N1.test",
) -> Any:  # fmt: skip
    """The result, or the error as (code, data)."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": method} | ({} if params is None else {"params": params})
    ((_, frames),) = device.receive(b"peer", [b"\x00", receiver, sender, HEADER, json.dumps(asked).encode()], at_s)
    said = json.loads(frames[4])
    return said["result"] if "result" in said else (said["error"]["code"], said["error"].get("data"))


def get(device: Evaporator, *names: str, at_s: float = 0.0) -> Any:
    return ask(device, "get_parameters", {"parameters": list(names)}, at_s)


def call(device: Evaporator, action: str, at_s: float = 0.0, **kwargs: Any) -> Any:
    return ask(device, "call_action", {"action": action, "kwargs": kwargs}, at_s)


@pytest.mark.parametrize(
    "method, params, said, source",
    [
        ("pong", None, None, ACTOR),
        ("get_parameters", {"parameters": ["idn"]}, {"idn": "EVAPORATOR 3, S/N 0042"}, ACTOR),
        ("get_parameters", {"parameters": ["shutter.open"]}, {"shutter.open": False}, f"{ACTOR}: a dotted path"),
        ("set_parameters", {"parameters": {"setpoint_c": 50, "heater": True}}, None, ACTOR),
        ("call_action", {"action": "stop"}, None, ACTOR),
        ("call_action", {"action": "clear", "args": None, "kwargs": {}}, None, ACTOR),
        (
            "get_parameters", {"parameters": ["nope"]},
            (-32603, "AttributeError: 'Evaporator' object has no attribute 'nope'"), ACTOR,
        ),
        ("set_parameters", {"parameters": {"state": "idle"}}, (-32603, "AttributeError: can't set attribute"), ACTOR),
        ("set_parameters", {"parameters": {"setpoint_c": 301}}, (-32603, "ValueError: setpoint_c = 301"), "its limit"),
        ("call_action", {"action": "deposit"}, (-32603, "TypeError: deposit() takes thickness_nm"), ACTOR),
        ("call_action", {"action": "fly"}, (-32603, "AttributeError: 'Evaporator' object has no attribute 'fly'"), ""),
        ("nonsense", None, (-32601, None), ACTOR),
    ],
)  # fmt: skip
def test_what_it_says(method: str, params: Any, said: Any, source: str) -> None:
    assert ask(evaporator(), method, params) == said


def test_a_film_grows_at_its_rate_and_the_shutter_shuts_itself() -> None:
    device = evaporator()
    assert call(device, "deposit", thickness_nm=10) is None
    assert get(device, "state", "deposited_nm", "rate_nm_s", at_s=5.0) == {
        "state": "depositing", "deposited_nm": 2.5, "rate_nm_s": 0.5,
    }  # fmt: skip
    assert call(device, "deposit", 6.0, thickness_nm=10) == (-32603, "RuntimeError: it is depositing")
    assert get(device, "state", "deposited_nm", at_s=100.0) == {"state": "idle", "deposited_nm": 10.0}
    assert [(one.at_s, one.phase, one.amount) for one in device.world.ledger.entries] == [
        (0.0, "begin", 0.0), (20.0, "end", 10.0),
    ]  # fmt: skip


def test_a_film_that_is_stopped_stays_as_thick_as_it_is() -> None:
    device = evaporator()
    call(device, "deposit", thickness_nm=10)
    call(device, "stop", 4.0)
    assert get(device, "deposited_nm", "shutter.open", at_s=60.0) == {"deposited_nm": 2.0, "shutter.open": False}
    call(device, "clear", 60.0)
    assert get(device, "deposited_nm", at_s=60.0) == {"deposited_nm": 0.0}


def test_the_holder_follows_its_setpoint() -> None:
    device = evaporator()
    ask(device, "set_parameters", {"parameters": {"setpoint_c": 122, "heater": True}})
    assert get(device, "temperature_c", at_s=60.0)["temperature_c"] == pytest.approx(122 - 100 * math.exp(-1), abs=1e-3)
    ask(device, "set_parameters", {"parameters": {"heater": False}}, 60.0)
    assert get(device, "temperature_c", at_s=1000.0)["temperature_c"] == pytest.approx(22.0, abs=1e-3)


def test_a_thicker_film_lets_less_light_through() -> None:
    device = evaporator()
    clear = call(device, "spectrum", points=5)
    call(device, "deposit", thickness_nm=40)
    dark = call(device, "spectrum", 200.0, points=5)
    assert len(clear) == 5 and clear[0] == 1.0 and all(b < a / 2 for a, b in zip(clear, dark, strict=True))


def test_looking_changes_nothing() -> None:
    often, seldom = evaporator(), evaporator()
    for device in (often, seldom):
        call(device, "deposit", thickness_nm=30)
    for n in range(59):
        get(often, "deposited_nm", at_s=float(n))
    names = ("deposited_nm", "temperature_c", "state")
    assert get(often, *names, at_s=59.5) == get(seldom, *names, at_s=59.5)


def test_power_shuts_the_shutter_and_forgets_who_is_signed_in() -> None:
    device = evaporator()
    call(device, "deposit", thickness_nm=10)
    device.power_cycle(4.0)
    assert get(device, "state", at_s=5.0) == (-32090, None)
    ask(device, "sign_in", receiver=b"COORDINATOR", sender=b"test", at_s=6.0)
    assert get(device, "state", "deposited_nm", "starts", "heater", at_s=6.0) == {
        "state": "idle", "deposited_nm": 0.0, "starts": 2, "heater": False,
    }  # fmt: skip


def test_its_state_is_json_and_goes_on_in_the_next_process() -> None:
    device = evaporator()
    call(device, "deposit", thickness_nm=10)
    get(device, "state", at_s=5.0)
    again = evaporator()
    again.restore(json.loads(json.dumps(device.state())), 5.0)
    assert get(again, "deposited_nm", "state", at_s=7.0) == {"deposited_nm": 3.5, "state": "depositing"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
METHODS = st.sampled_from(["get_parameters", "set_parameters", "call_action"])


@given(
    st.lists(
        st.tuples(METHODS, st.dictionaries(st.sampled_from(["parameters", "action", "args", "kwargs"]), JSON)),
        max_size=5,
    )
)
def test_any_request_is_answered(asked: list[tuple[str, dict[str, Any]]]) -> None:
    device = evaporator()
    for method, params in asked:
        ask(device, method, params)
    assert get(device, "state") == {"state": "idle"}
