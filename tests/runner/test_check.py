"""check: what a campaign will ask of its bench at worst, and what is refused before anything moves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labloop.campaign.spec import CampaignSpec, lab_from_dict, read_lab, read_spec, spec_from_dict
from labloop.runner.check import check
from labloop.runner.resolved_plan import Plan

HOUSE = Path(__file__).parents[2]
CAMPAIGNS = HOUSE / "campaigns"
LAB = CAMPAIGNS / "lab.yaml"

Made = Callable[..., Plan]


def campaign(trial: list[Any], **more: Any) -> CampaignSpec:
    """A campaign of one pump's rate and a choice, on the shipped lab."""
    written: dict[str, Any] = {
        "labloop": 1,
        "campaign": "one-pump",
        "lab": str(LAB),
        "parameters": {"flow": {"range": [100, 600], "unit": "uL/min"}, "share": {"range": [0.1, 0.9]}},
        "outcomes": {"y": {"goal": "maximize", "from": "told"}},
        "trial": trial,
        "budget": {"trials": 10},
    }
    return spec_from_dict(written | more, CAMPAIGNS)


def checked(trial: list[Any], **more: Any) -> Plan:
    return check(campaign(trial, **more), read_lab(LAB))


def dispense(**settings: Any) -> dict[str, Any]:
    return {"pump_water.dispense": settings}


@pytest.fixture(scope="module")
def quickstart() -> Plan:
    return check(read_spec(CAMPAIGNS / "quickstart.yaml"), read_lab(LAB))


