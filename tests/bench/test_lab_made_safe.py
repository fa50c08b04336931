"""A lab is made safe: what is stopped, braked, kept and done, past every error and every call that hangs."""

import math
import threading
import time
from types import SimpleNamespace

import pytest

from labloop.bench import (
    InProcessLink,
    LinkInterrupted,
    LinkTimeout,
    Port,
    ProtocolError,
    SpecError,
    open_lab,
    open_link,
)
from labloop.bench import lab as lab_module
from labloop.bench import port as port_module
from labloop.bench.lab import Lab
from labloop.bench.station import stop
from tests.bench.labs import TWO, connect_scripted, make_lab
from tests.bench.lines import FakeTime, PtyDevice, ScriptedLine, answers


def test_the_safe_state_stops_everything_then_does_the_list(tmp_path):
    lab = open_lab(make_lab(tmp_path, TWO), connect_scripted())
    assert lab.safe() == []
    assert lab.instruments["left"].driver.said == ["stop", "off"]
    assert lab.instruments["right"].driver.said == ["stop"]
    assert lab.instruments["far"].driver.said == ["stop", ("heat", 20.0)]
    assert lab.close() == [] and lab.close() is not None


def test_the_safe_state_goes_on_past_errors_and_says_them(tmp_path):
    def connect(address):
        script = answers(stop=[[]] * 9) if "serial" in address else answers()
        return Port(InProcessLink(address, ScriptedLine(script), FakeTime()), inline=True)

    lab = open_lab(make_lab(tmp_path, TWO), connect)
    lab.instruments["far"]._driver.heat = None  # a driver's own mistake
    errors = lab.safe()
    assert [error.partition(":")[0] for error in errors] == ["left.stop", "right.stop", "far.heat"]
    assert "left on serial:///dev/a?baud=9600: no whole answer to b'stop" in errors[0]
    assert lab.instruments["left"].driver.said == ["stop", "stop", "off"], "a stop that was not heard is said again"


@pytest.mark.parametrize("wrong, tries", [
    ([ProtocolError("the rest of one"), ProtocolError("half of the next")], 3),
    ([ProtocolError("")] * 3, 0), ([LinkTimeout("")], 2), ([LinkTimeout("")] * 2, 0), ([LinkInterrupted("")], 0),
])  # fmt: skip
def test_a_stop_is_said_again_when_its_answer_makes_no_sense_or_was_lost(wrong, tries):
    said, left = [], list(wrong)

    def halt():
        said.append("stop")
        if left:
            raise left.pop(0)

    station = SimpleNamespace(driver=SimpleNamespace(stop=halt))
    if tries:
        stop(station, frozenset(), math.inf)
        assert len(said) == tries
    else:
        with pytest.raises(type(wrong[-1])):
            stop(station, frozenset(), math.inf)
        assert len(said) == len(wrong)


def test_what_is_kept_is_not_stopped(tmp_path):
    lab = open_lab(make_lab(tmp_path, TWO + "    keep: [right]\n"), connect_scripted())
    assert lab.safe() == []
    assert lab.instruments["right"].driver.said == []


def test_the_safe_state_is_reached_while_a_driver_call_is_blocked(tmp_path):
    device = PtyDevice(answers())
    spec = make_lab(
        tmp_path,
        f"""
        labloop: 1
        instruments:
          a: {{driver: "DRIVER:Box", port: "serial://{device.path}"}}
        """,
    )
    lab = open_lab(spec, lambda address: Port(open_link(address)))
    station = lab.instruments["a"]
    blocked = station.port.submit(lambda: station.driver.exchange(station.driver.codec, "value?", 600.0))
    while not station.port.traffic:
        time.sleep(0.001)
    assert lab.safe() == []
    assert blocked.done() and device.heard == [b"value?", b"stop"]
    lab.close()
    device.unplug()


def test_an_instrument_whose_driver_hangs_is_stopped_without_it(tmp_path):
    device, hangs, comes_back = PtyDevice(answers()), threading.Event(), threading.Event()
    spec = make_lab(
        tmp_path,
        f"""
        labloop: 1
        instruments:
          a: {{driver: "DRIVER:Box", port: "serial://{device.path}"}}
        """,
    )
    lab = open_lab(spec, lambda address: Port(open_link(address)))
    station = lab.instruments["a"]

    def call():
        hangs.set()
        comes_back.wait()
        station.driver.exchange(station.driver.codec, "too late", 1.0)

    hung = station.port.submit(call, "a")
    hangs.wait()
    assert lab.safe() == []
    assert device.heard == [b"stop"] and "driver of a does not return" in str(hung.exception(0.0))
    comes_back.set()
    lab.close()
    assert lab.hanging == [] and device.heard == [b"stop"]
    device.unplug()


