"""An instrument that reads nonsense: every reading is kept with what is wrong with it, and no outcome is made of it."""

import math
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campaigns import ROOT, records
from labloop.bench import Action, Driver, Identity, Progress, Signal, Stand, Verdict
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.planner.inline import InlinePlanner
from labloop.runner import session
from labloop.runner.finished import plainly
from labloop.runner.parts import Parts

PARTS = Parts(planner=lambda spec, path: InlinePlanner(spec, path))
LAB = f"""
labloop: 1
name: doubtful
root: {ROOT}
instruments:
  meter: {{driver: "doubtful_meter:Meter", simulator: "simulators.ika:RCT", port: "serial:///dev/meter?baud=9600"}}
"""
CAMPAIGN = """
labloop: 1
campaign: doubtful
lab: lab.yaml
parameters:
  x: {range: [0, 1]}
outcomes:
  y: {goal: maximize, from: mass, unit: mg}
trial:
  - meter.weigh: {}
    save_as: mass
design: {initial: {method: random, trials: 9}, seed: 3}
budget: {trials: 4, attempts: 30}
stop_when: {failures_in_a_row: 20}
"""
MASS = Signal(name="mass", unit="g")
CURVE = Signal(name="curve", unit="V", array=True, axis="nm")


class Meter(Driver):
    """Reads what SAYS has, one after the other."""

    kind = "meter"
    signals = (MASS,)
    says: list[Any] = []
    actions_done = 0

    @classmethod
    def declare(cls, options: Any) -> dict[str, Action]:
        return {
            "weigh": Action(name="weigh", gives=(MASS,), repeatable=True),
            "scan": Action(name="scan", gives=(CURVE,), repeatable=True),
        }

    def open(self) -> Identity:
        return Identity(model="meter")

    def begin(self, action: str, settings: Any, act: str = "") -> None:
        """Nothing to begin."""

    def progress(self, elapsed_s: float) -> Progress:
        said = self.says.pop(0)
        if isinstance(said, bytes):
            return Progress(done=True, arrays={"curve": said})
        if isinstance(said, tuple):
            return Progress(done=True, readings={"curve": said[0]}, arrays={"curve": said[1]})
        if isinstance(said, dict):
            return Progress(done=True, achieved=said, readings={"mass": e.Reading(value=1.0, unit="g")})
        return Progress(done=True, readings={"mass": said})

    def stop(self) -> None:
        """Nothing to stop."""


def run(folder: Path, says: list[Any], campaign: str = CAMPAIGN) -> tuple[int, s.CampaignState]:
    sys.modules["doubtful_meter"] = sys.modules[__name__]
    Meter.says = says
    (folder / "lab.yaml").write_text(LAB)
    (folder / "plan.yaml").write_text(campaign)
    code = session.begin(session.Order(campaign=folder / "plan.yaml", run=folder / "run", virtual=True), parts=PARTS)
    return code, s.fold(records(folder / "run"))


def g(value: Any, unit: str = "g", **more: Any) -> e.Reading:
    return e.Reading(value=value, unit=unit, **more)


def test_nonsense_is_kept_flagged_and_never_measured(tmp_path: Path) -> None:
    bad = [g(math.nan), g(math.inf), g(9.9e37), g(-9.9e37), g(0.5, "mg"), g("stuck"), g(1.0, sd=math.nan), g(None)]
    good = [g(0.001), g(0.002), g(0.003, censored="above"), g(0.0015)]
    says = [one for pair in zip(bad[:4], good, strict=True) for one in pair]
    code, state = run(tmp_path, bad[4:] + says)
    assert code == 0
    measured = [t.outcomes["y"] for t in state.trials.values() if t.state == s.MEASURED]
    assert [(one.value, one.censored, one.unit, one.flag) for one in measured] == [
        (1.0, "", "mg", ""), (2.0, "", "mg", ""), (3.0, "above", "mg", ""), (1.5, "", "mg", ""),
    ]  # fmt: skip
    abandoned = [t for t in state.trials.values() if t.state == s.ABANDONED]
    assert len(abandoned) == len(bad) and all(t.again and t.reason.startswith("outcome y: ") for t in abandoned)
    flags = [next(iter(t.steps[0].readings.values())).flag for t in abandoned]
    assert ["no number" in flag for flag in flags[4:6]] + ["no reading" in flag for flag in flags[6:]] == [True] * 4
    assert flags[0] == "in mg, where g is declared" and flags[2].startswith("a standard deviation")
    for trial in abandoned:  # the same settings are tried again until they are measured
        (again,) = [t for t in state.trials.values() if t.proposal.again_of == trial.trial]
        assert again.settings == trial.settings


