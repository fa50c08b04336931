"""An act by hand whose process was killed is asked after by whoever has the bench next, once, and before all else."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from labloop.bench import Envelope, InProcessLink, LinkError, Port
from labloop.bench.declared import declare
from labloop.bench.lab import Lab, open_lab
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import read_lab
from labloop.cli.app import app
from labloop.runner import by_hand
from labloop.runner.admission import Admission
from labloop.runner.benches import simulation_plan
from labloop.runner.book import BY_HAND, BenchBook, BenchOwes
from labloop.runner.by_hand import HandBench
from labloop.runner.clock import VirtualClock, utc_stamp
from labloop.runner.hand_act import HandAct
from labloop.runner.left_by_hand import resolve, take_up
from labloop.simulation.bench import SimulatedBench
from tests.runner.test_by_hand import heater

LAB = f"""
root: {Path(__file__).resolve().parents[2]}
instruments:
  pump:
    driver: drivers.new_era:NE1000
    simulator: simulators.new_era:NE1000
    port: serial:///dev/pump
    syringe: {{volume: 10 mL, diameter: 14.43 mm}}
    stock: 1 mL
totals: {{waste: {{of: pump.dispense, max: 5 mL}}}}
"""
RATE, ASKED = 100.0, 200.0  # uL/min, uL: two minutes
SETTINGS = {"rate": e.Amount(RATE, "uL/min"), "volume": e.Amount(ASKED, "uL")}


class Room:
    """A pump on a clock that is moved by hand; who comes to it is a process of their own, and may be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "lab.yaml").write_text(LAB)
        self.spec = read_lab(folder / "lab.yaml")
        self.clock = VirtualClock()
        self.devices = SimulatedBench(simulation_plan(self.spec), self.clock)
        self.book = BenchBook.memory("", utc_stamp)
        self.comes()

    def comes(self, **more: Any) -> HandBench:
        """Somebody comes to the bench; whoever was there is gone without a word."""
        self.book.close()
        self.book = BenchBook.open(self.folder, "bench", utc_stamp)
        self.book.take_lease(BY_HAND, "live", {"pump": e.Amount(1.0, "mL")}, **more)
        lab = open_lab(self.spec, lambda at: Port(InProcessLink(at, self.devices.lines[at], self.clock), inline=True))
        envelope = Envelope(self.spec, None, declare(self.spec))
        return HandBench(spec=self.spec, lab=lab, envelope=envelope, live=True, clock=self.clock, book=self.book)

    def dispense(self, ran_s: float) -> HandAct:
        """Begin an act, and leave it after ``ran_s``."""
        bench = self.comes()
        bench.lab.open()
        bench.lab.configure()
        admission = Admission(bench.envelope, bench.clock, self.book)
        begun = by_hand.wish(bench, "pump", "dispense", SETTINGS, "ann")
        permit = by_hand.permitted(begun, admission)
        act = HandAct(bench.lab.instruments["pump"], admission, begun, permit, write=self.book.record,
                      make_safe=lambda why: [])  # fmt: skip
        for _ in range(3):
            assert act.turn() is None
        self.wait(ran_s)
        return act

    def wait(self, seconds: float) -> None:
        self.clock.advance_to(self.clock.now_s() + seconds)

    def power_cut(self) -> None:
        self.devices.devices["pump"].power_cycle(self.clock.now_s())  # type: ignore[attr-defined]

    def runs(self, lab: Lab) -> bool:
        before = _moved(lab)
        self.wait(5.0)
        return _moved(lab) > before

    @property
    def drawn(self) -> float:
        """What is gone of the stock, in uL; what stands in the waste says the same."""
        left = self.book.left("pump")
        assert left is not None
        envelope = Envelope(self.spec, None, declare(self.spec))
        (held,) = Admission(envelope, self.clock, self.book).totals.held.values()
        gone = 1000.0 * (1.0 - float(left.value))
        assert held * 1000.0 == pytest.approx(gone), "waste, in mL"
        return gone


def _moved(lab: Lab) -> float:
    return float(lab.instruments["pump"].driver.counters()["infused"].value)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.book.close()
    made.devices.close()


@pytest.mark.parametrize("looks", [True, False], ids=["looks", "acts"])
def test_what_came_to_its_end_is_counted(room: Room, looks: bool) -> None:
    room.dispense(150.0)
    (ended,) = take_up(room.comes(looks=looks).lab, room.book, looks=looks)
    assert ended.done and ended.achieved["volume"].value == pytest.approx(ASKED, abs=1.0)
    assert room.drawn == pytest.approx(ASKED, abs=1.0)
    assert take_up(room.comes().lab, room.book) == [] and room.drawn == pytest.approx(ASKED, abs=1.0)