@pytest.mark.parametrize("lab", [read_lab(LAB), None], ids=["on a bench", "asked and told"])
def test_what_the_planner_cannot_do_is_said_with_its_place(lab: Any, tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    path = tmp_path / "film.yaml"
    path.write_text(
        "labloop: 1\ncampaign: film\nparameters:\n  a: {molecules: [CCO, C1CC]}\n"
        "  b: {mixture: [{name: A, smiles: O}, {name: B, smiles: C1C}]}\noutcomes: {y: {goal: maximize, from: told}}\n"
        "engine: {model: auto, robust: true}\n"
    )
    unread = "RDKit cannot read this SMILES. Correct it, or give the names alone"
    assert check(read_spec(path), lab).complaints == [
        f"{path}:7:31: engine.robust = true: does not go together with model. Leave it out",
        f"{path}:4:18: parameters.a.molecules = [CCO, C1CC]: C1CC: {unread}",
        f"{path}:5:16: parameters.b.mixture = [{{name: A, smiles: O}}, {{name: B, smiles: C1C}}]: C1C: {unread}",
    ]


def test_the_shipped_campaign_is_sound(quickstart: Plan) -> None:
    assert quickstart.complaints == []
    assert (quickstart.trials, quickstart.attempts) == (40, 80)


def test_extremes_are_the_true_ones_and_say_where(quickstart: Plan) -> None:
    """Rates are products under a sum constraint: their extremes are worked out by hand here."""
    reach = {one.instrument: one for one in quickstart.reaches if one.setting == "dispense.rate"}
    assert reach["pump_agno3"].high == pytest.approx(983 * 0.4281)
    assert reach["pump_pva"].low == pytest.approx(200 * 0.10)
    # 100 % less the least of everything, and less the 95 % that all of it may be at most
    assert reach["pump_water"].high == pytest.approx(983 * (1 - 0.0453 - 0.10 - 0.005 - 0.005))
    assert reach["pump_water"].low == pytest.approx(200 * 0.05)
    assert reach["pump_water"].unit == "uL/min"
    at = reach["pump_water"].low_at
    assert at["q_tot"] == 200
    assert sum(float(at[name]) for name in ("q_agno3", "q_pva", "q_tsc", "q_seed")) == pytest.approx(95.0)


def test_time_and_stock_at_worst(quickstart: Plan) -> None:
    stock = quickstart.stock["pump_agno3"]
    assert stock.needed == pytest.approx(80 * 983 * 0.4281 * 20 / 60 / 1000)
    assert (stock.held, stock.unit) == (10.0, "mL")
    assert any("pump_agno3.stock = 10 mL: lasts for 71 trials at worst" in warning for warning in quickstart.warnings)
    assert quickstart.trial_s is not None and quickstart.whole_s == pytest.approx(80 * quickstart.trial_s)
    assert quickstart.trial_s > 20 + 30 + 20, "dispense, hold, rinse"


def test_what_is_made_and_measured_again_counts_at_worst() -> None:
    trial = [dispense(rate="600 uL/min", time="60 s"), {"spectrometer.measure": {"integration": "9 s", "save_as": "s"}}]
    plain, remade, remeasured = checked(trial), checked(trial, remake=3), checked(trial, remeasure=3)
    assert plain.trial_s is not None and plain.whole_s is not None
    assert remade.stock["pump_water"].needed == pytest.approx(3 * plain.stock["pump_water"].needed)
    assert remade.trial_s == plain.trial_s and remade.whole_s == pytest.approx(3 * plain.whole_s)
    assert remeasured.stock == plain.stock, "the same sample"
    assert remeasured.trial_s == pytest.approx(plain.trial_s + 2 * (plain.trial_s - 60))


def test_what_is_done_beside_the_trials_takes_its_time() -> None:
    trial, flush = [dispense(rate="600 uL/min", time="60 s")], [dispense(rate="3 mL/min", time="60 s")]
    whole_s = checked(trial).whole_s
    assert whole_s is not None
    for more, times in [
        ({"setup": flush, "teardown": flush}, 2),
        ({"each_batch": flush, "design": {"batch": 3}}, 7),
        ({"every": [{"trials": 4, "do": flush}]}, 5),
        ({"every": [{"trials": 4, "control": {"flow": 200, "share": 0.5}}]}, 5),
    ]:
        assert checked(trial, **more).whole_s == pytest.approx(whole_s + 60 * times), more


def test_a_vessel_that_samples_made_again_would_fill() -> None:
    trial, vessel = [dispense(rate="600 uL/min", time="60 s")], {"of": "pump_water.dispense", "max": "20 mL"}
    assert not any("vessel" in one for one in checked(trial, totals={"vessel": vessel}).warnings)
    full = checked(trial, totals={"vessel": vessel}, remake=3)
    assert any("has room for 33 trials at worst, and the budget allows 60 samples" in one for one in full.warnings)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ({"inputs": 5}, ["inputs = 5", "columns of the table"]),
        ({"inputs": ["q_agno3", "q_nope"]}, ["agnp.csv: no column q_nope"]),
        ({"output": ["spectrum_loss"]}, ["output = ['spectrum_loss']", "a column of the table"]),
        ({"pumps": 5}, ["pumps = 5", "a pump for each input"]),
        ({"pumps": {"q_agno3": "pump_left"}}, ["called pump_left, which the lab does not have", "name it under pumps"]),
        ({"encode": "colour"}, ["encode = 'colour'", "distance and height"]),
        ({"tempo": 5}, ["unknown tempo"]),
    ],
)
def test_a_simulated_sample_that_cannot_be_is_said_before_a_run_is_begun(
    tmp_path: Path, sample: dict[str, Any], words: list[str]
) -> None:
    inputs = ["q_agno3", "q_pva", "q_tsc", "q_seed", "q_tot"]
    given = {"response": str(CAMPAIGNS / "agnp.csv"), "inputs": inputs, "output": "spectrum_loss"}
    kept = [line for line in LAB.read_text().splitlines() if not line.startswith("sample:")]
    path = tmp_path / "lab.yaml"
    path.write_text(f"root: {HOUSE}\n" + "\n".join(kept) + f"\nsample: {json.dumps(given | sample)}\n")
    spec = campaign([dispense(rate="$flow", time="20 s")])
    (complaint,) = check(spec, read_lab(path)).complaints
    assert complaint.startswith(f"{path}:") and ": sample: " in complaint
    assert all(word in complaint for word in words)
    assert check(spec, read_lab(path), live=True).complaints == [], "real instruments make their own"


