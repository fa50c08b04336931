"""What somebody changes at an instrument's own keys while a run stands still is asked before anything is set up."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from people import People, wish
from reach import Reach
from test_pause import by_hand
from test_rest import Patient, someone

from drivers.ika import RCT
from labloop.bench import LinkTimeout
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.journal import utc_now
from labloop.runner import wishes
from labloop.runner.book import BenchBook
from labloop.runner.hands import Hands
from labloop.runner.loop import Loop
from labloop.runner.memory import RunMemory

LAB = """\
  bath: {driver: "drivers.julabo:Circulator", simulator: "simulators.julabo:Circulator", port: "serial:///dev/bath"}
  furnace: {driver: "drivers.eurotherm:E3216", simulator: "simulators.eurotherm:E3216", port: "serial:///dev/furnace"}
  valve:
    driver: "drivers.vici:Actuator"
    simulator: "simulators.vici:Actuator"
    port: "serial:///dev/valve"
    valve: {water: 1, acid: 4, waste: 10}
limits: {hotplate: {plate: {max: 100 degC, stale_after: 5 s}}}
"""
WARM = """
    setup:
      - hotplate.stir: {speed: 300 rpm}
      - hotplate.heat: {temperature: 40 degC}
      - bath.control: {temperature: 30 degC}
    trial:
      - valve.turn: {position: acid}
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
      - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
    budget: {trials: 1}
