"""The gate: what was done before and what is measured now decide; and there is no way around it."""

import ast
from pathlib import Path

import pytest

from labloop.bench import Amount, Envelope, Gate, NotYet, Permit, SafetyError, Standing, Totals, Wish, open_lab
from labloop.campaign import events as e
from labloop.campaign.units import Quantity
from tests.bench.labs import connect_scripted, make_lab

LAB = """
    labloop: 1
    instruments:
      oven: {driver: "DRIVER:Box", port: "serial:///dev/a"}
      fan: {driver: "DRIVER:Box", port: "serial:///dev/b"}
    limits:
      - oven: {temperature: {max: 150 degC, dwell: 60 s}, push: {dwell: 20 s}, mode: {dwell: 5 s}, volume: {max: 90 uL}}
      - oven.volume changes by at most 1 uL/s
      - oven.temperature <= 80 degC when fan.wall > 30 degC
      - oven.temperature <= 60 degC when oven.volume > 50 uL
    requires:
      cooled: {of: oven.heat, that: fan.wall <= 40 degC, within: 10 s}
"""
HOUSE = Path(__file__).parents[2]


@pytest.fixture
def lab(tmp_path):
    return make_lab(tmp_path, LAB)


@pytest.fixture
def gate(lab):
    envelope = Envelope(lab)
    return Gate(envelope, Standing(envelope.declared), Totals([], envelope.declared))


def wish(action="heat", **settings):
    return Wish(instrument="oven", action=action, settings={name: Amount(*one) for name, one in settings.items()})


def heat(value):
    return wish(temperature=(value, "degC"))


def push(value):
    return wish("push", volume=(value, "uL"))


def wall(value):
    return {"fan.wall": Quantity(value, "degC"), "oven.volume": Quantity(10.0, "uL")}


def done(gate, one, at_s, ended_s=None, step="s"):
    gate.standing.apply(
        e.StepStarted(
            step=step, phase="trial", stage=0, index=0, instrument=one.instrument, action=one.action,
            settings=dict(one.settings), act=True, t_s=at_s,
        )
    )  # fmt: skip
    if ended_s is not None:
        gate.standing.apply(e.StepFinished(step=step, t_s=ended_s))


# --- order, and limits that depend on what is measured ----------------------------------------------------------------


def test_what_decides_is_read_right_before(gate):
    assert gate.asks(heat(50.0)) == {"fan"}, "oven.volume is a setting: what was achieved, and nothing to read"
    assert gate.asks(push(5.0)) == set()


def test_an_act_waits_for_what_it_needs_and_is_refused_when_that_does_not_come(gate):
    gate.admit([heat(50.0)], wall(30.0), 0.0)
    with pytest.raises(NotYet, match=r"oven.heat needs fan.wall <= 40 degC \(.*lab.yaml:12:.*fan.wall is 55 degC"):
        gate.admit([heat(50.0)], wall(55.0), 1.0)
    with pytest.raises(NotYet) as caught:
        gate.admit([heat(50.0)], wall(55.0), 10.5)
    assert caught.value.wait_s == pytest.approx(0.5)
    with pytest.raises(SafetyError, match="10 s long") as refused:
        gate.admit([heat(50.0)], wall(55.0), 11.0)
    assert not isinstance(refused.value, NotYet)
    gate.admit([heat(50.0)], wall(35.0), 12.0)
    with pytest.raises(NotYet):
        gate.admit([heat(50.0)], wall(55.0), 20.0)


def test_the_time_of_who_waits_no_longer_counts_for_nobody_else(gate):
    with pytest.raises(NotYet):
        gate.admit([heat(50.0)], wall(55.0), 0.0)
    gate.waits_no_longer(heat(50.0))
    with pytest.raises(NotYet):
        gate.admit([heat(50.0)], wall(55.0), 600.0)


def test_what_cannot_be_read_is_not_there(gate):
    with pytest.raises(SafetyError, match=r"fan.wall cannot be read"):
        gate.admit([heat(50.0)], {}, 0.0)


