"""An act by hand ends in the bench's book and with a bench that is safe, whatever ends it."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labloop.bench import InstrumentFault, LinkTimeout
from labloop.bench.lab import Lab, open_lab
from labloop.campaign import events as e
from labloop.campaign.spec import LabSpec, read_lab
from labloop.cli.app import app
from labloop.journal import StoreFull, StoreLocked
from labloop.runner import by_hand, hand_act
from labloop.runner.book import BenchBook, BenchOwes
from labloop.runner.by_hand import HandBench
from labloop.runner.clock import utc_stamp
from labloop.runner.signals import Interrupted, ending
from tests.bench.lines import PtyDevice, answers
from tests.bench.test_rescue import HEATER, SOUND
from tests.runner.watched_bench import CAMPAIGN

LAB = Path(__file__).parents[2] / "campaigns" / "lab.yaml"
SETTINGS = {"rate": e.Amount(100.0, "uL/min"), "volume": e.Amount(200.0, "uL")}
SIGNALS = [signal.Signals(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Dispensing:
    """A pump of the shipped lab that is at work when ``meanwhile`` comes."""

    def __init__(self, bench: HandBench, book: BenchBook, admission: Any) -> None:
        self.bench, self.book, self.admission = bench, book, admission
        self.driver = bench.lab.instruments["pump_water"]._driver

    def do(self, meanwhile: Callable[[], None]) -> e.ByHand:
        looks = []
        progress = self.driver.progress

        def look(elapsed_s: float) -> Any:
            looks.append(elapsed_s)
            if len(looks) == 2:
                meanwhile()
            return progress(elapsed_s)

        self.driver.progress = look  # type: ignore[method-assign]
        begun = by_hand.wish(self.bench, "pump_water", "dispense", SETTINGS, "ann")
        return by_hand.do(self.bench, self.book, self.admission, begun)

    def still(self) -> bool:
        before = self.driver.counters()
        self.bench.wait(10.0)
        return bool(self.driver.counters() == before)

    def ended(self) -> e.ByHand:
        begun, ended = [one.event for one in self.book.journal.records() if isinstance(one.event, e.ByHand)]
        assert (begun.failed, begun.done) == ("", False)
        return ended


@pytest.fixture
def pump() -> Iterator[Dispensing]:
    with by_hand.hand_bench(read_lab(LAB), live=False) as bench, by_hand.in_hand(bench) as (book, admission):
        yield Dispensing(bench, book, admission)


@pytest.fixture
def caught() -> Iterator[list[int]]:
    """The signals that reached whoever listened before the act; nobody's listening ends the tests."""
    seen: list[int] = []
    before = {number: signal.signal(number, lambda number, _: seen.append(number)) for number in SIGNALS}
    yield seen
    for number, handler in before.items():
        signal.signal(number, handler)


def break_down() -> None:
    raise IndexError("a driver's own mistake")