"""
Keys = Callable[[Any, float], object]  # the device, lab seconds


def said(*commands: bytes) -> Keys:
    """The keys of an instrument do what its commands do, one a second."""
    return lambda device, now_s: [device.receive(one, now_s + n) for n, one in enumerate(commands)]


def turned(name: str, index: int, value: Any) -> Keys:
    return lambda device, now_s: getattr(device, name).__setitem__(index, value)


def programme(state: int) -> Keys:
    return lambda device, now_s: device._command(state, now_s)


# where, what it stood at and stands at, the keys that move it, and those that put it back
MOVED: list[tuple[str, str, str, Keys, Keys | None]] = [
    ("hotplate.temperature", "40 degC", "60 degC", said(b"OUT_SP_1 60 \r\n"), said(b"OUT_SP_1 40 \r\n")),
    ("hotplate.heater", "off", "on", said(b"START_1 \r\n"), said(b"STOP_1 \r\n")),
    ("hotplate.speed", "300 rpm", "500 rpm", said(b"OUT_SP_4 500 \r\n"), said(b"OUT_SP_4 300 \r\n")),
    ("pump_a.infused", "300 uL", "400 uL", said(b"0VOL100\r", b"0RUN\r"), None),
    ("pump_b.diameter", "14.43 mm", "4.7 mm", said(b"1DIA4.7\r"), said(b"1DIA14.43\r")),
    ("bath.temperature", "30 degC", "50 degC", said(b"out_sp_00 50\r"), said(b"out_sp_00 30\r")),
    ("bath.started", "off", "on", said(b"out_mode_05 1\r"), said(b"out_mode_05 0\r")),
    ("furnace.SP1", "20 degC", "45 degC", turned("setpoints_c", 0, 45.0), turned("setpoints_c", 0, 20.0)),
    ("furnace.setpoint", "remote", "local", turned("kept", 276, 0), turned("kept", 276, 1)),
    ("furnace.programme", "off", "on", programme(1), programme(0)),
    ("valve.position", "acid", "waste", said(b"GO10\r"), said(b"GO4\r")),
]  # fmt: skip


def stopped(tmp_path: Path, lab: str = LAB, campaign: str = WARM) -> Reach:
    """A run that was stopped when pump_a had dispensed its 300 uL."""
    reach = Reach(tmp_path, lab, campaign, People(tmp_path, (30.0, wish("stop", by="ann"))))
    assert reach.run() == 4 and reach.state().safe
    return reach


def keys(reach: Reach, where: str, press: Keys, after_s: float = 100.0) -> float:
    """Somebody presses them a while after the run ended; when all of that is over."""
    assert reach.bench is not None and reach.clock is not None
    reach.clock.advance_to(reach.clock.now_s() + after_s)
    reach.bench.settle(reach.clock.now_s())
    press(reach.bench.devices[where.partition(".")[0]], reach.clock.now_s())
    reach.clock.advance_to(reach.clock.now_s() + 60.0)
    reach.bench.settle(reach.clock.now_s())
    return reach.clock.now_s()


def come(reach: Reach, tmp_path: Path, *deeds: tuple[float, Any]) -> None:
    """People who come so long after now."""
    assert reach.clock is not None
    reach.meddle = People(tmp_path, *((reach.clock.now_s() + at_s, deed) for at_s, deed in deeds))


def since(reach: Reach, seq: int, *kinds: type) -> list[Any]:
    return [one.event for one in reach.records() if one.seq > seq and isinstance(one.event, kinds)]


@pytest.mark.parametrize(("where", "stood", "stands", "moves", "back"), MOVED, ids=[one[0] for one in MOVED])
def test_what_was_moved_after_the_end_is_asked_before_anything_is_sent(
    tmp_path: Path, where: str, stood: str, stands: str, moves: Keys, back: Keys | None
) -> None:
    reach = stopped(tmp_path)
    last = reach.state().seq
    keys(reach, where, moves)
    name = where.partition(".")[0]
    puts = lambda box, devices, now_s: back and back(devices[name], now_s)  # noqa: E731
    come(
        reach, tmp_path, (100.0, wish("resume", by="bob")), (200.0, puts),
        (300.0, wish("resume", by="bob") if back else wish("resume", "force", by="bob", why="it is meant")),
    )  # fmt: skip
    assert reach.run() == 0
    asked = [one.reason for one in since(reach, last, e.CampaignPaused)]
    assert len(asked) == 2, "said again as long as it is so"
    question = f"not as it was when the bench was made safe: {where} (stood at {stood}, stands at {stands})"
    assert all(question in one and "resume --force --why TEXT" in one for one in asked)
    read = since(reach, last, e.SettingsRead)
    assert [list(one.moved) for one in read[:2]] == [[where]] * 2 and read[2].resumed and not read[2].moved
    accepted = since(reach, last, e.MovedAccepted)
    assert accepted == ([] if back else [e.MovedAccepted(by="bob", why="it is meant")])
    facts = since(reach, last, e.SettingsRead, e.InstrumentConfigured, e.StepStarted)
    assert facts.index(read[2]) < min(n for n, one in enumerate(facts) if not isinstance(one, e.SettingsRead))
    assert reach.state().left is not None, "and noted anew at its own end"


def test_what_nobody_moved_is_not_asked_though_all_has_cooled_down(tmp_path: Path) -> None:
    reach = stopped(tmp_path)
    (noted,) = reach.facts(e.SettingsLeft)
    assert noted.stands.keys() == {"pump_a", "pump_b", "waste", "hotplate", "bath", "furnace", "valve"}
    last, sent = reach.state().seq, len(reach.sent)
    keys(reach, "hotplate.temperature", said(b"OUT_SP_1 40.1 \r\n"), after_s=7200.0)  # within what it can tell apart
    come(reach, tmp_path)
    assert reach.run() == 0
    assert not since(reach, last, e.CampaignPaused)
    read, first, *_ = since(reach, last, e.SettingsRead, e.InstrumentConfigured)
    assert read.resumed and read.found["valve.position"] == "acid" and isinstance(first, e.InstrumentConfigured)
    assert len(reach.sent) > sent


def test_a_pump_that_was_switched_off_and_on_is_told_as_that(tmp_path: Path) -> None:
    reach = stopped(tmp_path)
    keys(reach, "pump_a", lambda device, now_s: device.power_cycle(now_s))
    come(reach, tmp_path, (100.0, wish("resume", "force", by="bob", why="the mains were off at night")))
    assert reach.run() == 0
    (asked,) = reach.facts(e.CampaignPaused)
    assert "pump_a.infused (stood at 300 uL, stands at 0 uL (it was switched off and on since, and counts anew))" in (
        asked.reason
    )
    assert "diameter" not in asked.reason and "pump_b" not in asked.reason, "what stands as it stood is not asked"


def test_a_question_that_nobody_answers_is_asked_again_at_the_next_start_and_answered_there(tmp_path: Path) -> None:
    reach = stopped(tmp_path, lab=f"{LAB}pause: {{hold: 10 min}}\n")
    keys(reach, "valve.position", said(b"GO10\r"))
    come(reach, tmp_path)
    for _ in range(2):
        assert reach.run() == 6
        state = reach.state()
        assert state.state == s.HALTED and state.safe and "valve.position (stood at acid" in state.reason
    assert len(reach.facts(e.SettingsLeft)) == 1, "what is asked about is not noted as what stood"
    assert reach.run(again={"by": "bob", "as_it_is": True, "why": "rinsed"}) == 0
    assert reach.facts(e.MovedAccepted) == [e.MovedAccepted(by="bob", why="rinsed")]


def test_what_a_person_said_is_right_is_not_asked_again_though_others_had_another_instrument(tmp_path: Path) -> None:
    reach = stopped(tmp_path, lab=f"{LAB}pause: {{hold: 10 min}}\n")
    keys(reach, "valve.position", said(b"GO10\r"))
    come(reach, tmp_path)
    assert reach.run() == 6
    by_hand(tmp_path / "run", "h1")  # on pump_a
    assert reach.run(again={"by": "bob", "as_it_is": True, "why": "rinsed"}) == 0
    assert len(reach.facts(e.MovedAccepted)) == 1 and len(reach.facts(e.CampaignPaused)) == 1


def test_a_word_given_before_anything_was_asked_is_no_answer(tmp_path: Path) -> None:
    reach = stopped(tmp_path, lab=f"{LAB}pause: {{hold: 10 min}}\n")
    keys(reach, "valve.position", said(b"GO10\r"))
    come(reach, tmp_path)
    assert reach.run(again={"by": "bob", "force": True, "why": "ann is ill"}) == 6
    assert not reach.facts(e.MovedAccepted)
    assert reach.run(again={"by": "bob", "force": True, "why": "rinsed"}) == 0


def test_what_others_had_meanwhile_is_theirs_and_the_rest_is_compared(tmp_path: Path) -> None:
    reach = stopped(tmp_path)
    by_hand(tmp_path / "run", "h1")  # on pump_a
    keys(reach, "pump_a", said(b"0VOL100\r", b"0RUN\r"))
    keys(reach, "valve", said(b"GO10\r"))
    come(reach, tmp_path, (100.0, wish("resume", "force", by="bob", why="w")))
    assert reach.run(again={"by": "bob", "as_it_is": True, "why": "water"}) == 0
    assert [one.touched for one in reach.facts(e.SettingsLeft)[1:2]] == [["pump_a"]]
    (asked,) = reach.facts(e.CampaignPaused)
    assert "valve.position" in asked.reason and "pump_a" not in asked.reason


def test_after_another_run_nothing_is_compared(tmp_path: Path) -> None:
    reach = stopped(tmp_path)
    with closing(BenchBook.open(tmp_path / "run", "lab", utc_now)) as book:
        book.take_lease(str(tmp_path / "another"), "simulated", {})
        book.release_lease(str(tmp_path / "another"), {})
    keys(reach, "valve", said(b"GO10\r"))
    come(reach, tmp_path)
    assert reach.run(again={"by": "bob", "as_it_is": True, "why": "water"}) == 0
    assert not reach.facts(e.CampaignPaused) and reach.facts(e.SettingsLeft)[1].stands == {}


def test_what_is_told_by_one_who_only_looked_is_compared_all_the_same(tmp_path: Path) -> None:
    reach = stopped(tmp_path)
    with closing(BenchBook.open(tmp_path / "run", "lab", utc_now)) as book:
        book.take_lease("by hand", "simulated", {}, looks=True)
        book.release_lease("by hand", {})
    keys(reach, "valve", said(b"GO10\r"))
    come(reach, tmp_path, (100.0, wish("resume", "force", by="bob", why="w")))
    assert reach.run() == 0 and "valve.position" in reach.facts(e.CampaignPaused)[0].reason


def test_who_refilled_a_syringe_with_the_pumps_keys_and_said_so_is_not_asked_what_it_counts(tmp_path: Path) -> None:
    reach = stopped(tmp_path)
    keys(reach, "waste", said(b"2RAT90UM\r", b"2DIRWDR\r", b"2VOL50\r", b"2RUN\r"))
    assert wishes.ask(tmp_path / "run", "refill", ["waste", "1", "mL"], by="ann", why="").accepted
    keys(reach, "pump_b", said(b"1RAT90UM\r", b"1VOL50\r", b"1RUN\r"))
    come(reach, tmp_path, (100.0, wish("resume", "force", by="bob", why="w")))
    assert reach.run() == 0
    (asked,) = reach.facts(e.CampaignPaused)
    assert "pump_b.infused" in asked.reason and "waste" not in asked.reason
    assert [one.amount for one in reach.ledger("waste")] == pytest.approx([50.0], abs=0.1)


def test_what_was_replaced_on_purpose_is_not_compared(tmp_path: Path) -> None:
    reach = stopped(tmp_path)
    keys(reach, "valve", said(b"GO10\r"))
    assert wishes.ask(tmp_path / "run", "replaced", ["valve"], by="ann", why="it leaked").accepted
    come(reach, tmp_path)
    assert reach.run() == 0 and not reach.facts(e.CampaignPaused)


def test_nothing_is_done_by_hand_before_the_start_has_compared_and_a_stop_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach, rests = stopped(tmp_path), Hands.rests
    monkeypatch.setattr(Hands, "rests", lambda self: asyncio.wait_for(rests(self), 1000.0))  # lab seconds
    last = reach.state().seq
    keys(reach, "bath.temperature", said(b"out_sp_00 50\r"))
    come(
        reach, tmp_path, (100.0, wish("resume", "force", by="bob", why="meant")),
        (100.0, wish("pause", by="carl", why="wait")), (150.0, wish("act", "valve.turn", "position=water", by="carl")),
        (200.0, wish("stop", by="carl")),
    )  # fmt: skip
    assert reach.run() == 4 and reach.state().safe
    assert [one.accepted for one in since(reach, last, e.RequestAnswered)] == [True, True, False, True]
    assert "what stands there is still being read" in since(reach, last, e.RequestAnswered)[2].message
    assert since(reach, last, e.MovedAccepted) and not since(reach, last, e.SettingsRead)[1:]


# --- a run that rests ------------------------------------------------------------------------------------------------


def test_what_was_moved_while_a_run_rested_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = f"{LAB}pause: {{hold: 2 min, then: safe}}\n"
    reach = Reach(tmp_path, lab, WARM, People(tmp_path, (30.0, wish("pause", by="ann", why="lunch"))))
    reach.time = lambda opened, state, note: Patient(state.t_s)

    def does() -> None:
        keys(reach, "bath.temperature", said(b"out_sp_00 50\r"))
        come(reach, tmp_path, (100.0, wish("resume", "force", by="ann", why="I warm it up")))
        assert wishes.ask(tmp_path / "run", "resume", [], by="ann", why="").accepted

    with someone(reach, does, monkeypatch):
        assert reach.run(virtual=False) == 0
    _, asked = reach.facts(e.CampaignPaused)
    assert "bath.temperature (stood at 30 degC, stands at 50 degC)" in asked.reason
    assert [one.rested for one in reach.facts(e.RunStarted)] == [False, True]
    rested = next(one.seq for one in reach.records() if isinstance(one.event, e.RunStarted) and one.event.rested)
    first = next(one.event for one in reach.records() if one.seq > rested and isinstance(one.event, e.SettingsRead))
    assert list(first.moved) == ["bath.temperature"]


# --- a start that is killed ------------------------------------------------------------------------------------------


class Kill(BaseException):
    """The runner dies: nothing is stopped, nothing written."""


def killed_at(reach: Reach, monkeypatch: pytest.MonkeyPatch, last: Callable[[Any], bool]) -> None:
    """Resume it, and kill it right after the first commit whose last fact is ``last``."""
    record = RunMemory.record

    def recording(self: RunMemory, *facts: Any) -> None:
        record(self, *facts)
        if facts and last(facts[-1]):
            raise Kill

    with monkeypatch.context() as dying:
        dying.setattr(RunMemory, "record", recording)
        dying.setattr(Loop, "_make_safe", lambda *args: (_ for _ in ()).throw(Kill))
        with pytest.raises(Kill):
            reach.run()


STARTS = {
    "taken up": lambda fact: isinstance(fact, e.RunStarted),
    "identified": lambda fact: isinstance(fact, e.InstrumentIdentified) and fact.instrument == "valve",
}


@pytest.mark.parametrize("start", STARTS)
def test_a_start_that_was_killed_before_it_compared_leaves_that_to_the_next_one(
    tmp_path: Path, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = stopped(tmp_path)
    keys(reach, "valve", said(b"GO10\r"))
    come(reach, tmp_path, (100.0, wish("resume", "force", by="bob", why="w")))
    killed_at(reach, monkeypatch, STARTS[start])
    assert reach.run() == 0
    (asked,) = reach.facts(e.CampaignPaused)
    assert "valve.position" in asked.reason


@pytest.mark.parametrize("fact", [e.SettingsRead, e.InstrumentConfigured, e.StepStarted])
def test_after_a_start_that_was_killed_once_it_had_compared_nothing_is_asked(
    tmp_path: Path, fact: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands there then is the run's own doing."""
    reach = stopped(tmp_path)
    come(reach, tmp_path)
    killed_at(reach, monkeypatch, lambda one: isinstance(one, fact))
    keys(reach, "valve", said(b"GO10\r"))
    assert reach.state().left is None
    assert reach.run() == 0 and not reach.facts(e.CampaignPaused)


