"""The rules that every driver keeps, over all of drivers/."""

import ast
import inspect
import json
import math
import sys
import textwrap

import pytest

from labloop.bench import Identity, LinkError, ProtocolError, actions_of
from labloop.bench.settings import resolve
from labloop.campaign.spec import lab_from_dict
from labloop.campaign.units import check_unit
from labloop.runner.conformance import BROKEN, examine
from labloop.runner.left_standing import differs
from tests.drivers.rigs import Rig
from tests.drivers.stand import FOLDER, MODULES, shipped, stand_of

# What of them somebody changed, nothing on the wire says (see their modules).
TELL_NOTHING = {"EmStatPico", "SBI"}
ALLOWED = {
    "binascii", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib", "itertools", "json",
    "labloop", "math", "pymodbus", "re", "secrets", "struct", "typing", "urllib",
}  # fmt: skip


DRIVERS = shipped()
ALL = pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.__name__)


def test_every_module_of_the_folder_is_looked_at():
    assert {driver.__name__ for driver in DRIVERS} >= {"NE1000", "RCT", "Spectrometer"}


@pytest.mark.parametrize("name", MODULES)
def test_a_driver_imports_the_benchs_words_and_never_sleeps_or_opens_a_port(name):
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= ALLOWED, ast.unparse(node)
            assert not any(alias.name.startswith("labloop") for alias in node.names), ast.unparse(node)
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert node.level == 1 or module.partition(".")[0] in ALLOWED, ast.unparse(node)
            assert not module.startswith("labloop") or module == "labloop.bench", ast.unparse(node)
        if isinstance(node, (ast.Name, ast.Attribute)):
            word = node.id if isinstance(node, ast.Name) else node.attr
            assert word not in ("sleep", "monotonic", "open_link", "SerialLink", "ZmqLink", "Port"), ast.unparse(node)


@ALL
def test_every_setting_has_unit_and_limits_or_choices(driver):
    options = stand_of(driver).options
    for action in driver.declare(options).values():
        for setting in action.settings:
            where = f"{driver.__name__}.{action.name}.{setting.name}"
            if setting.choices:
                continue
            assert setting.unit, where
            check_unit(setting.unit)
            assert setting.low is not None and setting.high is not None, where
            assert -math.inf < setting.low < setting.high < math.inf, where
            if setting.default is not None:
                assert setting.low <= setting.default <= setting.high, where
                assert not setting.required, where


@ALL
def test_who_says_that_it_is_numbered_tells_the_number_of_its_plate(driver):
    if driver.numbered(stand_of(driver).options):
        it = Rig(driver, simulation={"serial": "007"})
        assert it.driver.open().has_number("7")
    else:  # a name that a person gave it is told as its number, and asked for as ``name``
        assert Rig(driver).driver.open().serial == "" or driver.__name__ in ("EzoPh", "Stage", "SpinCoater")


@ALL
def test_the_declaration_fits_the_methods(driver):
    for name, action in actions_of(driver).items():
        arguments = list(inspect.signature(getattr(driver, name)).parameters)[1:]
        assert [setting.argument for setting in action.settings] == arguments
        for signal in (*action.gives, *driver.signals):
            if signal.unit:
                check_unit(signal.unit)
        assert not action.remainder or action.evidence, f"{name}: a remainder needs evidence of what was done"
        assert not action.fills or action.amount, f"{name}: what fills must say how much"


@ALL
def test_what_does_as_stop_does_says_that_it_stops(driver):
    for name, action in actions_of(driver).items():
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(getattr(driver, name)))).body
        assert action.stops or "self.stop()" not in map(ast.unparse, body.body), f"{driver.__name__}.{name}"


@ALL
def test_everything_public_has_a_docstring_of_one_promise(driver):
    assert driver.kind and driver.__doc__
    for name, member in inspect.getmembers(driver, inspect.isroutine):
        if name.startswith("_") or not getattr(member, "__module__", "").startswith("drivers."):
            continue
        doc = inspect.getdoc(member)
        assert doc and doc.splitlines()[0].endswith((".", ")", "?", "!")), f"{driver.__name__}.{name}"
    assert sys.modules[driver.__module__].__doc__.count("\n") > 5, "the module opens with what matters of the manual"


