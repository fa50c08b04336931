"""Ports: calls in turn, exchanges that never interleave, interrupts that reach what waits and what runs."""

import threading
import time
from collections import deque

import pytest

from labloop.bench import LinkError, LinkInterrupted, Port, ProtocolError
from labloop.bench import port as port_module


class RecordingLink:
    """A link that notes when an exchange begins and ends; ``gate`` holds it until it is opened or interrupted."""

    def __init__(self):
        self.address = "test"
        self.traffic = deque()
        self.events = []
        self.inside = 0
        self.gate = None
        self.interrupted = threading.Event()
        self.closed = False

    def exchange(self, codec, command, deadline_s):
        self.inside += 1
        assert self.inside == 1, "two exchanges at once"
        self.events.append(command)
        if self.gate is not None:
            while not self.gate.is_set():
                if self.interrupted.is_set():
                    self.inside -= 1
                    raise LinkInterrupted("interrupted")
                time.sleep(0.001)
        else:
            time.sleep(0)  # let the others have a chance to break in
        if self.interrupted.is_set():
            self.inside -= 1
            raise LinkInterrupted("interrupted")
        self.inside -= 1
        if isinstance(command, Exception):
            raise command
        return command

    def interrupt(self):
        self.interrupted.set()

    def resume(self):
        self.interrupted.clear()

    def reopen(self):
        self.closed = False

    def close(self):
        self.closed = True


@pytest.fixture
def port():
    made = Port(RecordingLink())
    yield made
    made.close()


def test_a_call_gives_its_answer_or_its_exception(port):
    ask = port.exchange("pump")
    assert port.submit(lambda: ask(None, "value", 1.0)).result(timeout=60) == "value"
    with pytest.raises(ProtocolError, match=r"^pump on odd$"):
        port.submit(lambda: ask(None, ProtocolError("odd"), 1.0)).result(timeout=60)
    with pytest.raises(ZeroDivisionError):
        port.submit(lambda: 1 / 0).result(timeout=60)


def test_the_calls_of_instruments_on_one_port_run_whole_one_after_another(port):
    def call(name):
        ask = port.exchange(name)
        return lambda: [ask(None, (name, n), 1.0) for n in range(20)]

    threads = [threading.Thread(target=lambda name=name: port.submit(call(name)).result()) for name in "abcde"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    runs = [name for name, n in port.link.events if n == 0]
    assert sorted(runs) == list("abcde")
    assert port.link.events == [(name, n) for name in runs for n in range(20)]


def test_exchanges_from_other_threads_never_interleave_with_the_worker(port):
    ask = port.exchange("by hand")
    futures = [port.submit(lambda: [ask(None, "worker", 1.0) for _ in range(50)]) for _ in range(3)]
    threads = [threading.Thread(target=lambda: [ask(None, "hand", 1.0) for _ in range(50)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for future in futures:
        future.result(timeout=60)
    assert len(port.link.events) == 300


def test_interrupt_breaks_off_what_runs_refuses_what_waits_and_lets_later_calls_through(port):
    port.link.gate = threading.Event()
    ask = port.exchange("pump")
    running = port.submit(lambda: ask(None, "long", 1.0))
    waiting = port.submit(lambda: ask(None, "next", 1.0))
    while not port.link.events:
        time.sleep(0.001)
    port.interrupt()
    port.link.gate.set()
    stop = port.submit(lambda: ask(None, "stop", 1.0))
    assert stop.result(timeout=60) == "stop"
    for future in (running, waiting):
        with pytest.raises(LinkInterrupted):
            future.result(timeout=60)
    assert port.link.events == ["long", "stop"]


def test_interrupt_reaches_a_call_between_two_of_its_exchanges(port):
    ask = port.exchange("pump")
    between, go_on = threading.Event(), threading.Event()

    def call():
        ask(None, "first", 1.0)
        between.set()
        go_on.wait(60)
        ask(None, "second", 1.0)

    future = port.submit(call)
    between.wait(60)
    port.interrupt()
    go_on.set()
    with pytest.raises(LinkInterrupted):
        future.result(timeout=60)


def test_a_closed_port_refuses_calls_and_lets_go_of_its_line(port):
    port.submit(lambda: None).result(timeout=60)
    port.close()
    port.close()
    assert port.link.closed
    with pytest.raises(LinkError, match="is closed"):
        port.submit(lambda: None).result(timeout=60)


def test_an_inline_port_runs_at_once_in_the_callers_thread():
    port = Port(RecordingLink(), inline=True)
    future = port.submit(threading.current_thread)
    assert future.done() and future.result() is threading.current_thread()
    port.interrupt()
    assert port.submit(lambda: port.exchange()(None, "stop", 1.0)).result() == "stop"
    port.close()


def test_a_driver_that_does_not_return_keeps_nobody_from_closing(monkeypatch):
    monkeypatch.setattr(port_module, "LET_GO_S", 0.01)
    link, returns, begun = RecordingLink(), threading.Event(), threading.Event()
    port = Port(link)

    def hangs():
        begun.set()
        returns.wait()

    running = port.submit(hangs, "pump_a")
    assert begun.wait(60)
    waiting = port.submit(lambda: "never", "pump_b")
    try:
        said = port.close()
        assert "driver of pump_a does not return" in said and not link.closed
        with pytest.raises(LinkInterrupted, match="driver of pump_a does not return"):
            waiting.result(60)
    finally:
        returns.set()
    running.result(60)


def test_a_line_is_opened_again_by_nobody_while_a_driver_does_not_return():
    returns, port = threading.Event(), Port(RecordingLink())
    port.submit(returns.wait, "pump_a")
    try:
        with pytest.raises(LinkError, match="driver of pump_a does not return"):
            port.reopen(0.01)
    finally:
        returns.set()
        port.close()


def test_a_driver_that_hangs_is_left_behind_and_what_it_says_later_is_refused(port):
    hangs, comes_back = threading.Event(), threading.Event()
    late: list[Exception] = []

    def call():
        hangs.set()
        comes_back.wait()
        try:
            port.exchange("pump")(None, "too late", 1.0)
        except LinkInterrupted as error:
            late.append(error)
            raise

    hung = port.submit(call, "pump")
    hangs.wait()
    former = port._worker
    port.interrupt()
    stop = port.submit(lambda: port.exchange("pump")(None, "stop", 1.0), "pump")
    port.go_on_without(0.0)
    assert stop.result(10.0) == "stop"
    with pytest.raises(LinkInterrupted, match="the driver of pump does not return"):
        hung.result(0.0)
    comes_back.set()
    former.join(10.0)
    assert port.link.events == ["stop"] and "came back too late" in str(late[0])
    assert port.submit(lambda: port.exchange("pump")(None, "next", 1.0)).result(10.0) == "next"
    assert port.close() == ""


def test_what_returns_when_it_is_broken_off_is_not_left_behind(port):
    port.link.gate = threading.Event()
    running = port.submit(lambda: port.exchange()(None, "long", 1.0))
    while not port.link.inside:
        time.sleep(0.001)
    former = port._worker
    port.interrupt()
    port.go_on_without(10.0)
    with pytest.raises(LinkInterrupted, match="interrupted"):
        running.result(10.0)
    assert port._worker is former
    port.link.gate = None
    port.submit(lambda: port.exchange()(None, "next", 1.0)).result(10.0)
    port.go_on_without(0.0)  # nothing runs that was broken off
    assert port._worker is former
