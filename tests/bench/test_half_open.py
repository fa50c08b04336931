"""A connection that stands on this side and is dead on the other: nothing tells of it, and a new one gets through."""

import contextlib
import socket
import threading

import pytest

from labloop.bench import Port, open_lab, open_link
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
                taken.append(server.accept()[0])
                if served[len(taken) - 1]:
                    threading.Thread(target=serve, args=(taken[-1],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1], heard, taken
    finally:
        server.close()
        for one in taken:
            one.close()


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
        assert len(taken) == 2, "once for the line, not once for each instrument on it"
        assert heard == ([b"name?\r\n"] * 2 + [b"stop\r\n"] * 2) * (not wrong)
        assert [one.partition(":")[0] for one in errors] == ["a.stop", "b.stop"] * wrong
