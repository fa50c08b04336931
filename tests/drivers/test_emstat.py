"""The driver of an EmStat Pico on the simulated cell; its bytes are in test_emstat_codec.py."""

import math
import struct

import pytest

from drivers.emstat import EmStatPico
from drivers.emstat_codec import Command, EmStatCodec
from drivers.emstat_scripts import chrono
from labloop.bench import Amount, InstrumentFault, LinkError, LinkTimeout, SpecError
from tests.drivers.rigs import Rig

CV = {
    "begin": (-0.2, "V"),
    "vertex1": (0.6, "V"),
    "vertex2": (-0.2, "V"),
    "scan_rate": (100.0, "mV/s"),
    "step": (2, "mV"),
}


def rig(**more):
    return Rig(EmStatPico, **more).ready()


def points(data):
    numbers = struct.unpack(f"<{len(data) // 8}d", data)
    half = len(numbers) // 2
    return list(zip(numbers[:half], numbers[half:], strict=True))


def test_a_whole_voltammogram_comes_as_one_array():
    it = rig()
    it.begin("cyclic_voltammogram", **CV)
    look = it.finish()
    curve = points(look.arrays["voltammogram"])
    assert len(curve) == 801 and curve == points(look.arrays["last_scan"]) and "bounds" not in look.arrays
    assert [volts for volts, _ in curve[:3]] == pytest.approx([-0.2, -0.198, -0.196], abs=1e-9)
    peak_v, peak_a = max(curve, key=lambda one: one[1])
    assert peak_a == pytest.approx(it.device.cell.peak_a(0.1), rel=0.12) and peak_v == pytest.approx(0.23, abs=0.02)
    assert look.readings["voltammogram"].unit == "A" and look.achieved["points"] == Amount(801.0, "count")
    assert [(entry.act, entry.phase) for entry in it.ledger] == [
        ("cyclic_voltammogram", "begin"), ("cyclic_voltammogram", "end"),
    ]  # fmt: skip
    assert it.clock.now_s() - it.began_s == pytest.approx(1.6 / 0.1, abs=1.0)


def test_several_scans_after_a_rest():
    it = rig()
    it.begin("cyclic_voltammogram", **CV, scans=(3, "count"), equilibrate=(5.0, "s"))
    look = it.finish()
    everything, last = points(look.arrays["voltammogram"]), points(look.arrays["last_scan"])
    assert len(everything) == 801 + 800 + 800 and everything[-800:] == last
    assert it.clock.now_s() - it.began_s >= 5.0 + 3 * 16.0


def test_points_in_overload_are_bounds_and_no_values():
    it = rig()
    it.begin("cyclic_voltammogram", **CV, current_range=(10.0, "uA"))
    look = it.finish()
    bounds = points(look.arrays["bounds"])
    assert bounds and all(abs(amps) == pytest.approx(10e-6) for _, amps in bounds)
    assert all(abs(amps) < 10e-6 for _, amps in points(look.arrays["voltammogram"]))


def test_what_is_left_of_a_curve_beside_an_overload_is_a_bound():
    it = rig()
    it.begin("chronoamperogram", potential=(0.7, "V"), time=(10.0, "s"), current_range=(10.0, "uA"))
    readings = it.finish().readings
    assert [readings[name].censored for name in ("trace", "charge")] == ["above", "above"]
    it.begin("chronoamperogram", potential=(0.7, "V"), time=(10.0, "s"), current_range=(5.0, "mA"))
    readings = it.finish().readings
    assert [readings[name].censored for name in ("trace", "charge")] == ["", ""]


def test_a_curve_that_is_cut_off_on_both_sides_says_nothing():
    it = rig()
    it.begin("cyclic_voltammogram", **CV, current_range=(10.0, "uA"))
    look = it.finish()
    assert {amps > 0.0 for _, amps in points(look.arrays["bounds"])} == {True, False}
    for name in ("voltammogram", "last_scan"):
        assert "current_range" in look.readings[name].flag and not look.readings["bounds"].flag


def test_all_in_overload_is_a_fault():
    it = rig(simulation={"cell": {"concentration": "1 M", "resistance": 0}})
    it.begin("chronoamperogram", potential=(0.6, "V"), time=(1.0, "s"), current_range=(1.0, "uA"))
    with pytest.raises(InstrumentFault, match="all of 10 points are in overload") as caught:
        it.finish()
    assert caught.value.kind == "overload"


