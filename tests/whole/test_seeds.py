"""Campaigns on a bench with faults, in virtual time: however it ends, the journal says what the devices did.

Every seed draws its kinds of fault and how often they come. A run may finish, stop safely or halt with a question a
person can answer; what was measured is what was mixed, and nothing moves or heats afterwards.
"""

import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import accounts
import pytest
from lockstep import Nursery
from test_kill_anywhere import OUTCOME, Stage, memory_folder, on_both

from campaigns import records
from labloop.bench import InProcessLink, InProcessMessageLink, Port
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import LabSpec
from labloop.planner.inline import InlinePlanner
from labloop.runner import session
from labloop.runner.benches import simulation_plan
from labloop.runner.connect import Bench
from labloop.runner.folder import RunFolder
from labloop.runner.parts import Parts
from labloop.simulation.bench import SimulatedBench
from labloop.simulation.faults import KINDS

TRIALS = 4
CHANCES = (0.002, 0.005, 0.01, 0.02)


def weather(seed: int) -> str:
    """The faults of a seed: one to three kinds, each with a chance of its own."""
    chance = random.Random(seed)
    kinds = chance.sample(KINDS, chance.choice([1, 1, 2, 3]))
    return ",".join([*(f"{kind}={chance.choice(CHANCES)}" for kind in kinds), f"seed={seed}"])


@dataclass
class Held:
    """A bench in this process that outlives the run on it."""

    faults: str | None
    bench: SimulatedBench | None = field(default=None)
    cut: set[str] = field(default_factory=set)  # instruments whose mains went off and on

    @contextmanager
    def open(self, folder: RunFolder, lab: LabSpec, opened: e.CampaignOpened, clock: Any) -> Iterator[Bench]:
        bench = self.bench = SimulatedBench(simulation_plan(lab, seed=opened.seed, faults=self.faults), clock)
        for name, device in bench.devices.items():
            if hasattr(device, "power_cycle"):
                device.power_cycle = partial(self._power_cycle, name, device.power_cycle)

        def connect(address: str) -> Port:
            line = bench.lines[address]
            link = InProcessLink if line.kind == "serial" else InProcessMessageLink
            return Port(link(address, line, clock), inline=True)

        yield Bench(connect=connect)

    def _power_cycle(self, name: str, power_cycle: Callable[[float], None], now_s: float) -> None:
        self.cut.add(name)
        power_cycle(now_s)


def run(stage: Stage, faults: str | None) -> tuple[int, s.CampaignState, Held, str]:
    """Run the campaign once under these faults: exit code, state, bench, and what went into the log."""
    held = Held(faults)
    folder = stage.copy(f"run {faults}")
    parts = Parts(planner=lambda spec, where: InlinePlanner(spec, where), bench=held.open)
    code = session.resume(folder, parts=parts)
    log = (folder / "log.jsonl").read_text()
    state = s.fold(records(folder))
    shutil.rmtree(folder)
    return code, state, held, log


def wrong_under(stage: Stage, whole: s.CampaignState, faults: str) -> tuple[list[str], str]:
    """What is not as it must be after a run under these faults, and how it ended."""
    code, state, held, log = run(stage, faults)
    bench = held.bench
    assert bench is not None
    wrong = accounts.disagreements(bench.ledger.entries, state, bench.faults.happened["power_cycle"])
    wrong += accounts.wrong_outcomes(state, whole, OUTCOME) + accounts.not_as_wished(state) + accounts.done_twice(state)
    done = 3 if state.unsafe else 0 if state.measured else 1
    if code != {s.FINISHED: done, s.STOPPED: 3, s.HALTED: 6}.get(state.state):
        wrong.append(f"exit {code} of a campaign that is {state.state}: {state.reason}")
    if state.state == s.FINISHED:
        wrong += accounts.lost_trials(state)
    gone = re.search(r"not as it was when it was set up: (\w+)\.", state.reason)
    is_asked = gone is not None and gone[1] in held.cut
    if state.state == s.HALTED and not (state.questions or is_asked or "was not done" in state.reason):
        wrong.append(f"halted, and nothing is asked: {state.reason}")
    for question in state.questions.values():
        if set(question.answers) < {"done", "not-done"} or question.begun.instrument not in question.question:
            wrong.append(f"a question that is none: {question.question} {question.answers}")
    if state.safe:
        wrong += [f"{name} goes on after the safe state" for name, device in bench.devices.items() if _acts(device)]
    wrong += [json.loads(line)["message"] for line in log.splitlines() if "traceback" in line]
    return [f"{faults}: {one}" for one in wrong], state.state


def _acts(device: Any) -> bool:
    return bool(getattr(getattr(device, "drive", None), "moves", False) or getattr(device, "heats", False))


def sweep(seeds: range) -> tuple[list[str], Counter[str]]:
    """Every seed in turn: what is wrong, and how many ended how."""
    wrong: list[str] = []
    ends: Counter[str] = Counter()
    with memory_folder() as folder, Nursery() as nursery:
        stage = Stage.set(folder, nursery, trials=TRIALS, sobol=TRIALS)
        _, whole, *_ = run(stage, None)
        for seed in seeds:
            found, end = wrong_under(stage, whole, weather(seed))
            wrong += found
            ends[end] += 1
    return wrong, ends


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with memory_folder() as folder, Nursery() as nursery:
        yield Stage.set(folder, nursery, trials=TRIALS, sobol=TRIALS)


@pytest.fixture(scope="module")
def whole(stage: Stage) -> s.CampaignState:
    return run(stage, None)[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_campaign_under_each_kind_of_fault(stage: Stage, whole: s.CampaignState, kind: str) -> None:
    wrong, _ = wrong_under(stage, whole, f"{kind}=0.01,seed=5")
    assert wrong == []


def test_a_campaign_under_all_of_them(stage: Stage, whole: s.CampaignState) -> None:
    every = ",".join(f"{kind}=0.002" for kind in KINDS)
    assert wrong_under(stage, whole, f"{every},seed=1")[0] == []


def test_an_alarm_lost_on_the_line_after_a_power_cut(stage: Stage, whole: s.CampaignState) -> None:
    assert wrong_under(stage, whole, weather(743)) == ([], s.HALTED)


@pytest.mark.slow
def test_a_thousand_seeds() -> None:
    parts = on_both(sweep, [range(0, 1000, 2), range(1, 1000, 2)])
    assert [line for wrong, _ in parts for line in wrong] == []
    ends = sum((ends for _, ends in parts), Counter())
    assert ends[s.FINISHED] > 800, ends
