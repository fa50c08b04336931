"""A campaign's text with places changed as they are typed: only those, and what cannot be understood is said."""

import pytest

from labloop.campaign.errors import SpecError
from labloop.runner.rewriting import rewritten

TEXT = """\
labloop: 1  # the grammar's
campaign: cake
parameters:
  # white
  sugar: {range: [10, 90], unit: g, step: 5, likely: {value: 30, within: 10}}
  eggs: {range: [1, 4], integer: true}
  flour: {choices: [wheat, rye, spelt], likely: rye}
  spice:
    choices:
      - {name: clove, heat: 3}
      - {name: mint, heat: 0}
  tin: {choices: tins.csv, descriptors: [area]}
  layers: {integer: [1, 12]}
  feed: {range: [0, 1], unit: 1/min}
  salt: {choices: ['[BMIM][BF4]', '007', '[Na+].[Cl-]']}
  ion: {choices: ['[NH4+]', '[BMIM][PF6]', '{a}'], likely: '{a}'}
  shift: {choices: [-2, -1, 0]}
  years: {choices: [2020, '2021']}
constraints: [eggs + layers >= 3, sugar >= 12]
outcomes:
  height: {goal: maximize, unit: mm, from: told, weight: 2}
budget: {trials: 30, time: 2 d}
"""


