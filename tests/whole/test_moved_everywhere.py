"""What somebody changes at each shipped instrument after a run has ended is asked; what nobody touched is not.

See solo for the campaign. The guard works here as it does: its rescue, on the same lines, and its fact in the book.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from solo import IT, Solo
from test_kill_anywhere import memory_folder
from test_moved_meanwhile import Keys, Kill, said

from campaigns import records
from labloop.bench import Driver, InProcessLink, InProcessMessageLink, Port
from labloop.bench.rescue import Rescue
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import read_lab
from labloop.journal import inbox, utc_now
from labloop.runner import wishes
from labloop.runner.book import GUARD, BenchBook
from labloop.runner.guard import fact_of
from labloop.runner.loop import Loop
from labloop.runner.memory import RunMemory
from tests.drivers.stand import shipped

HOUR_S = 3600.0
Place = Callable[[type[Driver]], "Left"]


class Left(Solo):
    """A run that somebody stops while the sample is weighed, when its instrument has done its act."""

    wished = False

    def __post_init__(self) -> None:
        super().__post_init__()
        (pan,) = [line for line in self.bench.lines.values() if line is not self.line]
        usual = pan.receive

        def receive(*said: Any) -> Any:
            if self.facts and any(step.begun.instrument == "pan" for step in self.state.steps.values()):
                self.stop()
            return usual(*said)

        pan.receive = receive

    def stop(self) -> None:
        """Wish that it stops, once."""
        if not self.wished:
            inbox.post(self.folder / "run" / "requests", "stop", [], by="ann", why="")
        self.wished = True

    def stopped(self) -> "Left":
        assert self.run() == 4, self.state.reason
        return self

    def guard(self) -> None:
        """What the guard does when the runner is gone, a second later."""
        self.pass_time(1.0)
        lab = read_lab(self.folder / "lab.yaml")

        def connect(address: str) -> Port:
            line = self.bench.lines[address]
            link = InProcessLink if line.kind == "serial" else InProcessMessageLink
            return Port(link(address, line, self.clock), inline=True)

        alone = lab.model_copy(update={"instruments": {IT: lab.instruments[IT]}})  # so that one thread has the clock
        rescued = Rescue(alone, connect).run()
        assert rescued.errors == () and not any("what stands there" in note for note in rescued.found[IT].notes)
        with closing(BenchBook.open(self.folder / "run", "lab", utc_now)) as book:
            run, epoch = book.state.had_by, book.state.epoch + 1
            book.record(e.LeaseTaken(epoch=epoch, run=run, mode=GUARD))
            book.record(fact_of(epoch, run, "its runner was gone", rescued, 0.1))

    def asked(self) -> list[str]:
        """Every question that made it pause, in its journal."""
        facts = [record.event for record in records(self.folder / "run")]
        return [fact.reason for fact in facts if isinstance(fact, e.CampaignPaused)]

    def dies(self, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        """Run it, and kill it without a word: in the middle of its act, or at its end, with all noted that stands."""
        record = RunMemory.record

        def recording(memory: RunMemory, *facts: Any) -> None:
            record(memory, *facts)
            if where == "at its end" and isinstance(facts[-1], e.SettingsLeft):
                raise Kill

        with monkeypatch.context() as dying:
            dying.setattr(RunMemory, "record", recording)
            if where == "in its act":
                dying.setattr(self.driver, "progress", killed)
                dying.setattr(Loop, "_make_safe", killed)
            with pytest.raises(Kill):
                self.run()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Left]]:
    """A bench for a driver, in a folder of its own; its guard is in no hurry, however busy this computer is."""
    for name in ("READ_S", "STANDS_S", "LIST_AFTER_S", "SAFE_S"):
        monkeypatch.setattr(f"labloop.bench.rescue.{name}", 60.0)
    monkeypatch.setattr("labloop.bench.rescue.SETTLE_S", 0.0)
    with memory_folder() as folder:
        yield lambda driver, **what: Left(folder, driver, **what)


def killed(*_: Any) -> None:
    raise Kill


def compared(it: Left) -> list[set[str]]:
    """What of its instrument was read at each start, to be compared."""
    read = [fact.found for fact in it.facts if isinstance(fact, e.SettingsRead)]
    return [{name.removeprefix(f"{IT}.") for name in one if name.startswith(f"{IT}.")} for one in read]


BY_NAME = {driver.__name__: driver for driver in shipped()}
EVERY = pytest.mark.parametrize("driver", shipped(), ids=lambda driver: driver.__name__)


@EVERY
def test_what_nobody_touched_is_not_asked_though_the_run_was_stopped_and_killed(
    place: Callable[..., Left], driver: type[Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = place(driver).stopped()
    (noted,) = [fact.stands.get(IT, {}) for fact in it.facts if isinstance(fact, e.SettingsLeft)]
    it.pass_time(HOUR_S)
    it.wished = False
    it.dies(monkeypatch, "at its end")
    it.guard()
    it.pass_time(HOUR_S)
    assert it.run() == 0, it.state.reason
    assert it.asked() == []
    assert compared(it) == (2 * [noted.keys()] if noted else [])


@EVERY
def test_what_the_guard_found_after_a_kill_in_the_middle_of_an_act_is_not_asked(
    place: Callable[..., Left], driver: type[Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = place(driver)
    it.wished = True  # nobody stops it
    it.dies(monkeypatch, "in its act")
    it.guard()
    it.pass_time(HOUR_S)
    if it.run() == 6:  # what became of the act, nobody can tell: a person does
        (step,) = [step for step in it.steps if step.state == s.IN_DOUBT]
        answer = next(iter(step.answers))
        assert wishes.ask(it.folder / "run", "resolve", [f"1.{IT}", answer], by="ann", why="seen").accepted
        it.pass_time(HOUR_S)
        assert it.run() == 0, it.state.reason
    assert it.asked() == [] and it.state.state == s.FINISHED, it.state.reason
    (guarded,) = [fact for fact in it.facts if isinstance(fact, e.SafeStateReached) and fact.by == "guard"]
    turns = {"position"} if driver.__name__ == "Actuator" else set()  # still, when the guard has looked
    known = guarded.found[IT].stands.keys() - turns
    assert compared(it) == ([known] if known else [])


# driver, where, what it stood at and stands at, and the hands that moved it
MOVED: list[tuple[str, str, str, str, Keys]] = [
    ("KA3005P", "voltage", "5 V", "12 V", said(b"VSET1:12.00")),
    ("KA3005P", "current", "1 A", "2 A", said(b"ISET1:2.000")),
    ("KA3005P", "output", "off", "on", said(b"OUT1")),
    ("LS336", "temperature", "100 K", "200 K", said(b"SETP 1,200\n")),
    ("LS336", "heater", "off", "on", said(b"RANGE 1,3\n")),
    ("LS336", "ramp", "0 K/min", "5 K/min", said(b"RAMP 1,1,5\n")),
    ("LS336", "cut-out", "350 K", "900 K", said(b"TLIMIT A,900\n")),
    ("MC", "rate", "0 mL/min", "50 mL/min", said(b"AS50\r")),
    ("MC", "gas", "N2", "Ar", said(b"AGS 1\r")),
    ("ELFlow", "mode", "bus", "100 %", lambda device, now_s: device.set_mode(7, now_s)),
    ("ELFlow", "rate", "0 mL/min", "250 mL/min", said(bytes.fromhex("1002018005010121 3e80 1003"))),
    ("Stage", "x", "-100 mm", "-90 mm", said(b"$J=G91X10F1000\n")),
    ("Stage", "$100", "250", "80", said(b"$100=80\n")),
    ("SpinCoater", "$30", "6000", "9000", said(b"$30=9000\n")),
    ("SpinCoater", "spindle", "off", "on", said(b"M3 S3000\n")),
    ("XCalibur", "content", "250 uL", "500 uL", said(b"/1A12000R\r")),
    ("XCalibur", "port", "cell", "waste", said(b"/1I9R\r")),
    ("K2400", "voltage", "1 V", "2 V", said(b":SOUR:VOLT 2\n")),
    ("K2400", "current_limit", "0.01 A", "0.1 A", said(b":SENS:CURR:PROT 0.1\n")),
    ("K2400", "output", "off", "on", said(b":OUTP ON\n")),
    ("K2400", "terminals", "front", "rear", said(b":ROUT:TERM REAR\n")),
    ("MTSICS", "tare", "0 g", "5 g", said(b"TA 5.0 g\r\n")),
    ("EzoPh", "points", "0 count", "1 count", said(b"Cal,mid,7.00\r")),
    ("EzoPh", "continuous mode", "off", "on", said(b"C,1\r")),
    ("Spectrometer", "lamp", "on", "off", lambda device, now_s: setattr(device, "lamp", "off")),
    ("LecoActor", "temperature", "22 degC", "120 degC", lambda device, now_s: device._turn(120.0, False)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "where", "stood", "stands", "moves"), MOVED, ids=[f"{m[0]}-{m[1]}" for m in MOVED])
def test_what_was_moved_at_an_instrument_is_asked_before_anything_is_set_up(
    place: Callable[..., Left], name: str, where: str, stood: str, stands: str, moves: Keys
) -> None:
    it = place(BY_NAME[name]).stopped()
    it.pass_time(60.0)
    moves(it.device, it.clock.now_s())
    it.pass_time(60.0)
    last = it.state.seq
    assert it.run() == 6
    (asked,) = it.asked()
    assert asked.startswith("not as it was when the bench was made safe: ")
    assert f" {IT}.{where} (stood at {stood}, stands at {stands}" in asked
    since = [record.event for record in records(it.folder / "run") if record.seq > last]
    assert not any(isinstance(fact, e.InstrumentConfigured | e.StepStarted) for fact in since)
