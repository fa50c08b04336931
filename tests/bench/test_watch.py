"""The watch: fresh readings, rates, plausible courses; what makes it trip, and what does not."""

import math

import pytest

from labloop.bench import Amount, Envelope, Reading, SafetyError, Standing, Watch
from labloop.campaign import events as e
from labloop.campaign.spec import spec_from_dict
from tests.bench.labs import make_lab

LAB = """
    labloop: 1
    instruments:
      oven: {driver: "DRIVER:Box", port: "serial:///dev/a"}
      fan: {driver: "DRIVER:Box", port: "serial:///dev/b"}
    limits:
      - oven: {temperature: {max: 80 degC}, wall: {max: 120 degC, rate: 60 K/min, stale_after: 5 s}}
      - oven.wall <= 60 degC when solvent == DCM
    interlocks:
      hot: {when: fan.temperature > 50 degC, then: hold, resume: true, stale_after: 10 s}
      shut: {when: oven.word == open and fan.wall < 30 degC, then: halt, after: 4 s}
    requires:
      cooled: {of: oven.heat, that: fan.wall <= 40 degC, until: oven.turn, then: halt}
    plausible:
      probe: {of: oven.temperature, rise: 2 K, fall: 1 K, within: 60 s, near: 4 K}
"""


@pytest.fixture(scope="module")
def envelope(tmp_path_factory):
    return Envelope(make_lab(tmp_path_factory.mktemp("lab"), LAB))


@pytest.fixture
def standing(envelope):
    return Standing(envelope.declared)


@pytest.fixture
def watch(envelope, standing):
    return Watch(envelope, standing, now_s=0.0)


def c(**values):
    return {name: Reading(value=value, unit="degC") for name, value in values.items()}


def begun(step="s", action="heat", instrument="oven", t_s=0.0, **settings):
    amounts = {name: Amount(value, "degC") for name, value in settings.items()}
    return e.StepStarted(
        step=step, phase="trial", stage=0, index=0, instrument=instrument, action=action, settings=amounts, t_s=t_s
    )


def tell(fact, *followers):
    for follower in followers:
        follower.apply(fact)


def tripped(watch, now_s):
    return {trip.rule: trip for trip in watch.look(now_s).tripped}


# --- fresh ------------------------------------------------------------------------------------------------------------


def test_no_fresh_reading_is_a_breach_from_the_start(watch):
    assert not tripped(watch, 4.9)
    trip = tripped(watch, 5.1)["limits.oven.wall"]
    assert trip.then == "safe" and "no fresh reading of wall for 5 s" in trip.reason and "5 s at most" in trip.reason
    assert "limits.oven.temperature" not in tripped(watch, 14.0), "15 s, where nothing else is said"
    assert "limits.oven.temperature" in tripped(watch, 15.5)


def test_what_is_read_in_time_stays_fresh(watch):
    for now_s in range(0, 60, 4):
        watch.see("oven", {"word": Reading(value="shut"), **c(wall=20.0, temperature=20.0)}, float(now_s))
        assert not [rule for rule in tripped(watch, now_s + 3.9) if rule.startswith("limits")]
        assert now_s < watch.due_s("oven") < now_s + 3.0, "early enough for a second try"
    assert "limits.oven.wall" in tripped(watch, 61.5)


def test_a_clock_that_goes_faster_than_the_wall_is_patient(envelope, standing):
    watch = Watch(envelope, standing, now_s=0.0, patience=60.0)
    assert not tripped(watch, 299.0) and "limits.oven.wall" in tripped(watch, 301.0)


def test_who_stood_still_asks_before_a_limit_is_judged_and_hides_no_silence(watch):
    watch.see("oven", c(wall=20.0), 0.0)
    watch.stood_still(6.0)
    assert "limits.oven.wall" not in tripped(watch, 6.1) and watch.due_s("oven") < 6.0
    assert 6.0 < watch.next_s(6.1) < 9.0
    assert "limits.oven.wall" in tripped(watch, 8.8), "it was asked, and did not answer"
    watch.stood_still(11.0)
    assert "limits.oven.wall" in tripped(watch, 11.1), "nothing came in between"
    watch.see("oven", c(wall=20.0), 11.5)
    watch.stood_still(17.0)
    assert "limits.oven.wall" not in tripped(watch, 17.1)


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_change_that_is_too_fast_is_a_breach_and_noise_is_no_rate(watch):
    dmf = {"solvent": "DMF"}
    for n in range(100):
        watch.see("oven", c(wall=20.0 + 0.2 * (n % 2)), n * 0.2, dmf)
    for n in range(40):
        watch.see("oven", c(wall=20.0 + 0.9 * n), 20.0 + n, dmf)  # 54 K/min
    with pytest.raises(SafetyError, match=r"wall changes by 1\.\d+ K/s, above the lab's limit"):
        for n in range(40):
            watch.see("oven", c(wall=55.1 + 1.2 * n), 60.0 + n, dmf)


