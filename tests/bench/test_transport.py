"""Links over real ptys, TCP and RFC 2217: the same exchange, and what breaks a cable."""

import os
import select
import socket
import threading
import time

import pytest
import serial.rfc2217

from labloop.bench import LinkError, LinkInterrupted, LinkTimeout, Port, ProtocolError, SpecError, open_link
from tests.bench.lines import PtyDevice, ScriptedLine, WordCodec, answers

# Long enough for whatever answers, however busy this computer is; and short, for what never answers in time.
WITHIN_S = 30.0
DEADLINE_S = 0.15


@pytest.fixture
def device_at():
    devices = []

    def make(script):
        device = PtyDevice(script)
        devices.append(device)
        return device, open_link(f"serial://{device.path}?baud=19200")

    yield make
    for device in devices:
        device.unplug()


def test_a_serial_port_answers_and_is_set_as_the_address_says(device_at):
    _, link = device_at(answers(value="25.0"))
    assert link.exchange(WordCodec(), "value?", WITHIN_S) == "25.0"
    assert link.exchange(WordCodec(), "set 3", WITHIN_S) is None
    link.close()


class SlowCodec(WordCodec):
    gap_s = 0.05


def test_silence_begins_when_the_last_byte_is_on_the_wire(device_at):
    device, quicker = device_at(answers())
    quicker.close()
    link = open_link(f"serial://{device.path}?baud=1200")  # 10 bits a byte: 7 bytes take 58 ms
    for _ in range(2):
        link.exchange(SlowCodec(), "set 3", WITHIN_S)
    first_s, second_s = (one.at_s for one in link.traffic)
    assert second_s - first_s >= 7 * 10 / 1200 + 0.05
    link.close()