@ALL
def test_open_identifies_and_sets_nothing(driver):
    rig = Rig(driver)
    rig.bench.settle(0.0)
    before = rig.device.state()
    identity = rig.driver.open()
    assert isinstance(identity, Identity) and identity.model and identity.first_reply
    after = rig.device.state()
    changed = {key for key in before if before[key] != after[key]} - stand_of(driver).hearing
    assert changed <= {"clock_s", "now_s"}, changed
    assert rig.ledger == []


@ALL
def test_what_stands_there_is_read_and_not_set_and_does_not_change_by_itself(driver):
    rig = Rig(driver).ready()
    action, settings = stand_of(driver).act
    rig.begin(action, **settings)
    rig.wait(5.0)
    rig.driver.stop()
    rig.wait(stand_of(driver).rests_s)
    rig.bench.settle(rig.clock.now_s())
    earlier = rig.device.state()
    rig.wait(0.5)
    rig.bench.settle(rig.clock.now_s())
    before, entries = rig.device.state(), list(rig.ledger)
    stands = rig.driver.stands()
    after = rig.device.state()
    by_itself = {key for key in before if before[key] != earlier[key]} | stand_of(driver).hearing
    changed = {key for key in before if before[key] != after[key]} - by_itself
    assert changed <= {"clock_s", "now_s"} and rig.ledger == entries, changed
    assert all(one.value is not True for one in stands.values()), "it was stopped"
    assert stands or driver.__name__ in TELL_NOTHING
    rig.wait(3600.0)
    assert rig.driver.stands() == stands
    for one in stands.values():
        check_unit(one.unit)


@ALL
def test_what_stood_when_it_was_stopped_stands_there_for_whoever_asks_next_and_whoever_stops_it_again(driver):
    """A run that ends notes it, a guard stops it again and notes it, and a start asks: nobody has touched anything."""
    rig = Rig(driver).ready()
    action, settings = stand_of(driver).act
    amounts = rig.begin(action, **settings)
    rig.wait(5.0)
    rig.driver.stop()
    noted = rig.driver.stands()
    rig.restarted().open()  # the guard
    before = rig.driver.counters()
    rig.driver.read()
    for _ in range(2):
        rig.driver.brake()
        rig.driver.stop()
    rig.driver.counters()
    turns = {"position"} if driver.__name__ == "Actuator" else set()  # nothing stops it, see left_by_guard()
    guarded = {name: one for name, one in rig.driver.stands().items() if name not in turns}
    rig.wait(3600.0)
    rig.restarted().open()  # the next start
    rig.happened(action, amounts, before)
    found = rig.driver.stands()
    for then in (noted, guarded):
        assert not [name for name, one in then.items() if name in found and differs(one, found[name])]
    kept = json.loads(json.dumps(rig.device.state()))
    other = Rig(driver)  # its simulator was ended as well, and goes on from what was kept
    other.wait(rig.clock.now_s())
    other.device.restore(kept, other.clock.now_s())
    other.driver.open()
    assert other.driver.stands() == found


@ALL
def test_stop_is_harmless_twice_at_rest_and_in_the_middle_of_an_act(driver):
    rig = Rig(driver).ready()
    rig.driver.stop()
    rig.driver.stop()
    action, settings = stand_of(driver).act
    rig.begin(action, **settings)
    rig.wait(5.0)
    rig.driver.stop()
    rig.driver.stop()
    rig.wait(stand_of(driver).rests_s)
    rig.bench.settle(rig.clock.now_s())
    now_s = rig.clock.now_s()
    ended = [entry for entry in rig.ledger if entry.phase == "end"]
    rig.wait(120.0)
    rig.bench.settle(rig.clock.now_s())
    assert [entry for entry in rig.ledger if entry.phase == "end"] == ended
    assert len(ended) == stand_of(driver).acts
    assert all(entry.at_s <= now_s for entry in ended)