def test_an_answer_that_a_busy_computer_kept_waiting_is_no_rate_where_the_benchs_clock_is_fast(envelope, standing):
    dmf = {"solvent": "DMF"}
    watch = Watch(envelope, standing, now_s=0.0, patience=60.0)
    for n in range(60):
        late_s = 12.0 if n == 5 else 0.0  # 0.2 s on the wall; those after it come in time
        if not 5 < n < 12:
            watch.see("oven", c(wall=20.0 + 1.0 * n), 2.0 * n + late_s, dmf)  # 30 K/min, of 60 that are allowed
    watch = Watch(envelope, standing, now_s=0.0, patience=60.0)
    with pytest.raises(SafetyError, match=r"wall changes by 1\.25 K/s, above the lab's limit"):
        for n in range(32):
            watch.see("oven", c(wall=20.0 + 2.5 * n), 2.0 * n, dmf)


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "ERR", True])
def test_a_reading_that_is_no_number_is_a_breach(watch, value):
    with pytest.raises(SafetyError, match="is no number"):
        watch.see("oven", {"wall": Reading(value=value, unit="degC")}, 1.0)


@pytest.mark.parametrize(
    "values, broken", [({"solvent": "DCM"}, True), ({"solvent": "DMF"}, False), ({}, True), (None, False)]
)
def test_a_limit_with_a_condition_is_watched_for_what_stands_there(watch, values, broken):
    """DCM: it holds; DMF: not; nobody can tell what stands there: it holds; nothing stands there: it does not."""
    if broken:
        with pytest.raises(SafetyError, match="of 60 degC"):
            watch.see("oven", c(wall=70.0), 1.0, values)
    else:
        watch.see("oven", c(wall=70.0), 1.0, values)


# --- interlocks -------------------------------------------------------------------------------------------------------


def test_an_interlock_trips_once_and_is_cleared_once(watch):
    watch.see("fan", c(temperature=55.0, wall=20.0), 1.0)
    trip = tripped(watch, 1.0)["interlocks.hot"]
    assert trip.then == "hold" and "fan.temperature is 55 degC" in trip.reason
    assert "interlocks.hot" not in tripped(watch, 1.5)
    watch.see("fan", c(temperature=49.0, wall=20.0), 2.0)
    assert watch.look(2.0).cleared == ("interlocks.hot",) and watch.look(2.1).cleared == ()


def test_an_interlock_that_cannot_be_read_trips(watch):
    watch.see("fan", c(temperature=20.0, wall=20.0), 1.0)
    assert "interlocks.hot" not in tripped(watch, 10.9)
    assert "no fresh reading of fan.temperature for 10 s" in tripped(watch, 11.2)["interlocks.hot"].reason


@pytest.mark.parametrize(
    "beside",
    [
        "plausible: {probe: {of: oven.temperature, rise: 2 K, within: 10 s}}",
        "requires: {cooled: {of: oven.heat, that: oven.temperature <= 40 degC}}",
        "limits: [oven.wall <= 60 degC when oven.temperature > 40 degC]",
    ],
)
def test_each_rule_goes_by_its_own_stale_after_whatever_others_ask_of_the_same_reading(tmp_path, beside):
    lab = LAB.partition("limits:")[0] + f"""
    interlocks: {{hot: {{when: oven.temperature > 50 degC, then: halt, stale_after: 60 s}}}}
    {beside}
    """
    envelope = Envelope(make_lab(tmp_path, lab))
    watch = Watch(envelope, Standing(envelope.declared))
    watch.see("oven", c(temperature=20.0, wall=20.0), 1.0)
    assert watch.due_s("oven") < 8.0, "asked for as the strictest one wants it"
    assert "interlocks.hot" not in tripped(watch, 60.9)
    assert watch.next_s(60.9) == pytest.approx(61.01)
    assert "no fresh reading of oven.temperature for 60 s" in tripped(watch, 61.1)["interlocks.hot"].reason


