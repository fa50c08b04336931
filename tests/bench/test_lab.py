"""A lab file come alive: drivers found or refused by place, ports shared, the safe state reached past every error."""

import importlib
import math
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from labloop.bench import (
    Identity,
    InProcessLink,
    InstrumentFault,
    LinkError,
    LinkInterrupted,
    LinkTimeout,
    Port,
    ProtocolError,
    SpecError,
    declare,
    driver_class,
    open_lab,
    open_link,
    port_keys,
)
from labloop.bench import lab as lab_module
from labloop.bench import port as port_module
from labloop.bench.lab import Lab
from labloop.bench.station import stop
from labloop.campaign.spec import lab_from_dict
from labloop.runner.sources import sources
from tests.bench.labs import connect_scripted, make_lab
from tests.bench.lines import FakeTime, PtyDevice, ScriptedLine, answers

TWO = """
    labloop: 1
    instruments:
      left:  {driver: "DRIVER:Box", port: "serial:///dev/a?baud=9600", size: 1, address: 1}
      right: {driver: "DRIVER:Box", port: "serial:///dev/a?baud=9600", address: 2}
      far:   {driver: "DRIVER:Box", port: "zmq+tcp://127.0.0.1:9?actor=N1.far"}
    safe_state:
      - left.off: {}
      - far.heat: {temperature: 20 degC}
"""


def test_instruments_on_one_line_share_a_port_and_the_actor_stays_the_instruments(tmp_path):
    opened = []
    lab = open_lab(make_lab(tmp_path, TWO), connect_scripted(opened=opened))
    assert opened == ["serial:///dev/a?baud=9600", "zmq+tcp://127.0.0.1:9?actor=N1.far"]
    left, right, far = (lab.instruments[name] for name in ("left", "right", "far"))
    assert left.port is right.port and left.port is not far.port
    assert far.driver.exchange.address == "zmq+tcp://127.0.0.1:9?actor=N1.far"
    assert left.driver.options == {"size": 1, "address": 1}
    assert list(left.actions) == ["heat", "push", "turn", "off"] and "wall" in left.signals


def test_open_identifies_and_sets_nothing_then_configure(tmp_path):
    lab = open_lab(make_lab(tmp_path, TWO), connect_scripted())
    assert lab.open() == dict.fromkeys(("left", "right", "far"), Identity(model="box"))
    assert lab.instruments["left"].driver.said == ["open"]
    lab.configure()
    assert lab.instruments["left"].driver.said == ["open", "configure"]


def test_one_device_with_two_line_settings_is_refused(tmp_path):
    spec = make_lab(
        tmp_path,
        """
        labloop: 1
        instruments:
          a: {driver: "DRIVER:Box", port: "serial:///dev/a?baud=9600"}
          b: {driver: "DRIVER:Box", port: "serial:///dev/a?baud=19200"}
        """,
    )
    with pytest.raises(SpecError, match=r"lab.yaml:5:\d+: instruments.b.port = .*same line as that of a"):
        port_keys(spec)


@pytest.mark.parametrize(
    "driver, complaint",
    [
        ("drivers.bxo:Box", r"lab.yaml:4:\d+: instruments.a.driver: there is no module drivers.bxo in"),
        ("drivers.odd:Bx", "drivers.odd has no class Bx; did you mean 'Bux'?"),
        ("drivers.odd:NoDriver", "NoDriver is no driver: it has no open"),
        ("drivers.broken:Box", "drivers.broken does not import"),
        ("drivers.needy:Box", "drivers.needy needs nothing_like_this, which is not installed"),
    ],
)
def test_a_driver_that_cannot_be_had_is_named_with_its_place(tmp_path, driver, complaint):
    spec = make_lab(
        tmp_path,
        f"""
        labloop: 1
        instruments:
          a: {{driver: "{driver}", port: "serial:///dev/a"}}
        """,
        odd="class Bux: pass\nclass NoDriver: pass",
        broken="def (",
        needy="import nothing_like_this",
    )
    with pytest.raises(SpecError, match=complaint):
        driver_class(spec, "a")


