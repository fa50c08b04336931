"""Recipes: settings worked out, extremes over the space, readings to outcomes."""

import math
import struct
from pathlib import Path
from typing import Any

import pytest

from labloop.campaign import recipe
from labloop.campaign.analysis import SavedReading, interpolate, read_target, total_variation
from labloop.campaign.errors import SpecError
from labloop.campaign.events import Amount, Reading
from labloop.campaign.extremes import worst_cases
from labloop.campaign.spec import CampaignSpec, read_spec, spec_from_dict

POINT = {"q_agno3": 20.0, "q_pva": 30.0, "q_tot": 500.0}


def curve(*points: tuple[float, float]) -> SavedReading:
    x, y = zip(*points, strict=True)
    return SavedReading(array=struct.pack(f"<{2 * len(points)}d", *x, *y), unit="")


def campaign(**more: Any) -> CampaignSpec:
    written: dict[str, Any] = {
        "parameters": {"x": {"range": [0, 10], "unit": "mg"}, "s": {"choices": ["DMF", "water"]}},
        "outcomes": {"y": {"goal": "maximize", "from": "told"}},
    }
    return spec_from_dict({**written, **more})


def test_the_stages_of_a_trial(folder: Path) -> None:
    spec = read_spec(folder / "campaign.yaml")
    together, hold, measure = recipe.stages(spec, "trial", POINT)
    assert [(step.instrument, step.action) for step in together.steps] == [
        ("pump_agno3", "dispense"), ("pump_water", "dispense"),
    ]  # fmt: skip
    assert together.steps[0].settings == {"rate": Amount(100.0, "uL/min"), "time": Amount(20.0, "s")}
    assert together.steps[1].settings["rate"] == Amount(250.0, "uL/min")
    assert together.if_interrupted == "discard" and hold.if_interrupted is None
    assert measure.steps[0].save_as == "spectrum" and measure.start_within_s == 300
    assert measure.steps[0].place == f"{folder / 'campaign.yaml'}:22:5"
    assert [stage.steps[0].action for stage in recipe.stages(spec, "cleanup", POINT)] == ["rinse"]
    assert recipe.stages(spec, "teardown", {}) == ()
    with pytest.raises(SpecError, match="is no phase"):
        recipe.stages(spec, "tidy", {})


def test_words_text_templates_and_conditions() -> None:
    spec = campaign(
        trial=[
            {"person.do": {"ask": "Weigh $x of it into $s", "read": {"plate": "barcode"}, "reach_by": "8 h"}},
            {"robot.take": {"from": "s", "mode": "fast-scan", "gentle": True, "tip": "Load 4 tips", "solvent": "$s"}},
            {"robot.shake": {}, "when": "s == water and x > 5 mg"},
            "robot.home",
        ]
    )
    stages = recipe.stages(spec, "trial", {"x": 2.5, "s": "DMF"})
    assert len(stages) == 3
    assert stages[0].steps[0].settings == {
        "ask": Amount("Weigh 2.5 mg of it into DMF"), "read.plate": Amount("barcode"), "reach_by": Amount(8.0, "h"),
    }  # fmt: skip
    assert stages[1].steps[0].settings == {
        "from": Amount("DMF"), "mode": Amount("fast-scan"), "gentle": Amount(True), "tip": Amount("Load 4 tips"),
        "solvent": Amount("DMF"),
    }  # fmt: skip
    assert len(recipe.stages(spec, "trial", {"x": 6.0, "s": "water"})) == 4


def test_a_phase_that_comes_around() -> None:
    spec = campaign(
        every=[{"trials": 10, "do": [{"hotplate.off": {}}]}, {"trials": 20, "control": {"x": "5000 ug", "s": "DMF"}}]
    )
    assert recipe.stages(spec, "every.0", {})[0].steps[0].place == "every[0].do[0].hotplate.off"
    assert spec.every[1].control == {"x": 5.0, "s": "DMF"}
    assert recipe.stages(spec, "every.1", {}) == ()


