"""A pause that meets something else: a line that comes and goes, a start that still asks, a step about to begin."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from people import WATCHED, Deed, People, hand, wish
from reach import Reach

from drivers.new_era import NE1000
from labloop.bench import LinkTimeout
from labloop.bench.station import Station
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.journal import inbox
from labloop.runner.lookout import Lookout
from labloop.runner.loop import Loop
from labloop.runner.reach import Reach as Way
from labloop.runner.rereading import Rereading
from labloop.runner.step import StepHand

PUMPS = "serial:///dev/pumps?baud=19200"
PATIENT = f"{WATCHED}on_lost: {{retry_for: 1 min}}\n"
TWO = """
    trial:
      - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
      - pump_a.dispense: {rate: 60 uL/min, time: 10 min}
    budget: {trials: 1}
"""
ONE = """
    trial:
      - pump_a.dispense: {rate: 60 uL/min, time: 60 min}
    budget: {trials: 1}
"""


@pytest.fixture(autouse=True)
def _looked_at_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inbox is looked at once a lab second, as on a wall clock: a wish is taken in the middle of an act as well."""

    async def keep_looking(self: Lookout) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.take_requests()
            self.end_long_pause()

    monkeypatch.setattr(Lookout, "keep_looking_in_virtual_time", keep_looking)


def unplugged(reach: Callable[[], Reach], for_s: float) -> Deed:
    def out(box: Path, devices: Any, now_s: float) -> None:
        bench = reach().bench
        assert bench is not None
        bench.lines[PUMPS].unplugged_until_s = now_s + for_s

    return out


def test_what_works_on_after_an_outage_is_not_set_up_by_a_resume(tmp_path: Path) -> None:
    people = People(
        tmp_path, (100.0, unplugged(lambda: reach, 12.0)), (200.0, wish("pause", by="ann")),
        (260.0, wish("resume", by="ann")),
    )  # fmt: skip
    reach = Reach(tmp_path, PATIENT, TWO, people)
    assert reach.run() == 0
    assert [one.instrument for one in reach.facts(e.InstrumentLost)] == ["pump_a"]
    assert len(reach.facts(e.CampaignPaused)) == 1, "nobody is told to stop a good act"
    assert [one.resumed for one in reach.facts(e.SettingsRead)] == [True], "it never was at rest"
    assert [one.amount for one in reach.ledger("pump_a")] == pytest.approx([600.0], abs=0.1)


def test_what_works_on_after_an_outage_comes_to_its_end_however_long_the_pause(tmp_path: Path) -> None:
    people = People(
        tmp_path, (100.0, unplugged(lambda: reach, 12.0)), (200.0, wish("pause", by="ann")),
        (2000.0, wish("resume", by="ann")),
    )  # fmt: skip
    reach = Reach(tmp_path, f"{PATIENT}pause: {{hold: 10 min}}\n", ONE, people)
    assert reach.run() == 0
    assert [one.amount for one in reach.ledger("pump_a")] == pytest.approx([3600.0], abs=0.1)


def test_what_stays_away_in_mid_act_does_not_keep_a_paused_bench_hot(tmp_path: Path) -> None:
    """Whoever cannot be asked counts as at rest: else the pause of a bench with a dead line had no limit."""
    people = People(tmp_path, (95.0, wish("pause", by="ann")), (100.0, unplugged(lambda: reach, 1e6)))
    reach = Reach(
        tmp_path, f"{WATCHED}on_lost: {{retry_for: 2 h}}\npause: {{hold: 10 min}}\n",
        TWO.replace("trial:", "trial:\n      - hotplate.heat: {temperature: 40 degC}", 1), people,
    )  # fmt: skip
    assert reach.run() != 0
    assert "paused by ann for 10 min" in reach.facts(e.SafeStateReached)[-1].why
    assert reach.bench is not None and not reach.bench.devices["hotplate"].heats


def test_what_was_read_after_the_resume_is_not_what_stood_at_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Rereading._found

    async def slowly(self: Rereading, names: Any) -> Any:
        await asyncio.sleep(20.0)
        return await found(self, names)

    monkeypatch.setattr(Rereading, "_found", slowly)
    people = People(tmp_path, (30.0, wish("pause", by="ann")), (70.0, wish("resume", by="ann")))
    reach = Reach(tmp_path, WATCHED, TWO, people)
    assert reach.run() == 0
    assert [one.resumed for one in reach.facts(e.SettingsRead)] == [True]