def test_a_lab_that_was_never_a_file_has_its_place_named_once(tmp_path):
    lab = {"labloop": 1, "name": "a", "instruments": {"a": {"driver": "drivers.nope:Box", "port": "serial://"}}}
    spec = lab_from_dict(lab, tmp_path)
    with pytest.raises(SpecError, match=r"^instruments\.a\.driver: there is no module .*; known: alicat, atlas, bron"):
        driver_class(spec, "a")
    with pytest.raises(SpecError, match=r"^instruments\.a\.port"):
        port_keys(spec)


def test_a_driver_of_the_lab_that_a_shipped_one_hides_is_refused(tmp_path):
    importlib.import_module("drivers.ika")  # in a checkout it comes first; in a process that had it before, everywhere
    text = """
        labloop: 1
        instruments:
          plate: {driver: "drivers.ika:RCT", port: "serial:///dev/a"}
        """
    with pytest.raises(SpecError, match=r"lab.yaml:4:\d+: .*drivers.ika\.py would not be used: .* has the same name"):
        driver_class(make_lab(tmp_path, text, ika="class RCT:\n    hottest_c = 60.0\n"), "plate")
    copied = make_lab(
        tmp_path, text, ika=Path(sys.modules["drivers.ika"].__file__).read_text(), ika_codec="MOST = 60\n"
    )
    assert driver_class(copied, "plate").__name__ == "RCT", "a copy says the same"
    with pytest.raises(SpecError, match=r"drivers.ika_codec\.py would not be used"):
        sources(copied, simulators=False)


def test_a_name_of_an_installed_package_is_refused(tmp_path):
    (tmp_path / "yaml_like").mkdir()
    (tmp_path / "json").mkdir()
    spec = make_lab(
        tmp_path,
        """
        labloop: 1
        instruments:
          a: {driver: "json.pump:Pump", port: "serial:///dev/a"}
        """,
    )
    with pytest.raises(SpecError, match=r"has the name of an installed package .*Rename"):
        driver_class(spec, "a")


def test_options_are_complained_about_with_their_place_all_at_once(tmp_path):
    spec = make_lab(
        tmp_path,
        """
        labloop: 1
        instruments:
          a: {driver: "DRIVER:Box", port: "serial:///dev/a", siz: 3}
          b: {driver: "DRIVER:Box", port: "serial:///dev/b", colour: red}
        """,
    )
    with pytest.raises(SpecError) as caught:
        declare(spec)
    assert len(caught.value.complaints) == 2
    assert "instruments.a: Box has no option 'siz'; did you mean 'size'?" in caught.value.complaints[0]


def test_a_safe_state_that_cannot_be_done_is_found_before_a_port_is_opened(tmp_path):
    opened = []
    spec = make_lab(
        tmp_path,
        """
        labloop: 1
        instruments:
          a: {driver: "DRIVER:Box", port: "serial:///dev/a"}
        safe_state:
          - a.of: {}
          - a.heat: {temprature: 20 degC}
        """,
    )
    with pytest.raises(SpecError) as caught:
        open_lab(spec, connect_scripted(opened=opened))
    assert "a has no action 'of'; did you mean 'off'?" in caught.value.complaints[0]
    assert len(caught.value.complaints) == 2 and opened == []


def test_ports_are_closed_again_when_one_does_not_open(tmp_path):
    made = []

    def connect(address):
        if "zmq" in address:
            raise LinkError("nobody there")
        made.append(connect_scripted()(address))
        return made[-1]

    with pytest.raises(LinkError, match="nobody there"):
        open_lab(make_lab(tmp_path, TWO), connect)
    with pytest.raises(LinkError, match="is closed"):
        made[0].link.exchange(None, None, 1.0)


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


def test_a_port_opened_again_must_have_the_same_instruments(tmp_path):
    lab = open_lab(make_lab(tmp_path, TWO), connect_scripted(answers(name=["box"] * 7 + ["other"] * 2)))
    lab.open()
    assert lab.reopen("left", 5.0) == dict.fromkeys(("left", "right"), Identity(model="box"))
    assert lab.reopen("far", 5.0) == {"far": Identity(model="box")}
    with pytest.raises(InstrumentFault, match=r"right on serial.*: other .*answers where box"):
        lab.reopen("left", 5.0)