def test_a_setting_without_a_value_names_its_place(folder: Path) -> None:
    spec = read_spec(folder / "campaign.yaml")
    with pytest.raises(SpecError, match=r"campaign.yaml:18:37: trial\[0\].*\$q_tot is not known"):
        recipe.stages(spec, "trial", {"q_agno3": 20.0})


def test_the_extremes_are_found_where_they_are(folder: Path) -> None:
    found = {(one.instrument, one.setting): one for one in worst_cases(read_spec(folder / "campaign.yaml"))}
    silver, water = found["pump_agno3", "rate"], found["pump_water", "rate"]
    assert (silver.low, silver.high, silver.unit) == (pytest.approx(9.06), pytest.approx(420.8223), "uL/min")
    assert water.high == pytest.approx(983 * (1 - 0.0453 - 0.1)) and water.low == pytest.approx(200 * 0.3)
    assert water.high_at == pytest.approx({"q_agno3": 4.53, "q_pva": 10.0, "q_tot": 983.0})
    assert found["hotplate", "temperature"].high == 40 and found["hotplate", "temperature"].unit == "degC"
    assert water.place.endswith("campaign.yaml:19:37")
    assert [one.setting for one in worst_cases(read_spec(folder / "campaign.yaml"))][:4] == ["rate", "time"] * 2


def test_controls_and_words_count_among_the_extremes() -> None:
    spec = campaign(
        trial=[{"pump.push": {"amount": "2 * x"}}, {"pump.rinse": {"amount": "x"}, "when": "s == water"}],
        every=[{"trials": 5, "control": {"x": 50, "s": "DMF"}}],
    )
    push, rinse = worst_cases(spec)
    assert (push.low, push.high) == (0, 100) and push.high_at["x"] == 50.0
    assert (rinse.low, rinse.high) == (0, 10) and rinse.high_at["s"] == "water"


def test_constraints_over_what_counts_at_some_settings_only_bound_the_extremes_there() -> None:
    spec = campaign(
        parameters={
            "s": {"choices": ["p", "q"]}, "a": {"range": [0, 10]}, "b": {"range": [0, 10], "active_when": "s == p"},
            "x": {"range": [0, 10]}, "c": {"range": [0, 10], "active_when": "x > 9"},
        },
        constraints=["a + b <= 11", "c + x <= 12"],
        trial=[
            {"pump.push": {"amount": "a + b"}, "when": "s == p"}, {"pump.pull": {"amount": "c + x"}, "when": "x > 9"},
            {"pump.rinse": {"amount": "a"}},
        ],
    )  # fmt: skip
    push, pull, rinse = worst_cases(spec)
    assert (push.low, push.high) == (0, pytest.approx(11)) and push.high_at["s"] == "p"
    assert (pull.low, pull.high) == (pytest.approx(9, abs=1e-6), pytest.approx(12)) and "c" in pull.high_at
    assert (rinse.low, rinse.high) == (0, 10), "where b does not count, a may be all there is"
    assert all("c" in at or at["x"] <= 9 for one in (push, rinse) for at in (one.low_at, one.high_at))


def test_a_curved_setting_is_followed_to_its_top() -> None:
    spec = spec_from_dict(
        {"parameters": {name: {"range": [0, 1]} for name in "abcdef"},
         "outcomes": {"y": {"goal": "maximize", "from": "y"}},
         "constraints": ["a + b + c + d + e + f <= 2", "a - f <= 0.25"],
         "trial": [{"p.q": {"r": "a * (1 - b) + c * d", "save_as": "y"}}]}
    )  # fmt: skip
    (one,) = worst_cases(spec)
    assert one.low == pytest.approx(0, abs=1e-12)
    assert one.high >= 1.0 - 1e-9  # c = d = 1 alone gives 1


def test_one_corner_among_thousands_is_found() -> None:
    names = [f"x{at}" for at in range(12)]
    wave = " ".join(f"{'-' if at % 2 else '+'} {name}" for at, name in enumerate(names)).removeprefix("+ ")
    spec = spec_from_dict(
        {
            "parameters": {name: {"range": [0, 1]} for name in names},
            "outcomes": {"y": {"goal": "maximize", "from": "told"}},
            "trial": [{"p.q": {"r": wave}}],
        }
    )
    (one,) = worst_cases(spec)
    assert (one.low, one.high) == (-6, 6)
    assert one.high_at == {name: float(at % 2 == 0) for at, name in enumerate(names)}