def test_a_word_is_not_what_is_needed(gate):
    """A reading that comes as a word, like an instrument's OFF, may still become a number."""
    said = {**wall(20.0), "fan.wall": "OFF"}
    with pytest.raises(NotYet, match=r"oven.heat needs fan.wall <= 40 degC \(.*lab.yaml:12:.*'OFF' is a word"):
        gate.admit([heat(50.0)], said, 0.0)
    gate.admit([heat(50.0)], wall(20.0), 5.0)
    with pytest.raises(NotYet):
        gate.admit([heat(50.0)], said, 6.0)
    with pytest.raises(SafetyError, match="10 s long") as refused:
        gate.admit([heat(50.0)], said, 16.0)
    assert not isinstance(refused.value, NotYet)


def test_a_limit_depends_on_what_is_measured_and_on_what_was_achieved(gate):
    gate.admit([heat(100.0)], wall(20.0), 0.0)
    with pytest.raises(SafetyError, match="of 80 degC"):
        gate.admit([heat(100.0)], wall(35.0), 0.0)
    with pytest.raises(SafetyError, match="of 60 degC"):
        gate.admit([heat(70.0)], {**wall(20.0), "oven.volume": Quantity(51.0, "uL")}, 0.0)
    gate.admit([heat(70.0)], {**wall(20.0), "oven.volume": Quantity(49.0, "uL")}, 0.0)
    with pytest.raises(SafetyError, match="of 60 degC"):
        gate.admit([heat(70.0)], {"fan.wall": Quantity(20.0, "degC")}, 0.0)  # nobody knows


# --- time -------------------------------------------------------------------------------------------------------------


def test_an_action_rests_from_its_end(gate):
    done(gate, push(5.0), 100.0, ended_s=130.0)
    with pytest.raises(NotYet, match=r"oven.push rests for 20 s") as caught:
        gate.admit([push(5.0)], {}, 140.0)
    assert caught.value.wait_s == pytest.approx(10.0)
    gate.admit([push(5.0)], {}, 150.0)


def test_a_setting_stands_before_it_is_set_to_something_else(gate):
    done(gate, heat(50.0), 100.0, ended_s=101.0)
    gate.admit([heat(50.0)], wall(20.0), 110.0)
    with pytest.raises(NotYet, match=r"oven.temperature stands for 60 s at least") as caught:
        gate.admit([heat(51.0)], wall(20.0), 110.0)
    assert caught.value.wait_s == pytest.approx(50.0)
    gate.admit([heat(51.0)], wall(20.0), 160.0)


def test_a_word_stands_too(gate):
    turn = wish("turn", mode=("a",))
    done(gate, turn, 0.0, ended_s=0.0)
    gate.admit([turn], {}, 1.0)
    with pytest.raises(NotYet):
        gate.admit([wish("turn", mode=("b",))], {}, 1.0)


def test_a_setting_changes_no_faster_than_it_may(gate):
    done(gate, push(10.0), 0.0, ended_s=1.0)
    with pytest.raises(NotYet, match=r"oven.volume changes by 1 uL/s at most") as caught:
        gate.admit([push(60.0)], {}, 25.0)
    assert caught.value.wait_s == pytest.approx(25.0)
    gate.admit([push(60.0)], {}, 50.0)


def test_what_was_never_sent_stands_nowhere(gate):
    done(gate, heat(50.0), 0.0, ended_s=1.0, step="a")
    done(gate, heat(90.0), 100.0, step="b")
    gate.standing.apply(e.StepFailed(step="b", fault="not_done", reason="", t_s=101.0))
    gate.admit([heat(50.0)], wall(20.0), 102.0)
    gate.admit([heat(70.0)], wall(20.0), 102.0)


def test_after_others_had_the_bench_everything_stands_since_then(gate):
    done(gate, push(5.0), 0.0, ended_s=1.0)
    gate.standing.unsure(500.0)
    with pytest.raises(NotYet) as caught:
        gate.admit([heat(50.0)], wall(20.0), 510.0)
    assert caught.value.wait_s == pytest.approx(50.0)


