"""An act by hand passes the same gate, is watched while it goes on, and counts in the totals."""

import itertools
from pathlib import Path
from textwrap import dedent

import pytest
from msgspec import structs

from drivers.new_era import NE1000
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import read_lab
from labloop.runner import by_hand
from labloop.runner.admission import Admission
from labloop.runner.book import BY_HAND, BenchBook
from labloop.runner.clock import utc_stamp
from simulators.ika_bath import Bath

ROOT = Path(__file__).resolve().parents[2]
LAB = f"""
root: {ROOT}
instruments:
  pump:
    driver: drivers.new_era:NE1000
    simulator: simulators.new_era:NE1000
    port: serial:///dev/pump
    syringe: {{volume: 10 mL, diameter: 14.43 mm}}
  plate: {{driver: "drivers.ika:RCT", simulator: "simulators.ika:RCT", port: "serial:///dev/plate"}}
  stage:
    driver: drivers.grbl:Stage
    simulator: simulators.grbl:Grbl
    port: serial:///dev/stage
    name: STAGE
    travel: {{x: [-200 mm, 0 mm]}}
"""


def act(folder: Path, rules: str, name: str, action: str, *written: str) -> e.ByHand:
    (folder / "lab.yaml").write_text(dedent(LAB) + rules)
    with by_hand.hand_bench(read_lab(folder / "lab.yaml"), live=False) as bench:
        return by_hand.act(bench, name, action, by_hand.read_settings(list(written)), "ann")


@pytest.mark.parametrize(
    "rules, said",
    [
        ("requires: {r: {of: plate.heat, that: plate.speed >= 100 rpm}}", "needs plate.speed >= 100 rpm"),
        ("interlocks: {i: {when: plate.temperature > 15 degC, then: hold}}", "interlocks.i"),
        ("limits: [plate.temperature <= 50 degC when plate.speed < 100 rpm]", "above the lab's limit"),
        ("limits: [plate.temperature <= 50 degC when solvent == DCM]", "above the lab's limit"),
        ("limits: [plate.temperature <= 50 degC when solvent == DCM and plate.speed < 100 rpm]", "above the lab's"),
        ("limits: {plate: {temperature: {max: 59.96 degC}}}", "above the lab's limit"),
    ],
)
def test_what_the_gate_refuses_is_not_sent(tmp_path: Path, rules: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        act(tmp_path, rules, "plate", "heat", "temperature=60 degC")


def test_a_condition_on_what_is_measured_is_judged_by_what_is_measured(tmp_path: Path) -> None:
    """The stirrer stands still: only then it may be hot, and nobody need ask about the solvent."""
    rule = "limits: [plate.temperature <= 50 degC when plate.speed > 100 rpm and solvent == DCM]"
    assert act(tmp_path, rule, "plate", "heat", "temperature=60 degC").done


def test_what_follows_from_other_settings_is_bounded_too(tmp_path: Path) -> None:
    rule = "limits: {pump: {volume: {max: 100 uL}}}"
    with pytest.raises(SpecError, match="volume comes to 333"):
        act(tmp_path, rule, "pump", "dispense", "rate=1 mL/min", "time=20 s")
    assert act(tmp_path, rule, "pump", "dispense", "rate=1 mL/min", "time=6 s").done
    with pytest.raises(SpecError, match="time comes to 60 s on the wire, which is above the lab's limit"):
        act(tmp_path, "limits: {pump: {time: {max: 59 s}}}", "pump", "dispense", "rate=1 mL/min", "volume=1 mL")


def test_a_setting_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="temperature is given twice"):
        act(tmp_path, "", "plate", "heat", "temperature=60 degC", "temperature=90 degC")


def test_a_total_that_one_act_overfills(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"totals.v holds 0 mL"):
        act(tmp_path, "totals: {v: {of: pump.dispense, max: 0.1 mL}}", "pump", "dispense", "rate=1 mL/min", "time=20 s")


@pytest.mark.parametrize("rule, why", [
    ("plausible: {p: {of: plate.temperature, rise: 2 K, within: 1 min}}", "plausible.p: plate: temperature rose"),
    ("requires: {r: {of: plate.hold, that: pump.infused < 1 uL}}", "requires.r: plate.hold needs pump.infused < 1 uL"),
])  # fmt: skip
def test_what_it_needs_and_where_it_goes_is_watched_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, why: str
) -> None:
    """The probe lies beside the flask; what the hold needs is not there any more after 100 s."""
    monkeypatch.setattr(Bath, "medium_c", lambda self, at_s: 22.0)
    monkeypatch.setattr(NE1000, "read", lambda self: {"infused": e.Reading(value=float(next(counted) > 5), unit="mL")})
    counted = itertools.count()
    ended = act(tmp_path, rule, "plate", "hold", "temperature=60 degC", "time=60 s", "reach_by=20 min")
    assert not ended.done and why in ended.failed