def test_who_makes_it_safe(quickstart: Plan) -> None:
    assert set(quickstart.safety) == {
        "pump_agno3", "pump_pva", "pump_tsc", "pump_seed", "pump_water", "hotplate", "spectrometer",
    }  # fmt: skip
    assert quickstart.safety["hotplate"].startswith("the plate's own watchdog"), "without one, nobody does"
    assert "end of the volume" in quickstart.safety["pump_water"]


def test_a_plan_is_plain_data(quickstart: Plan) -> None:
    document = json.loads(json.dumps(quickstart.document()))
    assert document["stock"]["pump_water"]["unit"] == "mL"


def test_an_amount_that_follows_from_two_settings() -> None:
    """Rate and time are each within their limits; what they make together is more than the syringe moves in one go."""
    plan = checked([dispense(rate="$flow", time="20 min")])
    assert len(plan.complaints) == 1
    assert "trial[0].pump_water.dispense" in plan.complaints[0]
    assert "is more than the" in plan.complaints[0] and "flow" in plan.complaints[0]
    assert checked([dispense(rate="$flow", time="10 min")]).complaints == []


def test_an_amount_below_the_resolution_is_fiction() -> None:
    plan = checked([dispense(rate="$flow", time="0.1 s")], parameters={"flow": {"range": [1, 600], "unit": "uL/min"}})
    assert len(plan.complaints) == 1 and "motor step" in plan.complaints[0]


def test_a_coarse_amount_is_a_warning() -> None:
    plan = checked([dispense(rate="$flow", time="0.2 s")])
    assert plan.complaints == []
    assert any("moves in steps of" in warning for warning in plan.warnings)


def test_as_near_to_nothing_as_you_like() -> None:
    plan = checked([dispense(rate="$flow * (1 - $share)", time="20 s")], parameters={
        "flow": {"range": [100, 600], "unit": "uL/min"}, "share": {"range": [0, 1]},
    })  # fmt: skip
    assert plan.complaints == []
    assert any("as near to 0 as you like (at" in warning for warning in plan.warnings)


@pytest.mark.parametrize(("least", "refused"), [(49, False), (51, True)])
def test_what_a_stage_is_left_out_for_is_not_asked_of_it(least: int, refused: bool) -> None:
    """It was refused at a flow of 100 uL/min, where it is never done."""
    later = {**dispense(rate="$flow - 250 uL/min", time="60 s"), "when": "flow >= 300 uL/min"}
    limits = {"pump_water": {"rate": {"min": f"{least} uL/min"}}}
    complaints = checked([later], limits=limits).complaints
    assert bool(complaints) == refused
    assert all("can be asked for 50 uL/min (at flow 300" in one for one in complaints)


def test_a_stage_that_is_never_done_where_it_was_looked_at_is_no_traceback() -> None:
    odd = {**dispense(rate="300 uL/min", volume="0.2 uL"), "when": "flow > 400 uL/min and flow < 200 uL/min"}
    assert checked([dispense(rate="$flow", time="20 s"), odd]).complaints == []


def test_a_limit_of_the_campaign_binds() -> None:
    plan = checked([dispense(rate="$flow", time="20 s")], limits={"pump_water": {"rate": {"max": "500 uL/min"}}})
    assert len(plan.complaints) == 1
    assert "600 uL/min (at flow 600" in plan.complaints[0] and "the campaign's limit" in plan.complaints[0]


