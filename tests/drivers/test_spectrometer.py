"""The spectrometer: LECO's frames, from captured traces; and the driver on the simulated instrument."""

import contextlib
import hashlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.leco_client import Answer, Call, LecoCodec
from drivers.spectrometer import Spectrometer
from labloop.bench import Amount, InstrumentFault, LinkError, LinkTimeout, ProtocolError, SpecError
from tests.drivers.rigs import Rig

COORDINATOR = "captured from pyleco 0.6.0's coordinator with a raw DEALER"
ACTOR = "captured from a pyleco Actor"

# call, JSON sent (id 1), JSON received, answer, source
TABLE = [
    (
        Call("COORDINATOR", "probe", "sign_in"),
        {"jsonrpc": "2.0", "id": 1, "method": "sign_in"},
        b'{"id":1,"result":null,"jsonrpc":"2.0"}',
        Answer(value=None),
        COORDINATOR,
    ),
    (
        Call("N1.nobody", "N1.probe", "pong"),
        {"jsonrpc": "2.0", "id": 1, "method": "pong"},
        b'{"id":null,"error":{"code":-32093,"message":"Receiver is not in addresses list.","data":"N1.nobody"}}',
        Answer(code=-32093, message="Receiver is not in addresses list.", data="N1.nobody"),
        COORDINATOR,
    ),
    (
        Call("COORDINATOR", "N1.probe", "nonsense"),
        {"jsonrpc": "2.0", "id": 1, "method": "nonsense"},
        b'{"id":1,"error":{"code":-32601,"message":"Method not found"},"jsonrpc":"2.0"}',
        Answer(code=-32601, message="Method not found"),
        COORDINATOR,
    ),
    (
        Call("N1.plate", "N1.probe", "get_parameters", {"parameters": ["temperature"]}),
        {"jsonrpc": "2.0", "id": 1, "method": "get_parameters", "params": {"parameters": ["temperature"]}},
        b'{"id":1,"result":{"temperature":25.0},"jsonrpc":"2.0"}',
        Answer(value={"temperature": 25.0}),
        ACTOR,
    ),
    (
        Call("N1.plate", "N1.probe", "call_action", {"action": "stop"}),
        {"jsonrpc": "2.0", "id": 1, "method": "call_action", "params": {"action": "stop"}},
        b'{"id":1,"result":"stopped","jsonrpc":"2.0"}',
        Answer(value="stopped"),
        ACTOR,
    ),
    (
        Call("N1.plate", "N1.probe", "get_parameters", {"parameters": ["nope"]}),
        {"jsonrpc": "2.0", "id": 1, "method": "get_parameters", "params": {"parameters": ["nope"]}},
        b'{"id":1,"error":{"code":-32603,"message":"Internal error","data":"AttributeError: nope"},"jsonrpc":"2.0"}',
        Answer(code=-32603, message="Internal error", data="AttributeError: nope"),
        ACTOR,
    ),
]


@pytest.mark.parametrize("call, sent, received, answer, source", TABLE)
def test_frames(call, sent, received, answer, source):
    codec = LecoCodec()
    version, receiver, sender, header, body = codec.encode(call)
    assert (version, receiver, sender) == (b"\x00", call.receiver.encode(), call.sender.encode())
    assert len(header) == 20 and header[16:] == b"\x00\x00\x00\x01"
    assert json.loads(body) == sent
    assert codec.feed([version, sender, receiver, header, received]) == answer


def test_conversations_never_repeat_and_only_the_last_is_answered():
    codec = LecoCodec()
    call = Call("N1.a", "N1.b", "pong")
    first, second = codec.encode(call)[3], codec.encode(call)[3]
    assert first[:16] != second[:16]
    late = [b"\x00", b"N1.b", b"N1.a", first, b'{"id":1,"result":1,"jsonrpc":"2.0"}']
    assert codec.feed(late) is None
    assert codec.feed([*late[:3], second]) is None  # a heartbeat
    assert codec.feed([*late[:3], second, b'{"id":2,"result":7,"jsonrpc":"2.0"}', b"raw"]) == Answer(
        7, frames=(b"raw",)
    )


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"nul", b'{"id":9,"result":1}', b'{"id":1}', b'{"id":1,"error":"no"}', b"[" * 5000]
)
def test_what_is_no_answer_is_refused(body):
    codec = LecoCodec()
    version, receiver, sender, header, _ = codec.encode(Call("N1.a", "N1.b", "pong"))
    with pytest.raises(ProtocolError):
        codec.feed([version, sender, receiver, header, body])


