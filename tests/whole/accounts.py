"""The devices' ledger held against the journal: every act once, amounts equal, no trial lost."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import CampaignSpec, read_spec
from labloop.campaign.units import convert
from labloop.campaign.view import best_trials

# Two looks at a New Era's counters, each good to a unit of its last digit, which is 0.1 uL from 100 uL on.
NEAR_UL = 0.16
# What sets a state, which a safe state takes back and the next start sets again: to reach it twice is no second act.
SET = ("heat", "stir")
# Below this a pump that was told to run and to stop at the same moment has done nothing.
NOTHING_UL = 0.0016


def acts(ledger: Iterable[Any]) -> dict[tuple[str, str], list[float]]:
    """{(instrument, act): what each act came to, in order}; acts that came to nothing are left out."""
    done: dict[tuple[str, str], list[float]] = defaultdict(list)
    for entry in ledger:
        if entry.phase == "end" and not (entry.unit == "uL" and entry.amount < NOTHING_UL) and entry.amount > 0:
            done[entry.instrument, entry.act].append(entry.amount)
    return done


def disagreements(ledger: Sequence[Any], state: s.CampaignState, power_cuts: int = 0) -> list[str]:
    """Where the devices and the journal say different things; empty: they agree.

    A heater that a power cut has switched off while it was being switched on may be switched on again in the same step:
    that is a state, and reaching it twice is no second act.
    """
    wrong: list[str] = []
    done = acts(ledger)
    begun: dict[tuple[str, str], list[s.StepState]] = defaultdict(list)
    for step in state.steps.values():
        begun[step.begun.instrument, step.begun.action].append(step)
    for act, amounts in done.items():
        if act[1] in ("dispense", "withdraw"):
            wrong += _pumped(act, amounts, begun[act])
        elif act[1] == "rinse":
            wrong += _whole(act, [a for a in amounts if a > 1.9999], begun[act])
            if len(amounts) > len(begun[act]):
                wrong.append(f"{act}: done {len(amounts)} times, and begun {len(begun[act])} times in the journal")
    heated = sum(entry.act == "hold" and entry.phase == "begin" for entry in ledger)
    told = len(begun["hotplate", "hold"]) + len(begun["hotplate", "heat"]) + power_cuts
    if heated > told:
        wrong.append(f"the hotplate was switched on {heated} times, and the journal knows {told}")
    return wrong


def _pumped(act: tuple[str, str], amounts: list[float], steps: list[s.StepState]) -> list[str]:
    """Every act of the pump is one step's, in order, with the same amount."""
    told = []
    for step in steps:
        if step.state in (s.STARTED, s.IN_DOUBT):
            return [] if len(amounts) <= len(steps) else [f"{act}: {len(amounts)} acts, {len(steps)} steps"]
        volume = float(step.achieved["volume"].value) if "volume" in step.achieved else 0.0
        if volume >= NOTHING_UL:
            told.append(volume)
    if len(told) != len(amounts) or any(abs(a - b) > NEAR_UL for a, b in zip(amounts, told, strict=False)):
        return [f"{act}: the pump did {amounts}, and the journal says {told}"]
    return []


def _whole(act: tuple[str, str], amounts: list[float], steps: list[s.StepState]) -> list[str]:
    finished = sum(step.state == s.FINISHED for step in steps)
    unsure = sum(step.state in (s.STARTED, s.IN_DOUBT) for step in steps)
    if not finished <= len(amounts) <= finished + unsure:
        return [f"{act}: done whole {len(amounts)} times, and the journal says {finished}"]
    return []


def lost_trials(state: s.CampaignState) -> list[str]:
    """Trials that are neither over nor waiting for a person; empty: none."""
    wrong = []
    for number, trial in state.trials.items():
        if trial.state not in (s.MEASURED, s.FAILED, s.ABANDONED) or not trial.closed:
            wrong.append(f"trial {number} is {trial.state}" + ("" if trial.closed else ", and not cleaned up"))
    if "attempts were made" in state.reason:  # the budget ended it: what was spoilt last stays so
        return wrong
    again = {trial.proposal.again_of for trial in state.trials.values()}
    for number, trial in state.trials.items():
        if trial.state == s.ABANDONED and trial.again and number not in again:
            wrong.append(f"trial {number} was abandoned, and its settings were never tried again")
    return wrong


def done_twice(state: s.CampaignState) -> list[str]:
    """Places of a trial's recipe that finished more than once."""
    finished: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for step in state.steps.values():
        begun = step.begun
        if step.state == s.FINISHED and begun.action not in SET and not begun.settings.keys() & step.remainder.keys():
            finished[begun.trial, begun.number, begun.phase, begun.stage, begun.index].append(begun.step)
    return [f"{' and '.join(names)} are the same step" for names in finished.values() if len(names) > 1]


def outcomes(state: s.CampaignState, name: str) -> dict[tuple[Any, ...], float]:
    """{settings: outcome} of the measured candidates: the same whatever number a trial got."""
    return {
        tuple(trial.settings.values()): float(trial.outcomes[name].value or 0.0)
        for trial in state.trials.values()
        if trial.state == s.MEASURED and trial.role == "candidate"
    }


def wrong_outcomes(state: s.CampaignState, whole: s.CampaignState, name: str) -> list[str]:
    """Outcomes that differ from those of a run that nothing befell, by more than the detector's noise."""
    right, found = outcomes(whole, name), outcomes(state, name)
    return [
        f"{settings}: {value:.4f} was measured where {right[settings]:.4f} is right"
        for settings, value in found.items()
        if settings in right and abs(value - right[settings]) > 0.002
    ]


def best_settings(campaign: Path, state: s.CampaignState) -> dict[str, e.Value]:
    """The settings of the best trial."""
    spec: CampaignSpec = read_spec(campaign)
    (best,) = best_trials(spec, state)
    return dict(best.settings)


def not_as_wished(state: s.CampaignState) -> list[str]:
    """Measured trials whose sample did not get what its recipe says, all attempts at a step added up."""
    wrong = []
    for number, trial in state.trials.items():
        if trial.state != s.MEASURED:
            continue
        got: dict[tuple[int, int], float] = defaultdict(float)
        wished: dict[tuple[int, int], float] = {}
        for step in trial.steps:
            if step.begun.action == "dispense":
                place = step.begun.stage, step.begun.index
                got[place] += float(step.achieved["volume"].value) if "volume" in step.achieved else 0.0
                wished.setdefault(place, _wished_ul(step.begun.settings))
        wrong += [
            f"trial {number}, step {place}: {got[place]:.4g} uL where {ul:.4g} uL were wished"
            for place, ul in wished.items()
            if abs(got[place] - ul) > NEAR_UL
        ]
    return wrong


def _wished_ul(settings: dict[str, e.Amount]) -> float:
    if "volume" in settings:
        return convert(float(settings["volume"].value), settings["volume"].unit, "uL")
    rate_ul_min = convert(float(settings["rate"].value), settings["rate"].unit, "uL/min")
    return rate_ul_min * convert(float(settings["time"].value), settings["time"].unit, "min")