def test_what_the_safe_state_does_must_keep_the_limits_too(tmp_path: Path) -> None:
    """Those of the lab, and the narrower ones of the campaign."""
    for warm, limits, complaint in (
        ("90 degC", {}, "90 degC is above the lab's limit"),
        ("50 degC", {"hotplate": {"temperature": {"max": "45 degC"}}}, "50 degC is above the campaign's limit"),
        ("40 degC", {"hotplate": {"temperature": {"max": "45 degC"}}}, ""),
    ):
        text = LAB.read_text().replace("hotplate.off: {}", f"hotplate.heat: {{temperature: {warm}}}")
        text = text.replace("agnp.csv", str(CAMPAIGNS / "agnp.csv"))
        (tmp_path / "lab.yaml").write_text(f"root: {HOUSE}\n{text}")
        plan = check(campaign([dispense(rate="$flow", time="20 s")], limits=limits), read_lab(tmp_path / "lab.yaml"))
        assert [one for one in plan.complaints if complaint not in one] == []
        assert bool(plan.complaints) == bool(complaint), plan.complaints


def test_what_the_safe_state_brings_to_a_total_is_refused_since_nobody_would_count_it(tmp_path: Path) -> None:
    text = LAB.read_text().replace("agnp.csv", str(CAMPAIGNS / "agnp.csv"))
    text = text.replace("hotplate.off: {}", "pump_water.dispense: {rate: 1 mL/min, volume: 1 mL}")
    for of, refused in (("pump_water", True), ("pump_pva", False)):
        totals = f"totals: {{vessel: {{of: [{of}.dispense], max: 50 mL}}}}"
        (tmp_path / "lab.yaml").write_text(f"root: {HOUSE}\n{text}\n{totals}\n")
        plan = check(campaign([dispense(rate="$flow", time="20 s")]), read_lab(tmp_path / "lab.yaml"))
        assert [one for one in plan.complaints if "totals.vessel counts pump_water.dispense" not in one] == []
        assert bool(plan.complaints) == refused


def test_a_limit_on_what_follows_from_two_settings_is_looked_at_where_both_are_most() -> None:
    """The volume of a rate and a time; at the greatest rate, and at the longest time, it is less than 200 uL."""
    both = {"flow": {"range": [100, 600], "unit": "uL/min"}, "how_long": {"range": [1, 20], "unit": "s"}}
    for most, beyond in (("200 uL", []), ("199 uL", ["volume comes to 200 uL on the wire"])):
        limits = {"pump_water": {"volume": {"max": most}}}
        plan = checked([dispense(rate="$flow", time="$how_long")], parameters=both, limits=limits)
        assert [one for one in beyond if one not in plan.complaints[0]] == []
        assert len(plan.complaints) == len(beyond)


def test_a_limit_under_a_condition_binds_only_there() -> None:
    solvents = {"flow": {"range": [100, 600], "unit": "uL/min"}, "solvent": {"choices": ["water", "DCM"]}}
    limits = ["pump_water.rate <= 500 uL/min when solvent == DCM"]
    trial = [dispense(rate="$flow", time="20 s")]
    assert "solvent" in checked(trial, parameters=solvents, limits=limits).complaints[0]
    held = checked([{**trial[0], "when": "solvent == water"}], parameters=solvents, limits=limits)
    assert held.complaints == []


@pytest.mark.parametrize("more", [{}, {"constraints": ["speed + flow2 <= 700 uL/min"]}], ids=["free", "constrained"])
def test_a_space_of_choices_alone(more: dict[str, Any]) -> None:
    choices = {"choices": [100, 600], "unit": "uL/min"}
    trial = [dispense(rate="$speed", time="20 s"), {"pump_pva.dispense": {"rate": "$flow2", "time": "20 s"}}]
    plan = checked(trial, parameters={"speed": choices, "flow2": choices}, **more)
    assert plan.complaints == []
    assert [(one.low, one.high) for one in plan.reaches] == [(100.0, 600.0)] * 2


def test_only_rows_of_a_table_count() -> None:
    rows = [{"flow": 100, "share": 0.5}, {"flow": 200, "share": 0.1}]
    plan = checked([dispense(rate="$flow", time="20 s")], candidates=rows)
    (reach,) = plan.reaches
    assert (reach.low, reach.high, reach.high_at) == (100.0, 200.0, rows[1])