@pytest.mark.parametrize("hangs_in", ["stop", "brake", "stop_that_asks_on"])
def test_a_stop_that_hangs_keeps_nobody_else_on_its_line_from_being_stopped(tmp_path, monkeypatch, hangs_in):
    monkeypatch.setattr(port_module, "SILENT_S", 0.3)
    monkeypatch.setattr(port_module, "LONGEST_S", 0.3 if hangs_in == "stop_that_asks_on" else 60.0)
    monkeypatch.setattr(lab_module, "LIST_AFTER_S", 0.1)
    device, returns = PtyDevice(answers(value=[[]] * 3)), threading.Event()
    spec = make_lab(
        tmp_path,
        f"""
        labloop: 1
        instruments:
          a: {{driver: "DRIVER:Box", port: "serial://{device.path}", address: 1}}
          b: {{driver: "DRIVER:Box", port: "serial://{device.path}", address: 2}}
        safe_state: [a.off: {{}}, b.off: {{}}]
        """,
    )
    lab = open_lab(spec, lambda address: Port(open_link(address)))
    driver = lab.instruments["a"]._driver
    if hangs_in == "stop_that_asks_on":
        driver.stop = lambda: driver.exchange(driver.codec, "value?", 600.0)
    else:
        setattr(driver, hangs_in, returns.wait)
    errors = lab.safe()
    lab.close()
    returns.set()
    device.unplug()
    still = [f"serial://{device.path}: the driver of a does not return"]
    hangs_still = [] if hangs_in == "stop_that_asks_on" else still
    assert lab.hanging == hangs_still, "of a live run whose bench is not safe its guard tries again then"
    assert device.heard.count(b"stop") == (2 if hangs_in == "brake" else 1), "b's, and a's own where it can"
    assert lab.instruments["b"].driver.said == ["stop", "off"] and driver.said[-1] == "off"
    assert errors == [] if hangs_in == "brake" else len(errors) == 1 and errors[0].startswith("a.stop: ")


def test_a_line_that_was_lost_waits_for_no_other_to_be_stopped_once_more(tmp_path, monkeypatch):
    """A hub that fell out took all lines with it: each that is back was tried for seconds before the next."""
    devices = [PtyDevice(answers()) for _ in range(2)]
    spec = make_lab(
        tmp_path,
        f"""
        labloop: 1
        instruments:
          a: {{driver: "DRIVER:Box", port: "serial://{devices[0].path}"}}
          b: {{driver: "DRIVER:Box", port: "serial://{devices[1].path}"}}
        """,
    )
    lab = open_lab(spec, lambda address: Port(open_link(address)))
    for port in lab.ports.values():
        port.link._gone(OSError("the hub is out"))
    reopen, stopped, tried = Lab.reopen, threading.Event(), []

    def slowly(self, name, within_s):
        tried.append(name)
        if tried[0] == name:
            assert stopped.wait(30.0), "the other was not stopped meanwhile"
        return reopen(self, name, within_s)

    monkeypatch.setattr(Lab, "reopen", slowly)
    for one in lab.instruments.values():
        one._driver.stop = lambda stop=one._driver.stop: (stop(), stopped.set())
    assert lab.safe() == [] and sorted(tried) == ["a", "b"]
    assert [one.heard.count(b"stop") for one in devices] == [1, 1]
    lab.close()
    for one in devices:
        one.unplug()


def test_every_instrument_of_a_line_is_braked_before_the_first_is_stopped(tmp_path):
    lab = open_lab(make_lab(tmp_path, TWO), connect_scripted())
    order = []
    for name, station in lab.instruments.items():
        station.driver.brake = lambda name=name: order.append(f"brake {name}")
        station.driver.stop = lambda name=name: order.append(f"stop {name}")
    assert lab.safe() == []
    assert order == ["brake left", "brake right", "brake far", "stop left", "stop right", "stop far"]


KEPT = """
    labloop: 1
    instruments:
      a: {driver: "drivers.ika:RCT", simulator: "simulators.ika:RCT", port: "serial:///dev/a"}
"""


@pytest.mark.parametrize(
    "more, complaint",
    [
        ("keep: [a.stirr]", "a has no action stirr; did you mean 'stir'?"),
        ("keep: [a.off]", "cannot keep off and stop the rest. It can keep heat, hold, stir"),
        ("keep: [a.stir]\n    safe_state: [{a.off: {}}]", "a.off stops what keep names (a.stir)"),
    ],
)
def test_a_keep_that_cannot_be_kept_is_refused_before_it_is_needed(tmp_path, more, complaint):
    with pytest.raises(SpecError) as caught:
        open_lab(make_lab(tmp_path, f"{KEPT}    {more}\n"), connect_scripted())
    assert complaint in str(caught.value)


def test_what_an_action_began_is_kept_and_the_rest_is_stopped(tmp_path):
    lab = open_lab(make_lab(tmp_path, f"{KEPT}    keep: [a.stir]\n"), connect_scripted())
    told = []
    lab.instruments["a"]._driver.stop_except = told.append
    assert lab.safe() == [] and told == [frozenset({"stir"})]
