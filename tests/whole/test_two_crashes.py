"""Crashes that follow each other: what was heard only once is not forgotten, and a recovery may itself be killed.

A New Era pump that was switched off and on has lost its counters, and says so once, to whoever speaks first.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import accounts
import pytest
from lockstep import Bench, Nursery
from test_kill_anywhere import GAPS_S, Stage, memory_folder, wrong_in

from campaigns import records
from labloop.campaign import state as s
from labloop.runner import wishes


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="module")
def stage(nursery: Nursery) -> Iterator[Stage]:
    with memory_folder() as folder:
        yield Stage.set(folder, nursery, trials=1, sobol=1)


def killed_in_the_middle_of_an_act(stage: Stage, nursery: Nursery, name: str) -> tuple[Bench, Path]:
    """Pump a dispenses, its runner is dead, and the mains of the pump have gone and come."""
    bench, run = Bench.of(stage.lab), stage.copy(name)
    assert bench.run(nursery, {"resume": str(run)}, at=lambda point: point == "after b'0RUN\\r'") == -9
    bench.pass_time(3.0)
    bench.bench.devices["pump_a"].power_cycle(bench.clock.now_s())
    return bench, run


@pytest.mark.parametrize(
    "again",
    [
        lambda point: point == "after b'0VER\\r'",  # the alarm was told, and nobody wrote it down
        lambda point: point.endswith("InstrumentIdentified"),  # it was written down, and nothing was asked yet
        lambda point: point == "after b'0DIS\\r'",  # it is being asked what became of the act
    ],
    ids=["told", "written", "asked"],
)
def test_an_alarm_that_another_runner_heard_is_evidence_all_the_same(
    stage: Stage, nursery: Nursery, again: Callable[[str], bool], request: pytest.FixtureRequest
) -> None:
    bench, run = killed_in_the_middle_of_an_act(stage, nursery, request.node.name)
    assert bench.run(nursery, {"resume": str(run)}, at=again) == -9
    assert bench.run(nursery, {"resume": str(run)}) == 6
    state = s.fold(records(run))
    (question,) = state.questions.values()
    assert question.begun.instrument == "pump_a" and "switched off" in question.question
    assert len(accounts.acts(bench.ledger)["pump_a", "dispense"]) == 1, "it dispensed once more"


def test_an_alarm_that_was_heard_while_the_bench_was_made_safe_is_evidence_too(
    stage: Stage, nursery: Nursery, request: pytest.FixtureRequest
) -> None:
    bench, run = killed_in_the_middle_of_an_act(stage, nursery, request.node.name)
    hotplate = next(line for port, line in bench.bench.lines.items() if "plate" in port)
    hotplate._silent_until_s = float("inf")  # another instrument is lost, before anybody has asked what became of this
    assert bench.run(nursery, {"resume": str(run)}) == 3
    hotplate._silent_until_s = float("-inf")
    assert bench.run(nursery, {"resume": str(run)}) == 6
    assert len(accounts.acts(bench.ledger)["pump_a", "dispense"]) == 1, "it dispensed once more"


@pytest.mark.parametrize("back", [True, False], ids=["back", "replaced"])
def test_another_instrument_in_its_place_is_told_nothing_until_a_person_says_so(
    stage: Stage, nursery: Nursery, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    bench, run = Bench.of(stage.lab), stage.copy(request.node.name)
    assert bench.run(nursery, {"resume": str(run)}, at=lambda point: point == "after b'0RUN\\r'") == -9
    bench.pass_time(60.0)
    with monkeypatch.context() as other:
        other.setattr("simulators.new_era.FIRMWARE", "NE1010V3.923")
        assert bench.run(nursery, {"resume": str(run)}) == 6
        said = {point for point in bench.points if point.startswith("before b'0")}
        assert said == {"before b'0VER\\r'"}, "it was told more than to say who it is"
        state = s.fold(records(run))
        assert state.state == s.HALTED and "replaced pump_a" in state.reason and not state.questions
        if not back:
            for pump in ("pump_a", "pump_b", "pump_c"):
                assert wishes.ask(run, "replaced", [pump], by="ann", why="lightning").accepted
            assert bench.run(nursery, {"resume": str(run)}) == 6
            questions = s.fold(records(run)).questions.values()
            assert questions and all("Another instrument stands in its place" in one.question for one in questions)
            return
    whole = stage.unharmed(nursery, f"{run.name}-unharmed")[0]
    assert bench.run(nursery, {"resume": str(run)}) == 0  # the right one is back
    assert wrong_in(bench, s.fold(records(run)), stage.campaign, whole) == []


def killed_while_it_recovers(
    stage: Stage, nursery: Nursery, whole: s.CampaignState, first: int, until: int
) -> tuple[list[str], int]:
    """Kill a run at a point, its recovery at each of its own, and let the third one finish: (wrong, kills).

    Only one thing may be asked of a person then: about a pump that was killed between the question who it is, which
    would have told a reset once and for all, and the fact that holds its answer.
    """
    wrong: list[str] = []
    point = 0
    while point < until:
        point += 1
        run = stage.copy(f"twice-{first}-{point}")
        bench = Bench.of(stage.lab)
        assert bench.run(nursery, {"resume": str(run)}, at=first) == -9
        bench.pass_time(GAPS_S[first % len(GAPS_S)])
        if bench.run(nursery, {"resume": str(run)}, at=point) != -9:
            return wrong, point - 1
        where = f"{first}, then {point} ({bench.points[-1]})"
        bench.pass_time(GAPS_S[point % len(GAPS_S)])
        configured = any("InstrumentConfigured" in one for one in bench.points)
        told = any(word in bench.points[-1] for word in ("VER", "InstrumentAsked"))
        code = bench.run(nursery, {"resume": str(run)})
        state = s.fold(records(run))
        wrong += [f"{where}: {one}" for one in wrong_in(bench, state, stage.campaign, whole)]
        if code != 0 and not (told and code == 6 and state.questions):
            wrong.append(f"{where}: exit {code}, {state.state}: {state.reason}")
        if configured:  # from here on it is no recovery any more
            return wrong, point
    return wrong, point


def test_a_recovery_that_is_killed_is_made_again(stage: Stage, nursery: Nursery) -> None:
    whole, _ = stage.unharmed(nursery)
    bench, run = Bench.of(stage.lab), stage.copy("counting")
    assert bench.run(nursery, {"resume": str(run)}, at=lambda point: point == "after b'1RUN\\r'") == -9
    wrong, kills = killed_while_it_recovers(stage, nursery, whole, len(bench.points), until=6)
    assert wrong == [] and kills == 6


@pytest.mark.slow
def test_recoveries_killed_at_every_point(stage: Stage, nursery: Nursery) -> None:
    whole, points = stage.unharmed(nursery, "unharmed-again")
    killed = 0
    for first in range(7, points, points // 5):
        wrong, kills = killed_while_it_recovers(stage, nursery, whole, first, until=1000)
        assert wrong == []
        killed += kills
    assert killed > 200