def test_a_table_with_no_row_inside() -> None:
    plan = checked(
        [dispense(rate="$flow", time="20 s")],
        candidates=[{"flow": 100, "share": 0.5}, {"flow": 200, "share": 0.6}],
        constraints=["share <= 0.4"],
    )
    assert len(plan.complaints) == 1 and "no row of the candidates" in plan.complaints[0]


def test_a_reading_that_is_no_curve() -> None:
    plan = checked(
        [
            {"spectrometer.measure": {"integration": "100 ms", "save_as": "spectrum"}},
            {"hotplate.read": {"save_as": "t"}},
        ],
        outcomes={"y": {"goal": "maximize", "from": "t", "analysis": "peak_height"}},
    )
    assert plan.complaints


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({"analysis": "peak_position", "unit": "V"}, "peak_position of spectrum gives nm, which is not in V"),
        ({"analysis": "area", "unit": "A*s"}, "area of spectrum gives nm, which is not in A*s"),
        ({"analysis": "peak_height", "window": ["0.1 V", "0.5 V"]}, "is in V, and the axis of spectrum is in nm"),
        ({"analysis": "peak_position", "unit": "um", "window": ["0.4 um", "0.7 um"]}, ""),
        ({"analysis": "area", "unit": "um", "window": [400, 700]}, ""),
    ],
)
def test_what_is_wanted_of_a_curve_must_be_in_the_unit_of_its_axis(outcome: dict[str, Any], said: str) -> None:
    plan = checked(
        [{"spectrometer.measure": {"integration": "100 ms", "save_as": "spectrum"}}],
        outcomes={"y": {"goal": "maximize", "from": "spectrum", **outcome}},
    )
    assert [said in one for one in plan.complaints] == ([True] if said else [])


def test_nothing_is_saved_of_an_action_that_reads_nothing() -> None:
    plan = checked([{"hotplate.off": {"save_as": "t"}}])
    assert any("gives no reading" in complaint for complaint in plan.complaints)


@pytest.mark.parametrize(
    ("step", "word"),
    [
        ({"person.do": {"ask": "Load it", "read": {"plate": "barcode"}}}, ""),
        ({"person.do": {"ask": "Weigh it", "read": {"mass": "g"}, "simulated": {"mass": "1.2 g"}}}, ""),
        ({"person.do": {"ask": "Weigh it", "read": {"mass": "g"}}}, "measures nothing"),
        ({"person.do": {"read": {"plate": "barcode"}}}, "ask is missing"),
        ({"person.do": {"ask": "Load it", "reach_buy": "8 h"}}, "Did you mean reach_by"),
        ({"person.ask": {"ask": "Load it"}}, "no action ask"),
        ({"person.do": {"ask": "Load it", "save_as": "t"}}, "under its own name"),
    ],
)
def test_what_a_person_is_asked_must_make_sense(step: dict[str, Any], word: str) -> None:
    complaints = checked([step]).complaints
    assert any(word in complaint for complaint in complaints) if word else not complaints


def test_without_a_lab_only_the_space_is_looked_at() -> None:
    spec = campaign([], parameters={"x": {"range": [1, 2]}})
    assert check(spec, None).complaints == []
    void = campaign([], parameters={"x": {"range": [1, 2]}, "z": {"range": [1, 2]}}, constraints=["x * z >= 100"])
    assert len(check(void, None).complaints) == 1 and "constraints" in check(void, None).complaints[0]


def test_every_complaint_at_once() -> None:
    plan = checked([
        {"hotplate.hold": {"temperature": "90 degC", "time": "30 s"}},
        dispense(rate="$flow"),
        {"spectrometer.mesure": {}},
    ])  # fmt: skip
    assert [word for word in ("80 degC", "either time or volume", "no action mesure") if any(
        word in complaint for complaint in plan.complaints
    )] == ["80 degC", "either time or volume", "no action mesure"]  # fmt: skip


