"""A signal at any moment: the bench is safe, the journal says so, nothing starts again by itself, and it can go on."""

import os
import signal
from collections.abc import Iterable

import pytest
from lockstep import Bench, Nursery
from test_kill_anywhere import Stage, memory_folder, wrong_in

from campaigns import records
from labloop.campaign import events as e
from labloop.campaign import state as s


def stopped_at(stage: Stage, nursery: Nursery, whole: s.CampaignState, point: int) -> list[str]:
    """Send SIGTERM at a point, then resume: what is wrong."""
    run = stage.copy(f"stopped-{point}")
    bench = Bench.of(stage.lab)
    code = bench.run(nursery, {"resume": str(run)}, at=point, strike=lambda pid: os.kill(pid, signal.SIGTERM))
    facts = [record.event for record in records(run)]
    state = s.fold(records(run))
    where = f"point {point} ({bench.points[point - 1]})"
    wrong = []
    if code == -signal.SIGTERM:  # nobody had a handler yet, or not any more: no act was under way
        started = [step for step in state.steps.values() if step.state == s.STARTED]
        wrong += [f"{where}: it was ended with {step.begun.step} under way" for step in started]
    elif code != 4 or state.state != s.STOPPED or not state.safe:
        safe = [fact for fact in facts if isinstance(fact, e.SafeStateReached)]
        if not (code == 0 and state.state == s.FINISHED):  # the signal came when all was over
            wrong.append(f"{where}: exit {code}, {state.state}, safe: {state.safe} {safe[-1:]}")
    if moving := [name for name, device in bench.bench.devices.items() if acts(device)]:
        wrong.append(f"{where}: {moving} went on after the end")
    ledger = len(bench.ledger)
    bench.pass_time(600.0)
    if len(bench.ledger) != ledger:
        wrong.append(f"{where}: something happened while nobody ran: {bench.ledger[ledger:]}")
    if code == 0:
        return wrong
    if bench.run(nursery, {"resume": str(run)}) != 0:
        state = s.fold(records(run))
        wrong.append(f"{where}: resumed, it is {state.state}: {state.reason}")
    return wrong + [f"{where}: {one}" for one in wrong_in(bench, s.fold(records(run)), stage.campaign, whole)]


def acts(device: object) -> bool:
    """Whether a simulated device moves or heats."""
    return bool(getattr(getattr(device, "drive", None), "moves", False) or getattr(device, "heats", False))


def sweep(points: Iterable[int]) -> list[str]:
    """Stop at each of ``points`` in turn."""
    wrong: list[str] = []
    with memory_folder() as folder, Nursery() as nursery:
        stage = Stage.set(folder, nursery, trials=1, sobol=1)
        whole, count = stage.unharmed(nursery)
        for point in points:
            if point <= count:
                wrong += stopped_at(stage, nursery, whole, point)
    return wrong


def test_stopped_at_some_points() -> None:
    assert sweep(range(40, 400, 45)) == []


@pytest.mark.slow
def test_stopped_at_every_point() -> None:
    assert sweep(range(1, 1000)) == []