def test_a_chronoamperogram_and_its_charge():
    it = rig()
    it.begin("chronoamperogram", potential=(0.7, "V"), time=(10.0, "s"), interval=(0.05, "s"))
    look = it.finish()
    trace = points(look.arrays["trace"])
    cell = it.device.cell
    for seconds, amps in trace[20::30]:
        cottrell = 96485.0 * cell.area_m2 * cell.bulk * math.sqrt(cell.diffusion / (math.pi * seconds))
        assert amps == pytest.approx(cottrell, rel=0.03)
    assert look.readings["charge"].value == pytest.approx(sum(amps for _, amps in trace) * 0.05, rel=0.05)
    assert not it.device.on


def test_an_open_circuit_lets_no_current_flow():
    it = rig()
    it.begin("open_circuit", time=(2.0, "s"))
    assert it.finish().readings["potential"].value == pytest.approx(it.device.cell.open_circuit_v, abs=1e-6)
    assert it.ledger == []


def test_a_script_that_is_refused_says_where():
    it = rig()
    read = it.device._take
    it.device._take = lambda line: read("nonsense" if line == "cell_on" else line)
    with pytest.raises(InstrumentFault, match=r"it refuses its script \(4001: Line 13, Col 1\)") as caught:
        it.begin("cyclic_voltammogram", **CV)
    assert caught.value.kind == "refused"


def test_a_script_that_fails_as_it_runs_is_a_fault():
    it = rig()
    it.begin("cyclic_voltammogram", **CV)
    it.wait(1.0)
    it.device._say("!4200: Line 14\n")
    it.device._steps = None
    with pytest.raises(InstrumentFault, match="its script failed: 4200: Line 14") as caught:
        it.finish()
    assert caught.value.kind == "script"


def test_a_line_that_loses_too_much_is_a_fault():
    it = rig()
    said, count = it.device._say, iter(range(10_000))
    it.device._say = lambda text: said(text) if text[:1] != "P" or next(count) % 5 else None
    it.begin("cyclic_voltammogram", **CV)
    with pytest.raises(InstrumentFault, match=r"1\d\d of 800 points were lost on the line") as caught:
        it.finish()
    assert caught.value.kind == "line"


@pytest.mark.parametrize(
    "lost, said",
    [
        (range(1), "the beginning"), (range(9), "the beginning"), (range(91, 100), "the end"), (range(40, 47), ""),
        ([], ""),
    ],
)  # fmt: skip
def test_of_a_trace_whose_beginning_or_end_was_lost_no_charge_is_told(lost, said):
    """What flows in the first tenth of the time is a third of the charge."""
    it = rig()
    usual, count = it.device._say, iter(range(10_000))
    it.device._say = lambda text: None if text[:1] == "P" and next(count) in lost else usual(text)
    it.begin("chronoamperogram", potential=(0.7, "V"), time=(10.0, "s"))
    if not said:
        assert it.finish().readings["charge"].value == pytest.approx(charge(), rel=0.01)
        return
    with pytest.raises(InstrumentFault, match=f"{said} of 100 points was lost on the line") as caught:
        it.finish()
    assert caught.value.kind == "line"


WIDE = {"current_range": (5.0, "mA")}


@pytest.mark.parametrize("late_s", [0.008, 0.012, 0.05])
def test_a_trace_that_begins_slowly_is_whole(late_s):
    """The electronics may take longer than an interval of 10 ms before the first point."""
    it = rig()
    it.begin("chronoamperogram", potential=(0.7, "V"), time=(1.0, "s"), interval=(10.0, "ms"), **WIDE)
    it.device._memory.timer_s -= late_s
    trace = points(it.finish().arrays["trace"])
    assert len(trace) == 100 and trace[0][0] == pytest.approx(0.01 + late_s, abs=1e-6)


def charge():
    it = rig()
    it.begin("chronoamperogram", potential=(0.7, "V"), time=(10.0, "s"))
    return it.finish().readings["charge"].value


@pytest.mark.parametrize("lost", [range(40), range(760, 801)])
def test_of_a_voltammogram_that_lacks_an_end_no_peak_is_told(lost):
    it = rig()
    usual, count = it.device._say, iter(range(10_000))
    it.device._say = lambda text: None if text[:1] == "P" and next(count) in lost else usual(text)
    it.begin("cyclic_voltammogram", **CV)
    with pytest.raises(InstrumentFault, match="an end of 800 points was lost on the line"):
        it.finish()


def test_an_end_that_was_lost_is_asked_after():
    it = rig()
    said = it.device._say
    it.device._say = lambda text: None if text == "\n" else said(text)
    it.begin("cyclic_voltammogram", **CV)
    assert len(points(it.finish().arrays["voltammogram"])) == 801


def test_a_stop_aborts_and_the_cell_goes_off():
    it = rig()
    amounts = it.begin("cyclic_voltammogram", **CV)
    it.wait(3.0)
    assert it.device.on
    it.driver.stop()
    assert not it.device.on and it.happened("cyclic_voltammogram", amounts, {}).state == "partial"
    it.begin("cyclic_voltammogram", "act-2", **CV)
    assert it.finish().done