def test_outcomes_from_readings(folder: Path) -> None:
    spec = read_spec(folder / "campaign.yaml")
    same = curve((400, 0.2), (500, 1.4), (600, 0.4))
    assert recipe.outcomes(spec, {"spectrum": same})["spectrum_loss"].value == pytest.approx(0)
    other = curve((300, -1), (400, 0.7), (500, 0.1), (600, 0.2), (700, 3))
    assert recipe.outcomes(spec, {"spectrum": other})["spectrum_loss"].value == pytest.approx(0.6)
    twice = recipe.outcomes(spec, {"spectrum": [same, other]})["spectrum_loss"]
    assert (twice.value, twice.sd) == (pytest.approx(0.3), pytest.approx(0.3))


@pytest.mark.parametrize(
    ("readings", "word"),
    [
        ({}, "spectrum was not saved"),
        ({"spectrum": SavedReading(value=3.0)}, "needs a curve"),
        ({"spectrum": SavedReading(array=b"12345678")}, "no axis and values"),
        ({"spectrum": SavedReading(array=b"")}, "no axis and values"),
        ({"spectrum": curve((400, float("nan")), (600, 1.0))}, "not finite"),
        ({"spectrum": curve((450, 1.0), (600, 1.0))}, "runs from 450 to 600"),
        ({"spectrum": curve((400, -1.0), (600, -1.0))}, "zero everywhere"),
    ],
)
def test_a_reading_that_makes_no_outcome_says_why(folder: Path, readings: dict[str, SavedReading], word: str) -> None:
    with pytest.raises(SpecError, match=f"outcome spectrum_loss: .*{word}"):
        recipe.outcomes(read_spec(folder / "campaign.yaml"), readings)


WEIGH = [{"b.w": {"save_as": "before"}}, {"b2.w": {"save_as": "after"}}, {"s.m": {"save_as": "curve"}}]
BELL = curve((400, 0.0), (500, 3.0), (600, 4.0), (700, 3.0), (800, 0.0))


@pytest.mark.parametrize(
    ("outcome", "readings", "value", "unit"),
    [
        ({"from": "before"}, {"before": SavedReading(value=5, unit="g")}, 5, "g"),
        ({"from": "before", "unit": "mg"}, {"before": SavedReading(value=5, unit="g")}, 5000, "mg"),
        ({"from": "before", "unit": "mg"}, {"before": SavedReading(value=5)}, 5, "mg"),
        ({"from": ["before", "after"], "analysis": "mean"},
         {"before": SavedReading(value=5, unit="g"), "after": SavedReading(value=7000, unit="mg")}, 6, "g"),
        ({"from": ["before", "after"], "analysis": "$after - $before", "unit": "mg"},
         {"before": SavedReading(value=5, unit="g"), "after": SavedReading(value=5.5, unit="g")}, 500, "mg"),
        ({"from": "curve", "analysis": "peak_position", "unit": "um"}, {"curve": BELL}, 0.6, "um"),
        ({"from": "curve", "analysis": "peak_height"}, {"curve": BELL}, 4, ""),
        ({"from": "curve", "analysis": "peak_height", "window": ["380 nm", "520 nm"]}, {"curve": BELL}, 3, ""),
        ({"from": "curve", "analysis": "max"}, {"curve": BELL}, 4, ""),
        ({"from": "curve", "analysis": "mean"}, {"curve": BELL}, 2, ""),
        ({"from": "curve", "analysis": "area"}, {"curve": BELL}, 1000, ""),
    ],
)  # fmt: skip
def test_analyses(outcome: dict[str, Any], readings: dict[str, SavedReading], value: float, unit: str) -> None:
    spec = campaign(trial=WEIGH, outcomes={"y": {"goal": "maximize", **outcome}})
    found = recipe.outcomes(spec, readings)["y"]
    assert (found.value, found.unit) == (pytest.approx(value), unit)


