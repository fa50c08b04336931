"""Crashes that follow each other: what was heard only once is not forgotten, and a recovery may itself be killed.

A New Era pump that was switched off and on has lost its counters, and says so once, to whoever speaks first.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import accounts
import pytest
from lockstep import Bench, Nursery
from test_kill_anywhere import GAPS_S, Stage, memory_folder, on_both, points_of, wrong_in

from campaigns import records
from labloop.campaign import state as s
from labloop.runner import wishes
from labloop.runner.book import BY_HAND, BenchBook, BenchOwes
from labloop.runner.clock import utc_stamp
from labloop.runner.lease import Lease


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


def deaf_to(device: Any, word: bytes, answers: float = 1) -> Callable[[], None]:
    """So many answers to ``word`` are lost on the line; call what this gives to end that."""
    hears = device.receive

    def receive(data: bytes, now_s: float) -> bytes:
        nonlocal answers
        said: bytes = hears(data, now_s)
        if word not in data or answers <= 0:
            return said
        answers -= 1
        return b""

    def mended() -> None:
        device.receive = hears

    device.receive = receive
    return mended


def asked_about_pump_a(bench: Bench, nursery: Nursery, run: Path) -> None:
    """A person is asked about pump a at the next start, and nothing is dispensed by it once more."""
    assert bench.run(nursery, {"resume": str(run)}) == 6
    assert "pump_a" in {one.begun.instrument for one in s.fold(records(run)).questions.values()}
    assert len(accounts.acts(bench.ledger)["pump_a", "dispense"]) == 1, "it dispensed once more"


def test_an_alarm_that_was_lost_on_the_line_is_not_forgotten_when_the_next_answer_is_well(
    stage: Stage, nursery: Nursery, request: pytest.FixtureRequest
) -> None:
    bench, run = killed_in_the_middle_of_an_act(stage, nursery, request.node.name)
    deaf_to(bench.bench.devices["pump_a"], b"VER")
    identified = "commit journal.db: InstrumentIdentified"
    assert bench.run(nursery, {"resume": str(run)}, at=lambda point: point == identified) == -9
    asked_about_pump_a(bench, nursery, run)


# The step itself looks at once, after 5 s and after 10 s; the watch in between.
@pytest.mark.parametrize("since_s, until_s", [(4.5, 5.5), (5.5, 9.5)], ids=["step", "watch"])
def test_an_alarm_that_is_told_in_passing_is_written_down_before_anything_else(
    nursery: Nursery, request: pytest.FixtureRequest, since_s: float, until_s: float
) -> None:
    with memory_folder() as folder:
        bound = "limits: {pump_a: {infused: {max: 9 mL}}}\n"
        stage = Stage.set(folder, nursery, trials=1, sobol=1, watched=False, of_lab=bound)
        bench, run = Bench.of(stage.lab), stage.copy(request.node.name)
        began_s: list[float] = []
        looks: list[float] = []

        def meanwhile(point: str) -> None:
            now_s = bench.clock.now_s()
            if point == "before b'0RUN\\r'":
                began_s.append(now_s)
            elif point == "before b'0DIS\\r'" and began_s and not looks and since_s < now_s - began_s[0] < until_s:
                looks.append(now_s)
                bench.bench.devices["pump_a"].power_cycle(now_s)

        def struck(point: str) -> bool:
            return bool(looks) and "b'0DIS" not in point

        assert bench.run(nursery, {"resume": str(run)}, at=struck, meanwhile=meanwhile) == -9
        asked_about_pump_a(bench, nursery, run)


@pytest.mark.parametrize("later", [False, True], ids=["at once", "when all are back"])
def test_what_a_line_that_came_back_was_told_is_not_lost_with_its_runner(
    stage: Stage, nursery: Nursery, later: bool
) -> None:
    """Pump b is away, so its line is opened again and all on it are asked; pump a was switched off meanwhile."""
    bench, run = Bench.of(stage.lab), stage.copy(f"came-back-{later}")
    asked: list[str] = []
    mended: list[Callable[[], None]] = []

    def meanwhile(point: str) -> None:
        if point == "after b'1RUN\\r'":
            mended.append(deaf_to(bench.bench.devices["pump_b"], b"", answers=float("inf")))
        elif point == "before b'0VER\\r'" and mended:
            asked.append(point)
            if len(asked) == 1:
                bench.bench.devices["pump_a"].power_cycle(bench.clock.now_s())
        elif point.endswith("1VER\\r'") and len(asked) > 2:  # the alarm, and the question asked again, were before
            mended[0]()

    def struck(point: str) -> bool:
        return bool(asked) and (point.endswith("InstrumentIdentified") if later else point == "after b'0VER\\r'")

    assert bench.run(nursery, {"resume": str(run)}, at=struck, meanwhile=meanwhile) == -9
    mended[0]()
    asked_about_pump_a(bench, nursery, run)


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "sound"])
def test_an_alarm_whose_hearer_was_killed_before_it_was_written_down(
    stage: Stage, nursery: Nursery, reset: bool
) -> None:
    """Its counters stood at 0 before, and stand there again: what is known is that it was told to run."""
    bench, run = Bench.of(stage.lab), stage.copy(f"unwritten-{reset}")
    began_s: list[float] = []
    looks: list[str] = []

    def meanwhile(point: str) -> None:
        now_s = bench.clock.now_s()
        if point == "before b'0RUN\\r'":
            began_s.append(now_s)
        elif point == "before b'0DIS\\r'" and began_s and now_s > began_s[0]:
            looks.append(point)
            if len(looks) == 1 and reset:
                bench.bench.devices["pump_a"].power_cycle(now_s)

    struck = bench.run(
        nursery, {"resume": str(run)}, at=lambda point: bool(looks) and point == "after b'0DIS\\r'", meanwhile=meanwhile
    )
    assert struck == -9
    if reset:
        asked_about_pump_a(bench, nursery, run)
    else:  # nothing was cut, and nothing is asked
        assert bench.run(nursery, {"resume": str(run)}) == 0
        assert len(accounts.acts(bench.ledger)["pump_a", "dispense"]) == 1


def test_nobody_else_has_the_bench_before_it_was_asked_after(
    stage: Stage, nursery: Nursery, request: pytest.FixtureRequest
) -> None:
    bench, run = Bench.of(stage.lab), stage.copy(request.node.name)
    assert bench.run(nursery, {"resume": str(run)}, at=lambda point: point == "after b'0RUN\\r'") == -9
    bench.pass_time(3.0)
    hotplate = next(line for port, line in bench.bench.lines.items() if "plate" in port)
    hotplate._silent_until_s = float("inf")  # it ends in good order, and has not asked what became of the act
    assert bench.run(nursery, {"resume": str(run)}) == 3
    hotplate._silent_until_s = float("-inf")
    pump = bench.bench.devices["pump_a"]
    pump.power_cycle(bench.clock.now_s())
    with closing(BenchBook.open(run, "sweep", utc_stamp)) as book:
        for looks in (False, True):  # whoever only looks would be told the alarm as well
            with pytest.raises(BenchOwes, match="never asked after"):
                book.take_lease(BY_HAND, "simulated", {}, by=BY_HAND, looks=looks)
    asked_about_pump_a(bench, nursery, run)


def test_a_sample_that_was_vetoed_meanwhile_takes_no_question_away(
    stage: Stage, nursery: Nursery, request: pytest.FixtureRequest
) -> None:
    """How much is gone of the stock is to be known all the same; then it is cleaned away, and made again."""
    bench, run = killed_in_the_middle_of_an_act(stage, nursery, request.node.name)
    assert wishes.ask(run, "veto", ["1"], by="ann", why="spilt").accepted
    asked_about_pump_a(bench, nursery, run)
    assert wishes.ask(run, "resolve", ["1", "discard"], by="ann", why="spilt").accepted
    assert bench.run(nursery, {"resume": str(run)}) == 0
    state = s.fold(records(run))
    assert (state.trials[1].state, state.trials[1].closed) == (s.ABANDONED, True)
    assert state.trials[2].settings == state.trials[1].settings and not state.questions


def test_what_a_guard_was_told_that_could_write_down_nothing_of_it(
    stage: Stage, nursery: Nursery, request: pytest.FixtureRequest
) -> None:
    """The lease is written in place; the bench's journal takes nothing."""
    bench, run = killed_in_the_middle_of_an_act(stage, nursery, request.node.name)
    lease = Lease.take(run, str(run.resolve()), "guard")
    assert b"A?R" in bench.bench.devices["pump_a"].receive(b"0VER\r", bench.clock.now_s())
    lease.release()
    lease.close()
    told = "commit bench.db: LeaseTaken"
    assert bench.run(nursery, {"resume": str(run)}, at=lambda point: point.startswith(told)) == -9
    asked_about_pump_a(bench, nursery, run)


