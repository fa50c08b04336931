"""A signal at any moment: the bench is safe, the journal says so, nothing starts again by itself, and it can go on."""

import os
import signal
from collections.abc import Iterable

import pytest
from lockstep import Bench, Nursery
from test_kill_anywhere import Stage, memory_folder, on_both, wrong_in

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
    assert on_both(sweep, [range(1, 1000, 2), range(2, 1000, 2)]) == [[], []]


# --- and the next start is killed ------------------------------------------------------------------------------------

STOPPED_AT = 230  # in the middle of the acts of a trial


def killed_after_a_stop(stage: Stage, nursery: Nursery, whole: s.CampaignState, points: Iterable[int]) -> list[str]:
    """Stop a run, and kill its next start at each of ``points`` (counted from that start): what is wrong, and asked."""
    wrong: list[str] = []
    for point in points:
        run, bench = stage.copy(f"stopped-then-killed-{point}"), Bench.of(stage.lab)
        stopped = bench.run(
            nursery, {"resume": str(run)}, at=STOPPED_AT, strike=lambda pid: os.kill(pid, signal.SIGTERM)
        )
        assert stopped == 4 and s.fold(records(run)).left is not None
        bench.pass_time(600.0)
        code = bench.run(nursery, {"resume": str(run)}, at=point)
        where = f"point {point} ({bench.points[-1]})"
        if code == 0:
            break
        bench.pass_time((0.0, 4.0, 45.0)[point % 3])
        if bench.run(nursery, {"resume": str(run)}) != 0:
            state = s.fold(records(run))
            wrong.append(f"{where}: resumed, it is {state.state}: {state.reason}")
        paused = [record.event for record in records(run) if isinstance(record.event, e.CampaignPaused)]
        wrong += [f"{where}: it was asked: {one.reason}" for one in paused]
        wrong += [f"{where}: {one}" for one in wrong_in(bench, s.fold(records(run)), stage.campaign, whole)]
    return wrong


@pytest.mark.parametrize("points", [
    range(20, 120, 40), pytest.param(range(1, 1000, 24), marks=pytest.mark.slow),
], ids=["some", "many"])  # fmt: skip
def test_what_stands_there_after_a_kill_is_nobodys_question(points: range) -> None:
    with memory_folder() as folder, Nursery() as nursery:
        stage = Stage.set(folder, nursery, trials=2, sobol=2)  # a stop and a kill each cost an attempt
        whole, _ = stage.unharmed(nursery)
        assert killed_after_a_stop(stage, nursery, whole, points) == []