def test_a_limit_under_a_condition_is_held_against_its_own_worst() -> None:
    """The greatest rate of all is asked for with water; where the limit holds there is less, and still too much."""
    parameters = {
        "flow": {"range": [100, 600], "unit": "uL/min"},
        "solvent": {"choices": ["water", "DCM", "DMF"]},
        "share": {"range": [0, 1]},
    }
    trial = [dispense(rate="$flow * (1 + $share)", time="10 s")]
    limits = ["pump_water.rate <= 1150 uL/min when solvent == DCM and share >= 0.5"]
    (complaint,) = checked(trial, parameters=parameters, limits=limits).complaints
    assert "can be asked for 1200 uL/min" in complaint and "solvent DCM" in complaint


def test_a_limit_that_depends_on_a_reading_is_left_to_the_moment_of_the_act() -> None:
    heat = [{"hotplate.hold": {"temperature": "70 degC", "time": "30 s"}}]
    assert checked(heat, limits=["hotplate.temperature <= 60 degC when hotplate.speed < 100 rpm"]).complaints == []
    (wrong,) = checked(heat, limits=["hotplate.temperature <= 60 degC when hotplate.sped < 100 rpm"]).complaints
    assert "hotplate has no reading or setting 'sped'; did you mean 'speed'?" in wrong


VESSEL = {"vessel": {"of": ["pump_water.dispense", "pump_pva.dispense"], "max": "300 uL"}}


def test_a_vessel_that_one_trial_overfills_is_refused() -> None:
    trial = [dispense(rate="$flow", time="20 s"), {"pump_pva.dispense": {"rate": "600 uL/min", "time": "20 s"}}]
    (complaint,) = checked(trial, totals=VESSEL).complaints
    assert "totals.vessel: one trial can bring 400 uL (at flow 600" in complaint
    emptied = [trial[0], {"spectrometer.rinse": {}}, trial[1]]
    vessel = {"vessel": {**VESSEL["vessel"], "until": "spectrometer.rinse"}}
    assert checked(emptied, totals=vessel).complaints == []


@pytest.mark.parametrize("phase", ["setup", "each_batch", "teardown", "every.0"])
def test_a_vessel_that_a_phase_of_no_trial_overfills_is_refused(phase: str) -> None:
    """It was begun, and could come no further than that act."""
    flush, trial = [dispense(rate="1200 uL/min", time="20 s")], [dispense(rate="300 uL/min", time="20 s")]
    more: dict[str, Any] = {"every": [{"trials": 2, "do": flush}]} if phase == "every.0" else {phase: flush}
    (complaint,) = checked(trial, totals=VESSEL, **more).complaints
    assert f"totals.vessel: {phase} brings 400 uL, and 300 uL is the most. Lower the amounts" in complaint


def test_a_vessel_that_is_full_after_some_trials_is_a_warning() -> None:
    plan = checked([dispense(rate="300 uL/min", time="20 s")], totals=VESSEL, budget={"trials": 5})
    assert plan.complaints == [] and any("has room for 3 trials at worst" in one for one in plan.warnings)


def test_an_order_that_the_recipe_undoes_is_refused_and_one_that_it_leaves_open_is_a_warning() -> None:
    rule = {"stirred": {"of": "hotplate.hold", "that": "hotplate.speed >= 100 rpm"}}
    hold = {"hotplate.hold": {"temperature": "40 degC", "time": "30 s"}}
    stir, slow = {"hotplate.stir": {"speed": "200 rpm"}}, {"hotplate.stir": {"speed": "60 rpm"}}
    assert checked([stir, hold], requires=rule).complaints == []
    (complaint,) = checked([stir, slow, hold], requires=rule).complaints
    assert "hotplate.speed is set to 60 rpm then" in complaint
    for trial in ([hold], [stir, {"hotplate.off": {}}, hold]):
        plan = checked(trial, requires=rule)
        assert plan.complaints == []
        assert any("no step before it sets hotplate.speed. Put hotplate.stir before it" in one for one in plan.warnings)


