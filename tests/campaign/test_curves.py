"""Outcomes of curves: in what unit an axis is, what part of it is looked at, and where points are only bounds."""

import math
import struct
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from labloop.campaign import recipe
from labloop.campaign.analysis import SavedReading
from labloop.campaign.errors import SpecError
from labloop.campaign.events import Reading
from labloop.campaign.spec import CampaignSpec, spec_from_dict


def saved(*points: tuple[float, float], **more: Any) -> SavedReading:
    numbers = [x for x, _ in points] + [y for _, y in points]
    return SavedReading(array=struct.pack(f"<{len(numbers)}d", *numbers), **more)


WAVE = saved((-0.2, -1.0), (-0.1, 2.0), (0.0, 4.0), (0.1, 2.0), (0.2, 1.0), unit="A", axis="V")


def campaign_of(**outcome: Any) -> CampaignSpec:
    return spec_from_dict(
        {
            "labloop": 1, "campaign": "curves", "lab": None, "parameters": {"x": {"range": [0, 1]}},
            "outcomes": {"y": {"goal": "maximize", "from": "a", **outcome}},
            "trial": [{"meter.read": {}, "save_as": "a"}], "budget": {"trials": 1},
        }
    )  # fmt: skip


def outcome_of(reading: SavedReading, **outcome: Any) -> Reading:
    return recipe.outcomes(campaign_of(**outcome), {"a": reading})["y"]


def test_where_a_peak_lies_is_in_the_unit_of_its_axis() -> None:
    assert outcome_of(WAVE, analysis="peak_position") == Reading(value=pytest.approx(0.0, abs=1e-9), unit="V")
    assert outcome_of(WAVE, analysis="peak_position", unit="mV").unit == "mV"
    assert outcome_of(replace(WAVE, axis=""), analysis="peak_position").unit == "nm"


def test_an_area_has_the_unit_of_both() -> None:
    trace = saved((0.0, 2.0), (10.0, 2.0), unit="A", axis="s")
    assert outcome_of(trace, analysis="area") == Reading(value=20.0, unit="A*s")
    assert outcome_of(trace, analysis="area", unit="C").value == pytest.approx(20.0)
    assert outcome_of(replace(trace, unit="", axis="nm"), analysis="area").unit == "nm"
    assert outcome_of(replace(trace, axis=""), analysis="area").unit == ""
    for axis in ("1/cm", "cm^-1"):  # as spectrometers count
        assert outcome_of(replace(trace, unit="percent", axis=axis), analysis="area", unit="percent/cm").value == 20.0


@pytest.mark.parametrize(
    ("window", "height"),
    [
        (["100 mV", "200 mV"], 2.0), (["0.1 V", "200 mV"], 2.0), ([0.1, 0.2], 2.0),
        (["0.1 V", math.inf], 2.0), ([-math.inf, "-100 mV"], 2.0), ([-math.inf, math.inf], 4.0),
    ],
)  # fmt: skip
def test_a_window_is_in_the_unit_that_it_is_written_in(window: list[Any], height: float) -> None:
    """-100 to 200 mV were taken for volts, and everything was inside."""
    assert outcome_of(WAVE, analysis="peak_height", window=window).value == height


@pytest.mark.parametrize("low", ["-0.1 V", -math.inf])
@pytest.mark.parametrize("high", ["300 mV", math.inf])
def test_a_bound_without_an_end_reaches_the_planner(low: Any, high: Any) -> None:
    """JSON, in which the planner is told the campaign, knows no such number: no run came to its first trial."""
    bounds = {"window": [low, high], "detects": [0.1 if low == "-0.1 V" else low, 3.0 if high == "300 mV" else high]}
    spec = campaign_of(analysis="peak_height", **bounds)
    again = spec_from_dict(msgspec.json.decode(msgspec.json.encode(spec.dump())))
    assert again.outcomes["y"] == spec.outcomes["y"] and again.dump() == spec.dump()


def test_a_window_in_another_dimension_is_refused() -> None:
    with pytest.raises(SpecError, match="nm is a length, and V is a voltage"):
        outcome_of(WAVE, analysis="peak_height", window=["400 nm", "500 nm"])


@pytest.mark.parametrize("analysis", ["peak_height", "peak_position", "area", "mean", "max"])
def test_a_curve_that_ends_before_its_window_does_is_refused(analysis: str) -> None:
    """Half a spectrum gave an area, a mean and a peak like a whole one."""
    for window, end in ((["-0.2 V", "0.6 V"], "0.6"), (["-0.4 V", "0.2 V"], "-0.4")):
        with pytest.raises(SpecError, match=f"the curve runs from -0.2 to 0.2 V, and its window to {end}"):
            outcome_of(WAVE, analysis=analysis, window=window)
    outcome_of(WAVE, analysis=analysis, window=["-0.29 V", "0.29 V"])  # by less than its own step


def test_a_peak_at_the_end_of_its_window_is_no_higher_than_its_highest_point() -> None:
    """There and back over a rising edge: what comes next in the window is on the other way, and no neighbour."""
    wave = saved((0.40, 9.0), (0.45, 9.5), (0.50, 10.0), (0.55, 12.0), (0.52, 2.0), (0.47, 1.8), (0.42, 1.6), unit="A")
    assert outcome_of(wave, analysis="peak_height", window=[0.40, 0.53]).value == 10.0
    assert outcome_of(wave, analysis="peak_position", window=[0.40, 0.53]).value == 0.50
    known = saved((0.40, 9.0), (0.45, 9.5), (0.50, 10.0), (0.52, 2.0), (0.47, 1.8), (0.42, 1.6), unit="A")
    wave = replace(known, censored="above", bounds=saved((0.55, 12.0), (0.57, 12.0)).array)
    assert outcome_of(wave, analysis="peak_height", window=[0.40, 0.53]) == Reading(value=10.0, unit="A"), "nor in one"


def test_points_that_are_only_bounds_count_where_they_lie() -> None:
    """A voltammogram in overload at the end of its way: what lies before is known as it is."""
    beyond = saved((0.3, 9.0), (0.4, 9.0)).array
    curve = replace(WAVE, censored="above", bounds=beyond)
    assert outcome_of(curve, analysis="peak_height", window=["-0.2 V", "0.2 V"]) == Reading(value=4.0, unit="A")
    assert outcome_of(curve, analysis="peak_position", window=["-200 mV", "200 mV"]).unit == "V"
    assert outcome_of(curve, analysis="peak_height", window=["-0.2 V", "0.4 V"]).censored == "above", "it runs so far"
    assert outcome_of(curve, analysis="peak_height").censored == "above"
    unknown = replace(curve, bounds=None)
    assert outcome_of(unknown, analysis="peak_height", window=["-0.2 V", "0.2 V"]).censored == "above"


def test_a_spectrum_in_another_unit_than_its_target_is_compared_in_the_targets(tmp_path: Any) -> None:
    target = tmp_path / "target.csv"
    target.write_text("wavelength_nm,absorbance\n400,1\n500,3\n600,1\n")
    spectrum = saved((0.4, 1.0), (0.5, 3.0), (0.6, 1.0), axis="um")
    wanted = {"analysis": "distance_to_target", "target": str(target)}
    assert outcome_of(spectrum, **wanted).value == pytest.approx(0.0, abs=1e-12)
    assert outcome_of(spectrum, **wanted, window=["0.45 um", "700 nm"]).value == pytest.approx(0.0, abs=1e-12)
