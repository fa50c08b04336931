"""The envelope: three hands draw it, the narrowest wins, and nothing gets out of it."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labloop.bench import Amount, Envelope, Reading, SafetyError, SpecError
from labloop.bench.bounds import Bound
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.units import Quantity
from tests.bench.labs import make_lab

LAB = """
    labloop: 1
    instruments:
      oven: {driver: "DRIVER:Box", port: "serial:///dev/a"}
    limits:
      oven:
        temperature: {max: 80 degC, min: 283.15 K}
        volume: {max: 50 uL}
        wall: {max: 120 degC, rate: 60 K/min, stale_after: 5 s}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return make_lab(tmp_path_factory.mktemp("lab"), LAB)


@pytest.fixture(scope="module")
def envelope(lab):
    return Envelope(lab)


def campaign(**limits):
    return spec_from_dict(
        {
            "parameters": {"t": {"range": [0, 1]}},
            "outcomes": {"y": {"goal": "maximize", "from": "told"}},
            "limits": limits,
        }
    )


def heat(value, unit="degC", **more):
    return {"temperature": Amount(value, unit), **more}


def test_inside_is_silent(envelope):
    envelope.check("oven", "heat", heat(79.9))
    envelope.check("oven", "heat", heat(353.15, "K"))


def test_a_complaint_names_place_value_rule_and_way_out(envelope):
    with pytest.raises(SafetyError) as caught:
        envelope.check("oven", "heat", heat(90.0))
    text = str(caught.value)
    assert "oven.heat: temperature = 90 degC is above the lab's limit" in text
    assert "lab.yaml:7:" in text and "of 80 degC. Lower it, or raise the limit" in text


@pytest.mark.parametrize("value, unit, who", [(250.0, "degC", "box"), (5.0, "degC", "lab"), (-300, "degC", "box")])
def test_each_hand_holds(envelope, value, unit, who):
    assert any(who in one for one in envelope.complaints("oven", "heat", heat(value, unit)))


def test_a_campaign_tightens(lab):
    envelope = Envelope(lab, campaign(oven={"temperature": {"max": "60 degC"}}))
    assert "the campaign's limit" in envelope.complaints("oven", "heat", heat(70.0))[0]
    assert envelope.complaints("oven", "heat", heat(60.0)) == []


@pytest.mark.parametrize(
    "name, limit",
    [
        ("temperature", {"max": "90 degC"}),
        ("temperature", {"min": "5 degC"}),
        ("volume", {"max": "0.06 mL"}),
        ("wall", {"max": "400 K"}),
        ("wall", {"rate": "2 K/s"}),
    ],
)
def test_a_campaign_never_loosens(lab, name, limit):
    with pytest.raises(SpecError, match="A campaign may tighten a limit of the lab, never loosen it"):
        Envelope(lab, campaign(oven={name: limit}))


SOLVENTS = {
    "parameters": {"solvent": {"choices": ["DCM", "DMF"]}},
    "outcomes": {"y": {"goal": "maximize", "from": "told"}},
}


def test_a_limit_with_a_condition_holds_with_it_and_when_nobody_can_tell(lab):
    limits = ["oven.temperature <= 40 degC when solvent == DCM"]
    envelope = Envelope(lab, spec_from_dict(SOLVENTS | {"limits": limits}))
    assert envelope.complaints("oven", "heat", heat(50.0), {"solvent": "DCM"})
    assert envelope.complaints("oven", "heat", heat(50.0), {"solvent": "DMF"}) == []
    assert envelope.complaints("oven", "heat", heat(50.0))


@pytest.mark.parametrize(
    "limits, complaint",
    [
        ({"oven": {"temprature": {"max": 3}}}, "reading or action 'temprature'; did you mean 'temperature'?"),
        ({"oven": {"time": {"max": 5, "stale_after": "3 s"}}}, "stale_after binds readings only"),
        ({"oven": {"mode": {"max": 3}}}, "mode is one of a, b: it has no limits"),
        ({"oven": {"wall": {"max": "3 mL"}}}, "is a volume"),
    ],
)
def test_limits_that_bind_nothing_are_refused(lab, limits, complaint):
    with pytest.raises(SpecError, match=complaint.replace("?", r"\?")):
        Envelope(lab, campaign(**limits))


