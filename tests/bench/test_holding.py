"""Holds: reached, left, reached again, kept long enough, or not reached in time."""

import pytest

from labloop.bench import Amount, Hold, HoldingDriver, InstrumentFault, Reading, Setting, hold_expected, hold_settings

TEMPERATURE = Setting(name="temperature", argument="temperature_c", unit="degC", low=0.0, high=100.0)


def hold(**more):
    return Hold(**{"wanted": 40.0, "tolerance": 1.0, "time_s": 30.0, "reach_by_s": 60.0} | more)


def test_only_time_without_a_break_counts():
    it = hold()
    looks = [(20.0, 0.0), (39.0, 10.0), (41.0, 20.0), (41.1, 30.0), (40.0, 40.0), (40.0, 70.0)]
    assert [it.left_s(now_c, elapsed_s) for now_c, elapsed_s in looks] == [None, 30.0, 20.0, None, 30.0, 0.0]
    assert it.achieved(40.0, 70.0) == {"temperature": Amount(40.0, "degC"), "time": Amount(30.0, "s")}


def test_what_is_not_reached_has_a_temperature_and_no_time():
    it = hold()
    assert it.left_s(20.0, 60.0) is None
    assert it.achieved(20.0, 60.0) == {"temperature": Amount(20.0, "degC")}


def test_too_late_is_a_fault_that_a_campaign_may_learn_from():
    with pytest.raises(
        InstrumentFault, match=r"^25 degC after 61 s, where 40 degC was to be reached within 60 s$"
    ) as no:
        hold().left_s(25.0, 61.0)
    assert no.value.kind == "not_reached"
    assert hold().left_s(40.0, 61.0) == 30.0, "late but there is there"


def test_a_hold_in_kelvin_says_so():
    it = hold(wanted=77.0, unit="K")
    with pytest.raises(InstrumentFault, match=r"^300 K after 61 s, where 77 K was"):
        it.left_s(300.0, 61.0)
    assert it.achieved(77.5, 1.0) == {"temperature": Amount(77.5, "K")}


def test_the_settings_are_the_arguments_of_a_hold():
    settings = hold_settings(TEMPERATURE, reach_by_s=600.0)
    assert {setting.argument: setting.default for setting in settings} == {
        "temperature_c": None, "tolerance_k": 1.0, "time_s": None, "reach_by_s": 600.0,
    }  # fmt: skip
    assert Hold(wanted=1.0, tolerance=1.0, time_s=1.0, reach_by_s=settings[3].default)


def test_a_flow_is_held_under_its_own_name():
    it = hold(wanted=100.0, tolerance=2.0, quantity="flow", unit="mL/min")
    assert it.left_s(99.0, 0.0) == 30.0
    assert it.achieved(99.0, 5.0) == {"flow": Amount(99.0, "mL/min"), "time": Amount(5.0, "s")}


SETTINGS = {"temperature_c": 40.0, "tolerance_k": 1.0, "time_s": 30.0, "reach_by_s": 60.0}


def test_a_hold_that_went_on_counts_the_time_that_nobody_watched_and_says_so():
    before = hold()
    assert before.kept() == {}
    before.left_s(40.0, 10.0)
    assert before.kept() == {"reached": Amount(10.0, "s")}
    it = Hold.again(SETTINGS, before.kept(), 25.0, 12.0)
    assert it.left_s(40.0, 25.0) == 15.0
    assert it.achieved(40.0, 25.0) == {
        "temperature": Amount(40.0, "degC"), "time": Amount(15.0, "s"), "unwatched": Amount(12.0, "s"),
    }  # fmt: skip
    longer = Hold.again(SETTINGS, before.kept(), 25.0, 20.0)
    assert longer.achieved(40.0, 25.0)["unwatched"] == Amount(15.0, "s"), "no more of it than there is"


def test_a_hold_that_nobody_saw_reached_counts_from_when_it_is_seen():
    it = Hold.again(SETTINGS, {}, 50.0, 40.0)
    assert it.left_s(40.0, 50.0) == 30.0
    assert "unwatched" not in it.achieved(40.0, 50.0)


def test_a_hold_that_is_found_left_begins_anew():
    it = Hold.again(SETTINGS, {"reached": Amount(10.0, "s")}, 25.0, 12.0)
    assert it.left_s(30.0, 25.0) is None and it.kept() == {}
    assert it.left_s(40.0, 30.0) == 30.0 and "unwatched" not in it.achieved(40.0, 30.0)


def test_a_look_says_when_the_next_is_worth_while_and_what_another_process_needs():
    it, seen = hold(), {"temperature": Reading(value=40.0, unit="degC")}
    first = it.look(20.0, 1.0, seen, every_s=5.0, first_s=0.5)
    assert (first.done, first.again_in_s, first.kept) == (False, 0.5, {}) and first.readings == seen
    assert it.look(20.0, 2.0, seen, every_s=5.0).again_in_s == 5.0
    assert it.look(40.0, 10.0, seen, every_s=5.0).kept == {"reached": Amount(10.0, "s")}
    assert it.look(40.0, 37.0, seen, every_s=5.0).again_in_s == 3.0, "no later than its end"
    assert not it.look(40.0, 37.0, seen, every_s=5.0, remembers=False).kept
    last = it.look(40.0, 40.0, seen, every_s=5.0)
    assert last.done and last.achieved == {"temperature": Amount(40.0, "degC"), "time": Amount(30.0, "s")}


def test_what_a_hold_will_take():
    values = {"temperature_k": 77.0, "time_s": 30.0, "reach_by_s": 60.0}
    found = hold_expected(values, 40.0, "temperature_k", "K")
    assert found.duration_s == 70.0 and found.achieved == {"temperature": Amount(77.0, "K")}
    assert hold_expected(values, 80.0, "temperature_k", "K").duration_s == 90.0, "no longer than it may take"


def driver(act="act-1", **more):
    it = HoldingDriver(None)
    it.act, it._hold = act, hold(**more)
    return it


def test_a_hold_is_taken_up_again_in_the_drivers_unit():
    it = HoldingDriver(None)
    it.hold_unit = "K"
    it.rejoin("hold", SETTINGS, "act-7", {"reached": Amount(10.0, "s")}, 25.0, 12.0)
    assert it.act == "act-7" and (it._hold.unit, it._hold.reached_s, it._hold.started) == ("K", 10.0, True)


@pytest.mark.parametrize(
    ("action", "started", "act", "as_asked", "state"),
    [
        ("control", False, "act-1", True, "done"),
        ("control", True, "act-1", False, "not_begun"),
        ("control", True, "act-1", None, "cannot_tell"),
        ("hold", False, "act-1", True, "not_begun"),
        ("hold", False, "act-2", True, "running"),  # begun in another process
        ("hold", True, "act-1", True, "running"),
        ("hold", True, "act-1", None, "cannot_tell"),
        ("hold", True, "act-1", False, "partial"),
        ("hold", False, "act-2", False, "partial"),
    ],
)
def test_what_became_of_an_act_that_holds(action, started, act, as_asked, state):
    asked = []
    found = driver(started=started).became(
        action, act, "40 degC", as_asked, lambda: asked.append(1) or {"temperature": Amount(39.0, "degC")}
    )
    assert found.state == state and "40 degC" in found.why
    assert bool(asked) == bool(found.achieved) == (state == "partial"), "the instrument is asked no more than it must"
