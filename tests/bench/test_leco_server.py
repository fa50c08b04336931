"""A node on a real port: everybody on this machine, nobody beyond it without a key that is on the list."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from labloop.bench import LinkError, open_link
from labloop.bench.leco_node import Asker, Node
from labloop.bench.leco_server import LARGEST, MOST_FRAMES, NodeServer
from labloop.campaign.errors import SpecError
from labloop.keys import Context, make_pair, read_public

HEADER = bytes(19) + b"\x01"


class Say:
    """A codec that says one request and takes what comes."""

    def __init__(self, receiver: bytes = b"COORDINATOR", method: str = "sign_in", *more: bytes) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).encode()
        self._frames = [b"\x00", receiver, b"me", HEADER, body, *more]

    def encode(self, command: Any) -> list[bytes]:
        return self._frames

    def expects_reply(self, command: Any) -> bool:
        return True

    def urgent(self, command: Any) -> bool:
        return False

    def probe(self, command: Any) -> None:
        return None

    def reset(self) -> None:
        """Nothing is kept."""

    def feed(self, data: Any) -> Any:
        return json.loads(data[4])


@contextmanager
def serving(**more: Any) -> Iterator[tuple[NodeServer, list[str]]]:
    """A node that says who asks, turned by a thread; and who was refused."""
    node = Node("N1", {"plate": {"who": lambda asker, params: str(asker)}})
    server, ended, refused = NodeServer(node, **more), threading.Event(), list[str]()

    def turn() -> None:
        while not ended.is_set():
            refused.extend(server.turn(0.02))

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield server, refused
    finally:
        ended.set()
        thread.join()
        server.close()
        server.close()


def said(address: str, *codecs: Any, folder: Path = Path()) -> list[Any]:
    link = open_link(address, folder)
    try:
        return [link.exchange(codec, "ask", 5.0) for codec in codecs]
    finally:
        link.close()


def test_everybody_on_this_machine_is_heard() -> None:
    with serving() as (server, _):
        assert server.address.startswith("zmq+tcp://127.0.0.1:")
        hello, who = said(server.address, Say(), Say(b"N1.plate", "who"))
    assert hello["result"] is None and who["result"] == "me"


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "192.0.2.1", "lab-pc.example"])
def test_beyond_this_machine_it_wants_keys(host: str) -> None:
    with pytest.raises(SpecError, match=r"can be reached from other machines.*`labloop keys`"):
        NodeServer(Node("N1"), host=host)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name in ("server", "me", "other"):
        make_pair(tmp_path, name)
    (tmp_path / "allow").mkdir(mode=0o700)
    (tmp_path / "allow" / "me.key").write_bytes((tmp_path / "me.key").read_bytes())
    return tmp_path


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_with_keys_only_who_is_on_the_list_is_heard(keys: Path, host: str) -> None:
    with serving(host=host, own_key=keys / "server.key_secret", allow=keys / "allow") as (server, refused):
        place = server.address.replace("0.0.0.0", "127.0.0.1")
        mine = f"{place}?server_key=server.key&client_key="
        assert said(f"{mine}me.key_secret", Say(), Say(b"N1.plate", "who"), folder=keys)[1]["result"] == "me (key me)"
        with pytest.raises(LinkError, match="does not let our key in"):
            said(f"{mine}other.key_secret", Say(), folder=keys)
        with pytest.raises(LinkError, match="asks for keys"):
            said(place, Say(), folder=keys)
    assert any(line.endswith(f"refused, key {read_public(keys / 'other.key').decode()}") for line in refused)


@pytest.mark.parametrize(
    "own, allow, why",
    [
        ("server.key_secret", None, "keys need both"),
        ("server.key", "allow", "secret"),
        ("server.key_secret", "nowhere", "is no folder"),
    ],
)
def test_keys_that_are_none_are_refused(keys: Path, own: str, allow: str | None, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        NodeServer(Node("N1"), own_key=keys / own, allow=keys / allow if allow else None)


def test_a_port_that_is_taken_is_said_so() -> None:
    with serving() as (server, _), pytest.raises(SpecError, match="Address already in use"):
        NodeServer(Node("N1"), port=int(server.address.rpartition(":")[2]))


def test_giant_and_endless_messages_cost_nothing() -> None:
    with serving() as (server, _):
        context = Context()
        socket = context.socket(zmq.DEALER)
        socket.connect(server.address.removeprefix("zmq+"))
        for _ in range(20):
            socket.send_multipart([b"\x00", b"COORDINATOR", b"x", HEADER, *[b"7"] * (MOST_FRAMES + 5)])
        giant = context.socket(zmq.DEALER)
        giant.connect(server.address.removeprefix("zmq+"))
        giant.send(bytes(2 * LARGEST))
        assert said(server.address, Say())[0]["result"] is None
        assert not socket.poll(100)
        context.destroy(linger=0)


def test_asker_without_keys() -> None:
    assert str(Asker("N1.me")) == "N1.me"