def test_a_peak_between_points_is_found_by_its_parabola() -> None:
    points = [(x, 5.0 - (x - 533.0) ** 2 / 1000) for x in (500.0, 520.0, 545.0, 560.0)]
    spec = campaign(trial=WEIGH, outcomes={"y": {"goal": "maximize", "from": "curve", "analysis": "peak_position"}})
    assert recipe.outcomes(spec, {"curve": curve(*points)})["y"].value == pytest.approx(533.0)


def test_a_place_that_a_curve_passes_twice_has_no_parabola_through_it() -> None:
    """A voltammogram goes there and back: its axis has every potential twice, and its top once."""
    there_and_back = curve((0.0, 0.0), (0.1, 1.0), (0.2, 5.0), (0.1, 2.0), (0.0, 0.5), (0.2, 4.0))
    assert outcome_of(there_and_back, analysis="peak_height").value == 5.0
    twice = curve((0.0, 0.0), (0.1, 5.0), (0.1, 2.0), (0.2, 1.0))
    assert outcome_of(twice, analysis="peak_height").value == 5.0


@pytest.mark.parametrize("off", [0.0, 1e-9, 1e-6, 1e-4])
@pytest.mark.parametrize("turned", [False, True])
def test_the_peak_of_a_voltammogram_is_on_one_way_of_it(off: float, turned: bool) -> None:
    """The way back passes next to each point of the way there: a parabola through both rose to 74 A from 60 uA."""
    places = [0.005 * n for n in range(101)]
    there = [(x, 5e-5 * math.exp(-(((x - 0.301) / 0.05) ** 2)) + 1e-5) for x in places]
    back = [(x + off, 1e-5 - 4e-5 * math.exp(-(((x - 0.24) / 0.05) ** 2))) for x in reversed(places)]
    points = [*back, *there] if turned else [*there, *back]
    assert outcome_of(curve(*points), analysis="peak_height").value == pytest.approx(6e-5, rel=1e-3)
    assert outcome_of(curve(*points), analysis="peak_position").value == pytest.approx(0.301, abs=2e-4)
    assert outcome_of(curve((0.0, 0.0), (0.1, 1.0), (0.1, 2.0), (0.1, 1.5)), analysis="peak_height").value == 2.0
    falling = curve(*reversed(there))
    assert outcome_of(falling, analysis="peak_position").value == pytest.approx(0.301, abs=2e-4)


def test_what_is_worked_out_and_is_no_number_is_refused() -> None:
    readings = {"before": SavedReading(value=1e20), "after": SavedReading(value=1e-20)}
    wanted = {"goal": "maximize", "from": ["before", "after"], "analysis": "$before / $after"}
    with pytest.raises(SpecError, match=r"outcome y: .* gave 1e\+40: .* no reading"):
        recipe.outcomes(campaign(trial=WEIGH, outcomes={"y": wanted}), readings)
    readings = {"before": SavedReading(value=1.0, unit="pH"), "after": SavedReading(value=1e-320, unit="ppm")}
    with pytest.raises(SpecError, match="outcome y: float division by zero"):
        recipe.outcomes(campaign(trial=WEIGH, outcomes={"y": wanted}), readings)


def test_told_outcomes_are_not_worked_out() -> None:
    assert recipe.outcomes(campaign(trial=WEIGH), {}) == {}


def test_total_variation_is_symmetric_and_between_0_and_1() -> None:
    assert total_variation([1, 0], [0, 3]) == 1
    assert total_variation([1, 3], [2, 6]) == 0
    assert total_variation([1, -5, 1], [1, 0, 1]) == total_variation([1, 0, 1], [1, -5, 1]) == 0
    assert total_variation([1, 2, 3], [3, 2, 1]) == total_variation([3, 2, 1], [1, 2, 3]) == pytest.approx(1 / 3)


