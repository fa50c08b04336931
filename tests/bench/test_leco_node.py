"""A node of LECO, as pyleco's Coordinator and Actor answer; and what nobody should be able to do to it."""

import json
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.bench import BenchError
from labloop.bench import leco_node as leco
from labloop.bench.leco_node import Asker, Node, Refused, WithFrames

HEADER = bytes(range(16)) + b"\x00\x00\x00\x01"
COORDINATOR = "captured from pyleco 0.6.0's coordinator"
ACTOR = "captured from a pyleco 0.6.0 Actor"


def plate(asked: list[Any] | None = None) -> dict[str, Any]:
    def get(asker: Asker, params: Any) -> Any:
        if asked is not None:
            asked.append(asker)
        if params.get("parameters") == ["nope"]:
            raise Refused(leco.INTERNAL_ERROR, "AttributeError: nope")
        if params.get("parameters") == ["broken"]:
            raise BenchError("its cable is out")
        return {"temperature": 25.0}

    return {"get_parameters": get, "array": lambda asker, params: WithFrames({"length": 3}, (b"raw",))}


def node(asked: list[Any] | None = None) -> Node:
    made = Node("N1", {"plate": plate(asked)})
    ask(made, b"COORDINATOR", b"probe", "sign_in")
    return made


def ask(made: Node, receiver: bytes, sender: bytes, method: str, params: Any = None, **more: Any) -> Any:
    """The frames of the one answer; [] when there is none."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": method} | ({} if params is None else {"params": params})
    frames = [b"\x00", receiver, sender, HEADER, more.get("body", json.dumps(asked).encode())]
    answers = made.receive(more.get("peer", b"p"), more.get("key", ""), frames, more.get("now_s", 0.0))
    assert all(peer == more.get("peer", b"p") for peer, _ in answers) and len(answers) <= 1
    return answers[0][1] if answers else []


# receiver, method, params, JSON of the answer, source
TABLE = [
    (b"COORDINATOR", "send_local_components", None, {"result": ["plate", "probe"]}, COORDINATOR),
    (b"N1.COORDINATOR", "send_global_components", None, {"result": {"N1": ["plate", "probe"]}}, COORDINATOR),
    (b"N1.COORDINATOR", "pong", None, {"result": None}, COORDINATOR),
    (b"COORDINATOR", "nonsense", None, {"error": {"code": -32601, "message": "Method not found"}}, COORDINATOR),
    (b"N1.plate", "get_parameters", {"parameters": ["temperature"]}, {"result": {"temperature": 25.0}}, ACTOR),
    (b"plate", "get_parameters", {"parameters": ["temperature"]}, {"result": {"temperature": 25.0}}, "no namespace"),
    (
        b"N1.plate", "get_parameters", {"parameters": ["nope"]},
        {"error": {"code": -32603, "message": "Internal error", "data": "AttributeError: nope"}}, ACTOR,
    ),
    (
        b"N1.plate", "get_parameters", {"parameters": ["broken"]},
        {"error": {"code": -32000, "message": "Server error", "data": "its cable is out"}}, "JSON-RPC 2.0, 5.1",
    ),
    (
        b"N1.plate", "get_parameters", ["temperature"],
        {"error": {"code": -32602, "message": "Invalid params", "data": "TypeError: params must be an object"}},
        "ours: by name alone",
    ),
]  # fmt: skip


@pytest.mark.parametrize("receiver, method, params, said, source", TABLE)
def test_what_it_answers(receiver: bytes, method: str, params: Any, said: Any, source: str) -> None:
    version, to, sender, header, body = ask(node(), receiver, b"N1.probe", method, params)
    who = b"N1." + receiver.rpartition(b".")[2]
    assert (version, to, sender, header) == (b"\x00", b"N1.probe", who, HEADER)
    assert json.loads(body) == {"id": 1, "jsonrpc": "2.0"} | said


@pytest.mark.parametrize(
    "receiver, sender, code, data, source",
    [
        (b"N1.nobody", b"N1.probe", -32093, "N1.nobody", COORDINATOR),
        (b"N2.plate", b"N1.probe", -32092, "N2", COORDINATOR),
        (b"N1.plate", b"N1.other", -32090, None, COORDINATOR),
        (b"N1.plate", b"N2.probe", -32090, None, COORDINATOR),
    ],
)
def test_what_goes_nowhere_comes_back_from_the_coordinator(
    receiver: bytes, sender: bytes, code: int, data: Any, source: str
) -> None:
    _, to, answering, _, body = ask(node(), receiver, sender, "pong")
    error = json.loads(body)["error"]
    assert (to, answering, error["code"], error.get("data")) == (sender, b"N1.COORDINATOR", code, data)
    assert json.loads(body)["id"] is None


@pytest.mark.parametrize(
    "body, code",
    [(b"", -32700), (b"{", -32700), (b"[" * 5000, -32700), (b"[]", -32600), (b"7", -32600), (b"{}", -32600),
     (b'{"jsonrpc":"2.0","method":7,"id":1}', -32600), (b'{"jsonrpc":"2.0","method":"pong","id":[1]}', -32600)],
)  # fmt: skip
def test_what_is_no_request_is_refused(body: bytes, code: int) -> None:
    assert json.loads(ask(node(), b"N1.plate", b"N1.probe", "", body=body)[4])["error"]["code"] == code


@pytest.mark.parametrize(
    "body", [b'{"jsonrpc":"2.0","method":"pong"}', b'{"jsonrpc":"2.0","id":1,"result":7}', b'{"id":1,"error":{}}']
)
def test_notifications_and_answers_are_not_answered(body: bytes) -> None:
    assert ask(node(), b"N1.plate", b"N1.probe", "", body=body) == []


def test_heartbeats_keep_a_name_and_are_not_answered() -> None:
    made = node()
    assert made.receive(b"p", "", [b"\x00", b"COORDINATOR", b"N1.probe", HEADER], 14.0) == []
    taken = ask(made, b"COORDINATOR", b"probe", "sign_in", peer=b"q", now_s=20.0)
    assert json.loads(taken[4])["error"]["code"] == -32091
    free = ask(made, b"COORDINATOR", b"probe", "sign_in", peer=b"q", now_s=29.1)
    assert json.loads(free[4])["result"] is None
    assert json.loads(ask(made, b"N1.plate", b"N1.probe", "pong", now_s=29.2)[4])["error"]["code"] == -32091


@pytest.mark.parametrize("name", [b"plate", b"COORDINATOR", b""])
def test_a_name_of_our_own_is_nobodys(name: bytes) -> None:
    body = json.loads(ask(Node("N1", {"plate": {}}), b"COORDINATOR", name, "sign_in")[4])
    assert body["error"]["code"] == -32091


@pytest.mark.parametrize(
    "receiver, body",
    [
        (b"N1.plate", b'{"jsonrpc":"2.0","id":"sign_in","method":"pong"}'),
        (b"N1.plate", b'{"jsonrpc":"2.0","id":1,"method":"sign_in"}'),
        (b"COORDINATOR", b'{"jsonrpc":"2.0","id":"sign_in","method":"send_local_components"}'),
    ],
)
def test_a_stranger_may_do_nothing_but_sign_in(receiver: bytes, body: bytes) -> None:
    refused = ask(node(), receiver, b"N1.other", "", body=body)
    assert json.loads(refused[4])["error"]["code"] == -32090


def test_who_signs_out_is_heard_no_more() -> None:
    made = node()
    ask(made, b"COORDINATOR", b"N1.probe", "sign_out")
    assert json.loads(ask(made, b"N1.plate", b"N1.probe", "pong")[4])["error"]["code"] == -32090


def test_an_actor_is_told_who_asks_and_whose_key_it_is() -> None:
    asked: list[Asker] = []
    ask(node(asked), b"N1.plate", b"N1.probe", "get_parameters", {"parameters": []}, key="me")
    assert asked == [Asker("N1.probe", "me")] and str(asked[0]) == "N1.probe (key me)"


def test_frames_stand_behind_the_answer() -> None:
    assert ask(node(), b"N1.plate", b"N1.probe", "array", {})[5:] == [b"raw"]


def test_what_takes_its_time_is_answered_when_it_is_there() -> None:
    first: Future[Any] = Future()
    second: Future[Any] = Future()
    made = Node("N1", {"plate": {"slow": lambda asker, params: first, "bad": lambda asker, params: second}})
    ask(made, b"COORDINATOR", b"probe", "sign_in")
    assert ask(made, b"N1.plate", b"N1.probe", "slow", {}) == ask(made, b"N1.plate", b"N1.probe", "bad", {}) == []
    assert json.loads(ask(made, b"N1.plate", b"N1.probe", "pong")[4])["result"] is None and made.answers() == []
    second.set_exception(BenchError("its cable is out"))
    ((_, frames),) = made.answers()
    assert json.loads(frames[4])["error"]["data"] == "its cable is out"
    first.set_result(float("nan"))
    ((_, frames),) = made.answers()
    assert json.loads(frames[4])["result"] is None and made.answers() == []


class EndsMeanwhile(Future[Any]):
    """What comes to its end right after somebody has looked whether it had."""

    def done(self) -> bool:
        was = super().done()
        if not was:
            self.set_result(True)
        return was


def test_what_ends_while_answers_are_collected_is_answered_next() -> None:
    made = Node("N1", {"plate": {"stop": lambda asker, params: EndsMeanwhile()}})
    ask(made, b"COORDINATOR", b"probe", "sign_in")
    answers = [ask(made, b"N1.plate", b"N1.probe", "stop", {}), *(made.answers() for _ in range(3))]
    assert len([one for one in answers if one]) == 1


def test_no_number_of_askers_fills_it_up() -> None:
    waits: Future[Any] = Future()
    made = Node("N1", {"plate": {"slow": lambda asker, params: waits}})
    for n in range(leco.MOST_COMPONENTS):
        ask(made, b"COORDINATOR", f"c{n}".encode(), "sign_in", peer=str(n).encode())
    full = ask(made, b"COORDINATOR", b"one-more", "sign_in", peer=b"q")
    assert json.loads(full[4])["error"]["data"].startswith("Full")
    late = ask(made, b"COORDINATOR", b"one-more", "sign_in", peer=b"q", now_s=60.0)
    assert json.loads(late[4])["result"] is None
    for _ in range(leco.MOST_WAITING):
        assert ask(made, b"N1.plate", b"one-more", "slow", {}, peer=b"q", now_s=60.0) == []
    busy = ask(made, b"N1.plate", b"one-more", "slow", {}, peer=b"q", now_s=60.0)
    assert json.loads(busy[4])["error"]["data"].startswith("Busy")


@given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
def test_random_frames_are_survived(frames: list[bytes], ours: bool) -> None:
    made = node()
    if ours and len(frames) > 3:
        frames[:4] = [b"\x00", b"N1.plate", b"N1.probe", HEADER]
    for _, answer in made.receive(b"p", "", frames, 0.0):
        json.loads(answer[4])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, st.sampled_from(["jsonrpc", "id", "method", "params"]))
def test_any_json_is_answered_or_passed_over(value: Any, key: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "get_parameters", "params": {}} | {key: value}
    answer = ask(node(), b"N1.plate", b"N1.probe", "", body=json.dumps(body).encode())
    assert not answer or json.loads(answer[4])["jsonrpc"] == "2.0"


@given(JSON)
def test_what_an_actor_gives_is_what_is_read(value: Any) -> None:
    made = Node("N1", {"plate": {"give": lambda asker, params: value}})
    ask(made, b"COORDINATOR", b"probe", "sign_in")
    body = ask(made, b"N1.plate", b"N1.probe", "give", {})[4]
    assert json.loads(body)["result"] == leco.finite(value)