def test_what_is_moved_between_a_second_pause_and_its_resume_is_asked_though_one_was_being_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, slow = Way.named, [True]

    async def slowly(self: Way, name: str, method: Any, *args: Any, **more: Any) -> Any:
        if name == "pump_a" and method.__name__ == "configure" and reach.facts(e.CampaignResumed) and slow:
            slow.pop()
            await asyncio.sleep(60.0)
        return await named(self, name, method, *args, **more)

    monkeypatch.setattr(Way, "named", slowly)
    people = People(
        tmp_path, (30.0, wish("pause", by="ann")), (100.0, wish("resume", by="ann")),
        (110.0, wish("pause", by="ann")), (120.0, hand("hotplate", b"OUT_SP_1 60 \r\n")),
        (130.0, wish("resume", by="ann")), (300.0, wish("resume", "force", by="ann", why="it is meant")),
    )  # fmt: skip
    reach = Reach(tmp_path, WATCHED, HOT, people)
    assert reach.run() == 0
    assert not slow and len(reach.facts(e.CampaignResumed)) == 3
    *_, asked = reach.facts(e.CampaignPaused)
    assert "hotplate.heat" in asked.reason
    assert [one.why for one in reach.facts(e.MovedAccepted)] == ["it is meant"]


# --- what setup began and a power cut ended -------------------------------------------------------------------------

HELD = """
    setup:
      - hotplate.stir: {speed: 300 rpm}
      - hotplate.heat: {temperature: 30 degC}
    trial:
      - hotplate.hold: {temperature: 40 degC, time: 10 min, reach_by: 30 min}
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
    budget: {trials: 1}
"""


def dark(box: Path, devices: Any, now_s: float) -> None:
    devices["hotplate"].power_cycle(now_s)


def asked_about_stirring(folder: Path, campaign: str) -> Reach:
    """The mains of the plate fail, ann resumes, puts the stirrer back and resumes again."""
    people = People(
        folder, (110.0, dark), (300.0, wish("resume", by="ann")),
        (400.0, hand("hotplate", b"OUT_SP_4 300 \r\n", b"START_4 \r\n")), (500.0, wish("resume", by="ann")),
    )  # fmt: skip
    reach = Reach(folder, WATCHED, campaign, people)
    assert reach.run() == 0
    first, again = reach.facts(e.CampaignPaused)
    assert "not as it was when it was set up: hotplate.stir (" in first.reason
    assert "hotplate.stir (" in again.reason and again.t_s >= 300.0, "it was not put back"
    reads = reach.facts(e.SettingsRead)
    assert [list(one.moved) for one in reads if one.moved] == [["hotplate.stir"]] * 2
    assert [one.found["hotplate.stir"] for one in reads] == ["not_begun"] * 3 + ["as it was done"], "what was found"
    return reach


def test_what_setup_began_and_a_power_cut_ended_is_asked_and_what_each_trial_begins_again_is_not(
    tmp_path: Path,
) -> None:
    reach = asked_about_stirring(tmp_path, HELD)
    begun = [one.t_s for one in reach.facts(e.StepStarted) if one.trial == 2 and one.phase == "trial"]
    assert begun[0] > 500.0 and len(reach.ledger("pump_a")) == 1


def test_what_was_set_up_is_looked_at_with_each_trial_though_nothing_tells_of_a_power_cut(tmp_path: Path) -> None:
    idle = """
    setup: [{hotplate.stir: {speed: 300 rpm}}]
    trial: [{pump_a.dispense: {rate: 300 uL/min, time: 2 min}}]
    budget: {trials: 2}
    """
    reach = asked_about_stirring(tmp_path, idle)
    first, second = (one.at_s for one in reach.ledger("pump_a", "begin"))
    assert first < 10.0 and second > 500.0


# --- the rereading itself breaks down -------------------------------------------------------------------------------

LUNCH = (30.0, wish("pause", by="ann")), (300.0, wish("resume", by="ann"))
HOT = TWO.replace("trial:", "trial:\n      - hotplate.heat: {temperature: 40 degC}", 1)


def test_a_rereading_that_breaks_down_ends_the_run_at_once_and_the_bench_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(self: NE1000, *args: Any) -> Any:
        raise KeyError("a driver's own mistake")

    monkeypatch.setattr(NE1000, "happened", defect)
    reach = Reach(tmp_path, WATCHED, HOT, People(tmp_path, *LUNCH, (3000.0, wish("stop", by="ann"))))
    with pytest.raises(KeyError, match="a driver's own mistake"):
        reach.run()
    (safe,) = reach.facts(e.SafeStateReached)
    assert "the reading after a pause broke down: KeyError" in safe.why and reach.state().safe
    assert reach.bench is not None and not reach.bench.devices["hotplate"].heats
    assert reach.clock is not None and reach.clock.now_s() < 100.0, "as soon as it rested"