def test_a_target_is_read_and_interpolated(folder: Path) -> None:
    target = read_target(folder / "target.csv")
    assert target.x == (400, 500, 600)
    assert interpolate(target, [450, 400, 600, 575]) == pytest.approx([0.4, 0.1, 0.2, 0.325])
    (folder / "target.csv").write_text("wavelength_nm,absorbance\n400,x\n500,1\n")
    with pytest.raises(SpecError, match=r"target.csv:2: the target holds words"):
        read_target(folder / "target.csv")
    (folder / "target.csv").write_text("wavelength_nm,absorbance\n400,1\n500,9.9E37\n")
    with pytest.raises(SpecError, match=r"target.csv:3: the target has no value there: the array holds 9.9e.37"):
        read_target(folder / "target.csv")


def test_a_reading_keeps_its_uncertainty() -> None:
    spec = campaign(trial=WEIGH, outcomes={"y": {"goal": "maximize", "from": "before", "unit": "mg"}})
    found = recipe.outcomes(spec, {"before": SavedReading(value=5.0, unit="g", sd=0.1)})
    assert found["y"] == Reading(value=5000.0, unit="mg", sd=pytest.approx(100.0))


def outcome_of(*readings: SavedReading, **outcome: Any) -> Reading:
    spec = campaign(
        outcomes={"y": {"goal": "maximize", "from": "a", **outcome}},
        trial=[{"meter.read": {}, "save_as": "a"}],
    )
    return recipe.outcomes(spec, {"a": list(readings) if len(readings) > 1 else readings[0]})["y"]


def saturated(value: float = 3.0, side: str = "above") -> SavedReading:
    return SavedReading(value=value, unit="V", censored=side)


def test_a_bounded_reading_gives_a_bounded_outcome() -> None:
    assert outcome_of(saturated(), unit="mV") == Reading(value=3000.0, unit="mV", censored="above")
    assert outcome_of(saturated(0.1, "below"), unit="V") == Reading(value=0.1, unit="V", censored="below")
    several = outcome_of(saturated(), SavedReading(value=1.0, unit="V"), unit="V")
    assert several.value == 2.0 and several.censored == "above"


def test_a_saturated_curve_is_high_and_has_no_shape() -> None:
    clipped = SavedReading(array=curve((400, 1), (500, 4), (600, 1)).array, censored="above")
    assert outcome_of(clipped, analysis="peak_height").censored == "above"
    assert outcome_of(clipped, analysis="area").censored == "above"
    with pytest.raises(SpecError, match="above what the detector can see, and so says nothing"):
        outcome_of(clipped, analysis="peak_position")


def test_what_lies_beyond_one_end_leaves_the_other_end_of_a_curve_as_it_is() -> None:
    """A voltammogram whose oxidation is in overload: how deep its reduction goes, and where, is known all the same."""
    points = curve((0.0, -3.0), (0.1, -1.0), (0.2, 4.0)).array
    oxidized, reduced = (SavedReading(array=points, censored=side) for side in ("above", "below"))
    assert outcome_of(oxidized, analysis="min") == Reading(value=-3.0)
    assert outcome_of(reduced, analysis="max") == Reading(value=4.0)
    assert outcome_of(reduced, analysis="peak_height") == Reading(value=4.0)
    assert outcome_of(reduced, analysis="peak_position").value == 0.2
    assert [outcome_of(one, analysis="mean").censored for one in (oxidized, reduced)] == ["above", "below"]
    assert outcome_of(oxidized, analysis="max") == Reading(value=4.0, censored="above")
    assert outcome_of(reduced, analysis="min") == Reading(value=-3.0, censored="below")
    flat = SavedReading(array=curve((0.0, -3.0), (0.1, -3.0)).array, censored="below")
    assert outcome_of(flat, analysis="max").censored == "below"