@pytest.mark.parametrize("back", [True, False], ids=["back", "replaced"])
def test_another_instrument_in_its_place_is_told_nothing_until_a_person_says_so(
    stage: Stage, nursery: Nursery, request: pytest.FixtureRequest, back: bool
) -> None:
    bench, run = Bench.of(stage.lab), stage.copy(request.node.name)
    assert bench.run(nursery, {"resume": str(run)}, at=lambda point: point == "after b'0RUN\\r'") == -9
    bench.pass_time(60.0)
    pumps = [bench.bench.devices[name] for name in ("pump_a", "pump_b", "pump_c")]
    for pump in pumps:
        pump.model = "NE1010"
    assert bench.run(nursery, {"resume": str(run)}) == 3
    said = {point for point in bench.points if point.startswith("before b'0")}
    assert said == {"before b'0VER\\r'"}, "it was told more than to say who it is"
    state = s.fold(records(run))
    assert state.state == s.STOPPED and not state.questions
    assert "pump_a: 'NE1010V3.923' answers where an NE-1000 was expected" in state.reason
    for pump in pumps:
        pump.model = "NE1000"
    if not back:  # another of the right model, which nothing tells from the one that was there
        for name in ("pump_a", "pump_b", "pump_c"):
            assert wishes.ask(run, "replaced", [name], by="ann", why="lightning").accepted
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


def recovery_killed(first: int) -> tuple[list[str], int]:
    """The same of a run that was killed at one point, at every point of its recovery."""
    with memory_folder() as folder, Nursery() as nursery:
        stage = Stage.set(folder, nursery, trials=1, sobol=1)
        whole, _ = stage.unharmed(nursery)
        return killed_while_it_recovers(stage, nursery, whole, first, until=1000)


@pytest.mark.slow
def test_recoveries_killed_at_every_point() -> None:
    points = points_of(trials=1, sobol=1)
    parts = on_both(recovery_killed, range(7, points, points // 5))
    assert [line for wrong, _ in parts for line in wrong] == []
    assert sum(kills for _, kills in parts) > 200
