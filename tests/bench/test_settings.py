"""Settings from a recipe's words to a method's arguments."""

import math

import pytest

from labloop.bench import Amount, SafetyError, Setting, SpecError, action, actions_of, as_amounts, resolve
from labloop.bench.settings import in_unit


class Oven:
    @action(
        Setting(name="temperature", argument="temperature_c", unit="degC", low=20.0, high=1200.0),
        Setting(name="tolerance", argument="tolerance_k", unit="K", default=1.0, required=False, difference=True),
        Setting(name="gas", argument="gas", choices=("air", "argon"), default="air", required=False),
        Setting(name="time", argument="time_s", unit="s", low=0.0, required=False),
    )
    def anneal(self, temperature_c, tolerance_k, gas, time_s=None):
        """Anneal."""


ANNEAL = actions_of(Oven)["anneal"]


def test_units_are_converted_and_defaults_filled_in():
    values = resolve(
        ANNEAL, {"temperature": Amount(573.15, "K"), "tolerance": Amount(2, "K"), "time": Amount(2, "min")}
    )
    assert values == {"temperature_c": pytest.approx(300.0), "tolerance_k": 2.0, "gas": "air", "time_s": 120.0}


def test_a_difference_of_temperatures_is_no_temperature():
    assert (
        resolve(ANNEAL, {"temperature": Amount(40.0, "degC"), "tolerance": Amount(2.0, "degC")})["tolerance_k"] == 2.0
    )


@pytest.mark.parametrize("said, word", [(2.0, "2"), (10, "10"), ("2", "2"), ("off", "off")])
def test_a_choice_may_be_called_by_a_number(said, word):
    """However it is written: ``position: 2`` is a number to YAML, and so is ``position=2`` by hand."""
    place = Setting(name="place", argument="place", choices=("2", "10", "off"))
    assert in_unit(place, Amount(said)) == word


@pytest.mark.parametrize("said", [Amount(2.5), Amount(2.0, "mL"), Amount(10**400), Amount(True), Amount(math.inf)])
def test_what_is_no_choice_says_what_they_are(said):
    place = Setting(name="place", argument="place", choices=("2", "10", "off"))
    with pytest.raises(SpecError, match="is none of 2, 10, off"):
        in_unit(place, said)


def test_no_instrument_is_told_of_minus_nothing():
    setting = ANNEAL.settings[0]
    assert math.copysign(1.0, in_unit(setting, Amount(-0.0, "degC"))) == 1.0


def test_a_setting_left_out_without_default_stays_out():
    assert "time_s" not in resolve(ANNEAL, {"temperature": Amount(40.0, "degC")})


def test_all_complaints_come_at_once_with_suggestions():
    with pytest.raises(SpecError) as caught:
        resolve(ANNEAL, {"temprature": Amount(1.0), "gas": Amount("argn"), "time": Amount(3.0, "mL")})
    text = "\n".join(caught.value.complaints)
    assert "anneal has no setting 'temprature'; did you mean 'temperature'?" in text
    assert "anneal needs temperature" in text
    assert "'argn' is none of air, argon; did you mean 'argon'?" in text
    assert "anneal.time: 3 mL is a volume" in text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_as_unsafe(value):
    with pytest.raises(SafetyError, match="not a finite number"):
        resolve(ANNEAL, {"temperature": Amount(value, "degC")})


def test_a_word_or_truth_is_no_number():
    for value in ("hot", True):
        with pytest.raises(SpecError, match="is not a number"):
            resolve(ANNEAL, {"temperature": Amount(value)})


def test_the_way_back_gives_the_declared_units():
    assert as_amounts(ANNEAL, {"temperature_c": 40.0, "gas": "air"}) == {
        "temperature": Amount(40.0, "degC"),
        "gas": Amount("air"),
    }


def test_a_bare_number_is_in_the_unit_that_the_setting_declares() -> None:
    setting = Setting(name="temperature", argument="temperature_c", unit="degC", low=0.0, high=100.0)
    assert in_unit(setting, Amount(40.0)) == 40.0
    assert in_unit(setting, Amount(313.15, "K")) == pytest.approx(40.0)