@pytest.mark.parametrize(
    ("analysis", "side", "bound", "other", "seen"),
    [
        ("max", "below", 3.0, 5.0, ""), ("max", "below", 5.0, 5.0, ""), ("max", "below", 6.0, 5.0, "below"),
        ("max", "above", 3.0, 5.0, "above"), ("min", "above", 5.0, 3.0, ""), ("min", "above", 2.0, 3.0, "above"),
        ("min", "below", 5.0, 3.0, "below"),
    ],
)  # fmt: skip
def test_the_largest_of_several_is_what_it_is_whatever_the_least_is(
    analysis: str, side: str, bound: float, other: float, seen: str
) -> None:
    wanted = {"goal": "maximize", "from": ["before", "after"], "analysis": analysis, "unit": "V"}
    readings = {
        "before": SavedReading(value=bound, unit="V", censored=side),
        "after": SavedReading(value=other * 1000.0, unit="mV"),
    }
    assert recipe.outcomes(campaign(trial=WEIGH, outcomes={"y": wanted}), readings)["y"].censored == seen


def test_bounds_from_both_sides_and_bounds_in_a_formula_say_nothing() -> None:
    with pytest.raises(SpecError, match="above what the detector can see, and another below"):
        outcome_of(saturated(), saturated(side="below"), unit="V")
    with pytest.raises(SpecError, match="says nothing"):
        outcome_of(saturated(), analysis="2 * a", unit="V")


def test_what_is_flagged_gives_no_outcome_unless_the_sample_was_measured_again() -> None:
    flagged = SavedReading(unit="V", flag="nan is no number")
    with pytest.raises(SpecError, match="outcome y: the reading is not to be believed: nan is no number"):
        outcome_of(flagged, unit="V")
    with pytest.raises(SpecError, match="not to be believed"):
        outcome_of(flagged, flagged, unit="V")
    sound = [SavedReading(value=value, unit="V") for value in (1.0, 3.0)]
    assert outcome_of(sound[0], flagged, sound[1], unit="V").value == 2.0
    assert outcome_of(flagged, sound[0], unit="V") == Reading(value=1.0, unit="V")
    flagged_curve = SavedReading(array=curve((400, 1), (500, 4)).array, flag="the array holds nan")
    with pytest.raises(SpecError, match="the array holds nan"):
        outcome_of(flagged_curve, analysis="peak_height")


def test_one_of_two_readings_that_is_flagged_takes_its_partner_along() -> None:
    spec = campaign(
        outcomes={"y": {"goal": "maximize", "from": ["a", "b"], "analysis": "a / b"}},
        trial=[{"meter.read": {}, "save_as": "a"}, {"meter.read": {}, "save_as": "b"}],
    )
    tops = [SavedReading(value=value) for value in (2.0, 4.0, 6.0)]
    bottoms = [SavedReading(value=2.0), SavedReading(flag="nan is no number"), SavedReading(value=1.0)]
    assert recipe.outcomes(spec, {"a": tops, "b": bottoms})["y"].value == 3.5


@pytest.mark.parametrize(
    ("value", "ends", "seen"),
    [
        (2.0, ["1 V", "3 V"], (2000.0, "")),
        (3.0, ["1 V", "3 V"], (3000.0, "above")),
        (7.5, ["1 V", "3 V"], (3000.0, "above")),
        (0.5, ["1 V", "3 V"], (1000.0, "below")),
        (1.0, [1000, 3000], (1000.0, "below")),
        (-5.0, [-math.inf, 3000], (-5000.0, "")),
        (9.0, [0, math.inf], (9000.0, "")),
    ],
)
def test_what_the_detector_can_see(value: float, ends: list[Any], seen: tuple[float, str]) -> None:
    found = outcome_of(SavedReading(value=value, unit="V"), unit="mV", detects=ends)
    assert (found.value, found.censored) == seen


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        ({"detects": [3, 1]}, "the least must be below the greatest"),
        ({"detects": 3}, "the least and the greatest"),
        ({"detects": [1, "x"]}, "not a number"),
        ({"detects": [1, 2], "from": "told"}, "Tell a bound as > 3"),
    ],
)
def test_what_a_detector_cannot_be(outcome: dict[str, Any], word: str) -> None:
    with pytest.raises(SpecError, match=word):
        campaign(
            outcomes={"y": {"goal": "maximize", "from": "a", **outcome}},
            trial=[{"meter.read": {}, "save_as": "a"}],
        )
