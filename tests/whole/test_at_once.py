"""Trials whose ends fall on the same instant: each is recorded with its own outcome, in one order, and both teach."""

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from campaigns import ROOT, records
from labloop.bench import Action, Driver, Identity, InstrumentFault, Progress, Setting, Signal
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import read_spec
from labloop.planner.inline import InlinePlanner
from labloop.runner import session
from labloop.runner.parts import Parts

PARTS = Parts(planner=lambda spec, path: InlinePlanner(spec, path))
LAB = f"""
labloop: 1
name: twins
root: {ROOT}
instruments:
  meter: {{driver: "twin_ovens:Meter", simulator: "simulators.ika:RCT", port: "serial:///dev/meter?baud=9600"}}
  left:  {{driver: "twin_ovens:Oven", simulator: "simulators.ika:RCT", port: "serial:///dev/left?baud=9600"}}
  right: {{driver: "twin_ovens:Oven", simulator: "simulators.ika:RCT", port: "serial:///dev/right?baud=9600"}}
samples: pipelined
"""
# In which oven a trial ends is decided by x, and of a Sobol sequence's pairs one point lies in each half: two trials
# are in flight, are in an oven each from the same instant on, and for equally long.
CAMPAIGN = """
labloop: 1
campaign: twins
lab: lab.yaml
parameters:
  x: {range: [0, 1]}
outcomes:
  y: {goal: maximize, from: mass, unit: g}
trial:
  - meter.weigh: {x: $x}
    save_as: mass
  - left.dry: {x: $x}
    when: x < 0.5
  - right.dry: {x: $x}
    when: x >= 0.5
design: {initial: {method: sobol, trials: 6}, batch: 2, seed: 3}
budget: {trials: 8, attempts: 8}
teaches: [no_product]
"""
X = Setting(name="x", argument="x", low=0.0, high=1.0)
MASS = Signal(name="mass", unit="g")


class Meter(Driver):
    """Weighs what a sample of these settings weighs, in no time."""

    kind = "meter"
    signals = (MASS,)

    @classmethod
    def declare(cls, options: Any) -> dict[str, Action]:
        return {"weigh": Action(name="weigh", settings=(X,), gives=(MASS,), repeatable=True)}

    def open(self) -> Identity:
        return Identity(model=self.kind)

    def weigh(self, x: float) -> None:
        self.x = x

    def progress(self, elapsed_s: float) -> Progress:
        return Progress(done=True, readings={"mass": e.Reading(value=weight(self.x), unit="g")})

    def stop(self) -> None:
        """Nothing to stop."""


class Oven(Driver):
    """Dries for ten seconds. ``spoils``: settings of which nothing is left then."""

    kind = "oven"
    spoils: tuple[float, float] = (2.0, 2.0)

    @classmethod
    def declare(cls, options: Any) -> dict[str, Action]:
        return {"dry": Action(name="dry", settings=(X,), repeatable=True)}

    def open(self) -> Identity:
        return Identity(model=self.kind)

    def dry(self, x: float) -> None:
        self.x = x

    def progress(self, elapsed_s: float) -> Progress:
        if elapsed_s < 10.0:
            return Progress(done=False, again_in_s=10.0 - elapsed_s)
        if self.spoils[0] <= self.x <= self.spoils[1]:
            raise InstrumentFault(f"nothing is left of {self.x:.6f}", kind="no_product")
        return Progress(done=True)

    def stop(self) -> None:
        """Nothing to stop."""


def weight(x: float) -> float:
    return 1.0 - (x - 0.3) ** 2


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoils: tuple[float, float] = (2.0, 2.0), more: str = ""
) -> tuple[int, list[e.Record]]:
    monkeypatch.setitem(sys.modules, "twin_ovens", sys.modules[__name__])
    monkeypatch.setattr(Oven, "spoils", spoils)
    folder.mkdir()
    (folder / "lab.yaml").write_text(LAB)
    (folder / "plan.yaml").write_text(CAMPAIGN + more)
    order = session.Order(campaign=folder / "plan.yaml", run=folder / "run", virtual=True)
    return session.begin(order, parts=PARTS), records(folder / "run")


def ends(facts: list[e.Record]) -> list[tuple[e.Record, e.Record]]:
    """The ends of trials that fell on one instant, two by two, in the journal's order."""
    found = [fact for fact in facts if isinstance(fact.event, e.TrialMeasured | e.TrialFailed | e.TrialAbandoned)]
    return [(one, two) for one, two in itertools.pairwise(found) if one.event.t_s == two.event.t_s]


def planned(folder: Path, facts: list[e.Record], first: int) -> dict[str, e.Value]:
    """What the planner proposes on these facts."""
    planner = InlinePlanner(read_spec(folder / "plan.yaml"))
    planner.send_facts(facts)
    (proposal,) = planner.request(1, first=first).result()
    return proposal.settings


def test_both_are_recorded_with_their_own_outcome_and_in_the_order_they_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, facts = run(tmp_path / "one", monkeypatch)
    state = s.fold(facts)
    assert code == 0 and state.measured == 8
    pairs = ends(facts)
    assert len(pairs) >= 3, "nothing ended at once"
    for trial in state.trials.values():
        assert trial.outcomes["y"].value == weight(float(trial.settings["x"]))
    done = [state.steps[fact.event.step].begun for fact in facts if isinstance(fact.event, e.StepFinished)]
    measured = [fact.event.trial for fact in facts if isinstance(fact.event, e.TrialMeasured)]
    assert measured == [begun.trial for begun in done if begun.action == "dry"]
    again = run(tmp_path / "two", monkeypatch)[1]
    assert len(again) == len(facts)
    for mine, other in zip(facts[1:], again[1:], strict=True):  # the first one has the run's own name
        assert mine == other


def test_both_teach_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, facts = run(tmp_path / "one", monkeypatch)
    state = s.fold(facts)
    seventh = state.trials[7].proposal
    assert seventh.source == "model"
    before = [fact for fact in facts if fact.seq < state.trials[7].seq]
    one, two = ends(before)[-1]
    assert seventh.based_on == two.seq, "the later of both is the last result it knew"
    assert planned(tmp_path / "one", before, 7) == seventh.settings
    for taught in (one, two):  # with another outcome it proposes something else
        other = replace(taught.event, outcomes={"y": e.Reading(value=2.0, unit="g")})
        changed = [replace(fact, event=other) if fact.seq == taught.seq else fact for fact in before]
        assert planned(tmp_path / "one", changed, 7) != seventh.settings


def test_one_that_fails_teaches_beside_one_that_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, facts = run(tmp_path / "one", monkeypatch, spoils=(0.5, 1.0))
    state = s.fold(facts)
    assert code == 0
    before = [fact for fact in facts if fact.seq < state.trials[7].seq]
    pairs = ends(before)
    assert [{type(one.event), type(two.event)} for one, two in pairs] == [{e.TrialFailed, e.TrialMeasured}] * 3
    known = s.fold(before)
    assert sum(trial.state == s.FAILED for trial in known.trials.values()) == 3
    assert state.trials[7].proposal.based_on == max(pairs[-1][0].seq, pairs[-1][1].seq)


def test_the_last_failure_is_the_one_that_was_recorded_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, facts = run(tmp_path / "one", monkeypatch, spoils=(0.0, 1.0), more="stop_when: {failures_in_a_row: 2}\n")
    ((one, two),) = ends(facts)
    assert code == 3 and one.event.trial != two.event.trial
    assert one.event.reason != two.event.reason
    assert s.fold(facts).reason == f"2 trials in a row came to nothing; the last: {two.event.reason}"
