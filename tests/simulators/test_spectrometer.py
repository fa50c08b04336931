"""The spectrometer Z0: LECO frames as a raw DEALER sees them."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation import spectra
from labloop.simulation.world import World
from simulators.spectrometer import Spectrometer

HEADER = bytes(range(16)) + b"\x00\x00\x07\x01"
ACT, OTHER = "0" * 31 + "1", "0" * 31 + "2"


class Host:
    """A component called ``me`` and its socket."""

    def __init__(self, device: Spectrometer | None = None, peer: bytes = b"\x00peer", name: str = "me") -> None:
        self.device = device or Spectrometer(World(), "spectrometer", {})
        self.peer, self.name, self.now_s = peer, name, 0.0

    def send(self, receiver: str, content: bytes | None, sender: str | None = None) -> list[list[bytes]]:
        frames = [b"\x00", receiver.encode(), (sender or f"N1.{self.name}").encode(), HEADER]
        answers = self.device.receive(self.peer, frames + ([content] if content is not None else []), self.now_s)
        assert all(peer == self.peer for peer, _ in answers)
        return [answer for _, answer in answers]

    def ask(self, method: str, receiver: str = "N1.spectrometer", **params: Any) -> Any:
        content = {"jsonrpc": "2.0", "id": 5, "method": method} | ({"params": params} if params else {})
        (answer,) = self.send(receiver, json.dumps(content).encode())
        self.frames = answer[5:]
        return json.loads(answer[4])

    def act(self, action: str, **kwargs: Any) -> Any:
        return self.ask("call_action", action=action, kwargs=kwargs)

    def signed_in(self) -> "Host":
        assert self.ask("sign_in", "COORDINATOR")["result"] is None
        return self


def sign_in() -> Host:
    return Host().signed_in()


def error(code: int, message: str, data: object = None, request: int | None = 5) -> dict[str, Any]:
    body = {"code": code, "message": message} | ({"data": data} if data is not None else {})
    return {"id": request, "error": body, "jsonrpc": "2.0"}


def test_sign_in_word_for_word() -> None:
    host = Host()
    (answer,) = host.send("COORDINATOR", b'{"jsonrpc":"2.0","id":1,"method":"sign_in"}', sender="me")
    assert answer[:4] == [b"\x00", b"me", b"N1.COORDINATOR", HEADER]
    assert json.loads(answer[4]) == {"id": 1, "result": None, "jsonrpc": "2.0"}


NOT_SIGNED_IN = error(-32090, "You did not sign in!", request=None)
REFUSED = [
    ("N1.nobody", "pong", error(-32093, "Receiver is not in addresses list.", "N1.nobody", None)),
    ("N9.spectrometer", "pong", error(-32092, "Node is not known.", "N9", None)),
    ("N1.spectrometer", "nonsense", error(-32601, "Method not found")),
    ("COORDINATOR", "nonsense", error(-32601, "Method not found")),
]


@pytest.mark.parametrize(("receiver", "method", "answer"), REFUSED)
def test_refusals_of_the_coordinator(receiver: str, method: str, answer: object) -> None:
    assert Host().ask(method, receiver) == NOT_SIGNED_IN
    assert sign_in().ask(method, receiver) == answer


def test_coordinators_methods() -> None:
    host = sign_in()
    assert host.ask("pong", "N1.COORDINATOR")["result"] is None
    assert host.ask("send_local_components", "COORDINATOR")["result"] == ["me", "spectrometer"]
    assert host.ask("send_global_components", "COORDINATOR")["result"] == {"N1": ["me", "spectrometer"]}
    assert "sign_in" in [m["name"] for m in host.ask("rpc.discover", "COORDINATOR")["result"]["methods"]]
    assert host.ask("sign_out", "COORDINATOR")["result"] is None
    assert host.ask("pong") == NOT_SIGNED_IN


def test_a_name_belongs_to_its_socket_as_long_as_that_is_heard() -> None:
    first = sign_in()
    second = Host(first.device, b"\x00other")
    second.now_s = 10.0
    assert second.ask("sign_in", "COORDINATOR") == error(-32091, "The name is already taken.", request=None)
    second.now_s = 16.0
    second.signed_in()
    assert second.ask("pong")["result"] is None
    first.now_s = 17.0
    assert first.ask("pong") == error(-32091, "The name is already taken.", request=None)


def test_the_actors_name_cannot_be_taken() -> None:
    assert Host(name="spectrometer").ask("sign_in", "COORDINATOR") == error(-32091, "The name is already taken.")


def test_messages_between_components_are_passed_on() -> None:
    first = sign_in()
    second = Host(first.device, b"\x00other", "you").signed_in()
    frames = [b"\x00", b"N1.me", b"N1.you", HEADER, b"anything", b"more"]
    assert second.device.receive(second.peer, frames, 0.0) == [(first.peer, frames)]


def test_heartbeats_and_notifications_are_not_answered() -> None:
    host = sign_in()
    assert host.send("COORDINATOR", None) == []
    assert host.send("N1.spectrometer", b'{"jsonrpc":"2.0","method":"pong"}') == []
    assert host.send("N1.spectrometer", b'{"jsonrpc":"2.0","id":1,"result":null}') == []


def test_malformed_content() -> None:
    host = sign_in()
    for content, code in (
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"1", -32600),
        (b"[]", -32600),
        (b'{"id":1}', -32600),
    ):
        ((*_, body),) = host.send("N1.spectrometer", content)
        assert json.loads(body)["error"]["code"] == code
    assert (
        host.send("N1.spectrometer", b'{"jsonrpc":"2.0","id":1,"method":"pong","params":[1]}')[0][4].find(b"-32602") > 0
    )


def test_a_batch_is_answered_as_one() -> None:
    host = sign_in()
    ((*_, body),) = host.send(
        "N1.spectrometer",
        b'[{"jsonrpc":"2.0","id":1,"method":"pong"},{"jsonrpc":"2.0","method":"pong"},{"jsonrpc":"2.0","id":2,"method":"x"}]',
    )
    assert [each["id"] for each in json.loads(body)] == [1, 2]


def test_parameters() -> None:
    host = sign_in()
    names = [
        "serial_number",
        "model",
        "integration_time_ms",
        "lamp",
        "wavelengths",
        "rinse_time_s",
        "state",
        "waste_ml",
    ]
    values = host.ask("get_parameters", parameters=names)["result"]
    assert values["serial_number"] == "Z0-0001" and values["integration_time_ms"] == 100.0 and values["lamp"] == "on"
    assert (values["wavelengths"][0], values["wavelengths"][-1], len(values["wavelengths"])) == (300.0, 900.0, 301)
    assert (values["rinse_time_s"], values["state"], values["waste_ml"]) == (20.0, "idle", 0.0)
    assert host.ask("set_parameters", parameters={"integration_time_ms": 250})["result"] is None
    assert host.ask("get_parameters", parameters=["integration_time_ms"])["result"] == {"integration_time_ms": 250.0}


PARAMETER_REFUSALS = [
    ("get_parameters", {"parameters": ["nope"]}, -32603, "AttributeError: nope"),
    ("get_parameters", {"parameters": "lamp"}, -32602, "TypeError"),
    ("get_parameters", {}, -32602, "TypeError"),
    ("set_parameters", {"parameters": {"model": "x"}}, -32603, "AttributeError: model"),
    ("set_parameters", {"parameters": {"integration_time_ms": 0}}, -32602, "ValueError"),
    ("set_parameters", {"parameters": {"integration_time_ms": True}}, -32602, "ValueError"),
    ("set_parameters", {"parameters": {"lamp": ["on"]}}, -32602, "ValueError"),
    ("call_action", {"action": "nope"}, -32603, "AttributeError: nope"),
    ("call_action", {"action": "measure"}, -32602, "ValueError: act"),
    ("call_action", {"action": "measure", "kwargs": {"act": "XYZ"}}, -32602, "ValueError: act"),
    ("call_action", {"action": "measure", "kwargs": {"act": ACT, "colour": 1}}, -32602, "TypeError"),
    ("call_action", {"action": "measure", "args": [ACT, 5]}, -32602, "TypeError"),
    ("call_action", {"action": "measure", "kwargs": {"act": ACT, "integration_time_ms": "1"}}, -32602, "ValueError"),
    ("call_action", {"action": "stop", "kwargs": {"act": ACT}}, -32602, "TypeError"),
    ("call_action", {"action": "spectrum", "kwargs": {"act": ACT}}, -32000, f"UnknownAct: {ACT}"),
    ("call_action", {"action": "rinse", "extra": 1}, -32602, "TypeError"),
]


@pytest.mark.parametrize(("method", "params", "code", "data"), PARAMETER_REFUSALS)
def test_refusals_of_the_actor(method: str, params: dict[str, Any], code: int, data: str) -> None:
    answer = sign_in().ask(method, **params)
    assert answer["id"] == 5 and answer["error"]["code"] == code and answer["error"]["data"].startswith(data)


def test_a_measurement_from_begin_to_spectrum() -> None:
    host = sign_in()
    report = {"act": ACT, "action": "measure", "state": "running", "elapsed_s": 0.0, "duration_s": 0.15, "result": None}
    assert host.act("measure", act=ACT)["result"] == report
    assert host.act("spectrum", act=ACT) == error(-32000, "Server error", f"NotReady: act {ACT} is running")
    host.now_s = 0.1
    assert host.act("last_act", act=ACT)["result"] == report | {"elapsed_s": 0.1}
    host.now_s = 0.2
    done = host.act("last_act")["result"]
    assert done["state"] == "done" and done["elapsed_s"] == 0.15
    answer = host.act("spectrum", act=ACT)["result"]
    (frame,) = host.frames
    assert answer == {"act": ACT, "wavelengths": 301, "length": 4816, "sha256": hashlib.sha256(frame).hexdigest()}
    assert done["result"] == {k: answer[k] for k in ("wavelengths", "length", "sha256")} | {
        "integration_time_ms": 100.0
    }
    values = np.frombuffer(frame, "<f8")
    assert len(values) == 602 and np.array_equal(values[:301], spectra.WAVELENGTHS_NM)
    ledger = [(e.at_s, e.act, e.phase, e.amount, e.unit) for e in host.device.world.ledger.entries]
    assert ledger == [(0.0, "measure", "begin", 0.0, "ms"), (0.15, "measure", "end", 100.0, "ms")]


def test_an_act_is_never_done_twice_even_after_a_reconnect() -> None:
    host = sign_in()
    host.act("measure", act=ACT)
    assert host.act("measure", act=ACT)["result"]["state"] == "running"
    host.now_s = 100.0
    again = Host(host.device, b"\x00new", "reborn").signed_in()
    again.now_s = 100.0
    assert again.act("measure", act=ACT)["result"]["state"] == "done"
    assert again.act("rinse", act=ACT)["error"]["data"] == f"ValueError: act {ACT} is a measure"
    assert len(host.device.world.ledger.entries) == 2


def test_one_act_at_a_time() -> None:
    host = sign_in()
    host.act("rinse", act=ACT)
    busy = error(-32000, "Server error", f"Busy: act {ACT} (rinse) is running")
    assert host.act("measure", act=OTHER) == busy
    assert host.ask("set_parameters", parameters={"lamp": "off"}) == busy
    assert host.ask("get_parameters", parameters=["state"])["result"] == {"state": "rinsing"}


def test_a_rinse_cut_short() -> None:
    host = sign_in()
    assert host.act("stop")["result"] is None
    host.act("rinse", act=ACT)
    host.now_s = 5.0
    report = {"act": ACT, "action": "rinse", "state": "stopped", "elapsed_s": 5.0, "duration_s": 20.0}
    assert host.act("stop")["result"] == report | {"result": {"waste_ml": 0.5}}
    assert host.act("stop")["result"] is None
    assert host.act("spectrum", act=ACT)["error"]["data"] == f"NoSpectrum: act {ACT} is a rinse"
    assert host.ask("get_parameters", parameters=["waste_ml"])["result"] == {"waste_ml": 0.5}
    assert host.device.world.ledger.entries[-1].amount == 0.5


def test_last_act_of_nothing_is_null() -> None:
    host = sign_in()
    assert host.act("last_act")["result"] is None
    assert host.act("last_act", act=ACT)["result"] is None


def test_nothing_is_measured_in_the_dark() -> None:
    host = sign_in()
    host.ask("set_parameters", parameters={"lamp": "off"})
    assert host.act("measure", act=ACT)["error"]["data"].startswith("LampOff: ")


def test_state_is_plain_json_and_keeps_acts_and_spectra() -> None:
    host = sign_in()
    host.act("measure", act=ACT)
    host.now_s = 1.0
    host.act("rinse", act=OTHER)
    again = Spectrometer(World(), "spectrometer", {})
    again.restore(json.loads(json.dumps(host.device.state())), 1.0)
    other = Host(again)
    other.now_s = 1.0
    assert other.ask("pong") == NOT_SIGNED_IN
    other.signed_in()
    assert other.act("spectrum", act=ACT)["result"]["length"] == 4816
    other.now_s = 30.0
    assert other.act("last_act", act=OTHER)["result"]["state"] == "done"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from([ACT, "measure", "act", "lamp"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["act", "args", "kwargs"]), inner),
    max_leaves=8,
)


@given(st.sampled_from(["get_parameters", "set_parameters", "call_action", "sign_in"]), JSON, JSON, JSON)
def test_no_request_whatever_brings_it_down(method: str, action: Any, kwargs: Any, parameters: Any) -> None:
    host = sign_in()
    params = {"action": action, "kwargs": kwargs} if method == "call_action" else {"parameters": parameters}
    assert "jsonrpc" in host.ask(method, **params)


@given(st.lists(st.binary(max_size=30), max_size=7))
def test_no_frames_whatever_bring_it_down(frames: list[bytes]) -> None:
    host = sign_in()
    host.device.receive(host.peer, frames, 1.0)
    host.device.receive(host.peer, [b"\x00", b"N1.spectrometer", b"me", HEADER, *frames], 2.0)
    assert host.ask("pong")["result"] is None
