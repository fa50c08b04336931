"""The four tables of rules: what they read, and what is wrong with a place, a value, a rule and a way out."""

import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.spec import check_against_lab, lab_from_dict, read_lab_text, spec_from_dict

LAB = "instruments: {a: {driver: 'drivers.x:X'}, b: {driver: 'drivers.x:X'}}\n"
CAMPAIGN = {"parameters": {"t": {"range": [0, 1]}}, "outcomes": {"y": {"goal": "maximize", "from": "told"}}}


@pytest.mark.parametrize(
    "written, complaint",
    [
        ("totals: {v: {of: a.push, max: 3}}", "max must be an amount above 0 with its unit"),
        ("totals: {v: {of: a.push, max: 3 mL, until: a.push}}", "a.push stands in two of of, less and until"),
        ("totals: {v: {of: [], max: 3 mL}}", "names nothing. Write instrument.action"),
        ("totals: {v: {of: push, max: 3 mL}}", "must be instrument.action, like pump.dispense"),
        ("totals: {v: {of: a.push, max: 3 mL, untill: a.x}}", "unknown key. Did you mean until?"),
        ("totals: {v: {of: c.push, max: 3 mL}}", "c is no instrument"),
        ("requires: {r: {of: a.heat, that: a.speed}}", "that is no condition. Compare a reading"),
        ("requires: {r: {of: a.heat, that: speed > 3}}", "that speaks of no reading"),
        ("interlocks: {i: {when: a.door == open, then: stop}}", "must be one of hold, safe, halt"),
        ("interlocks: {i: {when: a.door == open, resume: true}}", "resume belongs to then: hold"),
        ("interlocks: {i: {when: c.door == open}}", "c is no instrument"),
        ("plausible: {p: {of: a.t, within: 60 s}}", "says nothing. Write rise or fall"),
        ("plausible: {p: {of: a.t, rise: -2 K, within: 60 s}}", "must be above 0"),
        ("plausible: {p: {of: a.t, rise: 2 K, near: 1 K, within: 60 s}}", "near is smaller than the change itself"),
        ("plausible: {p: {of: a.t, rise: 2 K, within: 60}}", "is a time and needs a unit"),
        ("limits: [a.power changes by at most -1 W/s]", "a change of -1 W/s is none"),
        ("limits: {a: {x: {dwell: 5}}}", "is a time and needs a unit"),
        ("limits: {a: {x: {rate: 0 K/min}}}", "rate must be above 0"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, written, complaint):
    with pytest.raises(SpecError) as caught:
        read_lab_text(LAB + written, "lab.yaml", tmp_path)
    assert len(caught.value.complaints) == 1, caught.value
    assert caught.value.complaints[0].startswith("lab.yaml:2:") and complaint in caught.value.complaints[0]


def test_a_sentence_says_how_fast_something_may_change(tmp_path):
    lab = read_lab_text(LAB + "limits: [a.power changes by at most 5 W/min when b.door == open]", "l", tmp_path)
    (limit,) = lab.limits_written
    assert (limit.instrument, limit.name, str(limit.rate)) == ("a", "power", "5 W/min")
    assert str(limit.when) == "b.door == open" and "changes by at most 5 W/min when" in str(limit)


def test_a_campaign_adds_rules_and_never_replaces_one():
    rule = {"of": "a.push", "max": "3 mL"}
    lab = lab_from_dict(
        {"instruments": {"a": {"driver": "drivers.x:X"}}, "totals": {"v": rule},
         "limits": {"a": {"x": {"max": 3, "dwell": "9 s", "stale_after": "5 s"}}}}
    )  # fmt: skip
    assert check_against_lab(spec_from_dict({**CAMPAIGN, "totals": {"mine": rule}}), lab) == []
    (same,) = check_against_lab(spec_from_dict({**CAMPAIGN, "totals": {"v": {**rule, "max": "9 mL"}}}), lab)
    assert "is a rule of the lab already" in same
    (far,) = check_against_lab(spec_from_dict({**CAMPAIGN, "totals": {"w": {**rule, "until": "c.drain"}}}), lab)
    assert "c is no instrument of the lab" in far
    loose = spec_from_dict({**CAMPAIGN, "limits": {"a": {"x": {"max": 2, "dwell": "8 s", "stale_after": "6 s"}}}})
    assert len(check_against_lab(loose, lab)) == 2
