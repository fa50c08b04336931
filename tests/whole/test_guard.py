"""A live run whose runner is killed or stopped: the bench is safe, nothing is done twice, and the run goes on."""

import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import accounts
import pytest
from rig import CAMPAIGNS, Rig, served, wait_for

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.journal.store import lock_path
from labloop.runner.book import BenchBook
from labloop.runner.clock import utc_stamp

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys")

CAMPAIGN = f"""
labloop: 1
campaign: guarded
parameters:
  q: {{range: [200, 900], unit: uL/min}}
outcomes:
  loss: {{goal: minimize, from: spectrum, analysis: distance_to_target, target: {CAMPAIGNS / "target_spectrum.csv"}}}
trial:
  - together:
      - pump_agno3.dispense: {{rate: $q, time: 20 s}}
      - pump_water.dispense: {{rate: $q, time: 20 s}}
    if_interrupted: remainder
  - spectrometer.measure: {{integration: 100 ms, save_as: spectrum}}
budget: {{trials: 1}}
"""
# Half of a trial's time.
CLEANUP = """
cleanup:
  - spectrometer.rinse: {}
"""
PUMPS = {"pump_agno3", "pump_water"}


def campaign(rig: Rig, more: str = "") -> Path:
    path = rig.folder / "guarded.yaml"
    path.write_text(CAMPAIGN + more)
    return path


def acting(rig: Rig, trial: int = 1) -> bool:
    """Whether both pumps of a trial are at it."""
    begun = {fact.instrument for fact in rig.facts(e.StepStarted) if fact.trial == trial}
    return begun >= PUMPS and len(moving(rig)) == len(PUMPS)


def moving(rig: Rig) -> set[str]:
    """The instruments that are in the middle of an act, as their own ledger says it."""
    running: set[str] = set()
    for line in rig.ledger():
        (running.add if line["phase"] == "begin" else running.discard)(line["instrument"])
    return running


def ledger_and_journal_agree(rig: Rig) -> None:
    state = s.fold(rig.records())
    entries = [SimpleNamespace(**line) for line in rig.ledger()]
    assert accounts.disagreements(entries, state) == []
    assert (
        accounts.not_as_wished(state) == [] and accounts.lost_trials(state) == [] and accounts.done_twice(state) == []
    )


# The command line, whose guards have time for the counters of a bench that a busy computer serves.
PATIENT = """
import subprocess
from types import SimpleNamespace
from labloop.cli import main
from labloop.runner import guarding

GUARD = "from labloop.bench import rescue; rescue.READ_S = 60.0; from labloop.runner import guard; guard.main()"

def patient(command, **more):
    at = command.index("-m")
    return subprocess.Popen([*command[:at], "-c", GUARD, *command[at + 2 :]], **more)

guarding.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": patient})
main()
"""


def test_a_killed_runners_bench_is_made_safe_and_its_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rig.command", lambda *verb: [sys.executable, "-P", "-c", PATIENT, *map(str, verb)])
    with served(tmp_path, CAMPAIGNS / "lab.yaml", 2.0) as rig:  # the act lasts longer than any guard needs
        runner = rig.run(campaign(rig))
        wait_for(lambda: acting(rig) or runner.poll() is not None)
        runner.kill()
        wait_for(lambda: not moving(rig))
        wait_for(lambda: rig.status()["guard"] == "acted")
        assert rig.status()["runner"] == "gone"
        for _ in range(2):
            other = rig.run(campaign(rig), "other")
            said, _ = other.communicate(timeout=300)
            assert other.returncode == 6 and "labloop resume" in said, "the bench is the killed run's until it is asked"
        resumed = rig.start("resume", "r", "--no-dashboard", "--verbose")
        said, _ = resumed.communicate(timeout=300)
        assert resumed.returncode == 0, said
        reached = [fact for fact in rig.facts(e.SafeStateReached) if fact.by == "guard"]
        assert len(reached) == 1 and reached[0].errors == [] and reached[0].found.keys() >= PUMPS
        for name in PUMPS:
            seen = reached[0].found[name]
            assert seen.state == "stopped" and 0.0 < seen.before["infused"].value <= seen.after["infused"].value
        ledger_and_journal_agree(rig)
        assert rig.status()["guard"] == "gone" and rig.status()["safe"]