def test_what_is_kept_and_has_a_watchdog_is_not_kept_for_long() -> None:
    lab, spec = read_lab(LAB), campaign([dispense(rate="$flow", time="20 s")])
    assert not any("is kept, and" in one for one in check(spec, lab).warnings)
    warnings = check(spec, lab.model_copy(update={"keep": ("hotplate.stir",)})).warnings
    assert any("hotplate.stir is kept, and the plate's own watchdog" in one for one in warnings)


def seed(rate: str) -> dict[str, Any]:
    return {"pump_seed.dispense": {"rate": rate, "time": "5 s"}}


SHORT = dispense(rate="1 mL/h", time="5 s")
TOGETHER = {"together": [seed("250 uL/min"), dispense(rate="$flow", time="5 s")]}


@pytest.mark.parametrize(
    ("when", "trial", "said"),
    [
        ("pump_seed.rate > 200 uL/min", [seed("250 uL/min"), dispense(rate="$flow", time="5 s")], "trial[1]"),
        ("pump_seed.rate > 200 uL/min", [seed("150 uL/min"), dispense(rate="$flow", time="5 s")], ""),
        ("pump_seed.rate > 200 uL/min", [dispense(rate="$flow", time="5 s"), seed("150 uL/min")], "trial[0]"),
        ("pump_seed.rate > 599 uL/min", [seed("$flow"), dispense(rate="$flow", time="5 s")], "trial[1]"),
        ("pump_seed.rate > 599 uL/min", [seed("$flow"), dispense(rate="$share * 350 uL/min", time="5 s")], "trial[1]"),
        ("pump_seed.rate > 600 uL/min", [seed("$flow"), dispense(rate="$flow", time="5 s")], ""),
        ("pump_seed.volume > 20 uL", [seed("250 uL/min"), dispense(rate="$flow", time="5 s")], "trial[1]"),
        ("pump_seed.volume > 21 uL", [seed("250 uL/min"), dispense(rate="$flow", time="5 s")], ""),
        ("pump_seed.rate > 200 uL/min", [seed("150 uL/min"), TOGETHER], "trial[1].together[1]"),
        ("pump_water.time > 9 s", [SHORT, dispense(rate="$flow", time="10 s")], "trial[1]"),
        ("hotplate.speed > 200 rpm", [{"hotplate.stir": {"speed": "300 rpm"}}, dispense(rate="$flow", time="5 s")], ""),
    ],
)
def test_a_limit_on_what_an_act_before_has_set_is_foreseen(when: str, trial: list[Any], said: str) -> None:
    found = checked(trial, limits=[f"pump_water.rate <= 300 uL/min when {when}"]).complaints
    assert [bool(said)] * bool(said) == [
        line.startswith(f"{said}.pump_water.dispense: pump_water.dispense can be asked for rate = ")
        and f"of 300 uL/min when {when}" in line
        for line in found
    ], found


FLOWS = {"flow": {"range": [100, 510], "unit": "uL/min"}, "flow2": {"range": [100, 310], "unit": "uL/min"}}
BOTH = [seed("$flow"), dispense(rate="$flow2", time="5 s")]
FAST = ["pump_water.rate <= 300 uL/min when pump_seed.rate > 500 uL/min"]


@pytest.mark.parametrize("unit", ["", " when flow > 500 uL/min"], ids=["of an act", "of a parameter"])
def test_of_a_table_its_rows_count_and_nothing_between_them(unit: str) -> None:
    limits = [f"pump_water.rate <= 300 uL/min{unit}"] if unit else FAST
    apart = [{"flow": 510, "flow2": 200}, {"flow": 100, "flow2": 310}]
    assert checked(BOTH, parameters=FLOWS, candidates=apart, limits=limits).complaints == []
    within = [{"flow": 100 + at, "flow2": 200} for at in range(300)]
    within.insert(150, {"flow": 505, "flow2": 305})
    (complaint,) = checked(BOTH, parameters=FLOWS, candidates=within, limits=limits).complaints
    assert "(at flow 505, flow2 305)" in complaint


