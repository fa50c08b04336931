"""A story for the model's figures: a mixture, choices, a condition, a constraint, a front under a limit."""

from pathlib import Path

from labloop.campaign import events as e
from labloop.campaign.events import Reading

from .story import Story

CAMPAIGN = """\
labloop: 1
campaign: kitchen
title: A mixture with a base that only one solvent takes
parameters:
  mix: {mixture: [water, ethanol, toluene], sum: 100, unit: percent}
  temperature: {range: [20, 80], unit: degC}
  solvent: {choices: [DMF, DMSO, NMP]}
  dose: {range: [0.1, 10], unit: mg, scale: log, active_when: solvent == DMF}
constraints: [water <= 70 percent]
outcomes:
  yield: {goal: maximize, from: told, unit: percent}
  cost: {goal: minimize, from: told, limit: <= 60}
budget: {trials: 40}
"""
# Places of 24 trials in the unit cube, by a plain recurrence (Roberts, 2018): the same on every machine.
STEPS = (0.7549, 0.5698, 0.6180, 0.4142, 0.3247)


def kitchen(folder: Path) -> Story:
    """24 trials told by a person, one more is open."""
    story = Story(folder, mode="told", campaign=CAMPAIGN)
    story.say(e.RunStarted())
    for number in range(1, 26):
        settings = _settings(number)
        source = "sobol" if number <= 8 else "model"
        story.say(e.ProposalMade(trial=number, sample=f"s{number}", settings=settings, source=source))
        if number < 25:
            outcomes = {
                "yield": Reading(value=_yield(settings), unit="percent"),
                "cost": Reading(value=_cost(settings)),
            }
            story.say(e.TrialMeasured(trial=number, outcomes=outcomes, by="jon"))
    return story


def _settings(number: int) -> dict[str, e.Value]:
    a, b, c, d, f = ((0.5 + number * step) % 1.0 for step in STEPS)
    water = round(70.0 * a, 2)
    ethanol = round((100.0 - water) * b, 2)
    settings: dict[str, e.Value] = {
        "water": water, "ethanol": ethanol, "toluene": round(100.0 - water - ethanol, 2),
        "temperature": round(20.0 + 60.0 * c, 1), "solvent": ("DMF", "DMSO", "NMP")[int(3 * d)],
    }  # fmt: skip
    if settings["solvent"] == "DMF":
        settings["dose"] = round(0.1 * 100.0**f, 3)
    return settings


def _yield(settings: dict[str, e.Value]) -> float:
    water, ethanol, temperature = (float(settings[name]) for name in ("water", "ethanol", "temperature"))
    return round(water * ethanol / 40 - (temperature - 55) ** 2 / 60 + 3 * float(settings.get("dose", 0.0)), 2)


def _cost(settings: dict[str, e.Value]) -> float:
    return round(float(settings["toluene"]) * 0.6 + float(settings["temperature"]) / 4, 2)