# --- what goes on, or ends by itself ---------------------------------------------------------------------------------

KEPT = f"{LAB}keep: [hotplate.stir, valve]\n"


def test_what_is_kept_and_goes_on_is_compared_as_well_and_its_end_is_asked(tmp_path: Path) -> None:
    reach = stopped(tmp_path, lab=KEPT)
    assert reach.bench is not None and reach.bench.devices["hotplate"].stirs
    keys(reach, "hotplate.stirrer", said(b"STOP_4 \r\n"))
    come(reach, tmp_path, (100.0, wish("resume", "force", by="bob", why="it was loud")))
    assert reach.run() == 0
    (asked,) = reach.facts(e.CampaignPaused)
    assert "hotplate.stirrer (stood at on, stands at off)" in asked.reason


def test_what_an_instruments_own_watchdog_switched_off_or_set_is_not_asked(tmp_path: Path) -> None:
    for number, own in enumerate(("", ", safe_temperature: 25 degC, safe_speed: 100 rpm")):
        folder = tmp_path / str(number)
        folder.mkdir()
        reach = Reach(folder, KEPT, WARM, People(folder, (30.0, wish("stop", by="ann"))))
        text = (folder / "lab.yaml").read_text()
        plate = 'port: "serial:///dev/plate?baud=9600"'
        (folder / "lab.yaml").write_text(text.replace(plate, f"{plate}, watchdog: 60 s{own}"))
        assert reach.run() == 4
        keys(reach, "hotplate", lambda device, now_s: None, after_s=7200.0)
        assert reach.bench is not None and reach.bench.devices["hotplate"].rpm < 300.0
        come(reach, folder)
        assert reach.run() == 0 and not reach.facts(e.CampaignPaused)


