"""A pause that has had its time: the bench is safe, and the runner waits for whoever paused it.

A run whose time is virtual does not wait (test_pause): nobody could come back in the morning.
"""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from people import WATCHED, People, wish
from reach import Reach
from test_pause import ASKED, by_hand

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.journal import inbox
from labloop.runner import amending, wishes
from labloop.runner.amending import AMEND
from labloop.runner.clock import VirtualClock
from labloop.runner.preview import look_at
from labloop.runner.rest import Rest
from tests.patience import PATIENT, patient_wishes

LAB = f"{WATCHED}pause: {{hold: 2 min, then: safe}}\n"
WARM = """
    setup:
      - hotplate.stir: {speed: 300 rpm}
      - hotplate.heat: {temperature: 40 degC}
    trial:
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
      - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
    cleanup:
      - waste.withdraw: {rate: 300 uL/min, time: 10 s}
    budget: {trials: 2}
"""


# Far longer than any of it takes; who waits in vain fails.
DEADLINE_S = 300.0


class Patient(VirtualClock):
    """Time that leaps, of a run that takes it for the wall's: somebody may come back in it."""

    virtual = False


def reach_of(tmp_path: Path) -> Reach:
    reach = Reach(tmp_path, LAB, WARM, People(tmp_path, (30.0, wish("pause", by="ann", why="lunch"))))
    reach.time = lambda opened, state, note: Patient(state.t_s)
    return reach


def run(reach: Reach) -> int:
    return reach.run(virtual=False)


@contextmanager
def someone(reach: Reach, does: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever comes once the run rests, beside it; what goes wrong with them is raised at the end."""
    rests = Rest.run
    coming: list[Future[None]] = []

    def left(came: "Future[None]") -> None:
        if came.exception() is not None:  # else nobody would ever say resume
            inbox.post(reach.folder / "run" / "requests", "abort", [], by="the test")

    async def run(self: Rest) -> int | None:
        coming.append(people.submit(does))
        coming[-1].add_done_callback(left)
        return await rests(self)

    monkeypatch.setattr(Rest, "run", run)
    patient_wishes(monkeypatch)
    with ThreadPoolExecutor(1) as people:
        try:
            yield
        finally:
            for came in coming:
                came.result()
    assert len(coming) == 1


def resume(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """``labloop resume`` in another terminal."""
    return subprocess.run([*PATIENT, "resume", str(folder), *options], capture_output=True, text=True, check=False)


def test_the_run_goes_on_when_its_person_comes_back_and_sets_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = reach_of(tmp_path)
    seen: list[s.CampaignState] = []

    def does() -> None:
        folder = tmp_path / "run"
        assert wishes.ask(folder, "note", ["still out"], by="ann", why="").accepted
        refused = wishes.ask(folder, "resume", [], by="bob", why="")
        assert refused.accepted is False and "ann paused it (lunch)" in refused.message
        seen.append(reach.state())
        assert reach.bench is not None and not reach.bench.devices["hotplate"].heats
        said = resume(folder, "--by", "bob", "--why", "w")
        assert said.returncode == 2 and "refused: ann paused it (lunch)" in said.stdout
        said = resume(folder, "--by", "ann")
        assert said.returncode == 0 and "resume: accepted" in said.stdout

    with someone(reach, does, monkeypatch):
        assert run(reach) == 0
    (rested,) = seen
    assert rested.state == s.PAUSED and rested.safe and rested.reason == "lunch" and "ann" in rested.holds
    assert [one.rested for one in reach.facts(e.RunStarted)] == [False, True]
    assert reach.facts(e.SafeStateReached)[0].why == "paused by ann for 2 min 00 s (lunch), and nobody said resume"
    assert not reach.facts(e.CampaignHalted)
    assert len(reach.facts(e.InstrumentConfigured)) == 8, "everything was set up again"
    setups = [one.action for one in reach.facts(e.StepStarted) if one.phase == "setup"]
    assert setups == ["stir", "heat", "stir", "heat"]
    acts = [(one.trial, one.instrument) for one in reach.facts(e.StepStarted) if one.phase == "trial"]
    assert acts == [(trial, name) for trial in (1, 2) for name in ("pump_a", "pump_b")], "no act twice"
    assert [one.amount for one in reach.ledger("pump_a")] == pytest.approx([300.0, 300.0], abs=0.1)


def test_a_run_that_rests_is_stopped_like_any_and_its_hold_outlives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = reach_of(tmp_path)

    def does() -> None:
        assert wishes.ask(tmp_path / "run", "stop", [], by="bob", why="").accepted

    with someone(reach, does, monkeypatch):
        assert run(reach) == 4
    state = reach.state()
    assert state.state == s.STOPPED and state.safe and len(reach.facts(e.SafeStateReached)) == 1
    with pytest.raises(SpecError, match=r"ann paused it \(lunch\)"):
        reach.run(again={"by": "bob"})


def test_an_act_by_hand_is_asked_about_though_the_run_has_rested_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How often a run had the bench tells which acts lie before a sample; a rest gives nothing back."""
    reach = reach_of(tmp_path)

    def does() -> None:
        stop = wish("stop", by="ann")
        reach.meddle = lambda bench, now_s: stop(tmp_path / "run" / "requests", None, now_s) if begun() else None
        assert wishes.ask(tmp_path / "run", "resume", [], by="ann", why="").accepted

    def begun() -> bool:
        return any(one.trial == 2 for one in reach.facts(e.StepStarted)) and not reach.facts(e.Requested)[2:]

    with someone(reach, does, monkeypatch):
        assert run(reach) == 4
    assert reach.state().trials[2].state == s.RUNNING and reach.facts(e.RunStarted)[1].rested
    by_hand(tmp_path / "run", "h1")
    with pytest.raises(SpecError, match=ASKED.replace("trial 1", "trial 2").replace("veto 1", "veto 2")):
        reach.run(again={"by": "ann"})


def test_a_run_at_rest_is_amended_and_goes_on_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What that takes to be looked at nobody else waits for."""
    reach = reach_of(tmp_path)
    folder, file = tmp_path / "run", tmp_path / "changed.yaml"
    looks, go_on = Event(), Event()
    check = amending.check

    def checking(*words: Any, **more: Any) -> Any:
        looks.set()
        assert go_on.wait(DEADLINE_S), "nobody else was answered meanwhile"
        return check(*words, **more)

    def amends() -> None:
        file.write_text((folder / "campaign.yaml").read_text().replace("[100, 400]", "[100, 101]"))
        wanted = look_at(folder, file).wish()
        monkeypatch.setattr(amending, "check", checking)
        with ThreadPoolExecutor(1) as bob:
            reply = bob.submit(wishes.ask, folder, AMEND, wanted, by="bob", why="", wait_s=3 * DEADLINE_S)
            assert looks.wait(DEADLINE_S)
            assert wishes.ask(folder, "note", ["tea"], by="ann", why="", wait_s=DEADLINE_S / 2).accepted
            go_on.set()
            assert reply.result().accepted, reply.result().message
        assert wishes.ask(folder, "resume", [], by="ann", why="").accepted

    with someone(reach, amends, monkeypatch):
        assert run(reach) == 0
    state = reach.state()
    assert state.state == s.FINISHED and len(state.amended) == 1
    assert state.trials[2].amended == state.amended[0].seq and 100 <= state.trials[2].settings["q"] <= 101
