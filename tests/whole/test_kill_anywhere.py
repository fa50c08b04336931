"""Killed with SIGKILL after any commit and at any exchange on the wire: every act once, nothing lost, the same best.

The bench lives in this process, in virtual time, and goes on while nobody runs: for no time, for some seconds (a pump
is in the middle of its volume), for a while (everything has come to rest), for longer than a sample may wait.
"""

import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import accounts
import pytest
from lockstep import Bench, Nursery, written

from campaigns import records
from labloop.campaign import state as s

GAPS_S = (0.0, 4.0, 45.0, 400.0)
OUTCOME = "loss"
# Of a hundred kills fewer than this many may end in a question to a person.
MOST_QUESTIONS = 5.0
# Nobody looks at this bench between its steps: what a watch reads would be three hundred points more of one kind.
THIRTY_ACTS: dict[str, Any] = {"trials": 6, "sobol": 6, "watched": False}


@dataclass(frozen=True)
class Stage:
    """A run that was killed right after its first fact, to be copied: what comes before costs a check of the files."""

    campaign: Path
    lab: Path
    begun: Path

    @classmethod
    def set(cls, folder: Path, nursery: Nursery, **words: Any) -> "Stage":
        campaign, lab = written(folder, **words)
        order = {"campaign": str(campaign), "run": str(folder / "begun")}
        assert Bench.of(lab).run(nursery, order, at=1) == -9
        return cls(campaign, lab, folder / "begun")

    def copy(self, name: str) -> Path:
        run = self.begun.parent / name
        shutil.copytree(self.begun, run)
        return run

    def unharmed(self, nursery: Nursery, name: str = "unharmed") -> tuple[s.CampaignState, int]:
        """The state that a run comes to that nobody kills, and how many points it comes past."""
        bench = Bench.of(self.lab)
        run = self.copy(name)
        assert bench.run(nursery, {"resume": str(run)}) == 0
        state = s.fold(records(run))
        assert wrong_in(bench, state, self.campaign, state) == []
        return state, len(bench.points)


def wrong_in(bench: Bench, state: s.CampaignState, campaign: Path, whole: s.CampaignState) -> list[str]:
    """What is not as it must be after the last start, in words."""
    wrong = accounts.disagreements(bench.ledger, state)
    if state.questions:
        return wrong
    wrong += accounts.lost_trials(state) + accounts.not_as_wished(state) + accounts.done_twice(state)
    wrong += accounts.wrong_outcomes(state, whole, OUTCOME)
    if accounts.outcomes(state, OUTCOME).keys() != accounts.outcomes(whole, OUTCOME).keys():
        wrong.append("other settings were measured")
    elif accounts.best_settings(campaign, state) != accounts.best_settings(campaign, whole):
        wrong.append("another point is best")
    return wrong


def killed_at(stage: Stage, nursery: Nursery, whole: s.CampaignState, point: int) -> tuple[list[str], int]:
    """Kill at a point, let time go by, resume: (what is wrong, questions)."""
    run = stage.copy(f"killed-{point}")
    bench = Bench.of(stage.lab)
    code = bench.run(nursery, {"resume": str(run)}, at=point)
    where = f"point {point} ({bench.points[-1]})"
    if code != -9:
        return [f"{where}: it ended with {code} before it was killed"], 0
    bench.pass_time(GAPS_S[point % len(GAPS_S)])
    code = bench.run(nursery, {"resume": str(run)})
    state = s.fold(records(run))
    shutil.rmtree(run)
    wrong = wrong_in(bench, state, stage.campaign, whole)
    if code != (6 if state.questions else 0):
        wrong.append(f"exit {code}, {state.state}: {state.reason}")
    return [f"{where}: {one}" for one in wrong], len(state.questions)


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of commits wait for no disk there."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def on_both(sweep: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """What a sweep gives for each part: two at a time, each in a process of its own."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(sweep, parts))


def sweep(points: Iterable[int], **words: Any) -> tuple[list[str], int]:
    """Kill at each of ``points`` in turn."""
    wrong: list[str] = []
    questions = 0
    with memory_folder() as folder, Nursery() as nursery:
        stage = Stage.set(folder, nursery, **words)
        whole, _ = stage.unharmed(nursery)
        for point in points:
            found, asked = killed_at(stage, nursery, whole, point)
            wrong += found
            questions += asked
    return wrong, questions


def sweep_thirty_acts(points: Iterable[int]) -> tuple[list[str], int]:
    return sweep(points, **THIRTY_ACTS)


def points_of(**words: Any) -> int:
    with memory_folder() as folder, Nursery() as nursery:
        return Stage.set(folder, nursery, **words).unharmed(nursery)[1]


def test_killed_at_a_dozen_points() -> None:
    with memory_folder() as folder, Nursery() as nursery:
        stage = Stage.set(folder, nursery, trials=1, sobol=1)
        whole, points = stage.unharmed(nursery)
        assert sum(step.begun.act for step in whole.steps.values()) == 6
        for point in range(5, points, points // 12):
            assert killed_at(stage, nursery, whole, point) == ([], 0)


@pytest.mark.slow
def test_killed_at_every_point_of_thirty_acts() -> None:
    every = range(1, points_of(**THIRTY_ACTS) + 1)
    assert len(every) > 1000
    parts = on_both(sweep_thirty_acts, [every[0::2], every[1::2]])
    assert [line for wrong, _ in parts for line in wrong] == []
    asked = sum(questions for _, questions in parts)
    assert asked <= MOST_QUESTIONS / 100.0 * len(every)


@pytest.mark.slow
def test_killed_while_the_model_proposes() -> None:
    """A result that nobody spoilt leads to the same proposals; one that was made again differs by the noise only."""
    with memory_folder() as folder, Nursery() as nursery:
        stage = Stage.set(folder, nursery, trials=6, sobol=3)
        whole, points = stage.unharmed(nursery)
        assert sum(trial.source == "model" for trial in whole.trials.values()) == 3
        for point in range(40, points, points // 8):
            run = stage.copy(f"killed-{point}")
            bench = Bench.of(stage.lab)
            assert bench.run(nursery, {"resume": str(run)}, at=point) == -9
            bench.pass_time(GAPS_S[point % len(GAPS_S)])
            assert bench.run(nursery, {"resume": str(run)}) == 0
            state = s.fold(records(run))
            assert accounts.disagreements(bench.ledger, state) == []
            assert accounts.lost_trials(state) + accounts.not_as_wished(state) + accounts.done_twice(state) == []
            if all(step.state == s.FINISHED for step in state.steps.values()):  # nothing was made or measured again
                assert accounts.best_settings(stage.campaign, state) == accounts.best_settings(stage.campaign, whole)
            best, right = (min(accounts.outcomes(one, OUTCOME).values()) for one in (state, whole))
            assert best < right + 0.02, f"point {point}: {best:.4f} where {right:.4f} was found"
