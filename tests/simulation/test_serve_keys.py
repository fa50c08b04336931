"""Served simulators with keys: only who is on the list is heard, and nothing is served beyond this machine without."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from labloop.bench import LinkError, open_link
from labloop.keys import Context, make_pair, protect_client, read_pair, read_public
from labloop.simulation.serve import Server

Serve = Callable[..., Any]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name in ("server", "me", "other"):
        make_pair(tmp_path / "keys", name)
    allow = tmp_path / "keys" / "allow"
    allow.mkdir(mode=0o700)
    (allow / "me.key").write_bytes((tmp_path / "keys" / "me.key").read_bytes())
    return tmp_path / "keys"


def door(keys: Path, **more: str) -> dict[str, str]:
    return {"own_key": str(keys / "server.key_secret"), "allow": str(keys / "allow")} | more


def signed_in(port: str, keys: Path) -> list[bytes]:
    """What the coordinator answers to a sign-in over a plain socket of our own."""
    context = Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    protect_client(socket, read_public(keys / "server.key"), read_pair(keys / "me.key_secret"))
    socket.connect(port.removeprefix("zmq+").partition("?")[0])
    said = b'{"id": 1, "method": "sign_in", "jsonrpc": "2.0"}'
    socket.send_multipart([b"\x00", b"COORDINATOR", b"me", bytes(19) + b"\x01", said])
    answer = socket.recv_multipart() if socket.poll(60_000) else []
    socket.close(0)
    context.term()
    return answer


def test_only_who_is_on_the_list_is_heard(serve_plan: Serve, plan: dict[str, Any], keys: Path) -> None:
    served = serve_plan(plan, **door(keys))
    port = served.ports["spectrometer"]
    assert port.endswith(f"?actor=N1.spectrometer&server_key={keys / 'server.key'}")
    assert signed_in(port, keys)[-1:] == [b'{"id": 1, "result": null, "jsonrpc": "2.0"}']
    for address, why in (
        (f"{port}&client_key=other.key_secret", "does not let our key in"),
        (port.partition("&")[0], "asks for keys"),
    ):
        link = open_link(address, keys)
        with pytest.raises(LinkError, match=why):
            link.exchange(_Hello(), "hello", 60.0)
        link.close()
    served.end()
    assert f"127.0.0.1: me\n127.0.0.1: refused, key {read_public(keys / 'other.key').decode()}" in served.said


class _Hello:
    def encode(self, command: str) -> list[bytes]:
        return [command.encode()]

    def expects_reply(self, command: str) -> bool:
        return True

    def urgent(self, command: str) -> bool:
        return False

    def probe(self, command: str) -> None:
        return None

    def reset(self) -> None:
        pass

    def feed(self, data: bytes | list[bytes]) -> Any:
        return data


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"host": "0.0.0.0"}, "host = 0.0.0.0 can be reached from other machines"),
        ({"host": "192.168.1.7"}, "can be reached from other machines"),
        ({"own_key": "server.key_secret"}, "keys need both"),
        ({"allow": "allow"}, "keys need both"),
        ({"own_key": "server.key", "allow": "allow"}, "holds no secret key"),
        ({"own_key": "server.key_secret", "allow": "nowhere"}, "is no folder"),
    ],
)
def test_a_doorway_that_is_open_or_half_built_is_refused(
    plan: dict[str, Any], keys: Path, tmp_path: Path, more: dict[str, str], why: str
) -> None:
    made = {name: value if name == "host" else str(keys / value) for name, value in more.items()}
    with pytest.raises(ValueError, match=why):
        Server({**plan, **made, "addresses": str(tmp_path / "addresses.json")})


def test_a_giant_frame_ends_its_sender_and_nobody_else(serve_plan: Serve, plan: dict[str, Any], keys: Path) -> None:
    served = serve_plan(plan)
    port = served.ports["spectrometer"].removeprefix("zmq+").partition("?")[0]
    context = Context()
    giant = context.socket(zmq.DEALER)
    giant.setsockopt(zmq.LINGER, 0)
    giant.connect(port)
    giant.send_multipart([b"\x00", b"COORDINATOR", b"x", bytes(20), bytes(2_000_000)])
    said = b'{"id": 1, "method": "sign_in", "jsonrpc": "2.0"}'
    kind = context.socket(zmq.DEALER)
    kind.setsockopt(zmq.LINGER, 0)
    kind.connect(port)
    kind.send_multipart([b"\x00", b"COORDINATOR", b"kind", bytes(19) + b"\x01", said])
    assert kind.poll(60_000) and kind.recv_multipart()[-1] == b'{"id": 1, "result": null, "jsonrpc": "2.0"}'
    assert not giant.poll(100)
    giant.close(0)
    kind.close(0)
    context.term()


def test_the_verb_serves_with_keys_and_its_lab_file_is_driven_as_if_real(keys: Path, tmp_path: Path) -> None:
    labloop = [sys.executable, "-m", "labloop"]
    root = Path(__file__).parents[2]
    text = (root / "campaigns" / "lab.yaml").read_text()
    written = "zmq+tcp://127.0.0.1:12300?actor=N1.spectrometer"
    assert written in text
    lab = tmp_path / "lab.yaml"
    remote = "zmq+tcp://10.9.8.7:12300?actor=N1.spectrometer&server_key=keys/real.key&client_key=keys/me.key_secret"
    text = text.replace(written, remote).replace("agnp.csv", str(root / "campaigns/agnp.csv"))
    lab.write_text(f"{text}root: {root}\n")
    out = tmp_path / "elsewhere" / "out.yaml"
    out.parent.mkdir()
    arguments = ["simulate", str(lab), "--addresses", str(out), "--own-key", str(keys / "server.key_secret")]
    with subprocess.Popen([*labloop, *arguments, "--allow", str(keys / "allow")], stderr=subprocess.PIPE) as process:
        try:
            while not out.exists():
                assert process.poll() is None
                time.sleep(0.01)
            asked = subprocess.run(
                [*labloop, "instruments", str(out), "spectrometer", "--live", "--json"],
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert asked.returncode == 0, asked.stderr
            assert f"client_key={keys / 'me.key_secret'}" in out.read_text()
            (keys / "allow" / "me.key").unlink()
            refused = subprocess.run(
                [*labloop, "instruments", str(out), "spectrometer", "--live"],
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert refused.returncode == 3 and "does not let our key in" in refused.stderr
        finally:
            process.terminate()
