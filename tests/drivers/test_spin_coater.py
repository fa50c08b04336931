"""The spin coater on the simulated controller; its bytes are GRBL's (test_grbl_codec.py)."""

import pytest

from drivers.grbl_controller import marks
from drivers.spin_coater import SpinCoater
from labloop.bench import Amount, InstrumentFault, LinkError, ProtocolError, SpecError
from tests.drivers.rigs import Rig

SPIN = {"speed": (3000.0, "rpm"), "time": (30.0, "s")}
TWO_STEPS = SPIN | {"spread_speed": (500.0, "rpm"), "spread_time": (5.0, "s")}


def rig(**more):
    return Rig(SpinCoater, **more).ready()


def spins(it):
    return [(entry.phase, entry.at_s, entry.amount) for entry in it.ledger if entry.act == "spin"]


def test_a_spin_is_sent_whole_and_ends_by_itself():
    it = rig()
    began_s = it.clock.now_s()
    it.begin("spin", **TWO_STEPS)
    start, end = marks("act-1")
    assert it.sent[-2:] == [
        b"F%d\n" % start, b"M3S500\nG4P5.00\nS3000\nG4P30.00\nM5\nM5\nF%d\n" % end
    ]  # fmt: skip
    assert len(it.sent[-1]) < 128, "GRBL's receive buffer"
    it.wait(500.0)  # nobody looks, nobody speaks
    it.bench.settle(it.clock.now_s())
    assert spins(it) == [("begin", began_s, 0.0), ("end", began_s + 35.0, 35.0)]


def test_a_spin_is_watched_to_its_end():
    it = rig()
    it.begin("spin", **TWO_STEPS)
    speeds = []
    while not (look := it.look()).done:
        speeds.append(look.readings["speed"].value)
        it.wait(look.again_in_s)
    assert set(speeds) == {500.0, 3000.0} and speeds == sorted(speeds)
    assert look.achieved == {"time": Amount(35.0, "s"), "speed": Amount(3000.0, "rpm")}
    assert it.clock.now_s() - it.began_s < 36.0
    assert it.happened("spin", {}, {}).state == "done"


def test_what_became_of_a_spin_after_a_crash():
    it = rig()
    it.begin("spin", **SPIN)
    it.wait(10.0)
    it.restarted().open()
    assert it.happened("spin", {}, {}).state == "running"
    it.wait(30.0)
    assert it.happened("spin", {}, {}).state == "done"
    assert it.happened("spin", {}, {}, "another").state == "not_begun"
    it.begin("spin", "act-2", **SPIN)
    it.wait(10.0)
    it.driver.stop()
    assert it.happened("spin", {}, {}, "act-2").state == "partial"
    it.restarted().open()
    verdict = it.happened("spin", {}, {}, "act-2")
    assert verdict.state == "cannot_tell" and "reset" in verdict.why


@pytest.mark.parametrize(("waits_s", "state"), [(None, "not_begun"), (10.0, "partial"), (40.0, "done")])
def test_what_was_found_before_a_stop_tells_what_became_of_a_spin(waits_s, state):
    it = rig()
    assert it.driver.needs_clear(it.driver.counters()), "it was just switched on"
    it.driver.clear_counters()
    before = it.driver.counters()
    assert not it.driver.needs_clear(before) and before["mark"].value > max(marks("act-1"))
    if waits_s is not None:
        it.begin("spin", **SPIN)
        it.wait(waits_s)
    guard = it.restarted()
    guard.open()
    guard.counters()
    guard.stop()
    guard.stop()
    after = guard.counters()
    it.restarted().open()
    assert it.happened("spin", {}, before).state == "cannot_tell"
    assert it.driver.witnessed("spin", {}, before, after, "").state == state
    assert it.driver.witnessed("spin", {}, {}, {"mark": Amount(0.0)}, "").state == "cannot_tell"


