"""Virtual runs in this process, on a bench whose devices a test can reach and whose lines it can hear.

A bench lasts as long as a test wants it to: several runs, and acts in between, find it as it was left.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType
from typing import Any

from labloop.bench import InProcessLink, InProcessMessageLink, Port
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import read_lab
from labloop.journal import Reader
from labloop.planner.errors import PlannerError
from labloop.runner import session
from labloop.runner.benches import simulation_plan
from labloop.runner.clock import VirtualClock
from labloop.runner.connect import Bench
from labloop.runner.parts import Parts, lab_clock
from labloop.simulation.bench import SimulatedBench

ROOT = Path(__file__).resolve().parents[2]
PUMP = (
    'driver: "drivers.new_era:NE1000", simulator: "simulators.new_era:NE1000", port: "serial:///dev/pumps?baud=19200", '
    "syringe: {volume: 10 mL, diameter: 14.43 mm}"
)
LAB = f"""
    labloop: 1
    root: {ROOT}
    instruments:
      pump_a: {{{PUMP}, address: 0}}
      pump_b: {{{PUMP}, address: 1}}
      waste: {{{PUMP}, address: 2, stock: 1 mL}}
      hotplate: {{driver: "drivers.ika:RCT", simulator: "simulators.ika:RCT", port: "serial:///dev/plate?baud=9600"}}
"""
CAMPAIGN = """
    labloop: 1
    campaign: watched
    lab: lab.yaml
    parameters: {q: {range: [100, 400], unit: uL/min}}
    outcomes: {y: {goal: maximize, from: told}}
    design: {initial: {method: sobol, trials: 20}, seed: 1}
"""

Meddle = Callable[[SimulatedBench, float], None]


class Reach:
    """One bench, its lab and a campaign in a folder. ``sent``: every byte that arrived, as (line, seconds, bytes)."""

    def __init__(self, folder: Path, lab: str, campaign: str, meddle: Meddle = lambda bench, now_s: None) -> None:
        self.folder = folder
        (folder / "lab.yaml").write_text(dedent(LAB) + dedent(lab))
        (folder / "one.yaml").write_text(dedent(CAMPAIGN) + dedent(campaign))
        self.meddle = meddle
        self.sent: list[tuple[str, float, Any]] = []
        self.bench: SimulatedBench | None = None
        self.thread = threading.current_thread()
        self.clock: VirtualClock | None = None
        self.time: Callable[..., Any] = lab_clock  # what the run lives by

    def run(
        self, name: str = "run", *, again: Mapping[str, Any] = MappingProxyType({}), by: str = "", **order: Any
    ) -> int:
        """Run the campaign to its end, or resume it (``again``: how); the exit code."""
        parts = Parts(
            clock=self.time,
            planner=lambda spec, folder: Away(),
            bench=lambda folder, lab, opened, clock: self._bench(clock),
        )
        path = self.folder / name
        if (path / "journal.db").exists():
            return session.resume(path, parts=parts, **again)
        order = {"virtual": True, **order}
        return session.begin(session.Order(campaign=self.folder / "one.yaml", run=path, **order), parts=parts, by=by)

    def records(self, name: str = "run") -> list[e.Record]:
        with Reader(self.folder / name / "journal.db") as reader:
            return list(reader.records())

    def state(self, name: str = "run") -> s.CampaignState:
        return s.fold(self.records(name))

    def facts(self, kind: type, name: str = "run") -> list[Any]:
        return [record.event for record in self.records(name) if isinstance(record.event, kind)]

    def ledger(self, instrument: str, phase: str = "end") -> list[Any]:
        assert self.bench is not None
        entries = self.bench.ledger.entries
        return [entry for entry in entries if entry.instrument == instrument and entry.phase == phase]

    @contextmanager
    def _bench(self, clock: Any) -> Iterator[Bench]:
        if self.bench is None or self.clock is None:
            self.bench = SimulatedBench(simulation_plan(read_lab(self.folder / "lab.yaml")), clock)
        else:
            clock.advance_to(self.clock.now_s())
            self.bench.clock = clock
        self.clock, self.thread = clock, threading.current_thread()
        bench = self.bench

        def connect(address: str) -> Port:
            line = Heard(bench.lines[address], address, self)
            link = InProcessLink if line.kind == "serial" else InProcessMessageLink
            return Port(link(address, line, clock), inline=True)

        yield Bench(connect=connect)


class Away:
    """A planner that never answers: the run goes on with random points of the space, and no test waits for torch."""

    def start(self) -> None: ...
    def send_facts(self, records: Any) -> None: ...
    def amend(self, spec: Any, former: Any) -> None: ...
    def close(self) -> None: ...

    def request(self, *count: Any, **more: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_exception(PlannerError("it is away"))
        return future


class Heard:
    """A line that is listened to."""

    def __init__(self, line: Any, address: str, reach: Reach) -> None:
        self._line, self._address, self._reach = line, address, reach
        self.kind = line.kind

    def receive(self, *said: Any) -> Any:
        data, now_s = said[-2], said[-1]
        assert self._reach.bench is not None
        assert threading.current_thread() is self._reach.thread, "the clock would leap while somebody waits here"
        self._reach.meddle(self._reach.bench, now_s)
        if data:
            self._reach.sent.append((self._address, now_s, data))
        return self._line.receive(*said)

    def due(self, now_s: float) -> float | None:
        due_s: float | None = self._line.due(now_s)
        return due_s