def test_a_stop_that_does_nothing_is_not_believed():
    it = rig()
    it.begin("cyclic_voltammogram", **CV)
    it.device._abort = lambda: it.device._say("Z\n")
    with pytest.raises(InstrumentFault, match="it goes on after it was told to abort") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_what_became_of_an_act():
    it = rig()
    amounts = it.begin("cyclic_voltammogram", **CV)
    assert it.happened("cyclic_voltammogram", amounts, {}).state == "running"
    it.finish()
    assert it.happened("cyclic_voltammogram", amounts, {}).state == "done"
    it.restarted().open()
    assert it.happened("cyclic_voltammogram", amounts, {}).state == "cannot_tell"


def test_a_script_that_nobody_hears_any_more_is_aborted_before_the_next():
    it = rig()
    it.begin("cyclic_voltammogram", **CV)
    it.wait(2.0)
    it.restarted()
    identity = it.driver.open()
    assert identity.model == "EmStat Pico" and identity.first_reply.startswith("'P")
    it.driver.configure()
    assert not it.device.on
    it.begin("cyclic_voltammogram", "act-2", **CV)
    assert it.finish().done


@pytest.mark.parametrize("asked", ["open", "stop"])
def test_a_script_that_was_cut_on_the_line_is_given_up_wherever_it_was_cut(asked):
    """The instrument waits for the rest, and answers nothing meanwhile; what is there of it must not be run."""
    script = EmStatCodec().encode(Command(chrono(potential_v=0.7, time_s=1.0, interval_s=0.1, range_a=1e-4).script))[0]
    it = rig()
    ends = [place for place, byte in enumerate(script) if byte == 0x0A]
    for cut in sorted({end + more for end in ends for more in (-2, 0, 1)} - {0, len(script)}):
        it.device.receive(script[:cut], it.clock.now_s())
        it.insist(getattr(it.driver, asked))
        assert it.device._script is None and it.ledger == [], script[:cut]
    it.begin("chronoamperogram", **SHORT)
    assert len(points(it.finish().arrays["trace"])) == 5


def test_a_script_that_was_cut_as_it_was_sent_is_not_run_and_its_instrument_answers_again():
    it = rig()
    hear = it.device.receive
    it.device.receive = lambda data, now_s: hear(data[:300], now_s)
    with pytest.raises(LinkTimeout):
        it.begin("chronoamperogram", **SHORT)
    del it.device.receive
    it.driver.stop()
    assert it.driver.open().model == "EmStat Pico" and it.ledger == []


def test_a_script_that_did_not_get_out_is_not_begun():
    it = rig()
    it.port.link.interrupt()
    with pytest.raises(LinkError):
        it.begin("cyclic_voltammogram", **CV)
    it.port.link.resume()
    amounts = {name: Amount(*value) for name, value in CV.items()}
    assert it.happened("cyclic_voltammogram", amounts, {}).state == "not_begun"


SHORT = {"potential": (0.5, "V"), "time": (0.5, "s")}


def answering(it, said):
    """The line makes of each thing that is said what ``said(what was asked, what is said)`` gives."""
    receive = it.device.receive
    it.device.receive = lambda data, now_s: said(data, receive(data, now_s))


def without_echo(it, begin):
    """Begin with the e of the echo lost on the line: what is left of it looks like the end of a script."""
    answering(it, lambda asked, said: said.removeprefix(b"e") if asked.startswith(b"e") else said)
    with pytest.raises(LinkTimeout):
        begin()
    del it.device.receive


def test_a_short_script_whose_echo_was_lost_is_done_and_not_done_again():
    it = rig()
    amounts = {name: Amount(*value) for name, value in SHORT.items()}
    without_echo(it, lambda: it.begin("chronoamperogram", **SHORT))
    assert it.happened("chronoamperogram", amounts, {}).state == "done"
    assert len(points(it.driver.progress(1.0).arrays["trace"])) == 5
    assert [entry.phase for entry in it.ledger] == ["begin", "end"]


def test_a_long_script_whose_echo_was_lost_runs_and_loses_no_point():
    it = rig()
    amounts = {name: Amount(*value) for name, value in CV.items()}
    without_echo(it, lambda: it.begin("cyclic_voltammogram", **CV))
    it.began_s = it.clock.now_s()
    assert it.happened("cyclic_voltammogram", amounts, {}).state == "running"
    assert len(points(it.finish().arrays["voltammogram"])) == 801


def test_what_a_script_said_is_kept_though_somebody_asks_who_it_is():
    it = rig()
    amounts = {name: Amount(*value) for name, value in SHORT.items()}
    without_echo(it, lambda: it.begin("chronoamperogram", **SHORT))
    it.driver.open()
    assert it.happened("chronoamperogram", amounts, {}).state == "done"