def test_a_runner_that_lost_its_bench_while_it_was_stopped_writes_no_byte_and_says_so(tmp_path: Path) -> None:
    """Presumed dead: its guard is dead too, its lock was deleted, and somebody else has taken the bench."""
    with served(tmp_path, CAMPAIGNS / "lab.yaml", 1.0, tapped=True) as rig:
        assert rig.taps is not None
        runner = rig.run(campaign(rig))
        wait_for(lambda: acting(rig) or runner.poll() is not None)
        guard = rig.facts(e.GuardStarted)[0].pid
        runner.send_signal(signal.SIGSTOP)
        rig.kill(guard)
        lock_path(rig.folder / "bench.db").unlink()
        book = BenchBook.open(rig.folder, "droplet-bench", utc_stamp)
        book.take_lease(str((rig.folder / "r").resolve()), "live", {})
        wait_for(rig.taps.drained)
        since_s = time.monotonic()
        runner.send_signal(signal.SIGCONT)
        said, _ = runner.communicate(timeout=300)
        assert runner.returncode == 3, said
        assert "the bench is not ours any more" in said and f"epoch {book.state.epoch}" in said
        assert {name: tap.bytes_since(since_s) for name, tap in rig.taps.lines.items()} == dict.fromkeys(
            rig.taps.lines, b""
        )
        assert book.lease is not None and book.lease.holds()
        book.close()


@pytest.mark.slow
def test_a_stopped_runner_is_ended_before_its_ports_are_taken(tmp_path: Path) -> None:
    with served(tmp_path, CAMPAIGNS / "lab.yaml", 1.0) as rig:
        runner = rig.run(campaign(rig))
        wait_for(lambda: acting(rig) or runner.poll() is not None)
        runner.send_signal(signal.SIGSTOP)
        wait_for(lambda: not moving(rig))
        assert runner.wait(300) == -signal.SIGKILL
        wait_for(lambda: rig.status()["guard"] == "acted")
        resumed = rig.start("resume", "r", "--no-dashboard")
        said, _ = resumed.communicate(timeout=300)
        assert resumed.returncode == 0, said
        (reached,) = [fact for fact in rig.facts(e.SafeStateReached) if fact.by == "guard"]
        assert "hung" in reached.why and "was ended" in reached.why
        ledger_and_journal_agree(rig)


@pytest.mark.slow
def test_killed_ten_times_in_a_row_with_its_guard_now_and_then(tmp_path: Path) -> None:
    """The runner, the guard, or both, at random moments; the figure in docs/safety.md. Two benches at a time."""
    with ThreadPoolExecutor(2) as pool:
        took = [one for each in pool.map(killed_ten_times, [tmp_path] * 4, range(4)) for one in each]
    print("seconds to the safe state:", sorted(took))  # noqa: T201


def killed_ten_times(folder: Path, seed: int) -> list[float]:
    """How long it took to the safe state, where the runner alone was killed in an act."""
    chance = random.Random(seed)
    took, together = [], False
    bench = folder / f"seed-{seed}"
    bench.mkdir()
    with served(bench, CAMPAIGNS / "lab.yaml", 5.0) as rig:
        runner = rig.run(campaign(rig, CLEANUP))
        wait_for(lambda: rig.facts(e.RunStarted) or runner.poll() is not None)
        for _ in range(10):
            time.sleep(chance.uniform(1.0, 8.0))
            if runner.poll() is not None:
                break
            whom = chance.choice(("runner", "runner", "runner", "guard", "both"))
            guards = rig.facts(e.GuardStarted)
            moved = moving(rig) if whom == "runner" else set()
            if whom != "runner" and guards:
                if whom == "both":
                    runner.send_signal(signal.SIGSTOP)  # so that it starts no other in between
                rig.kill(guards[-1].pid)
            if whom == "guard":
                continue
            together = together or whom == "both"
            began_s = time.monotonic()
            runner.kill()
            runner.wait()
            if moved:
                wait_for(lambda: not moving(rig))
                took.append(time.monotonic() - began_s)
            runner = rig.start("resume", "r", "--no-dashboard")
        rig.to_its_end(runner, alone=together)
        ledger_and_journal_agree(rig)
    return took
