"""Over real ports: the planner killed under a living runner, and runner, planner and guard one after another."""

import json
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import accounts
import pytest
from lockstep import written
from rig import Rig, alone, command, served, wait_for

from campaigns import records
from labloop.campaign import events as e
from labloop.campaign import state as s

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")

PLANNER, GUARD = "labloop.planner", "labloop.runner.guard"


def child(runner: subprocess.Popen[str], module: str) -> int | None:
    """The pid of a runner's child that runs ``module``; None: there is none now."""
    for task in Path(f"/proc/{runner.pid}/task").glob("*/children"):
        for pid in task.read_text().split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except FileNotFoundError:
                continue
            if module.encode() in words:
                return int(pid)
    return None


def ledger_and_journal_agree(rig: Rig) -> s.CampaignState:
    state = s.fold(rig.records())
    assert accounts.disagreements([SimpleNamespace(**line) for line in rig.ledger()], state) == []
    assert accounts.lost_trials(state) + accounts.not_as_wished(state) + accounts.done_twice(state) == []
    return state


@pytest.mark.slow
def test_a_planner_that_is_killed_again_and_again_delays_a_proposal_and_nothing_else(tmp_path: Path) -> None:
    campaign, lab = written(tmp_path, trials=3, sobol=2)
    with served(tmp_path, lab, 30.0) as rig:
        runner = rig.run(campaign)
        for trial in (1, 2, 3):  # once before each trial is proposed
            wait_for(lambda n=trial: len(rig.facts(e.ProposalMade)) >= n - 1 and child(runner, PLANNER))
            if (pid := child(runner, PLANNER)) is not None:
                rig.kill(pid)
        said, _ = runner.communicate(timeout=240)
        assert runner.returncode == 0, said
        state = ledger_and_journal_agree(rig)
        assert [trial.source for trial in state.trials.values() if trial.role == "candidate"][:2] == ["sobol", "sobol"]
        assert {trial.source for trial in state.trials.values()} == {"sobol", "model"}


@pytest.mark.slow
def test_whoever_is_killed_every_act_is_done_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:  # most of their time is waiting for the simulated bench
        for _ in pool.map(whoever_is_killed, (tmp_path / f"seed-{seed}" for seed in range(2)), range(2)):
            pass


def whoever_is_killed(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder.mkdir()
    campaign, lab = written(folder, trials=4, sobol=4)
    with served(folder, lab, 10.0) as rig:
        runner = rig.run(campaign)
        wait_for(lambda: rig.facts(e.RunStarted) or runner.poll() is not None)
        together = False
        for _ in range(12):
            time.sleep(chance.uniform(0.5, 4.0))
            if runner.poll() is not None:
                break
            whom = chance.choice(("runner", "runner", PLANNER, GUARD, "all"))
            if whom in (PLANNER, GUARD):
                if (pid := child(runner, whom)) is not None:
                    rig.kill(pid)
                continue
            together = together or whom == "all"
            if whom == "all":
                runner.send_signal(signal.SIGSTOP)  # so that it starts none of them anew in between
                for module in (PLANNER, GUARD):
                    if (pid := child(runner, module)) is not None:
                        rig.kill(pid)
            runner.kill()
            runner.wait()
            runner = rig.start("resume", "r", "--no-dashboard")
        rig.to_its_end(runner, alone=together)
        state = ledger_and_journal_agree(rig)
        assert state.measured == 4 and not state.questions


@pytest.mark.slow
def test_cables_that_are_pulled_and_put_back_over_real_ports(tmp_path: Path) -> None:
    """The port goes away, and comes back under the same name two seconds later."""
    campaign, _ = written(tmp_path, trials=3, sobol=3)
    run = tmp_path / "run"
    # With this seed cables are pulled at the 208th and at the 422nd answer, and not again for two thousand.
    ran = subprocess.run(
        command("run", campaign, "--run", run, "--speed", 20, "--faults", "unplug=0.001,seed=2417", "--no-dashboard"),
        cwd=tmp_path, env=alone(tmp_path), capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    facts = records(run)
    lost = [one.event for one in facts if isinstance(one.event, e.InstrumentLost)]
    assert lost, "no cable was pulled"
    state = s.fold(facts)
    lines = (run / "simulators" / "ledger.jsonl").read_text().splitlines()
    assert accounts.disagreements([SimpleNamespace(**json.loads(line)) for line in lines], state) == []
    assert accounts.lost_trials(state) + accounts.not_as_wished(state) + accounts.done_twice(state) == []