def test_after_others_had_the_bench_an_action_rests_since_then_too(gate):
    done(gate, push(5.0), 0.0, ended_s=10.0)
    gate.admit([push(5.0)], wall(20.0), 100.0)
    gate.standing.unsure(95.0)
    with pytest.raises(NotYet, match=r"oven.push rests for") as caught:
        gate.admit([push(5.0)], wall(20.0), 100.0)
    assert caught.value.wait_s > 0.0


def test_the_longest_wait_of_a_stage_is_told(gate):
    done(gate, push(5.0), 0.0, ended_s=10.0, step="a")
    done(gate, heat(50.0), 0.0, ended_s=10.0, step="b")
    with pytest.raises(NotYet) as caught:
        gate.admit([push(5.0), heat(60.0)], wall(20.0), 12.0)
    assert caught.value.wait_s == pytest.approx(48.0)


# --- no way around ----------------------------------------------------------------------------------------------------


def test_a_station_begins_what_a_permit_says_and_nothing_else(lab, gate):
    station = open_lab(lab, connect_scripted()).instruments["oven"]
    station.begin(gate.permit(heat(50.0), wall(20.0), 0.0), "act-1")
    assert station.driver.said == [("heat", 50.0)]
    for name in ("begin", "prepare", "heat", "push", "off"):
        with pytest.raises(SafetyError, match="must pass the envelope"):
            getattr(station.driver, name)
    other = Envelope(lab).permit("fan", "off", {})
    with pytest.raises(SafetyError, match="this permit is fan's"):
        station.begin(other, "act-2")
    with pytest.raises(SafetyError, match="only the envelope says what may begin"):
        Permit("oven", "heat", {"temperature_c": 500.0})
    with pytest.raises(TypeError):
        gate.permit(heat(50.0), wall(20.0), 0.0).values["temperature_c"] = 500.0  # type: ignore[index]


def test_permits_are_written_in_one_place_and_begun_in_one():
    """Over the whole house: sealed() is called by the envelope, begin() and prepare() of a driver by the station.

    Conformance (conformance, proving) begins what it likes: on a simulator in its own process, never on a lab.
    """
    sealed, begun = set(), set()
    for path in (HOUSE / "labloop").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            if isinstance(called, ast.Name) and called.id in ("sealed", "Permit"):
                sealed.add((path.name, called.id))
            acts = isinstance(called, ast.Attribute) and called.attr in ("begin", "prepare")
            if acts and "driver" in ast.unparse(called.value):
                begun.add(path.name)
    assert sealed == {("safety.py", "sealed"), ("permit.py", "Permit")}
    assert begun == {"station.py", "conformance.py", "proving.py"}


def test_a_limit_under_a_condition_is_kept_by_what_begins_together_and_by_one_act_alone(tmp_path):
    limit = "oven.volume <= 20 uL when fan.volume > 50 uL"
    envelope = Envelope(make_lab(tmp_path, f"{LAB.partition('    limits:')[0]}    limits: [{limit}]"))
    gate = Gate(envelope, Standing(envelope.declared), Totals([], envelope.declared))
    little, much = (
        Wish(instrument="fan", action="push", settings={"volume": Amount(volume, "uL")}) for volume in (10.0, 55.0)
    )
    values = {"fan.volume": Quantity(10.0, "uL")}  # as an act before has set it
    gate.admit([push(40.0), little], values, 0.0)
    with pytest.raises(SafetyError, match=r"oven.push: volume = 40 uL is above .* when fan.volume > 50 uL"):
        gate.admit([push(40.0), much], values, 0.0)
    gate.permit(push(40.0), values, 0.0, [little])
    with pytest.raises(SafetyError, match=r"when fan.volume > 50 uL"):
        gate.permit(push(40.0), values, 0.0, [much])
    gate.admit([push(20.0), much], values, 0.0)
    with pytest.raises(SafetyError):
        gate.admit([push(40.0), little], values | {"fan.volume": Quantity(55.0, "uL")}, 0.0)