def test_a_question_at_a_start_arms_no_watchdog_that_nobody_has_set(tmp_path: Path) -> None:
    reach = Reach(tmp_path, LAB, WARM, People(tmp_path, (30.0, wish("stop", by="ann"))))
    text = (tmp_path / "lab.yaml").read_text()
    plate = 'port: "serial:///dev/plate?baud=9600"'
    (tmp_path / "lab.yaml").write_text(text.replace(plate, f"{plate}, watchdog: 60 s"))
    assert reach.run() == 4 and reach.bench is not None and reach.bench.devices["hotplate"].watchdog == 0
    sent = len(reach.sent)
    keys(reach, "bath.temperature", said(b"out_sp_00 50\r"))
    come(reach, tmp_path, (100.0, wish("stop", by="bob")))
    assert reach.run() == 4 and "bath.temperature" in reach.facts(e.CampaignPaused)[0].reason
    assert any(b"IN_PV_2" in data for _, _, data in reach.sent[sent:]), "it is watched"
    assert not any(b"WD" in data for _, _, data in reach.sent[sent:]) and not reach.bench.devices["hotplate"].watchdog
    sent = len(reach.sent)
    come(reach, tmp_path, (100.0, wish("resume", "force", by="bob", why="meant")))
    assert reach.run() == 0
    wound = [at_s for _, at_s, data in reach.sent[sent:] if b"OUT_WD1@60" in data]
    assert len(wound) > 3 and max(b - a for a, b in pairwise(wound)) <= 20.0, "once it is set"


