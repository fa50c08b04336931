"""Ports in themselves: what a host at other settings hears, and that a port survives what hosts do."""

import os
import select
import socket
from pathlib import Path

import pytest
import serial

from labloop.simulation.ports import GARBAGE, PtyPort, Rfc2217Port, TcpPort

ADDRESS = "serial:///dev/x?baud=9600"
SET_BAUD_19200 = b"\xff\xfa\x2c\x01\x00\x00\x4b\x00\xff\xf0"  # RFC 2217: IAC SB COM-PORT-OPTION SET-BAUDRATE


def host(port: TcpPort) -> socket.socket:
    number = int(port.address.partition("?")[0].rpartition(":")[2])
    connected = socket.create_connection(("127.0.0.1", number), timeout=60)
    assert came(listener := port.readable()[-1]) and port.read(listener) == b""
    return connected


def came(descriptor: int) -> bool:
    return select.select([descriptor], [], [], 60.0)[0] == [descriptor]


def test_a_pty_speaks_garbage_at_another_speed(tmp_path: Path) -> None:
    port = PtyPort("x", ADDRESS, tmp_path)
    try:
        for speed, heard in ((9600, b"hello"), (19200, GARBAGE), (9600, b"hello")):
            with serial.Serial(str(tmp_path / "x"), speed, timeout=60) as opened:
                port.write(b"hello")
                assert opened.read(len(heard)) == heard
    finally:
        port.close()


def test_a_pty_lets_one_host_after_the_other_ask_for_seven_bits_and_a_parity(tmp_path: Path) -> None:
    port = PtyPort("x", "serial:///dev/x?baud=9600&bytesize=7&parity=E", tmp_path)
    try:
        for _ in range(3):  # as ika-control, matterlab-hotplates and dvg-devices open it
            assert port.readable()
            with serial.Serial(str(tmp_path / "x"), 9600, bytesize=7, parity="E", timeout=60) as opened:
                assert port.readable()
                opened.timeout = 50
                port.write(b"hello")
                assert opened.read(5) == b"hello"
                opened.write(b"\xff\x00\r")
                assert port.read(port.readable()[0]) == b"\xff\x00\r"
    finally:
        port.close()


def test_what_a_host_sets_right_after_it_opened_a_pty_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = PtyPort("x", "serial:///dev/x?baud=19200", tmp_path)
    try:
        assert port.readable()
        with serial.Serial(str(tmp_path / "x"), 9600, timeout=60) as opened:
            monkeypatch.setattr("labloop.simulation.ports.time.sleep", lambda _: setattr(opened, "baudrate", 19200))
            assert port.readable()
            port.write(b"hello")
            assert opened.read(5) == b"hello"
    finally:
        port.close()


def test_who_reads_a_pty_is_woken_by_a_host_that_says_nothing(tmp_path: Path) -> None:
    """So that the next one, who may come at once, finds something to change."""
    port = PtyPort("x", "serial:///dev/x?baud=9600&bytesize=7&parity=E", tmp_path)
    try:
        for _ in range(3):
            (master,) = port.readable()
            serial.Serial(str(tmp_path / "x"), 9600, bytesize=7, parity="E").close()
            assert came(master)
            assert port.read(master) == b""
            assert select.select([master], [], [], 0.0)[0] == []
    finally:
        port.close()


def test_rfc_2217_speaks_garbage_at_another_speed() -> None:
    port = Rfc2217Port("x", ADDRESS, Path())
    with host(port) as connected:
        connected.recv(4096)  # Its wishes.
        port.write(b"hello\xff")
        assert connected.recv(4096) == b"hello\xff\xff"
        connected.sendall(SET_BAUD_19200)
        assert port.read(port.readable()[0]) == b""
        connected.recv(4096)  # The setting, confirmed.
        port.write(b"hello")
        assert connected.recv(4096) == b"\xff\xff\xfe\x00"
    port.close()


@pytest.mark.parametrize(
    "said", [b"\xff\xfa\xff\xf0", b"\xff\xfa\x2c\x01\xff\xf0", b"\xff\xfa\x2c\x03\x63\xff\xf0", b"\xff\xff"]
)
def test_rfc_2217_survives_nonsense(said: bytes) -> None:
    port = Rfc2217Port("x", ADDRESS, Path())
    with host(port) as connected:
        connected.sendall(said + b"plain")
        port.read(port.readable()[0])
        port.write(b"hello")
    port.close()


def test_a_full_pty_loses_what_nobody_reads(tmp_path: Path) -> None:
    port = PtyPort("x", ADDRESS, tmp_path)
    for _ in range(100):
        port.write(bytes(1000))
    port.unplug()
    port.write(b"lost")
    assert port.readable() == [] and not os.path.lexists(tmp_path / "x")
    port.replug()
    assert (tmp_path / "x").exists()
    port.close()


def test_a_host_that_is_gone_is_let_go() -> None:
    port = TcpPort("x", ADDRESS, Path())
    host(port).close()
    assert port.read(port.readable()[0]) == b"" and len(port.readable()) == 1
    port.write(b"to nobody")
    with host(port) as connected, host(port) as second:
        assert second.recv(1) == b"", "one that is still there stays"
        port.write(b"hello")
        assert connected.recv(5) == b"hello"
    port.close()


def test_the_next_host_is_let_in_though_nobody_saw_yet_that_the_last_one_went() -> None:
    port = TcpPort("x", ADDRESS, Path())
    first = host(port)
    first.sendall(b"bye")
    assert port.read(port.readable()[0]) == b"bye"
    first.close()
    assert came(port.readable()[0]), "its end is there to be seen"
    with host(port) as connected:
        port.write(b"hello")
        assert connected.recv(5) == b"hello"
    port.close()