@pytest.mark.parametrize(
    ("typed", "old", "new"),
    [
        ("parameters.sugar.range=20 to 60 g", "[10, 90]", "[20 g, 60 g]"),
        ("parameters.sugar.range=20 60", "[10, 90]", "[20, 60]"),
        ("parameters.sugar.range=[2.5, 6e1]", "[10, 90]", "[2.5, 60.0]"),
        ("parameters.sugar.range = 20 g to 0.06 kg", "[10, 90]", "[20 g, 0.06 kg]"),
        ("parameters.sugar.range=-5 to -1", "[10, 90]", "[-5, -1]"),
        ("parameters.flour.choices=rye, oat", "[wheat, rye, spelt]", "[rye, oat]"),
        ("parameters.flour.choices=+oat, -rye", "[wheat, rye, spelt]", "[wheat, spelt, oat]"),
        ("parameters.flour.choices=-wheat", "[wheat, rye, spelt]", "[rye, spelt]"),
        ("parameters.flour.choices=1, 2.5", "[wheat, rye, spelt]", "['1', '2.5']"),
        ("parameters.flour.choices=[-rye, [wheat]]", "[wheat, rye, spelt]", "[-rye, '[wheat]']"),
        ("parameters.flour.choices='a, b', \"c's\", 5'-d", "[wheat, rye, spelt]", "['a, b', c's, 5'-d]"),
        ("parameters.flour.choices=+'it''s, -x', -rye", "[wheat, rye, spelt]", "[wheat, spelt, \"it's, -x\"]"),
        ("constraints=+sugar <= 50 g; -eggs  + layers >= 3", "[eggs + layers >= 3, sugar >= 12]",
         "[sugar >= 12, sugar <= 50 g]"),
        ("constraints=eggs <= 3; sugar <= 30", "[eggs + layers >= 3, sugar >= 12]", "[eggs <= 3, sugar <= 30]"),
        ("constraints=[-eggs >= -3]", "[eggs + layers >= 3, sugar >= 12]", "[-eggs >= -3]"),
        ("constraints=", "constraints: [eggs + layers >= 3, sugar >= 12]\n", ""),
        ("parameters.sugar.likely=40 g within 5", "{value: 30, within: 10}", "{value: 40 g, within: 5}"),
        ("parameters.flour.likely=rye, spelt", "likely: rye", "likely: [rye, spelt]"),
        ("parameters.flour.likely=wheat", "likely: rye", "likely: wheat"),
        ("parameters.flour.likely={rye: 3, wheat: 2}", "likely: rye", "likely: {rye: 3, wheat: 2}"),
        ("parameters.flour.likely=[rye, spelt]", "likely: rye", "likely: [rye, spelt]"),
        ("parameters.ion.likely=[NH4+]", "likely: '{a}'", "likely: '[NH4+]'"),
        ("parameters.ion.likely=[BMIM][PF6]", "likely: '{a}'", "likely: '[BMIM][PF6]'"),
        ("parameters.ion.likely=[BMIM][PF6], [NH4+]", "likely: '{a}'", "likely: ['[BMIM][PF6]', '[NH4+]']"),
        ("parameters.ion.likely=[[NH4+], {a}]", "likely: '{a}'", "likely: ['[NH4+]', '{a}']"),
        ("parameters.sugar.step=2.5", "step: 5", "step: 2.5"),
        ("parameters.layers.range=1 to 15", "[1, 12]", "[1, 15]"),
        ("parameters.layers.integer=2 15", "[1, 12]", "[2, 15]"),
        ("parameters.layers.integer=[1, 15]", "[1, 12]", "[1, 15]"),
        ("parameters.feed.range=0 to 2 1/min", "[0, 1]", "[0 1/min, 2 1/min]"),
        ("parameters.feed.range=1 1/min to 2 1 / h", "[0, 1]", "[1 1/min, 2 1 / h]"),
        ("parameters.salt.choices=+[BMIM][PF6], -[BMIM][BF4]", "['[BMIM][BF4]', '007', '[Na+].[Cl-]']",
         "['007', '[Na+].[Cl-]', '[BMIM][PF6]']"),
        ("parameters.salt.choices=[Na+].[Cl-], 007, 010", "['[BMIM][BF4]', '007', '[Na+].[Cl-]']",
         "['[Na+].[Cl-]', '007', '010']"),
        ("parameters.salt.choices=[[BMIM][BF4], [K+].[Cl-]]", "['[BMIM][BF4]', '007', '[Na+].[Cl-]']",
         "['[BMIM][BF4]', '[K+].[Cl-]']"),
        ("parameters.shift.choices=-2, -1, -3", "[-2, -1, 0]", "[-2, -1, -3]"),
        ("parameters.shift.choices=+3, --1", "[-2, -1, 0]", "[-2, 0, 3]"),
        ("parameters.years.choices=2021, 2022", "[2020, '2021']", "['2021', 2022]"),
        ("outcomes.height.weight=3", "weight: 2", "weight: 3"),
        ("outcomes.height.weight=", ", weight: 2}", "}"),
        ("outcomes.height.limit=>= 12", "weight: 2}", "weight: 2, limit: '>= 12'}"),
        ("outcomes.height.goal={target: 50 mm, tolerance: 2}", "goal: maximize", "goal: {target: 50 mm, tolerance: 2}"),
        ("budget.trials=60", "trials: 30", "trials: 60"),
        ("budget.time=36 h", "time: 2 d", "time: 36 h"),
        ("title=A cake", "time: 2 d}\n", "time: 2 d}\ntitle: A cake\n"),
    ],
)  # fmt: skip
def test_one_place_is_another_and_all_else_as_it_was(typed: str, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert rewritten(rewritten(TEXT, []), [typed]) == rewritten(TEXT, []).replace(old, new)


def test_several_at_once_and_a_section_that_was_not_there() -> None:
    typed = ["budget.trials=40", "stop_when.no_improvement=20 trials", "parameters.spice.choices=-mint"]
    changed = rewritten(TEXT, typed)
    assert "trials: 40" in changed and "stop_when:\n  no_improvement: 20 trials" in changed
    assert "clove" in changed and "mint" not in changed and "# white" in changed


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("budget.trials", "no PLACE=VALUE"),
        ("constraints=-eggs >= -3", "there is no eggs >= -3. There: eggs [+] layers >= 3; sugar >= 12. .*in brackets"),
        ("budget..trials=4", "no PLACE=VALUE"),
        ("parameters.sugr.range=1 to 2", r"no parameters.sugr. There: sugar, eggs, flour"),
        ("parameters.sugar.range=1 to", "is no range"),
        ("parameters.sugar.range=much", "is no range"),
        ("parameters.flour.choices=-oat", "there is no oat. There: wheat, rye, spelt"),
        ("parameters.flour.choices=rye,,oat", "an empty place"),
        ("parameters.flour.choices=rye, +", "an empty place"),
        ("parameters.tin.choices=+round", "stands in a file"),
        ("campaign.x=1", "campaign is one value"),
        ("outcomes.height.limit=", "nothing to be taken out. There: goal, unit"),
        ("outcomes.height.goal={target: !x 5}", "the tag .* is refused"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_said(typed: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        rewritten(TEXT, [typed])
