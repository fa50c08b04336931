"""A campaign whose bench cannot be made safe at its end: the exit code, the words and ``status`` say so."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labloop.bench import Action, Driver, Identity, InstrumentFault, Progress, Setting, Signal
from labloop.campaign import events as e
from labloop.cli.lines import LineView
from labloop.dashboard.view import notices
from labloop.planner.inline import InlinePlanner
from labloop.runner import session
from labloop.runner.clock import VirtualClock
from labloop.runner.connect import virtual_bench
from labloop.runner.left import known_safe, left_by
from labloop.runner.look import see
from labloop.runner.parts import Parts

from .conftest import HOUSE

PARTS = Parts(planner=lambda spec, path: InlinePlanner(spec, path))
LAB = f"""
labloop: 1
name: stuck
root: {HOUSE}
instruments:
  oven:  {{driver: "stuck_oven:Oven", simulator: "simulators.ika:RCT", port: "serial:///dev/oven?baud=9600"}}
  meter: {{driver: "stuck_oven:Meter", simulator: "simulators.ika:RCT", port: "serial:///dev/meter?baud=9600"}}
"""
CAMPAIGN = """
labloop: 1
campaign: stuck
lab: lab.yaml
parameters:
  x: {range: [0, 1]}
outcomes:
  y: {goal: maximize, from: mass, unit: g}
trial:
  - oven.weigh: {x: $x}
  - meter.weigh: {x: $x}
    save_as: mass
design: {initial: {method: random, trials: 2}, seed: 3}
budget: {trials: 2, attempts: 2}
"""
MASS = Signal(name="mass", unit="g")
WHY = "oven.stop: its relay sticks"


class Meter(Driver):
    """Weighs; ``weighs`` None: it has nothing to say."""

    kind = "meter"
    signals = (MASS,)
    weighs: float | None = 1.0

    @classmethod
    def declare(cls, options: Any) -> dict[str, Action]:
        x = Setting(name="x", argument="x", low=0.0, high=1.0)
        return {"weigh": Action(name="weigh", settings=(x,), gives=(MASS,), repeatable=True)}

    def open(self) -> Identity:
        return Identity(model=self.kind)

    def weigh(self, x: float) -> None:
        """It stands on the pan."""

    def progress(self, elapsed_s: float) -> Progress:
        return Progress(done=True, readings={"mass": e.Reading(value=self.weighs, unit="g")})

    def stop(self) -> None:
        """Nothing to stop."""


class Oven(Meter):
    """A meter whose stop() goes wrong while ``sticks``."""

    sticks = True

    def stop(self) -> None:
        if self.sticks:
            raise InstrumentFault("its relay sticks", kind="stuck")


@pytest.fixture
def stuck(here: Path, monkeypatch: pytest.MonkeyPatch) -> session.Order:
    monkeypatch.setitem(sys.modules, "stuck_oven", sys.modules[__name__])
    (here / "lab.yaml").write_text(LAB)
    (here / "plan.yaml").write_text(CAMPAIGN)
    return session.Order(campaign=here / "plan.yaml", run=here / "run", virtual=True)


def go(order: session.Order) -> int:
    assert order.run is not None
    view = LineView(order.run, order.campaign)
    return view.end(session.begin(order, view, PARTS))


def test_a_finished_run_whose_bench_is_not_safe_does_not_end_with_0(
    stuck: session.Order, labloop: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go(stuck) == 3
    said = capsys.readouterr().err
    assert f"LOOK AT THE BENCH: not all of it was made safe (the budget of 2 trials is measured)\n    {WHY}" in said
    assert (
        "finished: the budget of 2 trials is measured (exit 3, an instrument was lost or refused, and not all of the "
        "bench is known to be safe)"
    ) in said
    document = labloop("status", "run", "--json").document
    assert (document["state"], document["exit_code"], document["safe"]) == ("finished", 3, False)
    assert document["unsafe"] == [{"instrument": "oven", "why": WHY}]
    assert document["trials"]["measured"] == 2, "what was measured is measured"
    assert f"\nNOT SAFE: {WHY}\n" in labloop("status", "run").out
    seen = see(Path("run"))
    urgent = notices(seen.spec, seen.state, "gone", "run")[0]
    assert "not all of it was made safe" in urgent.title and urgent.lines == (WHY,)


def test_where_it_is_made_safe_again_nothing_is_left_of_it(
    stuck: session.Order, labloop: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go(stuck) == 3
    monkeypatch.setattr(Oven, "sticks", False)
    assert go(stuck) == 0
    assert "(exit 0, done)" in capsys.readouterr().err
    document = labloop("status", "run", "--json").document
    assert (document["exit_code"], document["safe"], document["unsafe"]) == (0, True, [])
    assert "NOT SAFE" not in labloop("status", "run").out


def test_a_run_in_which_nothing_was_measured_says_what_is_worse(
    stuck: session.Order, labloop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Meter, "weighs", None)
    assert go(stuck) == 3
    monkeypatch.setattr(Oven, "sticks", False)
    assert go(stuck) == 1
    document = labloop("status", "run", "--json").document
    assert (document["state"], document["exit_code"]) == ("finished", 1), "as its process ended"


def test_a_live_run_that_left_its_bench_unsafe_does_not_give_it_back(
    stuck: session.Order, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(
        planner=PARTS.planner, clock=lambda opened, state, note: VirtualClock(state.t_s),
        bench=lambda folder, lab, opened, clock: virtual_bench(folder, lab, opened, clock),
    )  # fmt: skip
    monkeypatch.setattr(session, "_guarding", lambda folder, opened, memory: None)
    live = replace(stuck, virtual=False, live=True)
    assert session.begin(live, parts=parts) == 3
    held = left_by(here / "run")
    assert held is not None and (held.by, held.pid, held.released) == ("runner", 0, False), "an abort tries again"
    assert not known_safe(here / "run")
    monkeypatch.setattr(Oven, "sticks", False)
    assert session.begin(live, parts=parts) == 0
    assert left_by(here / "run") is None and known_safe(here / "run")