def test_what_other_code_cannot_read_any_more_is_not_asked_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after --new-code: a setting was renamed since the act was done, an action is gone from the driver."""

    def renamed(self: NE1000, *args: Any) -> Any:
        raise SpecError("rate: no such setting")

    def cannot_heat(one: Station) -> Any:
        return {name: action for name, action in one.declaration.actions.items() if name != "heat"}

    def forget(*args: Any) -> None:
        monkeypatch.setattr(NE1000, "happened", renamed)
        monkeypatch.setattr(Station, "actions", property(cannot_heat))

    stirred = HOT.replace("trial:", "trial:\n      - hotplate.stir: {speed: 300 rpm}", 1)
    reach = Reach(
        tmp_path, WATCHED, stirred, People(tmp_path, *LUNCH, (29.0, forget), (3000.0, wish("stop", by="ann")))
    )  # fmt: skip
    assert reach.run() == 0
    assert [one.found for one in reach.facts(e.SettingsRead)] == [{"hotplate.stir": "as it was done"}] * 2


# --- a start that still asks ----------------------------------------------------------------------------------------


class Kill(BaseException):
    """The runner dies: nothing is stopped, nothing written."""


def killed(tmp_path: Path, campaign: str, at_s: float, monkeypatch: pytest.MonkeyPatch) -> Reach:
    def kill(*args: Any) -> None:
        raise Kill

    reach = Reach(tmp_path, WATCHED, campaign, People(tmp_path, (at_s, kill)))
    with monkeypatch.context() as dying:
        dying.setattr(Loop, "_make_safe", kill)
        with pytest.raises(Kill):
            reach.run()
    return reach


def test_nothing_is_set_up_while_a_start_still_waits_for_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = killed(tmp_path, TWO, 100.0, monkeypatch)
    before = len(reach.records())
    reach.meddle = People(tmp_path, (150.0, wish("pause", by="ann")), (200.0, wish("resume", by="ann")))
    assert reach.run() == 0
    facts = [one.event for one in reach.records()[before:]]
    assert len([one for one in facts if isinstance(one, e.CampaignPaused)]) == 1
    ends = next(n for n, one in enumerate(facts) if isinstance(one, e.StepFinished))
    assert min(n for n, one in enumerate(facts) if isinstance(one, e.InstrumentConfigured | e.SettingsRead)) > ends
    assert [one.amount for one in reach.ledger("pump_a")] == pytest.approx([600.0], abs=0.1)


# --- a step that is about to begin ----------------------------------------------------------------------------------

SLOW = {"looked at": (StepHand, "_look"), "set up": (StepHand, "_prepare")}


@pytest.mark.parametrize("what", SLOW)
def test_nothing_begins_after_a_pause_was_granted(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, name = SLOW[what]
    real = getattr(of, name)

    async def slowly(*args: Any) -> Any:
        await asyncio.sleep(10.0)
        return await real(*args)

    monkeypatch.setattr(of, name, slowly)
    people = People(tmp_path, (1.0, wish("pause", by="ann")), (300.0, wish("resume", by="ann")))
    reach = Reach(tmp_path, WATCHED, TWO, people)
    assert reach.run() == 0
    assert reach.facts(e.RequestAnswered)[0].accepted
    assert reach.ledger("pump_b", "begin")[0].at_s > 300.0
    assert [one.amount for one in reach.ledger("pump_b")] == pytest.approx([300.0], abs=0.1)


def begins_badly(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, times: int, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """What begins a trial's step on pump_b is lost on the wire so many times; at the first, ann asks for a pause."""
    real, lost = Station.begin, [0]

    def begin(self: Station, permit: Any, act: str) -> None:
        if self.name == "pump_b" and "/1.trial" in act and lost[0] < times:
            lost[0] += 1
            if lost[0] == 1:
                inbox.post(tmp_path / "run" / "requests", "pause", [], by="ann", why="")
                meanwhile()
            raise LinkTimeout("pump_b: nothing came")
        real(self, permit, act)

    monkeypatch.setattr(Station, "begin", begin)


def begun_s(reach: Reach) -> list[float]:
    return [one.at_s for one in reach.ledger("pump_b", "begin")]


def test_what_did_not_begin_before_a_pause_begins_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begins_badly(monkeypatch, tmp_path, 3)
    reach = Reach(tmp_path, WATCHED, TWO, People(tmp_path, (300.0, wish("resume", by="ann"))))
    assert reach.run() == 0
    assert [at_s > 300.0 for at_s in begun_s(reach)] == [True]
    (failed,) = reach.facts(e.StepFailed)
    assert failed.fault == "not_done" and "did not begin, and now the run is paused" in failed.reason


def test_what_was_to_begin_with_another_does_not_begin_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = """
    setup: [pump_b.dispense: {rate: 60 uL/min, time: 60 s}]
    trial:
      - together: [hotplate.stir: {speed: 300 rpm}, pump_b.dispense: {rate: 300 uL/min, time: 1 min}]
        if_interrupted: again
    budget: {trials: 1}
    """

    def away() -> None:
        assert reach.bench is not None and reach.clock is not None
        reach.bench.lines[PUMPS].unplugged_until_s = reach.clock.now_s() + 20.0

    begins_badly(monkeypatch, tmp_path, 1, away)
    reach = Reach(tmp_path, PATIENT, both, People(tmp_path, (300.0, wish("resume", by="ann"))))
    assert reach.run() == 0
    assert [at_s > 300.0 for at_s in begun_s(reach)] == [False, True], "that of the setup, and that of the trial"
    (failed,) = reach.facts(e.StepFailed)
    assert failed.fault == "not_done" and "its line was lost before it began, and the run is paused" in failed.reason