def test_who_answers_as_another_is_asked_once_more(tmp_path):
    """A character of one answer that turned on the line is no other instrument, and no reason not to say a stop."""
    lab = open_lab(make_lab(tmp_path, TWO), connect_scripted(answers(name=["box"] * 3 + ["bxx", "box", "box"])))
    lab.open()
    assert lab.reopen("left", 5.0) == dict.fromkeys(("left", "right"), Identity(model="box"))
    assert not any(station.stranger for station in lab.instruments.values())


def test_what_went_wrong_is_said_with_its_line_and_what_came_back(tmp_path):
    station = open_lab(make_lab(tmp_path, TWO), connect_scripted()).instruments["left"]
    assert station.placed(ProtocolError("it makes no sense.")) == (
        "it makes no sense. On serial:///dev/a?baud=9600 nothing was said"
    )
    station.port.submit(station.identify).result()
    assert station.placed(ProtocolError("it is answered differently each time")) == (
        "it is answered differently each time. On serial:///dev/a?baud=9600 b'name?\\r\\n' was sent and "
        "b'name box\\r\\n' came back"
    )
    named = "left on serial:///dev/a?baud=9600 was lost"
    assert station.placed(LinkError(named)) == named


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


NUMBERED = """
    from labloop.bench import *  # noqa: F403

    class Plate(Driver):
        kind = "plate"
        numbered = classmethod(lambda cls, options: True)

        def open(self):
            return Identity(model="plate", serial=self.options.get("tells", ""))

        def progress(self, elapsed_s):
            return Progress(done=True)

        def stop(self):
            pass
"""


def test_a_serial_number_is_asked_for_of_an_instrument_that_tells_one(tmp_path):
    text = """
        labloop: 1
        instruments:
          right: {driver: "drivers.numbered:Plate", port: "serial:///dev/a", tells: "0042", serial: 42}
          other: {driver: "drivers.numbered:Plate", port: "serial:///dev/b", tells: "41", serial: 42}
          silent: {driver: "drivers.numbered:Plate", port: "serial:///dev/c", serial: 42}
    """
    lab = open_lab(make_lab(tmp_path, text, numbered=NUMBERED), connect_scripted())
    assert lab.instruments["right"].identify().serial == "0042"
    with pytest.raises(InstrumentFault, match="plate with serial number 41 answers where 42 was expected"):
        lab.instruments["other"].identify()
    with pytest.raises(InstrumentFault, match="plate with no serial number answers where 42 was expected"):
        lab.instruments["silent"].identify()


def test_a_serial_number_of_an_instrument_that_tells_none_is_refused_by_its_place(tmp_path):
    spec = make_lab(
        tmp_path,
        """
        labloop: 1
        instruments:
          a: {driver: "DRIVER:Box", port: "serial:///dev/a?baud=9600", serial: B1}
        """,
    )
    with pytest.raises(SpecError, match=r"lab.yaml:4:\d+: instruments.a.serial = 'B1': a box tells no serial.*--walk"):
        declare(spec)


def test_half_a_line_that_another_program_left_in_its_ear_costs_a_question_and_no_more(tmp_path):
    deaf = NUMBERED.replace(
        """return Identity(""",
        """self.options["spoilt"].pop() if self.options["spoilt"] else None
            if len(self.options["spoilt"]) == 1:
                raise LinkTimeout("no whole answer")
            return Identity(""",
    )
    text = """
        labloop: 1
        instruments:
          a: {driver: "drivers.half_heard:Plate", port: "serial:///dev/a", spoilt: [1, 2]}
          b: {driver: "drivers.half_heard:Plate", port: "serial:///dev/b", spoilt: [1]}
    """
    lab = open_lab(make_lab(tmp_path, text, half_heard=deaf), connect_scripted())
    assert lab.open().keys() == {"a", "b"}