def test_a_spin_that_was_cut_short_without_a_reset_is_partial():
    it = rig()
    it.begin("spin", **SPIN)
    it.device.dwells_until_s, it.device._rx = None, bytearray(b"M5\n")
    it.device._work(it.clock.now_s())
    assert it.happened("spin", {}, {}).state == "partial"
    with pytest.raises(InstrumentFault, match="stopped before its time") as caught:
        it.look()
    assert caught.value.kind == "stopped"


def test_a_coater_that_is_locked_says_what_ends_that():
    it = rig(simulation={"homing": True})
    with pytest.raises(InstrumentFault, match=r"locked after an alarm or a power-up: unlock it \(\$X\)") as caught:
        it.begin("spin", **SPIN)
    assert caught.value.kind == "not_homed" and spins(it) == []
    assert Rig(SpinCoater, speed=["1 rpm", "9000 rpm"]).ready().driver.read()["state"].value == "Idle"


def test_a_spin_that_was_never_sent_is_not_begun():
    it = rig()
    it.port.link.interrupt()
    with pytest.raises(LinkError):
        it.begin("spin", **SPIN)
    it.port.link.resume()
    assert it.happened("spin", {}, {}).why == "it was never told to spin"


def test_stop_stops_at_once_and_forgets_the_rest():
    it = rig()
    it.begin("spin", **TWO_STEPS)
    it.wait(2.0)
    now_s = it.clock.now_s()
    it.driver.stop()
    assert it.device.machine.rpm == 0.0 and spins(it)[-1] == ("end", now_s, pytest.approx(2.0, abs=0.01))
    it.wait(100.0)
    it.bench.settle(it.clock.now_s())
    assert len(spins(it)) == 2


def test_a_stop_that_is_lost_once_is_said_again():
    it = rig()
    it.begin("spin", **SPIN)
    hear, lost = it.device._hear, []
    it.device._hear = lambda byte, now_s: lost.append(byte) if byte == 0x18 and not lost else hear(byte, now_s)
    it.driver.stop()
    assert it.device.machine.rpm == 0.0 and it.sent.count(b"\x18") == 2


def test_a_stop_that_does_nothing_is_not_believed():
    it = rig()
    it.begin("spin", **SPIN)
    it.device._reset = lambda now_s: it.device._say("Grbl 1.1h ['$' for help]")
    with pytest.raises(InstrumentFault, match="it is at 3000 rpm after it was told to stop") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


@pytest.mark.parametrize(
    "befalls, kind",
    [(lambda it: it.device.receive(b"!", it.clock.now_s()), "paused"),
     (lambda it: it.device.power_cycle(it.clock.now_s()), "reset"),
     (lambda it: it.device.receive(b"\x18", it.clock.now_s()), "reset"),
     (lambda it: setattr(it.device.machine, "rpm", 2000.0), "setup")],
)  # fmt: skip
def test_what_somebody_else_does_to_it_is_told(befalls, kind):
    it = rig()
    it.begin("spin", **SPIN)
    it.wait(5.0)
    befalls(it)
    with pytest.raises(InstrumentFault) as caught:
        it.look()
    assert caught.value.kind == kind


def test_a_spindle_that_turns_on_after_its_time_is_a_runaway():
    it = rig()
    it.begin("spin", **SPIN)
    it.device.dwells_until_s = 1e9
    it.wait(33.0)
    with pytest.raises(InstrumentFault, match=r"it turns on, 3\.?\d* s after its time") as caught:
        it.look()
    assert caught.value.kind == "runaway"


def on_its_way(it, sound, damaged):
    """What the line makes of a piece of what is said."""
    receive = it.device.receive
    it.device.receive = lambda data, now_s: receive(data.replace(sound, damaged), now_s)