def test_what_never_began_is_not_counted(room: Room) -> None:
    counters = room.comes().lab.instruments["pump"].driver.counters()
    room.book.record(
        e.ByHand(act="hand-1", instrument="pump", action="dispense", settings=SETTINGS, before=dict(counters), by="ann")
    )
    (ended,) = take_up(room.comes().lab, room.book)
    assert ended.failed.startswith("not_begun: its command ended meanwhile") and room.drawn == 0.0


def test_what_still_runs_is_stopped_by_who_acts_and_let_run_by_who_looks(room: Room) -> None:
    room.dispense(60.0)
    lab = room.comes(looks=True).lab
    assert take_up(lab, room.book, looks=True) == [] and room.runs(lab)
    with pytest.raises(BenchOwes):
        room.book.take_lease("runs/a", "live", {})
    lab = room.comes().lab
    (ended,) = take_up(lab, room.book)
    assert not room.runs(lab)
    assert ended.failed.startswith("partial: ") and room.drawn == pytest.approx(RATE * 65.0 / 60.0, abs=2.0)
    assert ended.achieved["volume"].value == pytest.approx(room.drawn)


def test_a_run_is_refused_until_somebody_has_asked(room: Room) -> None:
    room.dispense(150.0)
    with pytest.raises(BenchOwes, match=r"pump.dispense, begun by hand \(ann\), ended without a word.*instruments LAB"):
        room.book.take_lease("runs/a", "live", {})
    take_up(room.comes(looks=True).lab, room.book, looks=True)
    room.book.take_lease("runs/a", "live", {})


def test_an_alarm_that_whoever_asked_took_with_them_leaves_nothing_to_be_known(room: Room) -> None:
    """The power went, the counters are at 0; the alarm that says so was told to somebody who was killed then."""
    room.dispense(60.0)
    room.power_cut()
    lab = room.comes().lab
    lab.instruments["pump"].driver.happened = lambda *_: _killed()  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        take_up(lab, room.book)
    (ended,) = take_up(room.comes().lab, room.book)
    assert ended.failed.startswith("cannot_tell: ") and room.drawn == pytest.approx(ASKED), "it counts in full"


