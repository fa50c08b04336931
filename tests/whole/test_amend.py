"""A campaign amended while it runs, while it rests, and while its runner is killed: nothing under way is changed."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from reach import Reach

from campaigns import QUICKSTART, ROOT, records
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.journal import StoreError, inbox
from labloop.planner.planner import plan
from labloop.planner.problem import read_problem
from labloop.runner import session, wishes
from labloop.runner.amending import AMEND, LEAVES
from labloop.runner.kept import former_specs, kept_spec
from labloop.runner.look import see, verify
from labloop.runner.preview import look_at, look_at_undo, text_now

NARROWER = ("range: [200, 983]", "range: [300, 600]")
WITHIN_S = 120.0
# Amends the run from outside when a trial is measured, and ends its own process as a power cut does at a given fact.
RUN = """
import os, sys
from pathlib import Path
from labloop.campaign import events as e
from labloop.journal import begun, inbox
from labloop.runner.preview import look_at
from labloop.runner.session import Order, begin
campaign, run, changed, trials, kill_at = sys.argv[1:]
def listen(record, state):
    fact = record.event
    if isinstance(fact, e.TrialMeasured) and fact.trial == 3 and not state.amendments:
        inbox.post(Path(run) / "requests", "amend", look_at(Path(run), Path(changed)).wish(), by="ann", why="dilute")
    if type(fact).__name__ == kill_at and state.trials.get(3) and (kill_at != "Requested" or fact.request == "amend"):
        os._exit(9)
