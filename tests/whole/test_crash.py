"""Killed and resumed: every act once, amounts equal, no trial lost."""

import random
import subprocess
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from campaigns import ROOT, command, go, ledger, records
from labloop.campaign import state as s

TRIALS = 3


def outcomes(state: s.CampaignState) -> dict[str, float]:
    """{settings: outcome} of the measured trials: the same whatever number a trial got."""
    return {
        repr(trial.settings): float(trial.outcomes["spectrum_loss"].value or 0.0)
        for trial in state.trials.values()
        if trial.state == s.MEASURED
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual run that nobody kills."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert go(run, TRIALS, virtual=True) == 0
    return run


def test_two_virtual_runs_write_the_same_journal_to_the_last_byte(tmp_path: Path, whole: Path) -> None:
    assert go(tmp_path / "another", TRIALS, virtual=True) == 0
    assert records(tmp_path / "another") == records(whole)


def test_a_virtual_run_killed_after_a_commit_ends_as_if_it_never_was(tmp_path: Path, whole: Path) -> None:
    """As a person does it, planner and all; test_kill_anywhere kills at every point."""
    run = tmp_path / "killed"
    assert go(run, TRIALS, virtual=True, kill_at=27) == 9
    assert go(run, TRIALS, virtual=True) == 0
    state = s.fold(records(run))
    assert state.measured == TRIALS and not state.questions and not state.open_trials
    assert outcomes(state).keys() == outcomes(s.fold(records(whole))).keys()
    finished = Counter(
        (step.begun.trial, step.begun.phase, step.begun.stage, step.begun.index)
        for step in state.steps.values()
        if step.state == s.FINISHED
    )
    assert set(finished.values()) == {1}, "a finished step was run again"


def killed_at_random(run: Path, seed: int, trials: int, most: int) -> int:
    chance = random.Random(seed)
    for kills in range(most):
        runner = subprocess.Popen(
            command(run, trials, virtual=False), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            said, _ = runner.communicate(timeout=chance.uniform(2.0, 8.0))
        except subprocess.TimeoutExpired:
            runner.kill()
            runner.communicate()
            continue
        assert runner.returncode == 0, said
        return kills
    assert go(run, trials, virtual=False) == 0
    return most


def ledger_agrees_with_journal(run: Path) -> None:
    state = s.fold(records(run))
    begun = Counter((step.begun.instrument, step.begun.action) for step in state.steps.values())
    done: dict[tuple[str, str], float] = defaultdict(float)
    moved: Counter[tuple[str, str]] = Counter()
    for line in ledger(run):
        if line["phase"] == "end" and line["amount"] > 0:
            done[line["instrument"], line["act"]] += line["amount"]
            moved[line["instrument"], line["act"]] += 1
    for act, times in moved.items():
        assert times <= begun[act], f"{act}: the device did {times}, the journal knows {begun[act]}"
    pumped: dict[tuple[str, str], float] = defaultdict(float)
    for step in state.steps.values():
        if "volume" in step.achieved:
            pumped[step.begun.instrument, step.begun.action] += float(step.achieved["volume"].value)
    for act, amount in pumped.items():
        assert done[act] == pytest.approx(amount, abs=0.15 * begun[act]), act


@pytest.mark.slow
def test_a_run_on_real_ports_killed_often(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:  # most of their time is waiting for the simulated bench
        for _ in pool.map(killed_often, (tmp_path / f"seed-{seed}" for seed in range(1, 5)), range(1, 5)):
            pass


def killed_often(run: Path, seed: int) -> None:
    killed_at_random(run, seed, trials=6, most=8)
    state = s.fold(records(run))
    assert state.measured == 6 and not state.questions
    ledger_agrees_with_journal(run)