@ALL
def test_stop_needs_no_answer_to_the_question_who_it_is(driver):
    """A guard stops one whose answer was lost, or that it had no time to ask, and says whether it stopped."""
    rig = Rig(driver).ready()
    action, settings = stand_of(driver).act
    rig.begin(action, **settings)
    rig.wait(5.0)
    rig.restarted().stop()
    rig.wait(stand_of(driver).rests_s)
    rig.bench.settle(rig.clock.now_s())
    assert len([entry for entry in rig.ledger if entry.phase == "end"]) == stand_of(driver).acts


@pytest.mark.parametrize("driver", [one for one in DRIVERS if stand_of(one).acts], ids=lambda driver: driver.__name__)
def test_a_brake_says_nothing_that_a_stop_does_not(driver):
    rig = Rig(driver).ready()
    action, settings = stand_of(driver).act
    rig.begin(action, **settings)
    rig.wait(5.0)
    said = len(rig.sent)
    rig.driver.brake()
    braked = rig.sent[said:]
    rig.driver.stop()
    assert all(one in rig.sent[said + len(braked) :] for one in braked)


@pytest.mark.parametrize("driver", [one for one in DRIVERS if stand_of(one).acts], ids=lambda driver: driver.__name__)
def test_a_stop_that_nobody_heard_is_never_believed(driver):
    """Whenever it fell silent: also in the middle of telling what it can, of which another model says nothing."""
    for heard in range(20):
        rig = Rig(driver).ready()
        action, settings = stand_of(driver).act
        rig.begin(action, **settings)
        rig.wait(0.5)
        (line,) = rig.bench.lines.values()
        receive, left = line.receive, iter(range(heard))

        def deaf(*said, receive=receive, left=left):
            return type(said[-2])() if said[-2] and next(left, None) is None else receive(*said)

        line.receive = deaf
        opened = True
        try:
            rig.restarted().open()
        except (LinkError, ProtocolError):
            opened = False
        if opened and next(left, None) is not None:
            return  # from here on it is the stop that is heard
        with pytest.raises((LinkError, ProtocolError)):
            rig.driver.stop()
    raise AssertionError("it is never opened")


@pytest.mark.parametrize("driver", [one for one in DRIVERS if stand_of(one).acts], ids=lambda driver: driver.__name__)
def test_an_act_is_told_as_running_then_as_what_became_of_it(driver):
    rig = Rig(driver).ready()
    before = rig.driver.counters()
    action, settings = stand_of(driver).act
    amounts = rig.begin(action, **settings)
    rig.wait(5.0)
    assert rig.happened(action, amounts, before).state == stand_of(driver).tells
    rig.restarted().open()
    assert rig.happened(action, amounts, before).state == stand_of(driver).tells
    rig.driver.stop()
    rig.wait(stand_of(driver).rests_s)
    assert rig.happened(action, amounts, before).state == stand_of(driver).stopped


@ALL
def test_it_is_known_again_while_it_is_at_something(driver):
    rig = Rig(driver).ready()
    before = rig.driver.open()
    action, settings = stand_of(driver).act
    rig.begin(action, **settings)
    rig.wait(0.5)
    now = rig.restarted().open()
    assert now.is_still(before.model, before.serial), f"{now} is not {before}"
    known = now.completed(before.firmware, before.serial)
    assert (known.model, known.firmware, known.serial) == (before.model, before.firmware, before.serial)


REJOINS = [one for one in DRIVERS if one.declare(stand_of(one).options)[stand_of(one).act[0]].rejoins]


