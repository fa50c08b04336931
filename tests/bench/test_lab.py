"""A lab file come alive: drivers found or refused by place, ports shared, opened and opened again."""

import importlib
import sys
from pathlib import Path

import pytest

from labloop.bench import (
    Identity,
    InstrumentFault,
    LinkError,
    ProtocolError,
    SpecError,
    declare,
    driver_class,
    open_lab,
    port_keys,
)
from labloop.campaign.spec import lab_from_dict
from labloop.runner.sources import sources
from tests.bench.labs import TWO, connect_scripted, make_lab
from tests.bench.lines import answers


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


def test_a_port_opened_again_must_have_the_same_instruments(tmp_path):
    lab = open_lab(make_lab(tmp_path, TWO), connect_scripted(answers(name=["box"] * 7 + ["other"] * 2)))
    lab.open()
    assert lab.reopen("left", 5.0) == dict.fromkeys(("left", "right"), Identity(model="box"))
    assert lab.reopen("far", 5.0) == {"far": Identity(model="box")}
    with pytest.raises(InstrumentFault, match=r"right on serial.*: other .*answers where box"):
        lab.reopen("left", 5.0)


def test_what_its_driver_does_not_know_on_a_line_that_came_back_is_told_no_stop(tmp_path):
    """The plug of another instrument, put in while the run went on: the run ended, and said a stop to it."""
    lab = open_lab(make_lab(tmp_path, TWO), connect_scripted())
    lab.open()
    driver = lab.instruments["left"]._driver
    knows, driver.open = driver.open, lambda: (_ for _ in ()).throw(InstrumentFault("a pump answers", "identity"))
    with pytest.raises(InstrumentFault, match="a pump answers"):
        lab.reopen("left", 5.0)
    (wrong,) = lab.safe()
    assert wrong.startswith("left: a pump answers") and wrong.endswith("; nothing was said to it")
    assert "stop" not in driver.said and "off" not in driver.said
    driver.open = knows
    lab.reopen("left", 5.0)
    assert lab.safe() == [] and "stop" in driver.said, "it is back"


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
