"""A connection that stands on this side and is dead on the other: nothing tells of it, and a new one gets through."""

import contextlib
import socket
import threading
import time

import pytest

from labloop.bench import InstrumentFault, LinkTimeout, Port, open_lab, open_link
from tests.bench.labs import make_lab


@contextlib.contextmanager
def device_server(served):
    """TCP, to a box: of the connections in turn, whether they are served. Those that are not stand, and are silent."""
    server, taken, heard = socket.create_server(("127.0.0.1", 0)), [], []

    def serve(connection):
        with contextlib.suppress(OSError):
            while data := connection.recv(1024):
                heard.append(data)
                connection.sendall(data.replace(b"name?", b"name box").replace(b"stop", b"stop stopped"))

    def accept():
        with contextlib.suppress(OSError):
            while True:
                taken.append(server.accept())
                if served[len(taken) - 1 : len(taken)] == [True]:
                    threading.Thread(target=serve, args=taken[-1][:1], daemon=True).start()

    door = threading.Thread(target=accept, daemon=True)
    door.start()
    try:
        yield server.getsockname()[1], heard, taken
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        door.join(60.0)  # or it opens to the next test's callers, whose server has the same descriptor
        server.close()
        for one, _ in taken:
            one.close()


def came(port, taken):
    """How many came to the server, which may let them in later than they have gone."""
    until_s = time.monotonic() + 60.0
    with socket.create_connection(("127.0.0.1", port)) as last:
        while last.getsockname() not in [address for _, address in taken]:
            assert time.monotonic() < until_s
            time.sleep(0.001)
    return len(taken) - 1


@pytest.mark.parametrize("served, wrong", [([False, True], 0), ([False] * 3, 1)], ids=["got through", "away"])
def test_a_stop_that_is_not_answered_through_a_network_is_said_on_a_new_connection(tmp_path, served, wrong):
    with device_server(served) as (port, heard, taken):
        text = f'''
            labloop: 1
            instruments:
              a: {{driver: "DRIVER:Box", port: "tcp://127.0.0.1:{port}", address: 1}}
              b: {{driver: "DRIVER:Box", port: "tcp://127.0.0.1:{port}", address: 2}}
            '''
        lab = open_lab(make_lab(tmp_path, text), lambda address: Port(open_link(address)))
        for station in lab.instruments.values():
            driver = station._driver
            driver.stop = lambda driver=driver: driver.exchange(driver.codec, "stop", 0.1)
        errors = lab.safe()
        lab.close()
        assert came(port, taken) == 2, "once for the line, not once for each instrument on it"
        assert heard == ([b"name?\r\n"] * 2 + [b"stop\r\n"] * 2) * (not wrong)
        assert [one.partition(":")[0] for one in errors] == ["a.stop", "b.stop"] * wrong


def one_line(tmp_path, port, more=""):
    text = f'''
        labloop: 1
        instruments:
          a: {{driver: "DRIVER:Box", port: "tcp://127.0.0.1:{port}", address: 1}}
          b: {{driver: "DRIVER:Box", port: "tcp://127.0.0.1:{port}", address: 2}}
        {more}
        '''
    return open_lab(make_lab(tmp_path, text), lambda address: Port(open_link(address)))


def test_what_has_stopped_is_left_alone_where_another_of_its_line_has_not(tmp_path):
    """The lab's list (a quench that is poured) was done twice, because somebody else on the line went on."""
    with device_server([True] * 3) as (port, _, taken):
        lab = one_line(tmp_path, port, "safe_state: [{b.off: {}}]")
        a, b = (station._driver for station in lab.instruments.values())
        tries = []

        def jammed():
            tries.append("stop")
            raise InstrumentFault("it goes on")

        a.stop = jammed
        assert [error.partition(":")[0] for error in lab.safe()] == ["a.stop"]
        lab.close()
        assert came(port, taken) == 2 and len(tries) == 2
        assert [said for said in b.said if said != "open"] == ["stop", "off"]


def test_a_driver_that_errs_on_the_new_connection_is_named_and_ends_nothing(tmp_path):
    with device_server([True] * 3) as (port, *_):
        lab = one_line(tmp_path, port)

        def errs():
            raise ValueError("its own mistake")

        lab.instruments["a"]._driver.stop = lab.instruments["a"]._driver.open = errs
        assert lab.safe() == ["a.stop: ValueError: its own mistake"]
        assert lab.instruments["b"]._driver.said[0] == "stop"
        lab.close()


def test_one_that_is_away_keeps_nobody_of_its_line_from_being_stopped_on_a_new_connection(tmp_path):
    """A pump that is switched off beside a hotplate: nobody said a stop to the plate on the connection that works."""
    with device_server([False, True, True]) as (port, heard, _):
        lab = one_line(tmp_path, port)
        a, b = (station._driver for station in lab.instruments.values())

        def silent():
            raise LinkTimeout("b: switched off")

        a.stop = lambda: a.exchange(a.codec, "stop", 0.1)
        b.open = b.stop = silent
        assert [error.partition(":")[0] for error in lab.safe()] == ["b.stop"]
        lab.close()
        assert heard.count(b"stop\r\n") == 1


def test_something_else_on_a_new_connection_is_told_nothing(tmp_path):
    with device_server([False, True, True]) as (port, heard, _):
        lab = one_line(tmp_path, port)
        a, b = (station._driver for station in lab.instruments.values())

        def another():
            raise InstrumentFault("a pump answers", "identity")

        for driver in (a, b):
            driver.stop = lambda driver=driver: driver.exchange(driver.codec, "stop", 0.1)
        a.open = another
        errors = lab.safe()
        assert [error.partition(":")[0] for error in errors] == ["a.stop"]
        assert heard.count(b"stop\r\n") == 1, "b's"
        (left,) = lab.safe()  # nor when it is made safe once more
        assert left.startswith("a: a pump answers") and left.endswith("; nothing was said to it")
        lab.close()
        assert heard.count(b"stop\r\n") == 2, "b's"