@pytest.mark.parametrize(
    ("damaged", "fault", "words"),
    [
        (b"M7S3000", InstrumentFault, r"a command that it does not support \(error:20\)"),
        (b"MsS3000", ProtocolError, r"answered error:2 \(a number that it cannot read\)"),
    ],
)
def test_a_spin_whose_first_line_is_refused_is_forgotten_by_the_controller(damaged, fault, words):
    """The lines behind it would be done: a wait with the spindle off, and the mark of the end."""
    it = rig()
    on_its_way(it, b"M3S3000", damaged)
    with pytest.raises(fault, match=words):
        it.begin("spin", **SPIN)
    it.wait(40.0)
    verdict = it.happened("spin", {}, {})
    assert verdict.state == "cannot_tell" and "reset" in verdict.why and spins(it) == []


def test_the_reset_after_a_refusal_is_said_again_when_it_is_lost():
    it = rig()
    on_its_way(it, b"M3S3000", b"M7S3000")
    hear, lost = it.device._hear, []
    it.device._hear = lambda byte, now_s: lost.append(byte) if byte == 0x18 and not lost else hear(byte, now_s)
    with pytest.raises(InstrumentFault, match="error:20"):
        it.begin("spin", **SPIN)
    assert it.sent.count(b"\x18") == 2 and it.device.dwells_until_s is None


@pytest.mark.parametrize(
    ("sound", "damaged", "kind", "words", "spun_s"),
    [
        (b"G4P30.00", b"G4Q30.00", "stopped", r"it stands after \d+ s of 35 s", 5.0),
        (b"G4P30.00", b"G4P3.00", "stopped", r"it stands after \d+ s of 35 s", 8.0),
        (b"M3S500", b"M3S0", "stopped", "it stands, while it counts the time", 0.0),
        (b"S3000\n", b"", "setup", "it turns at 500 rpm, not as it was told", 14.0),
        (b"S3000\n", b"S2000\n", "setup", "it turns at 2000 rpm, not as it was told", 6.0),
        (b"G4P15.00\nS3000", b"G4P15.00S3000", "stopped", "it was never seen to turn at 500 rpm", 45.0),
    ],
)
def test_a_spin_that_the_line_made_another_one_of_is_not_believed(sound, damaged, kind, words, spun_s):
    it = rig()
    on_its_way(it, sound, damaged)
    it.begin("spin", **TWO_STEPS | ({"spread_time": (15.0, "s")} if b"15" in sound else {}))
    with pytest.raises(InstrumentFault, match=words) as caught:
        it.finish()
    assert caught.value.kind == kind
    assert it.clock.now_s() - it.began_s == pytest.approx(spun_s, abs=3.0), "it is seen soon after it shows"


def test_a_spin_that_nobody_could_look_at_goes_by_its_mark():
    it = rig()
    it.begin("spin", **SPIN)
    it.wait(35.0)
    assert it.look().achieved["time"] == Amount(30.0, "s")


@pytest.mark.parametrize(
    ("damaged", "looks_s", "time_s"),
    [
        (b"G4P30.10", (), 30.0),  # nobody can see that
        (b"G4P31.00", (), 31.0),
        (b"G4P28.00", (28.0,), 28.0),
        (b"G4P24.00", (), 24.0),
        (b"G4P30.00", (29.9, 40.0), 30.0),
    ],
)
def test_a_spin_that_lasts_a_little_longer_or_shorter_is_told_as_it_was_seen(damaged, looks_s, time_s):
    it = rig()
    on_its_way(it, b"G4P30.00", damaged)
    it.begin("spin", **SPIN)
    while (look := it.look()).again_in_s == 2.0 and it.clock.now_s() < it.began_s + 26.0 and not look.done:
        it.wait(look.again_in_s)
    for at_s in looks_s:
        it.wait(it.began_s + at_s - it.clock.now_s())
        look = it.look()
    look = look if looks_s or look.done else it.finish()
    assert look.done and look.achieved["time"].value == pytest.approx(time_s, abs=0.3)


def test_a_spin_that_is_over_before_anybody_can_look_goes_by_its_mark():
    it = rig()
    it.begin("spin", speed=(3000.0, "rpm"), time=(0.1, "s"))
    it.wait(0.5)
    assert it.look().achieved == {"time": Amount(0.1, "s"), "speed": Amount(3000.0, "rpm")}