def test_that_it_was_taken_is_written_down_before_the_watch_asks_anything(
    pump: Dispensing, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    pump.book.follow(lambda fact: order.append(type(fact).__name__))
    monkeypatch.setattr(by_hand.HandWatch, "look", lambda watch: order.append("look"))
    assert pump.do(lambda: None).done
    begun = order.index("ByHand")
    assert order[begun : begun + 3] == ["ByHand", "ActTaken", "look"]


def test_a_drivers_own_mistake_leaves_nothing_running(pump: Dispensing) -> None:
    with pytest.raises(IndexError):
        pump.do(break_down)
    assert pump.still()
    ended = pump.ended()
    assert ended.failed == 'IndexError("a driver\'s own mistake")' and 0.0 < ended.achieved["volume"].value < 200.0


def test_a_mistake_in_asking_what_happened_ends_the_act_as_well(pump: Dispensing) -> None:
    pump.driver.happened = lambda *_: break_down()  # type: ignore[method-assign]
    with pytest.raises(IndexError):
        pump.do(break_down)
    assert pump.still() and not pump.ended().done and pump.ended().achieved == {}


@pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
def test_a_signal_breaks_the_act_off_and_makes_the_bench_safe(
    pump: Dispensing, caught: list[int], number: signal.Signals
) -> None:
    with pytest.raises(Interrupted, match=rf"^pump_water.dispense: ended by {number.name}$"):
        pump.do(lambda: os.kill(os.getpid(), number))
    assert pump.still() and caught == []
    assert pump.ended().failed == f"ended by {number.name}" and 0.0 < pump.ended().achieved["volume"].value < 200.0
    os.kill(os.getpid(), number)
    assert caught == [number], "afterwards signals are what they were"


def test_no_signal_breaks_off_the_way_to_the_safe_state(
    pump: Dispensing, caught: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    safe = Lab.safe

    def disturbed(lab: Lab) -> list[str]:
        for number in SIGNALS:
            os.kill(os.getpid(), number)
        return safe(lab)

    monkeypatch.setattr(Lab, "safe", disturbed)
    with pytest.raises(Interrupted, match="ended by SIGTERM"):
        pump.do(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert pump.still() and pump.ended().failed == "ended by SIGTERM" and caught == []


def test_a_signal_while_the_end_is_written_waits_for_that(
    pump: Dispensing, caught: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = by_hand.finish

    def disturbed(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        finish(*arguments)

    monkeypatch.setattr(by_hand, "finish", disturbed)
    with pytest.raises(Interrupted, match=r"^ended by SIGTERM$"):
        pump.do(lambda: None)
    assert pump.ended().done and caught == []


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminals to close")
def test_a_terminal_that_may_be_closed_ends_nothing(caught: list[int]) -> None:
    assert ending() == SIGNALS
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it begins with &
    assert ending() == [signal.SIGINT, signal.SIGTERM]


# --- a real line ------------------------------------------------------------------------------------------------------


@contextmanager
def heater(folder: Path) -> Iterator[tuple[PtyDevice, LabSpec]]:
    device = PtyDevice(answers(**SOUND, bye="yes"))
    (folder / "drivers").mkdir()
    (folder / "drivers" / "polite.py").write_text(  # not "hot": a module is loaded once, and others have that one
        HEATER.replace("\n    ", "\n") + '\n    def close(self):\n        self.ask("bye?")\n'
    )
    (folder / "lab.yaml").write_text(
        f'labloop: 1\ninstruments: {{a: {{driver: "drivers.polite:Heater", port: "serial://{device.path}"}}}}\n'
    )
    try:
        yield device, read_lab(folder / "lab.yaml")
    finally:
        device.unplug()


@pytest.mark.skipif(sys.platform == "win32", reason="ptys")
def test_a_goodbye_is_said_while_the_bench_is_ours(tmp_path: Path) -> None:
    """A driver's goodbye may switch a watchdog off, which would go off when nobody speaks any more."""
    with heater(tmp_path) as (device, lab), by_hand.hand_bench(lab, live=True) as bench:
        assert by_hand.act(bench, "a", "off", {}, "ann").done
    assert device.heard == [b"name?", b"set 1", b"value?", b"off?", b"bye?"]


@pytest.mark.skipif(sys.platform == "win32", reason="ptys")
def test_the_bench_is_taken_before_its_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run that begins in between has the bench, finds its port in use, and ends."""
    opened = []

    def opens(lab: LabSpec, *more: Any) -> Lab:
        with pytest.raises(StoreLocked, match="the bench 'lab' has a controller already"):
            BenchBook.open(tmp_path, "lab", utc_stamp).close()
        opened.append(lab.name)
        return open_lab(lab, *more)

    monkeypatch.setattr(by_hand, "open_lab", opens)
    with (
        heater(tmp_path) as (_, lab), by_hand.hand_bench(lab, live=True, person="ann"),
        pytest.raises(StoreLocked, match="has a controller already"), by_hand.hand_bench(lab, live=True),
    ):
        pass
    assert opened == ["lab"]


@pytest.mark.skipif(sys.platform == "win32", reason="ptys")
def test_nobody_looks_before_the_run_that_was_killed_here_has_asked(tmp_path: Path) -> None:
    """Its alarm is told once, and is what that run has to know."""
    killed = tmp_path / "run"
    killed.mkdir()
    (killed / "journal.db").touch()
    with heater(tmp_path) as (device, lab):
        book = BenchBook.open(tmp_path, "bench", utc_stamp)
        with pytest.raises(StoreLocked), by_hand.hand_bench(lab, live=True, looks=True):
            pass
        book.take_lease(str(killed), "live", {})
        book.close()
        with pytest.raises(BenchOwes, match="labloop resume"), by_hand.hand_bench(lab, live=True, looks=True):
            pass
        assert device.heard == []
        book = BenchBook.open(tmp_path, "bench", utc_stamp)
        book.take_lease(str(killed), "live", {})
        book.release_lease(str(killed), {"1.trial.0.0.1": "Was a.off of trial 1 done?"})
        book.close()
        with by_hand.hand_bench(lab, live=True, looks=True) as bench:
            (answer,) = by_hand.ask_all(bench)
    assert (answer.identity["model"], answer.readings["warm"].value, answer.error) == ("box", 60.0, "")
    assert device.heard == [b"name?", b"warm?", b"bye?"]


@pytest.mark.skipif(sys.platform == "win32", reason="ptys")
@pytest.mark.parametrize("verb", ["instruments LAB --live", "check CAMPAIGN --live", "ports --at PORT --lab LAB"])
def test_every_verb_that_asks_real_instruments_waits_for_that_run(tmp_path: Path, verb: str) -> None:
    killed = tmp_path / "run"
    killed.mkdir()
    (killed / "journal.db").touch()
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    with heater(tmp_path) as (device, _):
        with closing(BenchBook.open(tmp_path, "bench", utc_stamp)) as book:
            book.take_lease(str(killed), "live", {})
        said = {"LAB": tmp_path / "lab.yaml", "CAMPAIGN": tmp_path / "campaign.yaml", "PORT": f"serial://{device.path}"}
        found = CliRunner().invoke(app, [str(said.get(word, word)) for word in verb.split()])
    assert found.exit_code == 6 and f"labloop resume {killed}" in found.output and b"name?" not in device.heard


@pytest.mark.parametrize("then", ["in its midst", "at its end"])
def test_an_act_whose_end_cannot_be_written_down_leaves_a_bench_that_is_safe_and_says_so(
    pump: Dispensing, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    def full(*_: Any) -> None:
        raise StoreFull("the disk took no more")

    def fill() -> None:
        monkeypatch.setattr(pump.book, "record", full)
        if then == "in its midst":
            raise InstrumentFault("it stalled", "stall")

    with pytest.raises(StoreFull) as met:
        pump.do(meanwhile=fill)
    assert met.value.__notes__ == ["The bench was made safe."] and pump.still()
    assert pump.bench.lab.not_safe == []


@pytest.mark.skipif(sys.platform == "win32", reason="ptys")
def test_what_the_store_met_first_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StoreFull("it takes no word of the lease either")

    with (
        heater(tmp_path) as (_, lab),
        pytest.raises(StoreFull, match="the end of the act"),
        by_hand.hand_bench(lab, live=True) as bench,
    ):
        monkeypatch.setattr(bench.book, "release_lease", full)
        raise StoreFull("the end of the act")


@pytest.mark.skipif(sys.platform == "win32", reason="ptys")
def test_a_driver_that_never_returns_again_keeps_nobody_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its act is ended in the book, and the bench is given back; no second Ctrl-C was heard there."""
    monkeypatch.setattr(hand_act, "SAFE_S", 0.1)
    hangs, returns = threading.Event(), threading.Event()

    def hang(*_: Any) -> Any:
        hangs.set()
        assert returns.wait(300.0)
        raise LinkTimeout("it had returned for the test's sake")

    def interrupt() -> None:
        hangs.wait(60.0)
        os.kill(os.getpid(), signal.SIGINT)

    with heater(tmp_path) as (_, lab):
        with by_hand.hand_bench(lab, live=True) as bench:
            driver = bench.lab.instruments["a"]._driver
            driver.progress, driver.happened = hang, hang
            threading.Thread(target=interrupt).start()
            bell = threading.Timer(60.0, returns.set)
            bell.start()
            with pytest.raises(Interrupted, match="the driver of a does not return"):
                by_hand.act(bench, "a", "off", {}, "ann")
            assert not returns.is_set()
            returns.set()
            bell.cancel()
        with closing(BenchBook.open(lab.folder, lab.name, utc_stamp)) as book:
            assert not book.state.begun
