"""A served bench: real ports, kept state, signals, and an end when nobody watches."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import serial
import zmq

from labloop.keys import Context
from labloop.simulation import serve
from labloop.simulation.ports import line_settings
from labloop.simulation.said import SerialSide
from labloop.simulation.serve import Server

Serve = Callable[..., Any]


def ask(port: Any, command: bytes, last: bytes = b"\x03") -> bytes:
    port.write(command)
    answer: bytes = port.read_until(last)
    return answer


def opened(served: Any, name: str = "pump_agno3", **settings: Any) -> Any:
    return serial.Serial(served.device(name), 19200, timeout=60, exclusive=True, **settings)


def wait_for(what: Callable[[], Any], within_s: float = 60.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def heard(served: Any) -> None:
    """What was written to another port before was heard: whoever answers here twice has read all ports in between."""
    with serial.Serial(served.device("hotplate"), 9600, bytesize=7, parity="E", timeout=60) as port:
        for _ in range(2):
            assert ask(port, b"IN_NAME\r\n", b"\n") == b"RCT digital \r\n"


def test_addresses_name_every_instrument_and_go_at_the_end(
    serve_plan: Serve, plan: dict[str, Any], tmp_path: Path
) -> None:
    served = serve_plan(plan)
    assert list(served.ports) == list(plan["instruments"])
    assert served.ports["pump_agno3"] == served.ports["pump_water"]
    assert served.ports["pump_agno3"].endswith("?baud=19200")
    assert served.ports["hotplate"].endswith("?baud=9600&bytesize=7&parity=E")
    assert served.ports["spectrometer"].startswith("zmq+tcp://127.0.0.1:")
    assert served.ports["spectrometer"].endswith("?actor=N1.spectrometer")
    assert served.end(signal.SIGTERM) == 0
    assert not list(tmp_path.glob("addresses*")) and not Path(served.device("hotplate")).is_symlink()


def test_five_pumps_on_one_line_and_bytes_at_the_lines_rate(serve_plan: Serve, plan: dict[str, Any]) -> None:
    served = serve_plan(plan)
    with opened(served) as port:
        for address in range(5):
            assert ask(port, b"%d\r" % address) == b"\x020%dA?R\x03" % address
        began = time.monotonic()
        for _ in range(5):
            assert ask(port, b"0VER\r") == b"\x0200SNE1000V3.923\x03"
        # 5 bytes there and 17 back, ten bits each, at 19200 baud: 11.5 ms.
        assert time.monotonic() - began > 5 * 22 * 10 / 19200


@pytest.mark.parametrize("speed, arrived", [(1.0, 1000), (60.0, 9000)])
def test_a_faster_world_keeps_what_its_host_has_no_time_for(speed: float, arrived: int) -> None:
    room, got = 1000, bytearray()

    def write(data: bytes) -> int:
        got.extend(data[:room])
        return min(room, len(data))

    line = SimpleNamespace(receive=lambda data, now_s: bytes(n % 251 for n in range(9000)))
    port = SimpleNamespace(settings=line_settings("serial:///dev/x?baud=9600"), write=write)
    side = SerialSide(line, cast("Any", port), speed)
    side.hear(b"?", 0.0, 0.0)
    side.speak(20.0)
    assert len(got) == 1000 and side.next_s() == (None if speed == 1.0 else pytest.approx(20.001))
    for n in range(8):
        side.speak(21.0 + n)
    assert got == bytes(n % 251 for n in range(arrived)) and side.next_s() is None


def test_who_opens_a_port_that_nobody_read_is_not_told_what_it_said_to_nobody() -> None:
    room, got = [1000], bytearray()

    def write(data: bytes) -> int:
        taken = min(room[0], len(data))
        got.extend(data[:taken])
        room[0] -= taken
        return taken

    line = SimpleNamespace(receive=lambda data, now_s: data * 2000)
    port = SimpleNamespace(settings=line_settings("serial:///dev/x?baud=9600"), write=write)
    side = SerialSide(line, cast("Any", port), 60.0)
    side.hear(b"a", 0.0, 100.0)
    for wall_s in (101.0, 110.0, 111.5):
        side.speak(wall_s)
    side.hear(b"b", 0.0, 112.0)
    room[0] = 9000  # somebody opens it
    side.speak(113.0)
    assert got == b"a" * 1000 + b"b" * 2000


def test_another_speed_is_garbage_even_on_a_pty_both_ways(serve_plan: Serve, plan: dict[str, Any]) -> None:
    served = serve_plan(plan, speed=60)
    with opened(served) as port:
        for command in (b"0\r", b"0RAT1MM\r"):
            ask(port, command)
    with serial.Serial(served.device("pump_agno3"), 9600, timeout=0.2) as port:
        port.write(b"\r0RAT2MM\r0RAT2MM\r")
        heard(served)
        assert b"\x02" not in port.read_until(b"\x03")
    with opened(served) as port:
        port.write(b"\r")  # What the pumps heard as garbage ends here.
        port.read_until(b"\x03")
        assert ask(port, b"0RAT\r") == b"\x0200S1.000MM\x03"


def test_rfc_2217_carries_the_settings(serve_plan: Serve, plan: dict[str, Any]) -> None:
    served = serve_plan(plan, transport="rfc2217", speed=60)
    address = served.ports["hotplate"].partition("?")[0]
    right = {"baudrate": 9600, "bytesize": 7, "parity": "E", "timeout": 60}
    with serial.serial_for_url(address, **right) as port:
        assert ask(port, b"IN_NAME\r\n", b"\n") == b"RCT digital \r\n"
    for wrong in ({"baudrate": 19200}, {"bytesize": 8, "parity": "N"}):
        with wait_for(lambda wrong=wrong: connected(address, right | {"timeout": 0.3} | wrong)) as port:
            assert b"RCT" not in ask(port, b"\r\nOUT_SP_1 99\r\nIN_NAME\r\n", b"\n")
    with wait_for(lambda: connected(address, right)) as port:
        port.write(b"\r\n")  # What the device heard as garbage ends here.
        assert ask(port, b"IN_SP_1\r\n", b"\n") == b"0.0 1 \r\n"


def connected(address: str, settings: dict[str, Any]) -> Any:
    """None while the port still has its former host."""
    try:
        return serial.serial_for_url(address, **settings)
    except serial.SerialException:
        return None


def test_tcp_takes_one_host_at_a_time(serve_plan: Serve, plan: dict[str, Any]) -> None:
    served = serve_plan(plan, transport="tcp", speed=60)
    address = served.ports["hotplate"].partition("?")[0].replace("tcp://", "socket://")
    with serial.serial_for_url(address, timeout=60) as port:
        assert ask(port, b"IN_NAME\r\n", b"\n") == b"RCT digital \r\n"
        second = serial.serial_for_url(address, timeout=60)
        with pytest.raises(serial.SerialException):
            second.read(1)
        assert ask(port, b"IN_TYPE\r\n", b"\n") == b"RCT5 \r\n"


def test_the_ledger_file_has_one_line_for_begin_and_one_for_end(
    serve_plan: Serve, plan: dict[str, Any], tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    served = serve_plan(plan, ledger=str(ledger), speed=60)
    with opened(served) as port:
        for command in (b"0\r", b"0DIA14.43\r", b"0VOL.1\r", b"0RAT6MM\r", b"0RUN\r"):
            ask(port, command)
    begun, ended = wait_for(lambda: (lines := ledger.read_text().splitlines())[1:] and lines)
    begun, ended = json.loads(begun), json.loads(ended)
    assert list(begun) == ["at_s", "instrument", "act", "phase", "amount", "unit"]
    assert (begun["instrument"], begun["act"], begun["phase"]) == ("pump_agno3", "dispense", "begin")
    assert (ended["phase"], ended["amount"], ended["unit"]) == ("end", 100.0, "uL")
    assert ended["at_s"] - begun["at_s"] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_state_goes_on_in_the_next_process(serve_plan: Serve, plan: dict[str, Any], tmp_path: Path, how: int) -> None:
    state = str(tmp_path / "state")
    first = serve_plan(plan, state=state)
    with opened(first) as port:
        for command in (b"0\r", b"0DIA14.43\r", b"0VOL5\r", b"0RAT8MM\r", b"0RUN\r"):
            assert ask(port, command)
        time.sleep(0.2)
        assert ask(port, b"0STP\r") == b"\x0200P\x03"  # The end of an act is kept before its answer leaves.
        said = ask(port, b"0DIS\r")
        infused = float(said[5:10])
    links = Path(first.device("pump_agno3")).parent
    first.end(how)
    assert links.exists() == (how == signal.SIGKILL)
    second = serve_plan(plan, state=state)
    assert not links.exists(), "whoever comes after one that was killed clears its links away"
    with opened(second) as port:
        assert ask(port, b"0DIS\r") == said
        assert ask(port, b"0RUN\r") == b"\x0200I\x03"
        assert float(ask(port, b"0DIS\r")[5:10]) >= infused > 0.0


def test_a_refill_by_hand(serve_plan: Serve, plan: dict[str, Any], tmp_path: Path) -> None:
    plan["instruments"]["pump_agno3"]["options"]["stock"] = "0.05 mL"
    served = serve_plan(plan, state=str(tmp_path / "state"), speed=60)
    by_hand = tmp_path / "state" / "by-hand"
    by_hand.mkdir(parents=True)
    serve.write_whole(by_hand / "1.json", json.dumps({"instrument": "pump_agno3", "holds_ul": 1000.0}))
    serve.write_whole(by_hand / "2.json", json.dumps({"instrument": "nobody", "holds_ul": 1000.0}))
    wait_for(lambda: not list(by_hand.glob("*.json")))
    assert [path.name for path in by_hand.iterdir()] == ["2.refused"]
    with opened(served) as port:
        for command in (b"0\r", b"0DIA14.43\r", b"0VOL.5\r", b"0RAT8MM\r", b"0RUN\r"):
            ask(port, command)
        assert wait_for(lambda: b"S" in (answer := ask(port, b"0DIS\r")) and answer) == b"\x0200SI0.500W0.000ML\x03"


def test_pulled_and_put_back_under_the_same_name(serve_plan: Serve, plan: dict[str, Any]) -> None:
    served = serve_plan(plan, faults="unplug=1,seed=1")
    with opened(served) as port, pytest.raises((serial.SerialException, OSError)):
        port.write(b"0\r")
        port.read(1)
        port.read(1)
    wait_for(lambda: Path(served.device("pump_agno3")).exists())


def test_zmq_answers_a_raw_dealer(serve_plan: Serve, plan: dict[str, Any]) -> None:
    address = serve_plan(plan).ports["spectrometer"].partition("?")[0].removeprefix("zmq+")
    with Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger, dealer.rcvtimeo = 0, 60_000
        dealer.connect(address)
        header = bytes(range(16)) + b"\x00\x00\x00\x01"
        dealer.send_multipart(
            [b"\x00", b"COORDINATOR", b"probe", header, b'{"jsonrpc":"2.0","id":1,"method":"sign_in"}']
        )
        frames = dealer.recv_multipart()
        assert frames[:4] == [b"\x00", b"probe", b"N1.COORDINATOR", header]
        assert json.loads(frames[4]) == {"id": 1, "result": None, "jsonrpc": "2.0"}


def test_it_outlives_its_watched_lock_and_no_longer(
    plan: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "runner.lock"
    server = Server(plan | {"addresses": str(tmp_path / "a.json"), "watch": str(lock)})
    now_s = began_s = time.monotonic()
    monkeypatch.setattr(serve, "time", SimpleNamespace(monotonic=lambda: now_s))
    holder = os.open(lock, os.O_CREAT | os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    assert serve.is_held(lock)

    def turn() -> None:
        nonlocal now_s
        now_s += 10.0
        if now_s - began_s >= 300.0:
            fcntl.flock(holder, fcntl.LOCK_UN)

    monkeypatch.setattr(server, "_turn", turn)
    server.run()
    os.close(holder)
    assert 340.0 < now_s - began_s < 380.0, "a minute after it was seen held last"
    assert not serve.is_held(lock) and not serve.is_held(tmp_path / "never")


def test_whoever_takes_the_lock_at_the_last_moment_keeps_the_ports(
    plan: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = tmp_path / "a.json"
    server = Server(plan | {"addresses": str(addresses), "watch": str(tmp_path / "runner.lock")})
    monkeypatch.setattr(serve, "OUTLIVES_S", 0.0)
    looks = []

    def held(path: Path) -> bool:
        looks.append(addresses.exists())
        return len(looks) == 2  # taken between the last look of a turn and the one after the addresses went

    monkeypatch.setattr(serve, "is_held", held)
    server.run()
    assert looks == [True, False, True, False], "found, then relied on: the addresses are back for the one who holds it"
    assert "nobody has held" in server.why_ended


def test_its_last_word_is_who_ended_it(serve_plan: Serve, plan: dict[str, Any]) -> None:
    served = serve_plan(plan)
    assert served.end(signal.SIGTERM) == 0
    assert "served until: SIGTERM" in served.said
    if sys.platform == "linux":
        assert f"from process {os.getpid()} (" in served.said


def test_one_kept_bench_is_served_once(serve_plan: Serve, plan: dict[str, Any], tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    first = serve_plan(plan, state=state)
    path = tmp_path / "second.json"
    path.write_text(json.dumps(plan | {"addresses": str(tmp_path / "addresses-0.json"), "state": state}))
    second = subprocess.run(
        [sys.executable, "-m", "labloop.simulation.serve", str(path)],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip
    assert second.returncode == 0 and "gives way" in second.stderr
    assert (tmp_path / "addresses-0.json").exists(), "the first one's addresses stand"
    with opened(first) as port:
        assert ask(port, b"0\r")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"transport": "pigeon"}, "transport = 'pigeon'; known are pty, tcp, rfc2217"),
        ({"faults": "dorp=1"}, "'dorp' is unknown"),
        ({"speed": -1}, "speed = -1.0 must lie above 0"),
    ],
)
def test_a_plan_that_makes_no_sense_exits_2(
    plan: dict[str, Any], tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan | {"addresses": str(tmp_path / "a.json")} | change))
    command = [sys.executable, "-m", "labloop.simulation.serve", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 2 and complaint in done.stderr and "Traceback" not in done.stderr


def test_line_settings() -> None:
    found = line_settings("serial:///dev/x?baud=9600&bytesize=7&parity=e")
    assert (found.baud, found.bytesize, found.parity, found.stopbits) == (9600, 7, "E", 1.0)
    assert found.seconds_per_byte() == 10 / 9600
    with pytest.raises(ValueError, match="serial:///dev/x"):
        line_settings("serial:///dev/x?baud=fast")
