"""The planner behind a pipe: the same answers as in process, over deaths, delays and refusals."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labloop.campaign.errors import SpecError, StateError
from labloop.planner.errors import NothingLeftError, PlannerError
from labloop.planner.inline import InlinePlanner
from labloop.planner.process import PlannerProcess

SPEC = {
    "labloop": 1,
    "campaign": "names",
    "parameters": {
        "yield": {"range": [0.5, 30.0], "unit": "percent"},
        "N": {"integer": [1, 12]},
        "time": {"range": [1, 60], "unit": "min", "scale": "log"},
        "solvent": {"choices": ["DMF", "DMSO", "NMP"]},
    },
    "constraints": ["yield + 2 percent * N <= 40 percent"],
    "outcomes": {"beta": {"goal": "maximize"}},
    "design": {"initial": {"method": "sobol", "trials": 4}, "seed": 7},
    "budget": {"trials": 20},
    "engine": {"raw_samples": 64, "restarts": 2, "iterations": 20, "samples": 16},
}
PATIENCE_S = 120


@pytest.fixture(scope="module")
def facts(journal):
    """Six measured trials, seed 7."""
    told = journal(7)
    for i in range(6):
        settings = {"yield": 1.0 + 3 * i, "N": 1 + i, "time": 2.0 * (i + 1), "solvent": ["DMF", "DMSO", "NMP"][i % 3]}
        told.measure(settings, beta=float(-((i - 3.3) ** 2)))
    return told


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory, facts) -> Iterator[PlannerProcess]:
    """One child that knows the facts, for the tests that only kill or ask it: warming up costs seconds."""
    planner = PlannerProcess(SPEC, Path(), tmp_path_factory.mktemp("planner") / "planner.log")
    planner.send_facts(facts.records[:5])
    planner.start()
    planner.send_facts(facts.records[5:])
    yield planner
    planner.close()


def test_process_inline_and_a_restarted_child_agree_to_the_bit(warm: PlannerProcess, facts) -> None:
    inline = InlinePlanner(SPEC)
    inline.start()
    inline.send_facts(facts.records)
    expected = inline.request(2, based_on=facts.state.seq).result()
    assert [one.source for one in expected] == ["model", "model"]

    assert warm.request(2, based_on=facts.state.seq).result(PATIENCE_S) == expected

    first = warm.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert warm.request(2, based_on=facts.state.seq).result(PATIENCE_S) == expected
    assert warm.pid != first


def test_killed_while_it_thinks_it_is_asked_again(warm: PlannerProcess) -> None:
    assert warm.ready.wait(PATIENCE_S)
    expected = warm.request(1, first=40).result(PATIENCE_S)
    question = warm.request(1, first=40)
    assert warm.pid is not None
    os.kill(warm.pid, signal.SIGKILL)
    assert question.result(PATIENCE_S) == expected


def test_facts_not_yet_sent_are_missed(warm: PlannerProcess) -> None:
    with pytest.raises(StateError, match="is to rest on fact 999"):
        warm.request(1, based_on=999).result(PATIENCE_S)


def test_a_late_model_gives_way_to_the_design(warm: PlannerProcess) -> None:
    assert warm.ready.wait(PATIENCE_S) and warm.pid is not None
    os.kill(warm.pid, signal.SIGSTOP)  # it would be quicker than a timer of 0 s now and then
    proposal = warm.request(1, first=50, deadline_s=0.0).result(PATIENCE_S)[0]
    assert proposal.source == "sobol"
    assert proposal.reason == "surrogate failed: no answer in 0 s"
    assert warm.request(1, first=50).result(PATIENCE_S)[0].source == "model"


def test_after_close_it_says_so(facts) -> None:
    planner = PlannerProcess(SPEC, Path())
    planner.start()
    planner.send_facts(facts.records)
    waiting = planner.request(1)
    child = planner.pid
    planner.close()
    planner.close()
    with pytest.raises(PlannerError, match="was closed before"):
        waiting.result(PATIENCE_S)
    with pytest.raises(PlannerError, match="is closed"):
        planner.request(1).result(PATIENCE_S)
    with pytest.raises(ProcessLookupError):
        os.kill(child or 0, 0)


def test_a_child_that_keeps_dying_is_given_up_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labloop").mkdir()
    (tmp_path / "labloop" / "__init__.py").write_text("")
    (tmp_path / "labloop" / "planner.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    monkeypatch.setattr("labloop.planner.process.ROOT", str(tmp_path))
    planner = PlannerProcess(SPEC, Path(), tmp_path / "log")
    planner.start()
    with pytest.raises(PlannerError, match=r"died 4 times: killed by SIGKILL \(out of memory\?\); its log is"):
        planner.request(1).result(PATIENCE_S)
    planner.close()


def test_refusals_keep_their_kind(journal) -> None:
    table = [{"yield": 1.0, "N": 1, "time": 2.0, "solvent": "DMF"}]
    inline = InlinePlanner({**SPEC, "candidates": table})
    facts = journal(1)
    facts.measure(table[0], beta=1.0)
    inline.send_facts(facts.records)
    with pytest.raises(NothingLeftError):
        inline.request(1).result()
    with pytest.raises(SpecError, match=r"engine\.kernel = periodic: must be one of matern, rbf"):
        InlinePlanner({**SPEC, "engine": {"kernel": "periodic"}}).start()
    planner = PlannerProcess({**SPEC, "engine": {"kernle": "rbf"}}, Path())
    planner.start()
    with pytest.raises(SpecError, match="Did you mean kernel"):
        planner.request(1).result(PATIENCE_S)
    planner.close()


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from labloop.planner.process import PlannerProcess\n"
        "planner = PlannerProcess({}, Path()); planner.start(); print(planner.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    descriptor = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
    parent.kill()
    parent.wait()
    if descriptor is None:
        pytest.skip("this system cannot wait for another's child")
    import select

    assert select.select([descriptor], [], [], PATIENCE_S)[0], "the planner outlived its parent"


def test_the_parents_side_loads_no_torch() -> None:
    code = (
        "import sys; from labloop.planner import PlannerProcess, InlinePlanner, Proposal, PlannerError\n"
        "assert not {'torch', 'botorch', 'gpytorch', 'scipy'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