@pytest.mark.parametrize(
    "reading",
    [
        Reading(value=math.nan, unit="degC"), Reading(value=None, unit="degC"), Reading(value=9.91e37, unit="degC"),
        Reading(value=20.0, unit="degC", flag="overload"),
    ],
)  # fmt: skip
def test_what_is_no_value_is_no_reading(watch, reading):
    for now_s in range(0, 11, 2):
        watch.see("fan", {"temperature": reading, **c(wall=50.0)}, float(now_s))
        assert "interlocks.hot" not in tripped(watch, float(now_s))
        assert watch.due_s("fan") <= now_s + 4.5
    assert "no fresh reading of fan.temperature for 10 s" in tripped(watch, 10.2)["interlocks.hot"].reason
    watch.see("fan", c(temperature=20.0), 11.0)
    assert watch.look(11.0).cleared == ("interlocks.hot",)


def test_who_stood_still_asks_before_an_interlock_or_a_requirement_is_judged(watch):
    """What holds by then holds on until it was asked."""
    watch.see("fan", c(temperature=55.0, wall=20.0), 0.0)
    assert "interlocks.hot" in tripped(watch, 0.0)
    tell(begun(), watch)
    watch.stood_still(18.0)
    changes = watch.look(18.1)
    assert not changes.cleared and not [one for one in changes.tripped if not one.rule.startswith("limits.oven")]
    watch.see("fan", c(temperature=20.0, wall=20.0), 18.5)
    assert watch.look(18.5).cleared == ("interlocks.hot",)
    watch.stood_still(36.0)
    assert "interlocks.hot" not in tripped(watch, 36.1)
    found = tripped(watch, 45.0)
    assert "no fresh reading" in found["interlocks.hot"].reason, "it was asked, and did not answer"
    assert "no fresh reading" in found["requires.cooled"].reason


def test_words_are_compared_and_a_condition_must_last(watch):
    def see(word, now_s):
        watch.see("oven", {"word": Reading(value=word), **c(wall=20.0)}, now_s)
        watch.see("fan", c(temperature=20.0, wall=20.0), now_s)

    see("open", 1.0)
    assert "interlocks.shut" not in tripped(watch, 1.0)
    see("closed", 3.0)
    assert "interlocks.shut" not in tripped(watch, 3.0)
    see("open", 4.0)
    assert "interlocks.shut" not in tripped(watch, 4.0)
    assert watch.next_s(4.0) == pytest.approx(8.0)
    see("open", 8.0)
    assert tripped(watch, 8.0)["interlocks.shut"].then == "halt"


# --- requires ---------------------------------------------------------------------------------------------------------


def test_what_an_act_needs_is_watched_while_it_lasts(watch):
    watch.see("fan", c(temperature=20.0, wall=50.0), 1.0)
    assert "requires.cooled" not in tripped(watch, 1.0), "nobody heats"
    tell(begun(), watch)
    trip = tripped(watch, 1.0)["requires.cooled"]
    assert trip.then == "halt" and "oven.heat needs fan.wall <= 40 degC" in trip.reason and "is 50 degC" in trip.reason
    tell(e.StepFinished(step="s"), watch)
    assert "requires.cooled" in tripped(watch, 1.0), "it goes on until oven.turn"
    tell(begun("t", "turn"), watch)
    tell(e.StepFinished(step="t"), watch)
    assert "requires.cooled" not in tripped(watch, 1.0)


def test_what_a_guard_may_have_stopped_without_a_word_needs_what_it_needed(watch):
    watch.see("fan", c(temperature=20.0, wall=50.0), 1.0)
    tell(begun(), watch)
    tell(e.SafeStateReached(why="", errors=["not known"], by="guard", epoch=2), watch)
    assert "requires.cooled" in tripped(watch, 1.0)
    tell(e.SafeStateReached(why="", by="guard", epoch=3, found={"oven": e.Witness(state="stopped")}), watch)
    assert "requires.cooled" not in tripped(watch, 1.0)


@pytest.mark.parametrize(
    "end", [e.StepFailed(step="s", fault="not_done", reason=""), e.SafeStateReached(why="", errors=[])]
)
def test_what_was_not_begun_or_was_made_safe_needs_nothing(watch, end):
    watch.see("fan", c(temperature=20.0, wall=50.0), 1.0)
    tell(begun(), watch)
    tell(end, watch)
    assert "requires.cooled" not in tripped(watch, 1.0)