def test_who_is_killed_before_the_first_answer_is_written_down_has_lost_it(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.dispense(60.0)
    room.power_cut()
    lab = room.comes().lab
    with monkeypatch.context() as patched:
        patched.setattr(e, "InstrumentIdentified", lambda **_: _killed())
        with pytest.raises(KeyboardInterrupt):
            take_up(lab, room.book)
    (ended,) = take_up(room.comes().lab, room.book)
    assert ended.failed.startswith("cannot_tell: ") and room.drawn == pytest.approx(ASKED)


def test_a_first_answer_that_is_lost_on_the_line_is_not_forgotten_when_the_next_one_is_well(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.dispense(60.0)
    room.power_cut()
    pump: Any = room.devices.devices["pump"]
    hears = pump.receive
    with monkeypatch.context() as lossy:
        lossy.setattr(pump, "receive", lambda data, now_s: hears(data, now_s)[:0])
        with pytest.raises(LinkError):
            take_up(room.comes().lab, room.book)
    (ended,) = take_up(room.comes().lab, room.book)
    assert ended.failed.startswith("cannot_tell: ") and room.drawn == pytest.approx(ASKED), "it counts in full"


@pytest.mark.parametrize("whose", ["its own look", "the watch"])
def test_an_alarm_that_was_told_while_it_ran_is_written_down_before_anything_else(
    room: Room, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    act = room.dispense(60.0)
    room.power_cut()
    monkeypatch.setattr(act, "fail", lambda why: _killed())
    if whose == "the watch":
        act._station.driver.read()
        monkeypatch.setattr(act, "_next", lambda _: _killed())
    with pytest.raises(KeyboardInterrupt):
        while True:
            act.turn()
            room.wait(5.0)
    (ended,) = take_up(room.comes().lab, room.book)
    assert ended.failed.startswith("cannot_tell: ") and room.drawn == pytest.approx(ASKED), "it counts in full"


def test_an_alarm_that_was_told_to_who_only_looked_is_passed_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.dispense(60.0)
    bench = room.comes(looks=True)
    driver = bench.lab.instruments["pump"].driver._driver
    read = driver.read
    monkeypatch.setattr(driver, "read", lambda: (room.power_cut(), read())[1])
    (answer,) = by_hand.ask_all(bench)
    assert "still runs" in answer.left and "instruments LAB resolve pump done" in answer.left
    assert answer.readings["infused"].value == 0.0
    (ended,) = take_up(room.comes().lab, room.book)
    assert ended.failed.startswith("cannot_tell: ") and room.drawn == pytest.approx(ASKED)


def _killed() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("looked", [True, False], ids=["looked at before", "acts"])
def test_an_act_whose_settings_its_driver_knows_no_more_uses_its_stock_up(room: Room, looked: bool) -> None:
    """Its setting was renamed between its begin and the question: the end and what is drawn are one commit."""
    room.dispense(60.0)
    (begun,) = room.book.state.begun.values()
    renamed = msgspec.structs.replace(begun, settings={"rate": SETTINGS["rate"], "amount": SETTINGS["volume"]})
    room.book.record(renamed)
    if looked:
        lab = room.comes(looks=True).lab
        assert take_up(lab, room.book, looks=True) == [] and room.runs(lab) and room.book.state.begun
    lab = room.comes().lab
    (ended,) = take_up(lab, room.book)
    assert ended.failed.startswith("cannot_tell: ") and "no setting 'amount'" in ended.failed
    assert room.book.left("pump") == e.Amount(0.0, "mL") and not room.book.state.begun
    assert not room.runs(lab), "who acts has stopped it"
    envelope = Envelope(room.spec, None, declare(room.spec))
    totals = Admission(envelope, room.clock, room.book).totals
    assert totals.held == {"totals.waste": 5.0}, "and its vessel is full until somebody says what is in it"
    assert "totals.waste holds 5 mL" in totals.missing([("pump", "dispense", SETTINGS)])
    last, before = list(room.book.journal.records())[-1].event, list(room.book.journal.records())[-2].event
    assert isinstance(last, e.StockDrawn) and before == ended
    room.book.take_lease("runs/a", "live", {})


def test_an_act_that_its_driver_knows_no_more_is_stopped_by_who_acts(room: Room) -> None:
    room.dispense(60.0)
    (begun,) = room.book.state.begun.values()
    room.book.record(msgspec.structs.replace(begun, action="deliver"))
    assert take_up(room.comes(looks=True).lab, room.book, looks=True) == [] and room.book.state.begun
    lab = room.comes().lab
    (ended,) = take_up(lab, room.book)
    assert "it has no action 'deliver'" in ended.failed and not room.runs(lab)


def test_what_was_drawn_is_known_before_the_end_is_written_down(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.dispense(150.0)
    lab = room.comes().lab
    monkeypatch.setattr("labloop.runner.left_by_hand.drawn", lambda *_: _killed())
    with pytest.raises(KeyboardInterrupt):
        take_up(lab, room.book)
    monkeypatch.undo()
    assert list(room.book.state.begun) == ["pump"], "it is asked after again"
    take_up(room.comes().lab, room.book)
    assert room.drawn == pytest.approx(ASKED, abs=1.0)


def test_an_instrument_that_never_answers_again_is_taken_out_of_the_lab_file_and_counts_in_full(room: Room) -> None:
    room.dispense(60.0)
    bench = room.comes()
    with pytest.raises(BenchOwes, match=r"If pump never answers again.*resolve pump done \[AMOUNT\].not-done --why"):
        room.book.take_lease("runs/a", "live", {})
    bench.lab.instruments.pop("pump")
    (ended,) = take_up(bench.lab, room.book)
    assert ended.failed == "cannot_tell: its command ended meanwhile; the lab file has it no more"
    assert room.book.left("pump") == e.Amount(0.0, "mL"), "nobody knows what is left of its stock"
    room.book.take_lease(BY_HAND, "live", {})
    assert room.comes() and Admission(
        Envelope(room.spec, None, declare(room.spec)), room.clock, room.book
    ).totals.held == {"totals.waste": pytest.approx(0.2)}, "put back, it counts in full"
    room.book.take_lease("runs/a", "live", {})


@pytest.mark.parametrize("said, gone_ul, word", [
    (["done"], ASKED, "done"), (["done", "140", "uL"], 140.0, "done"), (["done", "0.14 mL"], 140.0, "done"),
    (["done", "0 mL"], 0.0, "done"), (["not-done"], 0.0, "not_begun: bob says so: I saw it"),
])  # fmt: skip
def test_of_one_that_never_answers_again_a_person_says_what_became_of_it(
    room: Room, said: list[str], gone_ul: float, word: str
) -> None:
    room.dispense(60.0)
    room.comes(looks=True)
    (begun,) = room.book.state.begun.values()
    ended = resolve(declare(room.spec), room.book, "pump", said, "bob", "I saw it")
    assert (ended.failed or "done") == word and ended.act == begun.act
    assert ended.by == f"ann; bob says {' '.join(said)}: I saw it"
    assert room.drawn == pytest.approx(gone_ul), "stock and totals go by that word"
    room.book.take_lease("runs/a", "live", {})


@pytest.mark.parametrize("name, said, why, wrong", [
    ("pump", [], "w", "nothing: is no answer. Say: resolve pump done"),
    ("pump", ["perhaps"], "w", "perhaps: is no answer"),
    ("pump", ["not-done", "1 mL"], "w", "not-done 1 mL: is no answer"),
    ("pump", ["done"], "", "needs a reason: --why TEXT"),
    ("pump", ["done", "3"], "w", "'3' is no amount"),
    ("pump", ["done", "-1 mL"], "w", "'-1 mL' is no amount"),
    ("pump", ["done", "3 degC"], "w", "degC"),
    ("valve", ["done"], "w", "no act by hand was left alone at valve; but at pump"),
])  # fmt: skip
def test_a_word_that_fits_no_act_ends_none(room: Room, name: str, said: list[str], why: str, wrong: str) -> None:
    room.dispense(60.0)
    room.comes(looks=True)
    with pytest.raises(SpecError, match=re.escape(wrong)):
        resolve(declare(room.spec), room.book, name, said, "bob", why)
    assert list(room.book.state.begun) == ["pump"] and room.book.left("pump") == e.Amount(1.0, "mL")


def test_the_word_is_said_at_the_command_line_and_no_port_is_opened(room: Room) -> None:
    room.dispense(60.0)
    room.book.close()
    lab = str(room.folder / "lab.yaml")
    said = CliRunner().invoke(app, ["instruments", lab, "resolve", "pump", "done", "0.14 mL", "--why", "I saw it"])
    assert said.exit_code == 0 and said.stdout == "pump.dispense  done  volume = 0.14 mL\n", said.output
    again = CliRunner().invoke(app, ["instruments", lab, "resolve", "pump", "done", "--why", "I saw it"])
    assert again.exit_code == 2 and "nor anywhere else" in again.stderr
    room.comes()
    assert room.drawn == pytest.approx(140.0)


def test_one_that_does_not_answer_stays_open_for_who_looks_and_ends_who_acts(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.dispense(150.0)
    lab = room.comes().lab
    monkeypatch.setattr(lab.instruments["pump"].driver._driver, "open", lambda: _out())
    assert take_up(lab, room.book, looks=True) == []
    with pytest.raises(LinkError):
        take_up(lab, room.book)
    assert list(room.book.state.begun) == ["pump"]


def _out() -> None:
    raise LinkError("its cable is out")


@pytest.mark.parametrize("late, drawn", [("counters", 0.0), ("progress", ASKED)])
def test_an_act_that_fails_draws_what_it_may_have_moved(
    room: Room, monkeypatch: pytest.MonkeyPatch, late: str, drawn: float
) -> None:
    """Before its first byte: nothing. Later, with a cable that stays out: all of it, as a total counts it."""
    bench = room.comes()
    admission = Admission(bench.envelope, bench.clock, room.book)
    driver = bench.lab.instruments["pump"].driver._driver
    for name in (late, "happened"):
        monkeypatch.setattr(driver, name, lambda *_: _out())
    begun = by_hand.wish(bench, "pump", "dispense", SETTINGS, "ann")
    ended = by_hand.do(bench, room.book, admission, begun)
    assert "its cable is out" in ended.failed and room.drawn == pytest.approx(drawn)


@pytest.mark.skipif(sys.platform == "win32", reason="ptys")
@pytest.mark.parametrize("looks", [True, False], ids=["looks", "acts"])
def test_who_looks_asks_and_is_told_and_so_does_who_acts(tmp_path: Path, looks: bool) -> None:
    begun = e.ByHand(act="hand-1", instrument="a", action="off", before={"moved": e.Amount(1.0, "uL")}, by="ann")
    with heater(tmp_path) as (_, lab):
        with BenchBook.open(tmp_path, "bench", utc_stamp).journal as journal:
            journal.append(begun)
        with by_hand.hand_bench(lab, live=True, looks=looks) as bench:
            if looks:
                (answer,) = by_hand.ask_all(bench)
                left = "off by ann was left alone: it still runs, or nobody can tell what became of"
                assert answer.left.startswith(left)
            else:
                assert by_hand.act(bench, "a", "off", {}, "bob").done
    with BenchBook.open(tmp_path, "bench", utc_stamp).journal as journal:
        acts = [one.event for one in journal.records() if isinstance(one.event, e.ByHand)]
    ended = [] if looks else [("ann", False, True), ("bob", False, False), ("bob", True, False)]
    assert [(one.by, one.done, bool(one.failed)) for one in acts] == [("ann", False, False), *ended], (
        "asked after before anything else is done"
    )