def test_a_driver_that_counts_with_numpy_is_understood(tmp_path: Path) -> None:
    says = [g(np.float32(0.5)), g(np.float64(0.25), sd=np.float64(0.01)), g(np.int64(1)), g(np.float32("nan")), g(1j)]
    code, state = run(tmp_path, [*says, {"volume": e.Amount(np.float32(0.5), "mL")}])
    assert code == 0 and state.measured == 4
    values = [t.outcomes["y"].value for t in state.trials.values() if t.state == s.MEASURED]
    assert values == [500.0, 250.0, 1000.0, 1000.0]
    assert state.steps["6.trial.0.0.1"].achieved == {"volume": e.Amount(0.5, "mL")}


def test_limits_and_counters_understand_numpy_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LAB", LAB + "limits:\n  meter: {mass: {max: 5 g}}\n")
    weigh = Action(name="weigh", gives=(MASS,), act=True)
    monkeypatch.setattr(Meter, "declare", classmethod(lambda cls, options: {"weigh": weigh}))
    monkeypatch.setattr(Meter, "read", lambda self: {"mass": g(np.float32(0.5))})
    monkeypatch.setattr(Meter, "counters", lambda self: {"weighed": e.Amount(np.float32(3.0), "count")})
    code, state = run(tmp_path, [g(np.float32(0.5))] * 4)
    assert code == 0 and state.measured == 4
    assert state.steps["1.trial.0.0.1"].begun.before == {"weighed": e.Amount(3.0, "count")}
    verdict = plainly(Verdict(state="partial", why="", achieved={"weighed": e.Amount(np.int64(1), "count")}))
    assert type(verdict.achieved["weighed"].value) is int and verdict.remainder == {}


@pytest.mark.parametrize("value", [math.nan, np.float32(0.5), 1j])
def test_what_stands_is_noted_whatever_a_driver_makes_of_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    stands = {"range": Stand(value=value, unit="g"), "door": Stand(value="shut")}
    monkeypatch.setattr(Meter, "stands", lambda self: stands)
    code, state = run(tmp_path, [g(0.5)] * 4)
    (left,) = [one.event for one in records(tmp_path / "run") if isinstance(one.event, e.SettingsLeft)]
    assert code == 0 and state.measured == 4
    known = {"range": Stand(value=0.5, unit="g")} if value == 0.5 else {}
    assert left.stands["meter"] == {**known, "door": Stand(value="shut")}


def test_a_curve_that_nobody_declared_is_in_the_unit_that_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"mass": g(0.5), "raw": e.Reading(unit="V")}
    look = Progress(done=True, readings=said, arrays={"raw": struct.pack("<4d", 400, 500, 1, 2)})
    monkeypatch.setattr(Meter, "progress", lambda self, elapsed_s: look)
    code, state = run(tmp_path, [])
    raw = state.steps["1.trial.0.0.1"].readings["raw"]
    assert code == 0 and (raw.unit, raw.length, raw.flag) == ("V", 4, "")


def test_an_amount_that_is_no_number_fails_its_step(tmp_path: Path) -> None:
    code, state = run(tmp_path, [{"volume": e.Amount(math.nan, "mL")}] + [g(0.001)] * 4)
    assert code == 0 and state.measured == 4
    (step,) = [step for step in state.steps.values() if step.state == s.FAILED]
    assert step.fault == "no_number" and "volume = nan" in step.reason