def test_what_was_stopped_for_a_fault_needs_nothing(watch):
    watch.see("fan", c(temperature=20.0, wall=50.0), 1.0)
    tell(begun(), watch)
    assert "requires.cooled" in tripped(watch, 1.0)
    tell(e.StepFailed(step="s", fault="not_reached", reason=""), watch)
    assert "requires.cooled" not in tripped(watch, 1.0)
    tell(begun(), watch)
    tell(e.StepFailed(step="s", fault="interrupted", reason=""), watch)
    assert "requires.cooled" in tripped(watch, 1.0), "nobody has stopped it"


@pytest.mark.parametrize("keep", ["oven", "oven.heat"])
def test_what_is_kept_goes_on_in_the_safe_state_and_is_watched_there(tmp_path, keep):
    envelope = Envelope(make_lab(tmp_path, f"{LAB}    keep: [{keep}]\n"))
    standing = Standing(envelope.declared)
    watch = Watch(envelope, standing, now_s=0.0)
    watch.see("fan", c(temperature=20.0, wall=50.0), 1.0)
    tell(begun(temperature=70.0), watch, standing)
    tell(e.SafeStateReached(why="", errors=[]), watch, standing)
    assert "requires.cooled" in tripped(watch, 1.0)
    for now_s in range(2, 70, 10):
        watch.see("oven", c(temperature=22.0), float(now_s))
    assert "plausible.probe" in tripped(watch, 62.0)


def test_what_an_act_needs_and_nobody_reads_is_a_breach(watch):
    tell(begun(), watch)
    assert "requires.cooled" not in tripped(watch, 14.0)
    assert "no fresh reading of fan.wall for 15 s" in tripped(watch, 15.4)["requires.cooled"].reason


# --- plausible --------------------------------------------------------------------------------------------------------


def course(watch, standing, target, readings, began_s=0.0, every_s=10.0):
    """Set the oven, and see readings; when it trips (None: never)."""
    tell(begun(temperature=target, t_s=began_s), watch, standing)
    for n, value in enumerate(readings):
        now_s = began_s + n * every_s
        watch.see("oven", c(temperature=value), now_s)
        if "plausible.probe" in tripped(watch, now_s):
            return now_s
    return None


def test_a_reading_that_does_not_rise_is_a_probe_out_of_the_flask(watch, standing):
    assert course(watch, standing, 70.0, [22.0] * 20) == 60.0


@pytest.mark.parametrize("stands_at", [22.0, 69.0])
def test_what_was_set_and_cannot_be_read_is_not_plausible(watch, standing, stands_at):
    """Nobody can tell whether it is near its set value still. What is set to nothing need not be read for it."""
    watch.see("oven", c(temperature=stands_at), 0.0)
    assert "plausible.probe" not in tripped(watch, 100.0)
    watch.see("oven", c(temperature=stands_at), 101.0)
    tell(begun(temperature=70.0, t_s=102.0), watch, standing)
    assert "plausible.probe" not in tripped(watch, 160.9)
    assert watch.next_s(160.9) == pytest.approx(161.01)
    found = tripped(watch, 161.1)["plausible.probe"]
    assert found.unread == "oven" and "no fresh reading of temperature for 60 s" in found.reason
    tell(e.SafeStateReached(why="", errors=[]), watch, standing)
    assert "plausible.probe" not in tripped(watch, 400.0)


def test_what_could_not_be_read_for_a_while_is_measured_from_when_it_is_back(watch, standing):
    """Mains and line were out for nearly all of ``within``: it has cooled meanwhile, and its probe lies not."""
    assert course(watch, standing, 70.0, [22.0, 24.0]) is None
    for n, now_s in enumerate(range(66, 200, 10)):
        watch.see("oven", c(temperature=20.0 + 0.5 * n), float(now_s))
        assert "plausible.probe" not in tripped(watch, float(now_s))


def test_a_line_that_is_slow_hides_no_probe_that_lies(watch, standing):
    assert course(watch, standing, 70.0, [22.0] * 9, every_s=40.0) == 120.0


def test_a_flask_takes_up_heat_first(watch, standing):
    heated = [22.0 + 5.0 / 60.0 * (t - 60.0 * (1.0 - math.exp(-t / 60.0))) for t in range(0, 400, 10)]
    assert heated[6] - heated[0] < 2.0
    assert course(watch, standing, 70.0, heated) is None


def test_it_takes_up_heat_first_but_once(watch, standing):
    assert course(watch, standing, 70.0, [22.0 + 0.19 * n for n in range(40)]) == 80.0


def test_a_reading_that_rises_is_believed_up_to_its_set_value(watch, standing):
    rising = [min(22.0 + 0.4 * n, 66.5) for n in range(200)]  # 2.4 K/min, and then it stands 3.5 K below
    assert course(watch, standing, 70.0, rising) is None