def test_one_report_that_the_line_spoilt_is_no_end_and_no_other_speed():
    it = rig()
    it.begin("spin", **TWO_STEPS)
    report, spoilt = it.device.reports.report, iter([",0", "", "", ",900"])  # a look that doubts asks twice more
    it.device.reports.report = lambda *args: report(*args).replace(",500", next(spoilt, "") or ",500")
    assert [it.look().readings["speed"].value for _ in range(2)] == [500.0, 500.0]
    assert next(spoilt, None) is None


def test_a_spin_whose_beginning_nobody_answered_nor_saw_cannot_be_told():
    it = rig()
    receive = it.device.receive
    it.device.receive = lambda data, now_s: receive(data, now_s)[: 0 if data.startswith(b"M3") else None]
    with pytest.raises(LinkError):
        it.begin("spin", **SPIN)
    it.device.receive = receive
    assert it.happened("spin", {}, {}).state == "running"
    it.wait(40.0)
    assert it.happened("spin", {}, {}).state == "done"
    it.device.receive = lambda data, now_s: receive(data, now_s)[: 0 if data.startswith(b"M3") else None]
    with pytest.raises(LinkError):
        it.begin("spin", "act-2", **SPIN)
    it.device.receive = receive
    it.wait(40.0)
    verdict = it.happened("spin", {}, {}, "act-2")
    assert verdict.state == "cannot_tell" and "nobody saw it turn" in verdict.why


def test_settings_that_differ_from_the_lab_file_are_refused():
    it = Rig(SpinCoater, simulation={"settings": {"30": 4000}})
    with pytest.raises(InstrumentFault, match=r"to 4000 rpm \(\$30\), the lab file says from 200 rpm to 6000 rpm"):
        it.driver.configure()
    it = Rig(SpinCoater, simulation={"settings": {"32": 1}})
    with pytest.raises(InstrumentFault, match=r"\$32 is 1.0 where 0 is needed"):
        it.driver.configure()
    it = rig()
    it.begin("spin", **SPIN)
    with pytest.raises(InstrumentFault, match="at something") as caught:
        it.driver.configure()
    assert caught.value.kind == "busy"
    with pytest.raises(InstrumentFault, match="at something already"):
        it.begin("spin", "act-2", **SPIN)


def test_options():
    declared = SpinCoater.declare({"speed": ["1000 rpm", "8000 rpm"], "name": "coater"})
    settings = {one.name: one for one in declared["spin"].settings}
    assert (settings["speed"].low, settings["spread_speed"].high) == (1000.0, 8000.0)
    values = {"speed_rpm": 3000.0, "time_s": 30.0, "spread_s": 5.0}
    assert SpinCoater.expected("spin", values, {}).duration_s == 30.0
    assert SpinCoater.expected("spin", values | {"spread_rpm": 500.0}, {}).duration_s == 35.0
    with pytest.raises(SpecError, match="0 rpm is not above 0"):
        SpinCoater.declare({"speed": [0, "3000 rpm"]})
    with pytest.raises(SpecError, match=r"a GRBL tells no model: .* Send it \$I=COATER once"):
        SpinCoater.declare({})


@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_line_it_spins_once_and_says_so(seed):
    it = Rig(SpinCoater, faults="drop=0.04,flip=0.04,late=0.04,double=0.04,unsolicited=0.04", seed=seed)

    it.again_s = 0.3
    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    for _ in range(60):
        try:
            it.begin("spin", **SPIN)
            break
        except (LinkError, ProtocolError):
            if it.insist(it.happened, "spin", {}, {}).state in ("running", "done"):
                it.began_s = it.clock.now_s()
                break
    while not (look := it.insist(it.look)).done:
        it.wait(look.again_in_s)
    assert look.achieved["time"] == Amount(30.0, "s")
    assert [phase for phase, _, _ in spins(it)] == ["begin", "end"] and spins(it)[1][2] == pytest.approx(30.0)
    it.insist(it.driver.stop)
