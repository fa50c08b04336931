"""A stage is homed when it says so, and by nothing else."""

from random import Random

import pytest

from drivers.grbl import Stage
from drivers.grbl_codec import STATES
from labloop.bench import Amount, InstrumentFault, LinkError, ProtocolError
from tests.drivers.rigs import Rig
from tests.drivers.stands.grbl import TRAVEL


def rig(**more):
    return Rig(Stage, **more).ready()


def move(it, act="act-1", feed=(600.0, "mm/min"), **axes):
    return it.begin("move", act, feed=feed, **{axis: (value, "mm") for axis, value in axes.items()})


def test_a_locked_stage_must_be_homed_first():
    it = Rig(Stage, simulation={"homed": False})
    it.ready()
    with pytest.raises(InstrumentFault, match="home it first") as caught:
        move(it, x=-10.0)
    assert caught.value.kind == "not_homed"
    assert it.happened("home", {}, {}).state == "not_begun"
    it.begin("home", "act-2")
    assert it.happened("home", {}, {}, "act-2").state == "running"
    look = it.finish()
    assert look.achieved["x"] == Amount(-1.0, "mm") and it.device.condition == "Idle"
    assert it.happened("home", {}, {}, "act-2").state == "done"
    move(it, "act-3", x=-10.0)
    assert it.finish().done
    assert [entry.act for entry in it.ledger if entry.phase == "end"] == ["home", "move"]


def test_a_stage_that_homes_or_moves_is_busy_for_another_homing():
    it = Rig(Stage, simulation={"homed": False}).ready()
    it.begin("home")
    it.clock.advance_to(it.device.homes_until_s - 0.5)  # its one report, held back, comes before the time-out
    with pytest.raises(InstrumentFault, match="it homes") as caught:
        it.begin("home", "act-2")
    assert caught.value.kind == "busy"
    it.wait(1.0)
    move(it, "act-3", x=-100.0)
    with pytest.raises(InstrumentFault, match="it moves") as caught:
        it.begin("home", "act-4")
    assert caught.value.kind == "busy"


@pytest.mark.parametrize("state", [state for state in STATES if state != "Idle"])
def test_every_state_says_why_it_does_not_go_on(state):
    assert rig().driver._grbl.stopped_by(state).kind in ("paused", "door", "off", "setup", "busy", "alarm")


def test_homing_that_never_ends_is_a_fault_and_is_reset():
    it = Rig(Stage, simulation={"homed": False, "settings": {"25": 10.0}}).ready()
    it.begin("home")
    with pytest.raises(InstrumentFault, match="had not homed after 180 s") as caught:
        it.finish()
    assert caught.value.kind == "home_failed" and it.device.condition == "Alarm"


def test_a_stage_without_switches_has_no_home():
    assert "home" not in Stage.declare({"travel": TRAVEL, "homing": False, "name": "STAGE"})
    it = Rig(Stage, homing=False).ready()
    move(it, x=-10.0)
    assert it.finish().done


def on_its_way(it, *damages):
    """The first lines ``$H`` are damaged on their way, one by one, into what ``damages`` says (b"": lost)."""
    receive, left = it.device.receive, list(damages)
    it.device.receive = lambda data, now_s: receive(left.pop(0) if data == b"$H\n" and left else data, now_s)


@pytest.mark.parametrize("damage", [b"", b"$I\n", b"$X\n", b"&H\n", b"$G\n"])
def test_a_stage_that_stands_still_when_it_is_told_to_home_was_not_homed(damage):
    it = rig()
    on_its_way(it, damage)
    with pytest.raises(ProtocolError, match=r"it was told to home \(\$H\) and reports the state Idle"):
        it.begin("home")
    assert it.happened("home", {}, {}).why == "it was told to home and stood still"
    assert it.happened("home", {}, {}).state == "not_begun" and it.ledger == []
    it.begin("home")
    assert it.finish().done and it.happened("home", {}, {}).state == "done"
    assert [entry.phase for entry in it.ledger] == ["begin", "end"]


def test_homing_that_is_refused_is_a_fault():
    it = rig()
    it.device.settings.set("22=0")
    with pytest.raises(InstrumentFault, match=r"homing is not enabled \(\$22\)") as caught:
        it.begin("home")
    assert caught.value.kind == "refused"


def test_a_stage_that_is_idle_and_never_said_that_it_homed_is_not_believed():
    """$H is lost, and so is the question behind it."""
    it = rig()
    receive, lost = it.device.receive, [b"$H\n", b"?"]
    it.device.receive = lambda data, now_s: receive(b"" if lost and data == lost[0] and lost.pop(0) else data, now_s)
    it.begin("home")
    with pytest.raises(InstrumentFault, match="it stands still, and never said that it homed") as caught:
        it.look()
    assert caught.value.kind == "home_failed" and it.ledger == []
    assert it.happened("home", {}, {}).state == "cannot_tell"


@pytest.mark.parametrize("lost", [b"<Home", b"ok"])
def test_either_sign_of_its_homing_is_enough(lost):
    it = rig()
    say = it.device._say
    it.device._say = lambda *lines: say(*(line for line in lines if not line.encode().startswith(lost)))
    it.begin("home")
    assert it.finish().done and it.happened("home", {}, {}).state == "done"


def test_what_it_said_between_two_looks_is_not_thrown_away():
    it = rig()
    it.begin("home")
    it.look()
    it.wait(60.0)
    it.bench.settle(it.clock.now_s())
    it.driver.read()  # of a limit, in between
    assert it.look().done


def test_after_a_crash_nobody_can_tell_whether_an_idle_stage_was_homed():
    it = rig()
    it.begin("home")
    it.finish()
    it.restarted().open()
    assert it.happened("home", {}, {}).state == "cannot_tell"


def homes(it, act):
    """One try of a runner: begun until it is told that it was, then watched to its end."""
    for _ in range(60):
        it.began_s = it.clock.now_s()
        try:
            it.begin("home", act)
            break
        except (LinkError, ProtocolError):
            if it.insist(it.happened, "home", {}, {}, act).state in ("running", "done"):
                break
    while not (look := it.insist(it.look)).done:
        it.wait(look.again_in_s)


def damages(it, chance):
    """One in four of what is said to it loses a byte, or has a wrong bit, or is lost: three tries are enough mostly."""
    receive = it.device.receive

    def damaged(data, now_s):
        if data and chance.random() < 0.25:
            at = chance.randrange(len(data))
            wrong = bytes([data[at] ^ (1 << chance.randrange(7))])
            data = data[:at] + chance.choice((b"", wrong)) + data[at + 1 :] if chance.random() < 0.7 else b""
        return receive(data, now_s)

    it.device.receive = damaged


@pytest.mark.parametrize("homed", [True, False])
@pytest.mark.parametrize("seed", [14, 16, 18, 21, 23, 27, 28, 30])
def test_on_a_bad_line_it_is_homed_when_it_is_said_to_be(seed, homed):
    bad = "drop=0.04,flip=0.04,late=0.04,double=0.04,unsolicited=0.04"
    it = Rig(Stage, faults=bad, seed=seed, simulation={"homed": homed})
    it.again_s = 0.3
    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    damages(it, Random(seed))
    for n in range(3):  # what may be repeated is tried again, as a runner does
        try:
            homes(it, f"act-{n}")
            break
        except InstrumentFault as fault:
            assert fault.kind in ("home_failed", "alarm", "setup", "busy")
    assert any(entry.amount > 0.0 for entry in it.ledger if entry.phase == "end") and it.device.condition == "Idle"