sys.exit(begin(Order(campaign=Path(campaign), run=Path(run), trials=int(trials), virtual=True), listen))
"""


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """The shipped campaign with a narrower range, among copies of the files that it names."""
    for name in ("lab.yaml", "target_spectrum.csv"):
        (tmp_path / name).write_bytes((QUICKSTART.parent / name).read_bytes())
    path = tmp_path / "changed.yaml"
    path.write_text(QUICKSTART.read_text().replace(*NARROWER))
    return path


def go(run: Path, changed: Path, trials: int, kill_at: str = "-") -> int:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(QUICKSTART), str(run), str(changed), str(trials), kill_at], cwd=ROOT,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def facts(run: Path, kind: type) -> list[Any]:
    return [(record.seq, record.event) for record in records(run) if isinstance(record.event, kind)]


def measured(run: Path) -> int:
    try:
        return len(facts(run, e.TrialMeasured))
    except StoreError:  # it is only being begun
        return 0


def test_a_run_goes_on_in_the_space_as_it_was_amended_and_replays_to_the_last_bit(
    tmp_path: Path, changed: Path
) -> None:
    run = tmp_path / "run"
    assert go(run, changed, 11) == 0
    ((at, amended),) = facts(run, e.Amended)
    assert (amended.by, amended.why) == ("ann", "dilute")
    proposed = facts(run, e.ProposalMade)
    before = [fact.settings["q_tot"] for seq, fact in proposed if seq < at]
    after = [fact.settings["q_tot"] for seq, fact in proposed if seq > at]
    assert len(after) >= 7 and all(300 <= q <= 600 for q in after) and not all(300 <= q <= 600 for q in before)
    assert sum(fact.source == "model" for _, fact in proposed) >= 3
    assert verify(run)["files"] == 2 and see(run).state.measured == 11
    for seq, fact in proposed:
        then = s.fold(record for record in records(run) if record.seq < seq)
        problem = read_problem(kept_spec(run, then), former_specs(run, then))
        (again,) = plan(problem, then, 1, fact.trial)
        assert (again.settings, again.acquisition_value) == (fact.settings, fact.acquisition_value)


@pytest.mark.parametrize(
    "kill_at",
    [
        "Requested",
        pytest.param("Amended", marks=pytest.mark.slow),
        pytest.param("RequestAnswered", marks=pytest.mark.slow),
    ],
)
def test_a_wish_is_granted_once_wherever_the_runner_is_killed(tmp_path: Path, changed: Path, kill_at: str) -> None:
    run = tmp_path / "run"
    assert go(run, changed, 5, kill_at) == 9
    left = len(list((run / "requests").glob("*.json")))
    assert left == 1, "its file stays until it is answered and written down"
    assert session.resume(run) == 0
    assert len(facts(run, e.Amended)) == 1 and not list((run / "requests").glob("*.json"))
    ((id, accepted),) = see(run).state.requests.items()
    assert accepted is True and id
    (at, _), *_ = facts(run, e.Amended)
    assert all(300 <= fact.settings["q_tot"] <= 600 for seq, fact in facts(run, e.ProposalMade) if seq > at)
    assert see(run).state.measured == 5


@pytest.mark.slow
def test_a_living_run_is_amended_from_the_shell(tmp_path: Path, changed: Path) -> None:
    run = tmp_path / "run"
    labloop = [sys.executable, "-P", "-m", "labloop"]
    runner = subprocess.Popen(
        [*labloop, "run", str(QUICKSTART), "--run", str(run), "--speed", "300", "--no-dashboard", "--trials", "500"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until_s = time.monotonic() + WITHIN_S
        while measured(run) < 2:
            assert runner.poll() is None and time.monotonic() < until_s
            time.sleep(0.1)
        reply = wishes.ask(run, AMEND, look_at(run, changed).wish(), by="ann", why="dilute", wait_s=WITHIN_S)
        assert reply.accepted, reply.message
        ((at, _),) = facts(run, e.Amended)
        while sum(seq > at for seq, _ in facts(run, e.ProposalMade)) < 3:
            assert runner.poll() is None and time.monotonic() < until_s
            time.sleep(0.1)
        back = wishes.ask(run, AMEND, look_at_undo(run).wish(), by="bob", why="", wait_s=WITHIN_S)
        assert back.accepted, back.message
    finally:
        runner.send_signal(signal.SIGINT)
        _, said = runner.communicate(timeout=WITHIN_S)
    assert runner.returncode == 4 and "Traceback" not in said
    assert "amended by ann: parameters.q_tot.range: [200, 983] -> [300, 600]" in said
    (_, there), (back_at, _) = facts(run, e.Amended)
    inside = [fact for seq, fact in facts(run, e.ProposalMade) if at < seq < back_at]
    assert len(inside) >= 3 and all(300 <= fact.settings["q_tot"] <= 600 for fact in inside) and there.leaves == []
    assert text_now(run) == QUICKSTART.read_text()
    ends = {type(fact) for _, fact in facts(run, e.TrialMeasured | e.TrialFailed)}  # type: ignore[arg-type]
    assert ends == {e.TrialMeasured}, "the trials that were under way came to their ends"


def test_proposals_that_leave_the_space_are_given_up_and_others_come(tmp_path: Path) -> None:
    reach = Reach(tmp_path, "", """
        trial:
          - pump_a.dispense: {rate: $q, time: 1 min}
        budget: {trials: 3}
        approval: human
    """)  # fmt: skip
    one = tmp_path / "one.yaml"
    one.write_text(one.read_text().replace("seed: 1}", "seed: 1, batch: 3}"))
    reach.run()
    run = tmp_path / "run"
    low, middle, high = sorted(trial.settings["q"] for trial in reach.state().trials.values())
    file = tmp_path / "changed.yaml"
    bound = (low + middle) / 2
    file.write_text((run / "campaign.yaml").read_text().replace("[100, 400]", f"[100, {bound}]"))
    seen = look_at(run, file)
    assert len(seen.effects.leaves) == 2 and "2 of 3 pending proposals leave the space" in seen.words()[0]
    reply = wishes.ask(run, AMEND, seen.wish(), by="ann", why="")
    assert reply.accepted and "proposals that left the space" in reply.message
    state = reach.state()
    gone = {number for number, trial in state.trials.items() if trial.state == s.ABANDONED}
    assert gone == set(seen.effects.leaves) and all(state.trials[number].reason == LEAVES for number in gone)
    assert not state.owed_again and state.failures_in_a_row == 0
    reach.run()
    state = reach.state()
    assert len(state.open_trials) == 3 and all(state.trials[n].settings["q"] <= bound for n in state.open_trials)
    assert middle > bound and high > bound


def test_what_two_people_wish_at_once_is_granted_to_the_first(tmp_path: Path, changed: Path) -> None:
    run = tmp_path / "run"
    assert go(run, changed, 4, "Requested") == 9
    other = tmp_path / "other.yaml"
    other.write_text(QUICKSTART.read_text().replace("trials: 40", "trials: 41"))
    inbox.post(run / "requests", AMEND, look_at(run, other).wish(), by="bob")
    inbox.post(run / "requests", AMEND, ["nonsense"], by="eve")
    assert session.resume(run) == 0
    answers = [fact for _, fact in facts(run, e.RequestAnswered)]
    assert [one.accepted for one in answers] == [True, False, False]
    assert "amended meanwhile by ann. Look again" in answers[1].message and "no amendment" in answers[2].message


def test_a_lab_that_does_not_allow_it_is_asked_first(tmp_path: Path) -> None:
    reach = Reach(tmp_path, "limits: {pump_a: {rate: {max: 500 uL/min}}}\n", """
        trial:
          - pump_a.dispense: {rate: $q, time: 1 min}
        budget: {trials: 1}
    """)  # fmt: skip
    reach.run()
    run, file = tmp_path / "run", tmp_path / "changed.yaml"
    for high, refused in ((600, True), (500, False)):
        file.write_text((run / "campaign.yaml").read_text().replace("[100, 400]", f"[100, {high}]"))
        if refused:
            with pytest.raises(SpecError, match=r"500 uL/min"):
                look_at(run, file)
        else:
            assert wishes.ask(run, AMEND, look_at(run, file).wish(), by="ann", why="").accepted
    assert len(facts(run, e.Amended)) == 1