def test_choices_that_no_row_has_together_are_not_asked_for() -> None:
    parameters = {"flow": FLOWS["flow"], "solvent": {"choices": ["water", "DCM"]}}
    rows = [{"flow": 510, "solvent": "water"}, {"flow": 100, "solvent": "DCM"}]
    limits = ["pump_water.rate <= 300 uL/min when solvent == DCM"]
    trial = [dispense(rate="$flow", time="5 s")]
    assert checked(trial, parameters=parameters, candidates=rows, limits=limits).complaints == []


@pytest.mark.parametrize(
    ("parameters", "more"),
    [
        (FLOWS | {f"p{at}": {"range": [0, 1]} for at in range(7)}, {}),
        (FLOWS | {"mode": {"choices": ["a", "b"]}, "extra": {"range": [0, 1], "active_when": "mode == a"}}, {}),
        ({**FLOWS, "flow": {"range": [105, 514], "step": 10, "unit": "uL/min"}}, {}),
        (FLOWS, {"constraints": ["flow + flow2 <= 810 uL/min"]}),
    ],
    ids=["nine parameters", "a branch", "off the grid", "a constraint"],
)  # fmt: skip
def test_what_two_settings_decide_is_seen_at_their_corners(parameters: dict[str, Any], more: dict[str, Any]) -> None:
    trial = BOTH if "mode" not in parameters else [BOTH[0], {**BOTH[1], "when": "mode == b"}]
    (complaint,) = checked(trial, parameters=parameters, limits=FAST, **more).complaints
    assert complaint.startswith("trial[1].pump_water.dispense: pump_water.dispense can be asked for rate = 3")


def test_what_is_left_out_of_a_step_is_held_against_a_limit_that_speaks_of_acts() -> None:
    """The default of 1 K was sent, and the gate refused what check had accepted."""
    trial = [dispense(rate="$flow", time="20 s"), {"hotplate.hold": {"temperature": "40 degC", "time": "30 s"}}]
    (complaint,) = checked(trial, limits=["hotplate.tolerance <= 0.1 K when pump_water.time > 10 s"]).complaints
    assert "hotplate.hold can be asked for tolerance = 1 K" in complaint
    assert checked(trial, limits=["hotplate.tolerance <= 0.1 K when pump_water.time > 30 s"]).complaints == []


def test_phases_that_know_of_no_trial_are_held_against_what_acts_set() -> None:
    wash = [dispense(rate="310 uL/min", time="5 s")]
    for phase in ({"teardown": wash}, {"every": [{"trials": 5, "do": wash}]}):
        (complaint,) = checked([seed("150 uL/min")], limits=FAST, **phase).complaints
        assert "pump_water.dispense can be asked for rate = 310 uL/min, above the campaign's limit" in complaint


@pytest.mark.parametrize(
    "said, meant",
    [
        ("solvent == dcm", "'DCM'"), ('solvent == "DCM "', "'DCM'"), ("solvent == water", ""),
        ("spectrometer.lamp == dcm", ""),
    ],
)  # fmt: skip
def test_a_limit_that_names_a_choice_in_other_letters_would_never_hold(said: str, meant: str) -> None:
    """A lab knows solvents that this campaign does not use; it does not know one twice."""
    limits = [f"hotplate.temperature <= 40 degC when {said}"]
    lab = read_lab(LAB)
    spec = campaign([{"hotplate.off": {}}], parameters={"solvent": {"choices": ["DCM", "DMF"]}})
    complaints = check(spec, lab_from_dict(lab.dump() | {"limits": limits}, CAMPAIGNS)).complaints
    assert bool(complaints) == bool(meant), complaints
    assert all("is neither a parameter nor a choice of the campaign" in one and meant in one for one in complaints)