def test_what_is_kept_on_is_wound_up_while_a_start_asks(tmp_path: Path) -> None:
    """Else its own watchdog would end what the lab wants kept, because a person takes their time."""
    reach = Reach(tmp_path, LAB, WARM, People(tmp_path, (30.0, wish("stop", by="ann"))))
    text = (tmp_path / "lab.yaml").read_text()
    plate = 'port: "serial:///dev/plate?baud=9600"'
    (tmp_path / "lab.yaml").write_text(text.replace(plate, f"{plate}, watchdog: 600 s") + "keep: [hotplate]\n")
    assert reach.run() == 4 and reach.bench is not None and reach.bench.devices["hotplate"].heats
    keys(reach, "bath.temperature", said(b"out_sp_00 50\r"))
    sent = len(reach.sent)
    come(reach, tmp_path, (1500.0, wish("stop", by="bob")))
    assert reach.run() == 4 and "bath.temperature" in reach.facts(e.CampaignPaused)[0].reason
    wound = [at_s for _, at_s, data in reach.sent[sent:] if b"OUT_WD1@600" in data]
    assert len(wound) > 3 and reach.bench.devices["hotplate"].heats


def test_an_instrument_that_does_not_say_is_not_noted_and_the_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(self: RCT) -> Any:
        raise LinkTimeout("nothing came")

    with monkeypatch.context() as mute:
        mute.setattr(RCT, "stands", silent)
        reach = stopped(tmp_path)
    (noted,) = reach.facts(e.SettingsLeft)
    assert "hotplate" not in noted.stands and "valve" in noted.stands
    keys(reach, "hotplate", said(b"OUT_SP_1 60 \r\n"))
    come(reach, tmp_path)
    assert reach.run() == 0 and not reach.facts(e.CampaignPaused)