@given(st.lists(st.binary(max_size=40), max_size=7), st.booleans())
def test_random_frames_raise_nothing_but_protocol_errors(frames, ours):
    codec = LecoCodec()
    header = codec.encode(Call("N1.a", "N1.b", "pong"))[3]
    if ours and len(frames) > 3:
        frames[3] = header
    with contextlib.suppress(ProtocolError):
        codec.feed(frames)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(JSON, st.lists(st.binary(max_size=9), max_size=3))
def test_what_an_actor_says_is_what_is_read(value, frames):
    codec = LecoCodec()
    version, receiver, sender, header, _ = codec.encode(Call("N1.a", "N1.b", "pong"))
    body = json.dumps({"id": 1, "result": value, "jsonrpc": "2.0"}).encode()
    assert codec.feed([version, sender, receiver, header, body, *frames]) == Answer(value, frames=tuple(frames))


# --- the driver -------------------------------------------------------------------------------------------------------


def rig(**more):
    return Rig(Spectrometer, **more).ready()


def test_open_signs_in_and_asks_who_it_is():
    it = Rig(Spectrometer)
    identity = it.driver.open()
    assert (identity.model, identity.serial) == ("Z0 fibre spectrometer", "Z0-0001")
    assert json.loads(it.sent[0][4])["method"] == "sign_in" and b"." not in it.sent[0][2]
    assert it.sent[1][2].startswith(b"N1.labloop-")


def test_a_spectrum_is_wavelengths_then_absorbances():
    it = rig()
    it.begin("measure", integration=(0.2, "s"))
    look = it.finish()
    data = look.arrays["spectrum"]
    values = struct.unpack(f"<{len(data) // 8}d", data)
    assert len(values) == 602 and values[0] == 300.0 and values[300] == 900.0
    assert look.achieved == {"integration": Amount(200.0, "ms")}
    assert it.clock.now_s() == pytest.approx(0.25)


def test_a_rinse_takes_its_time_and_its_volume():
    it = rig()
    it.begin("rinse")
    assert it.finish().achieved == {"waste": Amount(2.0, "mL")}
    assert it.clock.now_s() == pytest.approx(20.0)
    assert it.driver.read()["waste"].value == 2.0


def test_an_act_that_is_said_twice_is_done_once_also_by_a_runner_that_was_started_anew():
    it = rig()
    amounts = it.begin("rinse")
    it.begin("rinse")
    it.wait(30.0)
    it.restarted().open()
    assert it.happened("rinse", amounts, {}).state == "done"
    it.begin("rinse")
    assert it.look().done
    it.bench.settle(it.clock.now_s())
    assert [(entry.act, entry.phase) for entry in it.ledger] == [("rinse", "begin"), ("rinse", "end")]


def test_another_spectrometer_that_took_its_name_is_noticed_before_an_act_and_when_one_is_asked_after():
    """Its own connection is not ours: no line of ours was lost. It would have measured, and remembered that."""
    it = rig()
    it.begin("rinse")
    its, others = (it.device.acts, it.device.running), {}
    it.device.serial, it.device.acts, it.device.running = "Z0-0002", others, None
    asked = (
        lambda: it.begin("measure", "act-2", integration=(100.0, "ms")),
        lambda: it.happened("rinse", {}, {}),
        it.look,
    )
    for one in asked:
        with pytest.raises(LinkError, match=r"Z0-0002 answers at N1.spectrometer where Z0 .* Z0-0001 was"):
            one()
        it.driver.act = "act-1"
    assert others == {}, "nothing was begun there"
    it.device.serial, (it.device.acts, it.device.running) = "Z0-0001", its
    assert it.finish().achieved == {"waste": Amount(2.0, "mL")}


def test_an_act_of_another_name_is_another_act():
    it = rig()
    it.begin("rinse")
    it.wait(30.0)
    assert it.happened("rinse", {}, {}, "act-2").state == "not_begun"


def test_a_server_that_has_forgotten_us_is_signed_in_to_again():
    it = rig()
    it.device.coordinator.forget()
    assert it.driver.read()["state"].value == "idle"


def test_a_name_that_is_taken_is_changed():
    it = rig()
    other = Spectrometer(it.port.exchange("other", it.driver.exchange.address))
    other._client._name = it.driver._client._name
    it.port.link._peer = b"another socket"
    assert other.open().serial == "Z0-0001"
    assert other._client._name != it.driver._client._name