def test_of_a_script_that_nobody_heard_nothing_is_known():
    it = rig()
    amounts = {name: Amount(*value) for name, value in SHORT.items()}
    answering(it, lambda asked, said: b"")
    with pytest.raises(LinkTimeout):
        it.begin("chronoamperogram", **SHORT)
    del it.device.receive
    assert it.happened("chronoamperogram", amounts, {}).state == "cannot_tell"
    assert len(it.ledger) == 2, "it ran"


def test_a_script_that_was_refused_is_not_begun():
    it = rig()
    read = it.device._take
    it.device._take = lambda line: read("nonsense" if line == "cell_on" else line)
    with pytest.raises(InstrumentFault, match="it refuses its script"):
        it.begin("chronoamperogram", **SHORT)
    assert it.happened("chronoamperogram", {}, {}).state == "not_begun" and it.ledger == []


def test_a_stop_whose_answer_was_lost_does_not_make_an_act_not_begun():
    it = rig()
    amounts = it.begin("cyclic_voltammogram", **CV)
    it.wait(3.0)
    answering(it, lambda asked, said: b"" if asked == b"Z\n" else said)
    with pytest.raises(LinkTimeout):
        it.driver.stop()
    del it.device.receive
    it.driver.stop()
    assert it.happened("cyclic_voltammogram", amounts, {}).state == "cannot_tell"


def test_a_stop_that_comes_when_the_script_has_ended_does_not_make_it_not_begun():
    it = rig()
    amounts = it.begin("cyclic_voltammogram", **CV)
    it.wait(16.5)
    it.driver.stop()
    assert it.happened("cyclic_voltammogram", amounts, {}).state == "cannot_tell" and len(it.ledger) == 2


def test_another_instrument_is_refused_with_what_answered(monkeypatch):
    monkeypatch.setattr("simulators.emstat.FIRMWARE", "es4_lr1300#Jan 10 2024 10:00:00")
    with pytest.raises(InstrumentFault, match=r"'es4_lr1300#.*' answers where an EmStat Pico was expected") as caught:
        Rig(EmStatPico).driver.open()
    assert caught.value.kind == "identity"


def test_it_tells_whether_it_measures():
    it = rig()
    assert it.driver.read()["state"].value == "idle"
    it.begin("cyclic_voltammogram", **CV)
    assert it.driver.read()["state"].value == "measuring"


@pytest.mark.parametrize(
    "values, why",
    [
        ({"vertex1_v": 0.0, "vertex2_v": 0.0}, "are one potential"),
        ({"scans": 1.5}, "no whole number"),
        ({"step_v": 0.0002, "scans": 100.0}, "points; 50000 are the most"),
        ({"step_v": 0.0002}, "500 points a second; 200 are the most"),
    ],
)
def test_voltammograms_that_make_no_sense_are_refused(values, why):
    good = {"begin_v": 0.0, "vertex1_v": 0.5, "vertex2_v": -0.5, "rate_v_s": 0.1, "step_v": 0.005, "scans": 1.0,
            "equilibrate_s": 0.0, "range_a": 1e-4}  # fmt: skip
    assert EmStatPico.complaint("cyclic_voltammogram", good, {}) == ""
    assert why in EmStatPico.complaint("cyclic_voltammogram", good | values, {})


def test_an_interval_longer_than_its_time_is_refused():
    values = {"potential_v": 0.0, "time_s": 1.0, "interval_s": 2.0, "range_a": 1e-4}
    assert EmStatPico.complaint("chronoamperogram", values, {}) == "interval is longer than time"
    with pytest.raises(SpecError, match="has no option"):
        EmStatPico.declare({"address": 1})


@pytest.mark.parametrize("seed", range(6))
def test_on_a_bad_line_no_point_of_a_voltammogram_is_wrong(seed):
    it = Rig(EmStatPico, faults="drop=0.01,flip=0.01,late=0.002,double=0.01,unsolicited=0.002", seed=seed)

    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    it.insist(lambda: it.begin("cyclic_voltammogram", **CV))
    while not (look := it.insist(it.look)).done:
        it.wait(look.again_in_s)
    alone = rig()
    alone.begin("cyclic_voltammogram", **CV)
    truth = points(alone.finish().arrays["voltammogram"])
    forward = {round(volts, 6): amps for volts, amps in truth[:401]}
    back = {round(volts, 6): amps for volts, amps in truth[400:]}
    found = points(look.arrays["voltammogram"])
    assert len(found) > 700
    for volts, amps in found:
        assert any(amps == pytest.approx(way.get(round(volts, 6)), abs=1e-12) for way in (forward, back))
    it.insist(it.driver.stop)
    assert not it.device.on
