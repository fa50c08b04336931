"""One instrument in a small campaign in virtual time, on a bench that outlives the runner, and what befalls its line.

The instrument is ``it``, put together from the stand that its driver's own tests use; a balance on a line of its own
gives the outcome. A run is a whole one, through session.begin and session.resume, in this process.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaigns import ROOT
from labloop.bench import Driver, InProcessLink, InProcessMessageLink, Port
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import read_lab
from labloop.planner.inline import InlinePlanner
from labloop.runner import session
from labloop.runner.benches import simulation_plan
from labloop.runner.clock import VirtualClock
from labloop.runner.connect import Bench
from labloop.runner.parts import Parts
from labloop.simulation.bench import SimulatedBench
from tests.drivers.stand import stand_of

IT = "it"
# What can be added up: an act that did less has done less of it. Of others (degC, V) the ledger tells where they stood.
ADDS_UP = ("uL", "mL", "nm", "mm", "C", "s")
# What two runs of the same act differ by: the beat of the looks at a flow, a counter's last digit.
ALIKE = 0.03


@dataclass(frozen=True)
class Span:
    """What the device did from one beginning to its end (``over`` False: it goes on)."""

    amount: float
    unit: str
    over: bool = True


@dataclass
class Solo:
    """The bench of one driver. ``facts``: of all its runs. ``calls``: how often its line was used within the step.

    ``befalls``: at the call ``at`` (0: never) of the step this is done to it. ``serial``: the lab file asks for it.
    """

    folder: Path
    driver: type[Driver]
    at: int = 0
    serial: str = ""
    befalls: Callable[["Solo"], None] = lambda solo: None
    facts: list[Any] = field(default_factory=list)
    calls: int = 0

    def __post_init__(self) -> None:
        stand = stand_of(self.driver)
        self.port = stand.port
        self.action = self.driver.declare(stand.options)[stand.act[0]]
        self._write()
        self.clock = VirtualClock()
        self.bench = SimulatedBench(simulation_plan(read_lab(self.folder / "lab.yaml")), self.clock)
        self.line = self.bench.lines[self.port]
        self.device = self.bench.devices[IT]
        usual = self.line.receive

        def receive(*said: Any) -> Any:
            if self._runs_the_step():
                self.calls += 1
                if self.calls == self.at:
                    self.befalls(self)
            return usual(*said)

        self.line.receive = receive

    def _write(self) -> None:
        stand = stand_of(self.driver)
        name, settings = stand.act
        it = {
            "driver": f"{self.driver.__module__}:{self.driver.__name__}", "simulator": stand.simulator,
            "port": stand.port, **stand.options, "simulation": dict(stand.simulation),
        }  # fmt: skip
        if self.serial:
            it["serial"] = self.serial
        pan = {
            "driver": "drivers.sartorius:SBI", "simulator": "simulators.sartorius:SBI",
            "port": "serial:///dev/pan?baud=9600&bytesize=8&parity=O", "simulation": {"load": "3.2 g"},
        }  # fmt: skip
        lab = {"labloop": 1, "name": "solo", "root": str(ROOT), "instruments": {IT: it, "pan": pan}}
        written = {name: f"{value} {unit}" if unit else value for name, (value, unit) in settings.items()}
        saved = {"save_as": "said"} if self.action.gives else {}
        campaign = {
            "labloop": 1,
            "campaign": "solo",
            "lab": "lab.yaml",
            "parameters": {"x": {"range": [0, 1]}},
            "outcomes": {"mass": {"goal": "maximize", "unit": "g", "from": "weighed"}},
            "trial": [{f"{IT}.{name}": written | saved}, {"pan.weigh": {"save_as": "weighed"}}],
            "design": {"initial": {"method": "sobol", "trials": 1}, "seed": 7},
            "budget": {"trials": 1},
        }
        (self.folder / "lab.yaml").write_text(json.dumps(lab))
        (self.folder / "campaign.yaml").write_text(json.dumps(campaign))

    def run(self) -> int:
        """Begin, or go on; the exit code."""
        parts = Parts(
            planner=lambda spec, folder: InlinePlanner(spec, folder), clock=lambda *_: self.clock, bench=self._connected
        )
        run = self.folder / "run"
        if run.exists():
            return session.resume(run, listen=self._listen, parts=parts)
        order = session.Order(campaign=self.folder / "campaign.yaml", run=run, virtual=True)
        return session.begin(order, self._listen, parts)

    def pass_time(self, seconds: float) -> None:
        """Let the devices go on while nobody runs."""
        self.clock.advance_to(self.clock.now_s() + seconds)
        self.bench.settle(self.clock.now_s())

    @property
    def steps(self) -> list[s.StepState]:
        return [step for step in self.state.steps.values() if step.begun.instrument == IT]

    @property
    def finished(self) -> list[s.StepState]:
        return [step for step in self.steps if step.state == s.FINISHED]

    @property
    def spans(self) -> list[Span]:
        """What the device did, in order; what came to nothing is left out."""
        begun: dict[str, Any] = {}
        spans = []
        for entry in (one for one in self.bench.ledger.entries if one.instrument == IT):
            if entry.phase == "begin":
                begun[entry.act] = entry
            else:
                begun.pop(entry.act, None)
                spans.append(Span(entry.amount, entry.unit))
        spans += [Span(entry.amount, entry.unit, over=False) for entry in begun.values()]
        return [span for span in spans if not (span.over and span.unit in ADDS_UP and span.amount < 1e-3)]

    @property
    def said(self) -> list[str]:
        """What the run said of what went wrong."""
        told = [fact.reason for fact in self.facts if isinstance(fact, e.StepFailed | e.InstrumentLost)]
        asked = [fact.question for fact in self.facts if isinstance(fact, e.StepInDoubt)]
        return [*told, *asked, self.state.reason]

    def _listen(self, record: e.Record, state: s.CampaignState) -> None:
        self.facts.append(record.event)
        self.state = state

    def _runs_the_step(self) -> bool:
        return bool(self.facts) and any(step.state == s.STARTED for step in self.steps)

    @contextmanager
    def _connected(self, *_: Any) -> Iterator[Bench]:
        def connect(address: str) -> Port:
            line = self.bench.lines[address]
            link = InProcessLink if line.kind == "serial" else InProcessMessageLink
            return Port(link(address, line, self.clock), inline=True)

        yield Bench(connect=connect)


def wrong_in(it: Solo, whole: Solo) -> list[str]:
    """Where journal and device say different things, held against a run that nothing befell; empty: they agree."""
    (right,), (ideal,) = whole.spans or [None], whole.finished
    wrong = []
    for step in it.finished:
        for name, wished in ideal.achieved.items():
            got = step.achieved.get(name)
            if got is not None and not _like(name, got.value, wished.value):
                wrong.append(f"{step.begun.step} is finished with {name} = {got.value} where {wished.value} is right")
        for name, reading in ideal.readings.items():
            got = step.readings.get(name)
            if isinstance(reading.value, float) and got is not None and not _like(name, got.value, reading.value):
                wrong.append(f"{step.begun.step} read {name} = {got.value} where {reading.value} is right")
    if right is None:
        return wrong
    wholes = [span for span in it.spans if not span.over or _as_much(span, right)]
    if len(wholes) < len(it.finished):
        wrong.append(f"{len(it.finished)} steps are finished, and the device did {it.spans}; {right} is a whole one")
    if right.unit in ADDS_UP and len(it.spans) > len(it.steps):
        wrong.append(f"it did {it.spans}, and {len(it.steps)} steps were begun")
    amount = it.action.amount
    if amount and all(step.state in (s.FINISHED, s.FAILED) for step in it.steps):
        told = sum(float(step.achieved[amount].value) for step in it.steps if amount in step.achieved)
        done = sum(span.amount for span in it.spans)
        if abs(told - done) > ALIKE * right.amount:
            wrong.append(f"it did {done:g} {right.unit}, and the journal says {told:g}")
    return wrong


def _as_much(span: Span, right: Span) -> bool:
    if right.unit in ADDS_UP:
        return span.amount >= (1.0 - ALIKE) * right.amount
    return alike(span.amount, right.amount)


def _like(name: str, said: Any, right: Any) -> bool:
    """A condition that was kept on while nobody could look was kept for longer, and that is what is told."""
    if name in ("time", "charge"):
        return bool(said >= (1.0 - ALIKE) * right)
    return alike(said, right)


def alike(one: Any, other: Any) -> bool:
    if not isinstance(one, float) or not isinstance(other, float):
        return bool(one == other)
    return abs(one - other) <= ALIKE * abs(other) + 1e-9
