"""Totals: never less than what is there, whatever ended how; and stock by what was really achieved."""

import pytest

from labloop.bench import Amount, Envelope, Totals, action, declare, drawn
from labloop.campaign import events as e
from tests.bench.labs import make_lab

LAB = """
    labloop: 1
    instruments:
      a: {driver: "DRIVER:Box", port: "serial:///dev/a"}
      b: {driver: "DRIVER:Box", port: "serial:///dev/b"}
      out: {driver: "DRIVER:Box", port: "serial:///dev/c"}
    totals:
      vessel: {of: [a.push, b.push], less: out.push, max: 0.2 mL, until: out.turn}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return make_lab(tmp_path_factory.mktemp("lab"), LAB)


@pytest.fixture
def totals(lab):
    envelope = Envelope(lab)
    return Totals(envelope.rules.totals, envelope.declared)


def ul(value):
    return {"volume": Amount(value, "uL")}


def over(totals, act, name="a", asked=50.0, achieved=None, done=True, what="push"):
    settings = ul(asked) if what == "push" else {"mode": Amount("a")}
    begun = e.StepStarted(
        step=act, phase="trial", stage=0, index=0, instrument=name, action=what, settings=settings, act=True
    )
    totals.begin(act, name, what, begun.settings)
    totals.apply(totals.counting(act, begun, {} if achieved is None else ul(achieved), done=done))


def held(totals):
    return round(totals.held["totals.vessel"] * 1000.0, 9)


def room(totals, value, name="a"):
    return not totals.missing([(name, "push", ul(value))])


def test_what_was_achieved_counts_where_it_is_known(totals):
    over(totals, "1", achieved=48.5)
    over(totals, "2", "b", achieved=None)
    assert held(totals) == 98.5


def test_an_act_counts_in_full_from_its_beginning(totals):
    totals.begin("1", "a", "push", ul(90.0))
    totals.begin("2", "b", "push", ul(60.0))
    assert held(totals) == 0.0 and room(totals, 50.0) and not room(totals, 51.0)
    totals.drop("2")
    assert room(totals, 90.0)


def test_a_stage_is_weighed_together(totals):
    over(totals, "1", achieved=30.0)
    acts = [("a", "push", ul(90.0)), ("b", "push", ul(90.0))]
    assert totals.missing(acts[:1]) == "" == totals.missing(acts[1:])
    said = totals.missing(acts)
    assert "totals.vessel holds 0.03 mL, 0.18 mL would come to it, and 0.2 mL is the most (" in said
    assert "lab.yaml:8:" in said


def test_exactly_full_is_not_too_much(totals):
    for n in range(10):
        over(totals, str(n), achieved=19.9)
    assert room(totals, 1.0) and not room(totals, 1.001)


def test_what_takes_out_makes_room_by_what_it_took(totals):
    over(totals, "1", achieved=100.0)
    over(totals, "2", "out", asked=60.0, achieved=40.0)
    assert held(totals) == 60.0
    over(totals, "3", "out", asked=90.0, achieved=None, done=False)
    assert held(totals) == 60.0, "nobody knows whether it took anything: then it took nothing"
    totals.begin("4", "out", "push", ul(60.0))
    assert not room(totals, 141.0), "and while it runs, neither"
    over(totals, "5", "out", asked=90.0, achieved=90.0)
    assert held(totals) == 0.0, "never less than nothing"


def test_what_empties_it_must_have_been_done(totals):
    over(totals, "1", achieved=100.0)
    over(totals, "2", "out", what="turn", done=False)
    assert held(totals) == 100.0
    over(totals, "3", "out", what="turn")
    assert held(totals) == 0.0


def test_no_act_counts_twice(totals):
    over(totals, "1", achieved=50.0)
    over(totals, "1", achieved=50.0)
    totals.begin("1", "a", "push", ul(50.0))
    assert held(totals) == 50.0 and room(totals, 100.0)


def test_acts_by_hand_count_and_one_that_never_ended_does_in_full(totals):
    hand = e.ByHand(act="hand-1", instrument="a", action="push", settings=ul(100.0))
    totals.apply(hand)
    assert room(totals, 100.0, "b") and not room(totals, 101.0, "b")
    other = e.ByHand(act="hand-2", instrument="a", action="push", settings=ul(80.0), achieved=ul(10.0), failed="cable")
    totals.apply(other)
    assert held(totals) == 10.0
    totals.apply(e.TotalSet(name="vessel", amount=Amount(0.03, "mL")))
    assert held(totals) == 30.0 and room(totals, 100.0, "b"), "a person has looked: what broke off is in it"


def test_an_act_by_hand_whose_settings_its_driver_knows_no_more_makes_a_total_full_unless_its_end_is_known(totals):
    renamed = {"quantity": Amount(100.0, "uL")}
    hand = e.ByHand(act="hand-1", instrument="a", action="push", settings=renamed)
    totals.apply(hand)
    assert held(totals) == 0.0 and not room(totals, 1.0, "b")
    totals.apply(e.ByHand(act="hand-1", instrument="a", action="push", settings=renamed, achieved=ul(10.0), done=True))
    assert held(totals) == 10.0 and room(totals, 100.0, "b")
    totals.apply(e.ByHand(act="hand-2", instrument="a", action="push", settings=renamed, failed="cannot_tell"))
    assert not room(totals, 1.0, "b") and held(totals) == 200.0
    totals.apply(e.TotalSet(name="vessel", amount=Amount(0.03, "mL")))
    assert held(totals) == 30.0 and room(totals, 100.0, "b")


def test_a_person_names_an_amount(totals):
    begun = e.StepStarted(step="1", phase="trial", stage=0, index=0, instrument="a", action="push", settings=ul(50.0))
    told = {"amount": Amount(0.02, "mL")}
    for achieved in (told, told | ul(5.0)):  # as earlier versions wrote it
        assert totals.counting("1", begun, achieved, done=True).amount == Amount(0.02, "mL")


def test_what_nobody_counts_is_no_concern(totals):
    assert totals.concerns("out", "turn") and not totals.concerns("a", "heat")
    over(totals, "1", what="turn", name="a")
    assert held(totals) == 0.0


# --- stock ------------------------------------------------------------------------------------------------------------


def test_stock_is_drawn_by_what_was_really_achieved(lab):
    push = declare(lab)["a"].actions["push"]
    assert drawn(push, {"volume": Amount(150.0, "uL")}, "mL") == Amount(pytest.approx(0.15), "mL")
    assert drawn(push, {}, "mL") is None
    assert drawn(declare(lab)["a"].actions["heat"], {"volume": Amount(1.0, "uL")}, "mL") is None

    class Syringe:
        @action(amount="volume", fills=True)
        def withdraw(self):
            """Draw up."""

    filling = Syringe.withdraw.__action__
    assert drawn(filling, {"volume": Amount(100.0, "uL")}, "uL") == Amount(-100.0, "uL")