# What is said at once, and what is said when the deadline is over.
FAULTS = {
    "F1 late": (b"", [b"value 100.0\r\n"]),
    "F2 split over the deadline": (b"value 25.0", [b"000\r\n"]),
    "F3 glued": (b"value 25.0\r\nvalue 26.0\r\n", []),
    "F4 garbage": (b"\xff\x00\xfevalue 9.0\r\n", []),
    "F5 trickle": (b"v", [bytes([byte]) for byte in b"alue 3.0\r\n"]),
    "F6 silence": (b"", []),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_the_line_gives_a_wrong_value(device_at, fault):
    at_once, later = FAULTS[fault]
    device, link = device_at(answers(0.0, value=[[(0.0, at_once)] if at_once else [], "200.0", "300.0"]))
    codec = WordCodec()
    if fault == "F3 glued":
        assert link.exchange(codec, "value?", WITHIN_S) == "25.0"
    elif fault == "F4 garbage":
        with pytest.raises(ProtocolError):
            link.exchange(codec, "value?", WITHIN_S)
    else:
        with pytest.raises(LinkTimeout):
            link.exchange(codec, "value?", DEADLINE_S)
    for piece in later:
        os.write(device.master, piece)
    assert [link.exchange(codec, "value?", WITHIN_S) for _ in range(2)] == ["200.0", "300.0"]
    link.close()


def test_the_deadline_is_of_the_whole_exchange(device_at):
    """A byte now and then does not stretch it: else the 65th would be a complaint of another kind."""
    _, link = device_at(answers(value=[[(0.1 * n, b"x") for n in range(1, 600)]]))
    began = time.monotonic()
    with pytest.raises(LinkTimeout):
        link.exchange(WordCodec(), "value?", 0.3)
    assert time.monotonic() - began > 0.29
    link.close()


def test_interrupt_ends_a_waiting_exchange_at_once(device_at):
    _, link = device_at(answers())
    port = Port(link)
    asking = port.submit(lambda: port.exchange("box")(WordCodec(), "value?", 10 * WITHIN_S))
    while not link.traffic:
        time.sleep(0.001)
    port.interrupt()
    with pytest.raises(LinkInterrupted, match="box on serial:"):
        asking.result(timeout=WITHIN_S)
    stopped = port.submit(lambda: port.exchange("box")(WordCodec(), "stop", WITHIN_S))
    assert stopped.result(timeout=WITHIN_S) == "stopped"
    port.close()


def test_interrupt_also_ends_the_wait_for_a_quiet_line(device_at):
    _, link = device_at(answers())
    port = Port(link)
    codec = WordCodec()
    with pytest.raises(LinkTimeout):
        port.submit(lambda: port.exchange()(codec, "value?", 0.05)).result()
    waiting = threading.Event()
    read = link._read
    link._read = lambda wait_s: waiting.set() or read(wait_s)
    asking = port.submit(lambda: port.exchange()(codec, "value?", 10 * WITHIN_S))
    assert waiting.wait(WITHIN_S), "it lets the line fall quiet first"
    port.interrupt()
    with pytest.raises(LinkInterrupted):
        asking.result(timeout=WITHIN_S)
    port.close()


def test_an_unplugged_port_is_named_and_stays_lost_until_it_is_opened_again(device_at):
    device, link = device_at(answers(value="1.0"))
    assert link.exchange(WordCodec(), "value?", WITHIN_S) == "1.0"
    device.unplug()
    for _ in range(2):
        with pytest.raises(LinkError, match=f"serial://{device.path}.* was lost") as caught:
            link.exchange(WordCodec(), "value?", WITHIN_S)
        assert not isinstance(caught.value, LinkTimeout)
    with pytest.raises(LinkError):
        link.reopen()


def test_a_port_that_comes_back_is_opened_again():
    server = socket.create_server(("127.0.0.1", 0))
    link = open_link(f"tcp://127.0.0.1:{server.getsockname()[1]}")
    first, _ = server.accept()
    first.close()
    with pytest.raises(LinkError, match="was lost"):
        link.exchange(WordCodec(), "value?", WITHIN_S)
    threading.Thread(target=serve_once, args=(server, answers(value="2.0")), daemon=True).start()
    link.reopen()
    assert link.exchange(WordCodec(), "value?", WITHIN_S) == "2.0"
    link.close()
    server.close()


def test_a_second_opener_is_refused_with_a_clear_message(device_at):
    device, link = device_at(answers())
    with pytest.raises(LinkError, match="the port is in use by another program"):
        open_link(f"serial://{device.path}")
    link.close()
    open_link(f"serial://{device.path}").close()


def test_a_port_that_is_not_there_is_named():
    with pytest.raises(LinkError, match=r"serial:///dev/no-such-port\?baud=9600: there is no such port"):
        open_link("serial:///dev/no-such-port?baud=9600")
    with pytest.raises(LinkError, match=r"tcp://127.0.0.1:1: nobody answers there"):
        open_link("tcp://127.0.0.1:1")
    with pytest.raises(SpecError, match="simulator only"):
        open_link("sim:")


def serve_once(server, script, wrap=None):
    connection, _ = server.accept()
    line = ScriptedLine(script)
    wrapped = wrap(connection) if wrap else None
    with connection:
        while True:
            readable, _, _ = select.select([connection], [], [], 0.005)
            data = b""
            if readable:
                try:
                    data = connection.recv(4096)
                except OSError:
                    return
                if not data:
                    return
                if wrapped:
                    data = b"".join(wrapped.filter(data))
            if out := line.receive(data, time.monotonic()):
                connection.sendall(b"".join(wrapped.escape(out)) if wrapped else out)


def test_tcp_carries_the_same_bytes():
    server = socket.create_server(("127.0.0.1", 0))
    in_time, asked = answers(0.02, value=[[], "200.0"]), []

    def script(line):
        asked.append(line)  # what the first question was owed comes with whatever is asked next
        return [(0.0, b"value 100.0\r\n")] * (len(asked) == 2) + in_time(line)

    threading.Thread(target=serve_once, args=(server, script), daemon=True).start()
    link = open_link(f"tcp://127.0.0.1:{server.getsockname()[1]}")
    codec = WordCodec()
    with pytest.raises(LinkTimeout):
        link.exchange(codec, "value?", DEADLINE_S)
    assert link.exchange(codec, "value?", WITHIN_S) == "200.0"
    link.close()
    server.close()


class FarPort:
    """What a terminal server has behind RFC 2217: a serial port whose settings arrive over the network."""

    def __init__(self):
        self.baudrate, self.bytesize, self.parity, self.stopbits = 0, 0, "", 0
        self.xonxoff = self.rtscts = self.dtr = self.rts = self.break_condition = False
        self.cts = self.dsr = self.cd = True
        self.ri = False
        self.timeout = 0

    def get_settings(self):
        return {}

    def apply_settings(self, settings):
        pass

    def reset_input_buffer(self):
        pass

    def reset_output_buffer(self):
        pass


def test_rfc2217_carries_the_line_settings():
    server = socket.create_server(("127.0.0.1", 0))
    far = FarPort()

    class Connection:
        def __init__(self, connection):
            self.connection = connection

        def write(self, data):
            self.connection.sendall(data)

    def wrap(connection):
        return serial.rfc2217.PortManager(far, Connection(connection))

    thread = threading.Thread(target=serve_once, args=(server, answers(value="22.0"), wrap), daemon=True)
    thread.start()
    link = open_link(f"rfc2217://127.0.0.1:{server.getsockname()[1]}?baud=9600&bytesize=7&parity=E&stopbits=2")
    assert link.exchange(WordCodec(), "value?", WITHIN_S) == "22.0"
    assert (far.baudrate, far.bytesize, far.parity, far.stopbits) == (9600, 7, "E", 2)
    link.close()
    server.close()


def test_a_blocked_line_is_lost_and_not_waited_for_for_ever():
    master, slave = os.openpty()
    link = open_link(f"serial://{os.ttyname(slave)}")
    codec = WordCodec()
    codec.encode = lambda command: [b"x" * 1_000_000]
    with pytest.raises(LinkError, match="was lost"):
        link.exchange(codec, "value?", 0.05)
    os.close(master)
    os.close(slave)


def test_a_port_without_a_device_takes_the_bytes_and_stays_silent():
    master, slave = os.openpty()
    link = open_link(f"serial://{os.ttyname(slave)}")
    with pytest.raises(LinkTimeout, match="nothing came"):
        link.exchange(WordCodec(), "value?", 0.05)
    link.close()
    os.close(master)
    os.close(slave)
