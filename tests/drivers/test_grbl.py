"""A stage on the simulated GRBL controller; its bytes are in test_grbl_codec.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.grbl import Stage
from drivers.grbl_codec import ERRORS, RESET, Report
from drivers.grbl_controller import marks
from labloop.bench import Amount, InstrumentFault, LinkError, LinkInterrupted, LinkTimeout, ProtocolError, SpecError
from tests.drivers.rigs import Rig
from tests.drivers.stands.grbl import TRAVEL


def rig(**more):
    return Rig(Stage, **more).ready()


def move(it, act="act-1", feed=(600.0, "mm/min"), **axes):
    return it.begin("move", act, feed=feed, **{axis: (value, "mm") for axis, value in axes.items()})


def test_open_tells_version_and_name():
    it = Rig(Stage, simulation={"name": "BOX-3"}, name="box-3")
    identity = it.driver.open()
    assert (identity.model, identity.firmware, identity.serial) == ("Grbl 1.1", "1.1h.20190830", "BOX-3")
    assert it.sent.count(b"?") == 1 and all(data in (b"?", b"$I\n") for data in it.sent)


def test_a_named_controller_is_known_again_while_it_moves():
    it = Rig(Stage, simulation={"name": "BOX-3", "homed": True}, name="box-3").ready()
    known = it.driver.open()
    move(it, x=-100.0)
    it.wait(1.0)
    now = it.restarted().open()
    assert now.serial == "" and now.is_still(known.model, known.serial)
    assert not now.is_still("Grbl 0.9", known.serial)
    assert now.completed(known.firmware, known.serial).serial == "BOX-3"
    it.driver.stop()
    it.wait(5.0)
    assert not it.restarted().open().is_still(known.model, "BOX-4"), "one that is not busy says its name"


SWAPPED = (
    r"'\[VER:1.1h.20190830:STAGE-2\]' answers \(\$I\) where a GRBL that calls itself 'STAGE-1' was expected. "
    r"If it is the right one, it was never given its name: send it \$I=STAGE-1 once"
)


def test_another_controller_than_the_one_in_the_lab_file_is_refused():
    it = Rig(Stage, name="stage-1")
    it.device.info = "STAGE-2"
    with pytest.raises(InstrumentFault, match=SWAPPED) as caught:
        it.driver.open()
    assert caught.value.kind == "identity"
    assert Rig(Stage, simulation={"name": "STAGE-2"}, name="*").driver.open().serial == "STAGE-2", "*: any"
    it.device._at_rest = lambda command, now_s: it.device._say("[VER:2.0a.20250101:]") or 0
    with pytest.raises(InstrumentFault, match=r"'\[VER:2.0a.20250101:\]' answers where GRBL 1.1 was expected"):
        it.driver.open()


def test_a_controller_in_its_boot_loader_is_waited_for():
    it = Rig(Stage)
    receive, deaf_until_s = it.device.receive, 1.8
    it.device.receive = lambda data, now_s: receive(data if now_s >= deaf_until_s else b"", now_s)
    with pytest.raises(LinkTimeout, match="A GRBL that homes, or that a limit switch has locked, does not answer"):
        it.driver.open()
    assert it.clock.now_s() == pytest.approx(4.0)
    assert it.driver.open().model == "Grbl 1.1"


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"13": 1}, r"\$13 is 1.0 where 0 is needed \(millimetres\): send it \$13=0"),
        ({"32": 1}, r"\$32 is 1.0 where 0 is needed \(no laser\)"),
        ({"22": 0}, r"\$22 is 0.0 where 1 is needed \(homing as in the lab file\)"),
        ({"10": 0}, r"\$10 makes it report work positions: send it \$10=1"),
        ({"131": 150}, r"its y axis travels 150 mm \(\$131\), the lab file says 200 mm"),
    ],
)
def test_settings_that_differ_from_the_lab_file_are_refused_and_not_changed(settings, words):
    it = Rig(Stage, simulation={"settings": settings})
    it.driver.open()
    with pytest.raises(InstrumentFault, match=words) as caught:
        it.driver.configure()
    assert caught.value.kind == "setup"
    assert not any(b"=" in data for data in it.sent)


def test_a_move_goes_there_in_machine_coordinates_whatever_the_work_offset_is():
    it = rig()
    it.device.receive(b"G10L20P1X0Y0\nG91\nG20\n", it.clock.now_s())
    move(it, x=-100.0, y=-50.0)
    looks = [it.look()]
    while not looks[-1].done:
        assert it.device.condition == "Jog"
        it.wait(looks[-1].again_in_s)
        looks.append(it.look())
    assert looks[-1].achieved["x"] == Amount(-100.0, "mm") and looks[-1].achieved["z"] == Amount(-1.0, "mm")
    assert it.device.machine.truly_at(it.clock.now_s()) == pytest.approx((-100.0, -50.0, -1.0))
    assert min(look.again_in_s for look in looks) >= 0.2, "at most five reports a second"
    assert b"$J=G21G90G53X-100.000Y-50.000F600\n" in it.sent


def test_stop_brings_it_to_rest_and_keeps_the_position():
    it = rig()
    move(it, x=-100.0)
    it.wait(3.0)
    it.driver.stop()
    it.wait(0.2)
    assert it.driver.read()["state"].value == "Idle"
    believed = it.driver.read()["x"].value
    assert it.device.machine.truly_at(it.clock.now_s())[0] == pytest.approx(believed, abs=0.01)
    assert RESET.encode("latin-1") not in it.sent
    move(it, "act-2", x=-100.0)
    assert it.finish().done


@pytest.mark.parametrize("condition", ["homes", "runs", "locked"])
def test_stop_resets_what_no_cancel_stops(condition):
    it = rig()
    if condition == "homes":
        it.begin("home")
        it.wait(2.0)
    elif condition == "runs":
        it.device.receive(b"G1X-100F600\n", it.clock.now_s())
        it.wait(2.0)
    else:
        move(it, x=-100.0)
        it.wait(1.0)
        it.device.stall(it.clock.now_s())
    it.driver.stop()
    assert it.device.condition == "Alarm" and not it.device.critical
    it.driver.stop()
    assert not it.device.motion.moves


@pytest.mark.parametrize("by", ["its runner", "its runner at once", "its guard"])
def test_a_stage_that_homes_is_stopped_at_once(by):
    """It hears a reset alone, and answers nothing that could be waited for."""
    it = rig()
    if by == "its runner at once":
        controller, exchange = it.driver._grbl, it.driver._grbl._exchange
        controller._exchange = lambda codec, command, s: exchange(codec, command, s) or it.port.link.interrupt()
        with pytest.raises(LinkInterrupted):
            controller.home()
        controller._exchange = exchange
        it.port.link.resume()
    else:
        it.begin("home")
        it.driver.progress(2.0)
    if by == "its guard":  # it asked who is there and was broken off, or never came to ask
        it.restarted()
    began_s = it.clock.now_s()
    it.driver.stop()
    assert it.device.condition == "Alarm" and it.clock.now_s() - began_s < 0.2


def test_a_move_that_was_cut_short_can_be_finished():
    it = rig()
    before = it.driver.counters()
    amounts = move(it, x=-100.0)
    it.wait(3.0)
    assert it.happened("move", amounts, before).state == "running"
    it.driver.stop()
    it.wait(0.2)
    verdict = it.happened("move", amounts, before)
    assert verdict.state == "partial" and -35.0 < verdict.achieved["x"].value < -25.0
    it.begin("move", "act-2", **{name: (amount.value, amount.unit) for name, amount in verdict.remainder.items()})
    it.finish()
    assert it.happened("move", amounts, before, "act-2").state == "done"


def test_after_a_crash_the_mark_says_which_act_was_begun():
    it = rig()
    before = it.driver.counters()
    amounts = move(it, x=-20.0)
    it.finish()
    it.restarted().open()
    assert it.happened("move", amounts, before, "act-1").state == "done"
    assert it.happened("move", amounts, before, "another").state == "not_begun"
    other = amounts | {"x": Amount(-40.0, "mm")}
    assert it.happened("move", other, it.driver.counters(), "another").state == "not_begun"


def test_after_a_reset_nobody_can_tell():
    it = rig()
    before = it.driver.counters()
    amounts = move(it, x=-20.0)
    it.wait(1.0)
    it.device.power_cycle(it.clock.now_s())
    it.restarted().open()
    assert it.happened("move", amounts, before).state == "cannot_tell"
    it = Rig(Stage, homing=False).ready()
    before = it.driver.counters()
    amounts = move(it, x=-20.0)
    it.wait(1.0)
    it.device.power_cycle(it.clock.now_s())
    it.restarted().open()
    verdict = it.happened("move", amounts, before)
    assert verdict.state == "cannot_tell" and "reset" in verdict.why


def test_a_move_whose_mark_went_out_and_whose_jog_did_not_is_not_begun():
    it = rig()
    before = it.driver.counters()
    order = it.driver._grbl.order
    it.driver._grbl.order = lambda line: (
        order(line) if line.startswith("F") else it.port.link.interrupt() or order(line)
    )
    amounts = {"x": Amount(-20.0, "mm"), "feed": Amount(600.0, "mm/min")}
    with pytest.raises(LinkError):
        move(it, x=-20.0)
    it.port.link.resume()
    verdict = it.happened("move", amounts, before)
    assert verdict.state == "not_begun" and "where it stood before" in verdict.why
    it.driver._grbl.order = order
    it.port.link.interrupt()
    with pytest.raises(LinkError):
        move(it, "act-2", x=-20.0)
    it.port.link.resume()
    assert it.happened("move", amounts, before, "act-2").why == "it was never told to move"


def test_a_target_outside_the_controllers_travel_is_refused_by_it_and_nothing_moves():
    it = rig(travel=TRAVEL)
    it.device.settings.set("130=50")
    with pytest.raises(InstrumentFault, match=r"the target is outside its travel \(error:15\)") as caught:
        move(it, x=-100.0)
    assert caught.value.kind == "refused" and it.ledger == []


def answers_once(it, answer):
    """The controller takes one line and answers it with something else."""
    do, taken = it.device._do, []
    it.device._do = lambda line, now_s: do(line, now_s) if taken or line == "$G" else taken.append(line) or answer(it)


@pytest.mark.parametrize("error", [1, 2, 3, 11])
def test_a_line_that_was_damaged_on_its_way_may_be_said_again(error):
    """Ours are sound, and known to every GRBL 1.1."""
    it = rig()
    answers_once(it, lambda it: error)
    with pytest.raises(ProtocolError, match=rf"answered error:{error} \({ERRORS[error]}\)"):
        move(it, x=-10.0)
    move(it, x=-10.0)
    assert it.finish().done


def test_a_reset_while_it_is_told_something_is_named():
    it = rig()
    answers_once(it, lambda it: it.device._reset(it.clock.now_s()))
    with pytest.raises(InstrumentFault, match="it was reset while 'F") as caught:
        move(it, "act-2", x=-20.0)
    assert caught.value.kind == "reset"


def test_a_position_is_believed_when_it_was_reported_twice():
    it = rig()
    exchange, spoilt = it.driver._grbl._exchange, iter([Report("Idle", 0, True, (-91.0, -1.0, -1.0), 0.0, 0.0, "")])
    it.driver._grbl._exchange = lambda codec, command, deadline_s: (
        next(spoilt, None) or exchange(codec, command, deadline_s)
    )
    assert it.driver.counters()["x"].value == -1.0


@pytest.mark.parametrize("act", ["home", "move"])
def test_where_it_ends_is_believed_when_it_was_reported_twice(act):
    """A digit of the last report was damaged: an axis that was not moved was told elsewhere."""
    it = rig()
    if act == "home":
        it.begin("home")
    else:
        move(it, x=-10.0)
    it.wait(60.0)
    exchange, spoilt = it.driver._grbl._exchange, iter([Report("Idle", 0, True, (-10.0, -5.0, -1.0), 0.0, 0.0, "")])
    it.driver._grbl._exchange = lambda codec, command, deadline_s: (
        (next(spoilt, None) if command.text == "?" else None) or exchange(codec, command, deadline_s)
    )
    assert it.finish().achieved["y"] == Amount(-1.0, "mm")


def test_reports_that_stay_out_now_and_then_are_no_limit_switch():
    it = rig()
    move(it, x=-100.0)
    exchange, n = it.driver._grbl._exchange, 0

    def lossy(codec, command, deadline_s):
        nonlocal n
        n += 1
        if n % 2:
            raise LinkTimeout("nothing came")
        return exchange(codec, command, deadline_s)

    it.driver._grbl._exchange = lossy
    assert it.finish().done


def test_a_coarse_stage_is_there_within_its_step():
    it = rig(simulation={"settings": {"100": 20.0}})
    move(it, x=-10.02)
    assert it.finish().achieved["x"].value == -10.0


def test_busy_sleeping_and_checking_stages_begin_nothing():
    it = rig()
    move(it, x=-100.0)
    with pytest.raises(InstrumentFault, match="at something already"):
        move(it, "act-2", x=-10.0)
    with pytest.raises(InstrumentFault, match="it moves"):
        it.driver.configure()
    it.wait(60.0)
    it.device.receive(b"$C\n", it.clock.now_s())
    with pytest.raises(InstrumentFault, match="check mode"):
        move(it, "act-3", x=-10.0)
    it.device.receive(b"$C\n$SLP\n", it.clock.now_s())
    with pytest.raises(InstrumentFault, match="it sleeps"):
        move(it, "act-4", x=-10.0)


def test_options_and_what_follows_from_them():
    travel = {"x": ["-20 cm", 0], "z": ["-50 mm", "0 mm"]}
    declared = Stage.declare({"travel": travel, "fastest": "100 mm/s", "name": "stage 1"})
    settings = {setting.name: setting for setting in declared["move"].settings}
    assert list(settings) == ["x", "z", "feed"] and (settings["x"].low, settings["x"].high) == (-200.0, 0.0)
    assert settings["feed"].high == 6000.0
    assert Stage.complaint("move", {"feed_mm_min": 100.0}, {}) == "give at least one of x, y, z"
    values = {"x_mm": -3.0, "feed_mm_min": 600.0}
    assert Stage.expected("move", values, {"travel": TRAVEL}).duration_s == pytest.approx(22.0)
    for options, words in (
        ({}, "needs its travel"),
        ({"travel": {"a": [0, 1]}}, "travel has no option 'a'"),
        ({"travel": {"x": "20 mm"}}, "is no range"),
        ({"travel": {"x": ["0 mm", "-20 mm"]}}, "0 mm is not below -20 mm"),
        ({"travel": TRAVEL, "fastest": "0 mm/min"}, "is no speed of a stage"),
        ({"travel": TRAVEL, "homing": "no"}, "homing = 'no' is neither true nor false"),  # YAML 1.2: a word
        ({"travel": TRAVEL}, r"a GRBL tells no model: .* Send it \$I=STAGE once, in a terminal, and write name: STAGE"),
        ({"travel": TRAVEL, "name": " "}, "a GRBL tells no model"),
        ({"travel": TRAVEL, "name": None}, "a GRBL tells no model"),
        ({"travel": TRAVEL, "name": True}, "name = True is no text"),
        ({"travel": TRAVEL, "name": 1.1}, "name = 1.1 is no text"),
        ({"travel": TRAVEL, "name": "STAGE (1)?"}, r"name = 'STAGE \(1\)\?': GRBL keeps no '\(\)\?'"),
        ({"travel": TRAVEL, "name": "BÜHNE"}, "GRBL keeps no 'Ü'"),
        ({"travel": TRAVEL, "name": "S" * 77}, "is longer than the 76 characters"),
    ):
        with pytest.raises(SpecError, match=words):
            Stage.declare(options)


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_marks_are_whole_numbers_that_a_reset_never_leaves(acts):
    for start, end in map(marks, acts):
        assert 2 <= start < end == start + 1 <= 80_001


@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_line_it_gets_there_and_says_so(seed):
    it = Rig(Stage, faults="drop=0.04,flip=0.04,late=0.04,double=0.04,unsolicited=0.04", seed=seed)

    it.again_s = 0.3
    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    for n, x in enumerate((-50.0, -20.0)):
        act, settings = f"act-{n}", {"x": Amount(x, "mm"), "feed": Amount(1200.0, "mm/min")}
        before = it.insist(it.driver.counters)
        it.begun = False
        for _ in range(60):
            try:
                move(it, act, x=x, feed=(1200.0, "mm/min"))
                break
            except (LinkError, ProtocolError):
                if it.insist(it.happened, "move", settings, before, act).state in ("running", "done"):
                    it.began_s = it.clock.now_s()
                    break
        while not (look := it.insist(it.look)).done:
            it.wait(look.again_in_s)
        assert it.device.machine.truly_at(it.clock.now_s())[0] == pytest.approx(x, abs=0.01)
        assert look.achieved["x"].value == pytest.approx(x, abs=0.01)
    it.insist(it.driver.stop)
    moves = [entry for entry in it.ledger if entry.phase == "begin"]
    assert len(moves) == 2, "no act was done twice"
