"""Any LECO actor: what a lab file may say of it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.leco import LecoActor
from drivers.leco_options import read_options
from labloop.bench import Amount, Envelope, SpecError
from labloop.bench.settings import resolve
from labloop.campaign.spec import lab_from_dict
from tests.drivers.stand import FOLDER
from tests.drivers.stands.leco import EVAPORATOR, changed


def test_actions_and_readings_are_declared_as_the_lab_file_says():
    actions = LecoActor.declare(EVAPORATOR)
    assert list(actions) == ["heat", "deposit", "spectrum"]
    heat, deposit, spectrum = actions.values()
    assert (heat.act, heat.repeatable, heat.evidence) == (True, True, "its parameters, read back")
    assert (deposit.act, deposit.repeatable, deposit.remainder) == (True, False, True)
    assert (deposit.amount, deposit.evidence) == ("thickness", "its own counter deposited_nm")
    assert [one.name for one in spectrum.gives] == ["transmission", "thickness"] and spectrum.gives[0].array
    (temperature,) = heat.settings
    assert (temperature.low, temperature.high, temperature.unit) == (20.0, 300.0, "degC")
    assert [one.name for one in LecoActor.tells(EVAPORATOR)] == ["temperature", "thickness", "state", "shutter"]
    assert LecoActor.expected("heat", {"temperature": 50.0}, EVAPORATOR).duration_s == 300.0
    assert LecoActor.expected("deposit", {"thickness": 50.0}, EVAPORATOR).achieved == {"thickness": Amount(50.0, "nm")}


@pytest.mark.parametrize(
    "path, value, why",
    [
        ("colour", "red", "has no option 'colour'"),
        ("identity", "EVAPORATOR", "is no table"),
        ("answers_within", "1 h", "lies outside 0 to 120 s"),
        ("readings.state", {"parameter": "a b"}, "is no name of a parameter"),
        ("readings.2nd", {}, "is no name; letters"),
        ("stop", None, "needs its stop"),
        ("stop.parameters", {"heater": [1]}, "is no parameter with a plain value"),
        ("actions.heat.act", "yes", "is neither true nor false"),
        ("actions.heat.colour", "red", "did you mean|known:"),
        ("actions.heat.settings.temperature.unit", None, "needs unit, from and to"),
        ("actions.heat.settings.temperature.from", 400, "is not below"),
        ("actions.heat.settings.temperature.argument", "t", "needs one of the two"),
        ("actions.heat.until.is", "idle", "needs one of the two"),
        ("actions.heat.until.near", "pressure", "must be a setting with a number"),
        ("actions.heat.settings.rate", {"argument": "rate", "unit": "K/min", "from": 1, "to": 9}, "calls nothing"),
        ("actions.deposit.until.is", [True], "is no word"),
        ("actions.deposit.counts.setting", "mass", "is not one of its settings"),
        ("actions.deposit.counts", None, "nobody can say how much is left"),
        ("actions.wait", {}, "calls nothing"),
        ("remembers", True, "remembers calls"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(path, value, why):
    with pytest.raises(SpecError, match=why):
        LecoActor.declare(changed(path, value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
PLACES = [
    "identity", "readings", "readings.state", "actions", "actions.heat", "actions.heat.settings",
    "actions.heat.settings.temperature", "actions.heat.until", "actions.deposit.counts", "actions.spectrum.gives",
    "actions.spectrum.gives.transmission", "stop", "remembers", "answers_within", "actions.heat.lasts",
]  # fmt: skip


@given(st.sampled_from(PLACES), JSON.filter(lambda value: value is not None))
def test_whatever_is_written_is_read_or_refused(path, value):
    with contextlib.suppress(SpecError):
        read_options(changed(path, value))


def test_words_may_be_sent_as_values_and_numbers_as_integers():
    options = changed("actions.power", {
        "call": "power", "settings": {
            "mode": {"argument": "on", "sends": {"on": True, "off": False}, "default": "on"},
            "level": {"argument": "level", "unit": "count", "from": 0, "to": 10, "whole": True},
        },
    })  # fmt: skip
    doing = read_options(options).doings["power"]
    mode, level = doing.given
    assert mode.setting.choices == ("on", "off") and (mode.sent("off"), level.sent(3.0)) == (False, 3)
    assert LecoActor.complaint("power", {"mode": "on", "level": 2.5}, options) == "level = 2.5 is not a whole number"
    assert LecoActor.complaint("power", {"mode": "on", "level": 2.0}, options) == ""
    assert resolve(doing.action, {"level": Amount(2.0)}) == {"mode": "on", "level": 2.0}


def test_a_number_that_the_lab_file_sets_keeps_the_limits_of_the_setting_that_goes_there_too():
    options = changed("actions.bake", {"parameters": {"setpoint_c": 250, "heater": True}, "act": True})
    lab = {
        "labloop": 1,
        "instruments": {"it": {"driver": "drivers.leco:LecoActor", "port": "zmq+tcp://127.0.0.1:1?actor=a", **options}},
        "limits": {"it": {"temperature": {"max": "200 degC"}}},
    }
    (said,) = Envelope(lab_from_dict(lab, FOLDER.parent)).complaints("it", "bake", {})
    assert "temperature comes to 250 degC on the wire, which is above the lab's limit" in said


def test_a_number_of_0_from_the_lab_file_is_off_where_0_is_that():
    dim = {"settings": {"power": {"parameter": "power", "unit": "W", "from": 10, "to": 50, "zero": True}}, "act": True}
    options = changed("actions.dim", dim)
    options["actions"] |= {"dark": {"parameters": {"power": 0}}, "glow": {"parameters": {"power": 5}}}
    it = {"driver": "drivers.leco:LecoActor", "port": "zmq+tcp://127.0.0.1:1?actor=a", **options}
    lab = {"labloop": 1, "instruments": {"it": it}, "limits": {"it": {"power": {"min": "10 W"}}}}
    envelope = Envelope(lab_from_dict(lab, FOLDER.parent))
    assert envelope.complaints("it", "dark", {}) == [] != envelope.complaints("it", "glow", {})