def test_others_are_watched_while_it_goes_on(tmp_path: Path) -> None:
    rule = "limits: {plate: {plate: {max: 30 degC, stale_after: 4 s}}}"
    ended = act(tmp_path, rule, "plate", "hold", "temperature=60 degC", "time=10 s")
    assert not ended.done and "plate reads 30." in ended.failed
    assert act(tmp_path, rule, "pump", "dispense", "rate=1 mL/min", "time=20 s").done


@pytest.mark.parametrize(
    "rule",
    [
        "interlocks: {i: {when: plate.temperature > 15 degC, then: hold}}",
        "limits: {plate: {plate: {max: 15 degC}}}",
        "requires: {r: {of: plate.heat, that: plate.speed >= 100 rpm, until: plate.off}}",
    ],
)
def test_what_switches_off_is_never_refused_for_a_rule_that_is_broken(tmp_path: Path, rule: str) -> None:
    assert act(tmp_path, rule, "plate", "off").done
    with pytest.raises(SpecError, match="Nothing was sent"):
        act(tmp_path, rule, "plate", "heat", "temperature=12 degC")


def test_rests_and_rates_hold_after_a_command_that_was_killed(tmp_path: Path) -> None:
    """What it had done is in the bench's book, but not when it gave the bench back: it never did."""
    (tmp_path / "lab.yaml").write_text(
        dedent(LAB) + "limits: [pump: {dispense: {dwell: 20 s}}, pump.rate changes by at most 1 uL/min/s]\n"
    )
    settings = by_hand.read_settings(["rate=100 uL/min", "volume=1 uL"])
    with by_hand.hand_bench(read_lab(tmp_path / "lab.yaml"), live=False) as bench:
        book = BenchBook.open(tmp_path, "bench", utc_stamp)
        book.take_lease(BY_HAND, "live", {})
        begun = by_hand.wish(bench, "pump", "dispense", settings, "ann")
        book.record(begun, structs.replace(begun, done=True, achieved={"volume": e.Amount(1.0, "uL")}))
        book.close()
        book = BenchBook.open(tmp_path, "bench", utc_stamp)
        book.take_lease(BY_HAND, "live", {})
        admission = Admission(bench.envelope, bench.clock, book)
        admission.after_others()
        for action, rate, said in (("dispense", "100", "rests for 20 s"), ("withdraw", "900", "rate changes by")):
            again = by_hand.read_settings([f"rate={rate} uL/min", "volume=1 uL"])
            with pytest.raises(SpecError, match=said):
                by_hand.permitted(by_hand.wish(bench, "pump", action, again, "ann"), admission)
        book.close()


def test_what_was_set_by_default_stands_for_the_next_command_too(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(dedent(LAB) + "limits: [stage.feed changes by at most 10 mm/min/s]\n")
    with by_hand.hand_bench(read_lab(tmp_path / "lab.yaml"), live=False) as bench:
        standing = Admission(bench.envelope, bench.clock).standing
        moved = by_hand.wish(bench, "stage", "move", by_hand.read_settings(["x=-10 mm"]), "ann")
        standing.leave(structs.replace(moved, done=True), 0.0)
        stood = standing.stood("stage", "feed")
    assert stood is not None and stood.amount == e.Amount(1000.0, "mm/min")


def test_an_act_that_never_began_leaves_what_stood_before_it(tmp_path: Path) -> None:
    """Its command was killed before its first byte, or a person says so: how fast a rate may change is as before."""
    (tmp_path / "lab.yaml").write_text(dedent(LAB) + "limits: [pump.rate changes by at most 1 uL/min/s]\n")
    with by_hand.hand_bench(read_lab(tmp_path / "lab.yaml"), live=False) as bench:
        standing = Admission(bench.envelope, bench.clock).standing
        slow, fast = (
            by_hand.wish(bench, "pump", "dispense", by_hand.read_settings([f"rate={rate} uL/min", "volume=1 uL"]), "")
            for rate in (100, 900)
        )
        standing.leave(structs.replace(slow, done=True), 0.0)
        standing.leave(structs.replace(fast, failed="not_begun: its command ended meanwhile"), 5.0)
        stood = standing.stood("pump", "rate")
        assert stood is not None and stood.amount == e.Amount(100.0, "uL/min")
        standing.leave(structs.replace(fast, failed="partial: its command ended meanwhile"), 5.0)
        assert standing.stood("pump", "rate") is None