def test_names_that_nobody_declares_are_refused_with_a_suggestion(envelope):
    with pytest.raises(SpecError, match="no instrument 'ovn'; did you mean 'oven'"):
        envelope.check("ovn", "heat", {})
    with pytest.raises(SpecError, match="no action 'het'; did you mean 'heat'"):
        envelope.check("oven", "het", {})
    with pytest.raises(SpecError, match="no setting 'temp'"):
        envelope.check("oven", "heat", {"temp": Amount(1.0)})


def test_a_condition_of_which_one_part_is_not_known_is_judged_by_the_other_where_that_decides(lab):
    limits = ["oven.temperature <= 40 degC when solvent == DCM and oven.wall > 60 degC"]
    envelope = Envelope(lab, spec_from_dict(SOLVENTS | {"limits": limits}))
    cool, hot = ({"oven.wall": Quantity(value, "degC")} for value in (20.0, 70.0))
    assert envelope.complaints("oven", "heat", heat(70.0), cool) == [], "whatever the solvent is"
    assert envelope.complaints("oven", "heat", heat(70.0), hot), "nobody knows the solvent: it holds"
    assert envelope.complaints("oven", "heat", heat(70.0), hot | {"solvent": "DMF"}) == []
    assert envelope.complaints("oven", "heat", heat(70.0), {"solvent": "DMF"}) == []
    assert envelope.complaints("oven", "heat", heat(70.0), {"solvent": "DCM"}), "the wall was not read: it holds"
    assert envelope.complaints("oven", "heat", heat(70.0), {"solvent": "DCM"}, unread=False) == []


def test_a_condition_must_be_one(lab):
    with pytest.raises(SpecError, match="is no condition"):
        Envelope(lab, spec_from_dict(SOLVENTS | {"limits": ["oven.temperature <= 40 degC when oven.wall"]}))


@pytest.mark.parametrize("value, unit, broken", [(1e-9, "A", 2e-9), (2e-6, "L", 2.01e-6), (80.0, "degC", 80.001)])
def test_a_small_limit_is_held_as_exactly_as_a_large_one(value, unit, broken):
    bound = Bound(sign="<=", value=value, unit=unit, who="the lab's limit", way_out="")
    assert not bound.broken_by(value * (1.0 + 1e-12)) and bound.broken_by(broken)


def test_exactly_zero_is_nothing_to_do_where_the_driver_says_so(envelope):
    assert envelope.complaints("oven", "push", {"volume": Amount(0.0, "uL")}) == []
    assert envelope.complaints("oven", "push", {"volume": Amount(1.0, "uL")})


def test_what_single_limits_cannot_say_the_driver_says(envelope):
    assert envelope.complaints("oven", "heat", heat(79.0, time=Amount(20_000.0, "s"))) == [
        "oven.heat: too hot for so long."
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(), st.sampled_from(["degC", "K", ""]), st.floats(), st.sampled_from(["s", "min", "h"]))
def test_nothing_outside_gets_through(envelope, value, unit, time, time_unit):
    wish = heat(value, unit, time=Amount(time, time_unit))
    try:
        envelope.check("oven", "heat", wish)
    except (SafetyError, SpecError):
        return
    values = envelope.resolve("oven", "heat", wish)
    assert 10.0 - 1e-6 <= values["temperature_c"] <= 80.0 + 1e-6
    assert 1.0 - 1e-9 <= values["time_s"] <= 1e6 * (1 + 1e-9)


# --- readings ---------------------------------------------------------------------------------------------------------


def wall(value, unit="degC"):
    return {"wall": Reading(value=value, unit=unit)}


def test_a_reading_beyond_its_limit_is_a_breach(envelope):
    envelope.check_reading("oven", wall(119.0))
    with pytest.raises(SafetyError, match=r"oven: wall reads 121 degC, above the lab's limit \(.*lab.yaml:9:"):
        envelope.check_reading("oven", wall(394.15, "K"))
    with pytest.raises(SafetyError, match="temperature reads 95 degC"):
        envelope.check_reading("oven", {"temperature": Reading(value=95.0, unit="degC")})


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "ERR"])
def test_a_reading_that_is_no_number_is_a_breach(envelope, value):
    with pytest.raises(SafetyError, match="is no number"):
        envelope.check_reading("oven", wall(value))


def test_readings_without_a_limit_are_free(envelope):
    envelope.check_reading("oven", {"word": Reading(value="open")})