def test_a_busy_instrument_says_so():
    it = rig()
    it.begin("rinse")
    with pytest.raises(InstrumentFault, match=r"measure at N1.spectrometer: Server error.*Busy") as caught:
        it.begin("measure", "act-2", integration=(100.0, "ms"))
    assert caught.value.kind == "busy"


def test_a_lamp_that_is_off_is_a_fault_with_a_name():
    it = rig()
    it.device.lamp = "off"
    with pytest.raises(InstrumentFault) as caught:
        it.begin("measure", integration=(100.0, "ms"))
    assert caught.value.kind == "lamp_off"


def test_an_act_that_was_stopped_is_a_fault_and_partial():
    it = rig()
    amounts = it.begin("rinse")
    it.wait(5.0)
    it.driver.stop()
    with pytest.raises(InstrumentFault) as caught:
        it.look()
    assert caught.value.kind == "stopped"
    found = it.happened("rinse", amounts, {})
    assert found.state == "partial" and found.achieved["waste"].value == pytest.approx(0.5)


def test_an_act_of_which_nobody_knows_what_became_is_a_fault_and_cannot_be_told():
    """Such is the report of a service that was killed at it (labloop/runner/served.py)."""
    it = rig()
    amounts = it.begin("rinse")
    report = it.device._report
    it.device._report = lambda act: {**report(act), "state": "unknown", "result": None}
    with pytest.raises(InstrumentFault, match="it does not know what became of its rinse") as caught:
        it.look()
    assert caught.value.kind == "forgotten"
    found = it.happened("rinse", amounts, {})
    assert (found.state, found.achieved) == ("cannot_tell", {})


def test_nobody_of_that_name_may_come_back():
    it = rig()
    it.driver._client.actor = "N1.other"
    with pytest.raises(LinkTimeout, match="Receiver is not in addresses list"):
        it.driver.read()
    with pytest.raises(SpecError, match=r"names no actor; write it as \.\.\.\?actor=N1\.spectrometer"):
        Spectrometer(it.port.exchange("it", "zmq+tcp://127.0.0.1:12300"))


def measured(wrong, frames=1):
    """A measurement that is over, and whose spectrum comes with something else said of it."""
    it = rig()
    it.begin("measure", integration=(100.0, "ms"))
    it.wait(1.0)
    data = struct.pack("<4d", 300.0, 302.0, 0.1, 0.2)
    said = {"length": len(data), "sha256": hashlib.sha256(data).hexdigest(), "wavelengths": 2, **wrong}
    action = it.driver._client.call

    def spectrum(name, kwargs=None, within_s=0.0):
        return Answer(said, frames=frames * (data,)) if name == "spectrum" else action(name, kwargs)

    it.driver._client.call = spectrum
    return it


@pytest.mark.parametrize("wrong", ["length", "sha256", "wavelengths", "frames"])
def test_a_spectrum_that_is_not_the_one_announced_is_refused(wrong):
    with pytest.raises(ProtocolError):
        measured({wrong: "odd"}, frames=0 if wrong == "frames" else 1).look()


def test_a_spectrum_of_the_wrong_length_that_came_as_it_was_sent_is_the_instruments_fault_not_the_lines():
    with pytest.raises(InstrumentFault, match="a spectrum of 32 bytes for 3 wavelengths") as caught:
        measured({"wavelengths": 3}).look()
    assert caught.value.kind == "no_data"


@pytest.mark.parametrize("seed", range(10))
def test_on_a_bad_line_every_spectrum_is_whole_and_every_rinse_done_once(seed):
    it = Rig(
        Spectrometer,
        faults="drop=0.1,flip=0.1,late=0.1,double=0.1,unsolicited=0.1",
        seed=seed,
    )

    def insist(call, *args):
        for _ in range(40):
            try:
                return call(*args)
            except (LinkError, ProtocolError, InstrumentFault):
                continue
        raise AssertionError("no way through in 40 tries")

    insist(it.driver.open)
    for action in ("measure", "rinse"):
        settings = {"integration": (100.0, "ms")} if action == "measure" else {}
        insist(lambda action=action, settings=settings: it.begin(action, f"act-{action}", **settings))
        it.wait(30.0)
        look = insist(it.look)
        assert look.done
        for data in look.arrays.values():
            assert data == it.device.spectra[next(iter(it.device.spectra))]
    it.bench.settle(it.clock.now_s())
    assert [entry.act for entry in it.ledger if entry.phase == "begin"] == ["measure", "rinse"]