def test_a_reading_that_stands_too_far_below_is_not(watch, standing):
    assert course(watch, standing, 70.0, [min(22.0 + 0.4 * n, 60.0) for n in range(200)]) is not None


def test_on_the_way_down_the_fall_counts(watch, standing):
    assert course(watch, standing, 20.0, [70.0 - 0.2 * n for n in range(200)]) is None
    tell(e.SafeStateReached(why="", errors=[]), watch, standing)
    assert course(watch, standing, 20.0, [70.0 - 0.1 * n for n in range(20)], began_s=3000.0) == 3080.0


@pytest.mark.parametrize("then", [70.0, 75.0, 60.0])
def test_set_anew_on_its_way_it_is_on_its_way_since_the_first_time(watch, standing, then):
    """Trials that last for less than ``within`` set it again and again."""
    assert course(watch, standing, 70.0, [22.0] * 4) is None
    assert course(watch, standing, then, [22.0] * 4, began_s=40.0) == 60.0


def test_a_flask_that_was_left_to_cool_turns_first(watch, standing):
    """It falls for half a minute yet, and rises by 2 K within the minute after that."""
    cools = [60.0 - 0.3 * n for n in range(4)]
    assert course(watch, standing, 80.0, cools + [59.1 + 0.35 * n for n in range(1, 40)]) is None


def test_what_falls_on_and_on_is_a_probe_out_of_the_flask(watch, standing):
    assert course(watch, standing, 80.0, [60.0 - 0.3 * n for n in range(60)]) == 120.0


def test_a_probe_that_is_drawn_out_at_its_set_value_is_noticed(watch, standing):
    kept = [60.0] * 30
    assert course(watch, standing, 60.0, kept + [55.9 - 2.0 * n for n in range(15)]) == 300.0 + 120.0


def test_what_is_added_cold_to_a_flask_at_its_set_value_is_warmed_up(watch, standing):
    """It falls by 15 K in a minute, and rises by 2.5 K in a minute then."""
    added = [60.0 - 2.5 * n for n in range(7)] + [45.0 + 0.42 * n for n in range(1, 40)]
    assert course(watch, standing, 60.0, [60.0] * 30 + added) is None


def test_set_the_other_way_it_begins_anew(watch, standing):
    assert course(watch, standing, 70.0, [45.0] * 6) is None
    assert course(watch, standing, 20.0, [45.0] * 20, began_s=60.0) == 120.0


@pytest.mark.parametrize(
    "over", [e.SafeStateReached(why="", errors=[]), e.StepFailed(step="s", fault="not_reached", reason="")]
)
def test_what_was_stopped_is_on_its_way_nowhere(watch, standing, over):
    assert course(watch, standing, 70.0, [22.0] * 6) is None
    tell(over, watch, standing)
    for now_s in range(60, 200, 10):
        watch.see("oven", c(temperature=22.0), float(now_s))
        assert "plausible.probe" not in tripped(watch, float(now_s))
    assert course(watch, standing, 70.0, [22.0] * 20, began_s=200.0) == 260.0


def test_how_long_it_stood_counts_though_it_was_stopped_for_a_fault(standing):
    tell(begun(temperature=70.0, t_s=5.0), standing)
    tell(e.StepFailed(step="s", fault="not_reached", reason=""), standing)
    assert standing.since_s("oven", "temperature") == 5.0


def test_what_its_instrument_was_not_told_yet_sets_nothing(watch, standing):
    """It waits for another of its stage, whose line is out; what was set before goes on."""
    with watch.courses.untold("s"):
        assert course(watch, standing, 70.0, [22.0] * 20) is None
    assert course(watch, standing, 70.0, [22.0] * 3, began_s=200.0) is None
    tell(begun("t", temperature=75.0, t_s=230.0), watch, standing)
    with watch.courses.untold("t"):
        for now_s in range(230, 270, 10):
            watch.see("oven", c(temperature=22.0), float(now_s))
    assert "plausible.probe" in tripped(watch, 260.0)


def test_a_rule_whose_near_is_left_out_has_one(tmp_path):
    lab = make_lab(tmp_path, LAB)
    spec = spec_from_dict(
        {
            "parameters": {"t": {"range": [0, 1]}},
            "outcomes": {"y": {"goal": "maximize", "from": "told"}},
            "plausible": {"mine": {"of": "oven.temperature", "rise": "2 K", "within": "1 min"}},
        }
    )
    assert [rule.near for rule in Envelope(lab, spec).rules.plausible] == [4.0, 5.0]