@pytest.mark.parametrize("looked", [True, False], ids=["looked", "never looked"])
@pytest.mark.parametrize("driver", REJOINS, ids=lambda driver: driver.__name__)
def test_what_goes_on_without_a_runner_is_watched_again_and_ends_when_it_would_have(driver, looked):
    action, settings = stand_of(driver).act
    never = Rig(driver).ready()
    never.begin(action, **settings)
    never.finish()
    whole_s = never.clock.now_s() - never.began_s

    rig = Rig(driver).ready()
    before = rig.driver.counters()
    amounts = rig.begin(action, **settings)
    kept = dict(before)
    while looked and (elapsed_s := rig.clock.now_s() - rig.began_s) < 0.9 * whole_s:  # in the middle of it
        look = rig.look()
        kept = {**before, **look.kept}
        rig.wait(min(look.again_in_s, 0.95 * whole_s - elapsed_s))
    if not looked:
        rig.wait(0.5 * whole_s)
    rig.restarted().open()
    assert rig.happened(action, amounts, before).state == "running"
    said, entries = len(rig.sent), list(rig.ledger)
    resolved = rig.driver.resolved(action, amounts)
    rig.driver.rejoin(action, resolved, "act-1", kept, rig.clock.now_s() - rig.began_s, 1.0)
    assert len(rig.sent) == said, "it is watched, not told"
    look = rig.finish()
    assert rig.clock.now_s() - rig.began_s == pytest.approx(whole_s, rel=0.02, abs=15.0)
    assert [entry for entry in rig.ledger if entry.phase == "begin"] == [e for e in entries if e.phase == "begin"]
    assert look.achieved.keys() >= never.look().achieved.keys()


@ALL
def test_a_stand_that_does_nothing_to_matter_has_no_acts(driver):
    acts = any(action.act for action in driver.declare(stand_of(driver).options).values())
    assert acts == stand_of(driver).acts


@ALL
def test_it_keeps_every_rule_on_its_simulator(driver):
    stand = stand_of(driver)
    entry = {"driver": f"{driver.__module__}:{driver.__name__}", "simulator": stand.simulator, "port": stand.port}
    simulation = {"simulation": {**stand.simulation, **stand.proving}}
    lab = {"labloop": 1, "name": "proving", "instruments": {"it": {**entry, **stand.options, **simulation}}}
    broken = [one for one in examine(lab_from_dict(lab, FOLDER.parent), "it") if one.state == BROKEN]
    assert not broken, broken


@ALL
def test_an_option_that_nobody_knows_is_refused(driver):
    with pytest.raises(Exception, match="has no option 'colour'"):
        driver.declare({**stand_of(driver).options, "colour": "red"})


@ALL
def test_what_it_does_to_be_seen_lies_within_its_limits(driver):
    options = stand_of(driver).options
    nudge = driver.nudge(options)
    if nudge is not None:
        name, amounts = nudge
        values = resolve(driver.declare(options)[name], amounts)
        assert not driver.complaint(name, values, options)


@ALL
def test_what_is_moved_to_be_seen_moves_little_is_at_rest_afterwards_and_tells_when_it_is_at_something(driver):
    """``labloop instruments --walk``: the smallest action inside the limits, stopped, and nothing at work before it."""
    it = Rig(driver)
    it.driver.open()
    it.driver.configure()
    assert it.driver.at_work() == ""
    nudge = driver.nudge(it.options)
    if nudge is None:
        return
    name, amounts = nudge
    declared = driver.declare(it.options)[name]
    values = resolve(declared, amounts)
    assert driver.complaint(name, values, it.options) == ""
    assert driver.expected(name, values, it.options).duration_s <= 10.0
    it.begin(name, **{one: (amount.value, amount.unit) for one, amount in amounts.items()})
    assert declared.act == bool(it.driver.at_work()), "what moves says so"
    it.finish()
    it.driver.stop()
    it.wait(1.0)
    assert it.driver.at_work() == ""
    begun = sum(one.phase == "begin" for one in it.bench.ledger.entries)
    assert begun == sum(one.phase == "end" for one in it.bench.ledger.entries) <= 1


@ALL
def test_what_a_limit_may_stand_on_is_told_at_rest_too(driver):
    """A limit on a reading that stays out is a breach: so of an output that is off it must be said that it is 0."""
    it = Rig(driver).ready()
    without_sensor = {"input_c", "input_d"} if driver.__name__ == "LS336" else set()
    assert {one.name for one in driver.tells(it.options)} - without_sensor - {"limited"} <= it.driver.read().keys()