@pytest.mark.parametrize(
    "array",
    [b"", bytes(8), bytes(24), bytes(20), struct.pack("<4d", 400, 500, 1, math.nan),
     struct.pack("<4d", 400, 500, 1, 9.9e37)],
    ids=["empty", "one number", "odd", "no float64", "nan", "overflow"],
)  # fmt: skip
def test_a_spectrum_of_the_wrong_length_or_with_holes(tmp_path: Path, array: bytes) -> None:
    campaign = CAMPAIGN.replace("from: mass, unit: mg", "from: curve, analysis: peak_height, unit: V")
    campaign = campaign.replace("meter.weigh: {}\n    save_as: mass", "meter.scan: {}\n    save_as: curve")
    sound = struct.pack("<4d", 400, 500, 1, 2)
    code, state = run(tmp_path, [array, sound, sound, array, sound, sound], campaign)
    assert code == 0
    outcomes = [t.outcomes["y"].value for t in state.trials.values() if t.state == s.MEASURED]
    assert outcomes == [2.0] * 4
    abandoned = [t for t in state.trials.values() if t.state == s.ABANDONED]
    assert len(abandoned) == 2 and all(t.reason.startswith("outcome y: ") for t in abandoned)
    kept = abandoned[0].steps[0].readings["curve"]
    assert (tmp_path / "run" / "blobs" / (kept.blob or "")).read_bytes() == array, "what came is kept, to the byte"


def test_a_spectrum_in_another_unit_or_in_overload(tmp_path: Path) -> None:
    campaign = CAMPAIGN.replace("from: mass, unit: mg", "from: curve, analysis: peak_height")
    campaign = campaign.replace("meter.weigh: {}\n    save_as: mass", "meter.scan: {}\n    save_as: curve")
    curve = struct.pack("<4d", 400, 500, 1, 2)
    says = [(e.Reading(unit="mV"), curve), (e.Reading(unit="V", censored="above"), curve), curve]
    code, state = run(tmp_path, [*says, (e.Reading(unit="V"), curve), (e.Reading(), curve)], campaign)
    assert code == 0 and [t.state for t in state.trials.values()] == [s.ABANDONED] + [s.MEASURED] * 4
    assert "in mV, where V is declared" in state.trials[1].reason
    measured = [(one.outcomes["y"].value, one.outcomes["y"].censored) for one in state.trials.values() if one.outcomes]
    assert measured == [(2.0, "above"), (2.0, ""), (2.0, ""), (2.0, "")]


def test_where_a_part_of_a_curve_is_in_overload_only_a_window_that_holds_it_is_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = "from: curve, analysis: peak_height, window: [0.4 um, 500 nm]"
    campaign = CAMPAIGN.replace("from: mass, unit: mg", wanted)
    campaign = campaign.replace("meter.weigh: {}\n    save_as: mass", "meter.scan: {}\n    save_as: curve")
    sound, places = struct.pack("<4d", 400, 500, 1, 2), [300.0, 450.0, 600.0]
    looks = [
        Progress(
            done=True, readings={"curve": e.Reading(unit="V", censored="above"), "bounds": e.Reading(unit="V")},
            arrays={"curve": sound, "bounds": struct.pack("<2d", place, 9.0)},
        )
        for place in places
    ]  # fmt: skip
    looks.append(Progress(done=True, arrays={"curve": sound}))
    monkeypatch.setattr(Meter, "progress", lambda self, elapsed_s: looks.pop(0))
    code, state = run(tmp_path, [], campaign)
    measured = [one.outcomes["y"] for one in state.trials.values()]
    assert code == 0 and [one.value for one in measured] == [2.0] * 4
    assert [one.censored for one in measured] == ["", "above", "", ""]


@pytest.mark.parametrize("said", [9.9e37, math.inf, math.nan])
def test_what_stands_at_points_that_are_only_bounds_may_be_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: float
) -> None:
    """An instrument says so in overload: where that was is known, and the rest of the curve is sound."""
    campaign = CAMPAIGN.replace("from: mass, unit: mg", "from: curve, analysis: peak_height, window: [400 nm, 500 nm]")
    campaign = campaign.replace("meter.weigh: {}\n    save_as: mass", "meter.scan: {}\n    save_as: curve")
    look = Progress(
        done=True, readings={"curve": e.Reading(unit="V", censored="above"), "bounds": e.Reading(unit="V")},
        arrays={"curve": struct.pack("<4d", 400, 500, 1, 2), "bounds": struct.pack("<2d", 600, said)},
    )  # fmt: skip
    monkeypatch.setattr(Meter, "progress", lambda self, elapsed_s: look)
    _, state = run(tmp_path, [], campaign)
    assert {(one.outcomes["y"].value, one.outcomes["y"].censored) for one in state.trials.values()} == {(2.0, "")}
