"""Instruments as actors of LECO: the same limits as by hand, each act once, and a book that remembers."""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labloop.bench import LinkError
from labloop.bench.leco_node import Asker, Refused, WithFrames
from labloop.campaign import events as e
from labloop.campaign.spec import read_lab
from labloop.runner.admission import Admission
from labloop.runner.book import BenchBook
from labloop.runner.by_hand import HandBench, hand_bench, in_hand
from labloop.runner.clock import VirtualClock, utc_stamp
from labloop.runner.served import ServedBench

LAB = Path(__file__).parents[2] / "campaigns" / "lab.yaml"
ANN = Asker("N1.ann", "ann")
ACT, OTHER = "ab" * 16, "cd" * 16
DISPENSE = {"rate": 300.0, "volume": "20 uL", "act": ACT}


class Rig:
    """The shipped lab, served on a clock that is moved by hand."""

    def __init__(self, bench: HandBench, book: BenchBook, **more: Any) -> None:
        self.bench, self.book = bench, book
        self.served = ServedBench(bench, book, Admission(bench.envelope, bench.clock, book), **more)

    def wait(self, seconds: float) -> None:
        assert isinstance(self.bench.clock, VirtualClock)
        until_s = self.bench.clock.now_s() + seconds
        while self.bench.clock.now_s() < until_s:
            self.served.turn()
            self.bench.clock.advance_to(self.bench.clock.now_s() + 0.05)
        self.served.turn()

    def call(self, instrument: str, action: str, **kwargs: Any) -> Any:
        return self.ask(instrument, "call_action", {"action": action, "kwargs": kwargs})

    def get(self, instrument: str, *names: str) -> Any:
        return self.ask(instrument, "get_parameters", {"parameters": list(names)})

    def ask(self, instrument: str, method: str, params: Mapping[str, Any]) -> Any:
        answer = self.served.actors[instrument][method](ANN, params)
        if isinstance(answer, Future):
            for _ in range(10):
                self.served.turn()
            return answer.result(0)
        return answer

    def facts(self) -> list[e.ByHand]:
        return [one.event for one in self.book.journal.records() if isinstance(one.event, e.ByHand)]


@contextmanager
def serving(book: BenchBook | None = None, lab: Path = LAB, **more: Any) -> Iterator[Rig]:
    with hand_bench(read_lab(lab), live=False) as bench:
        if book is not None:
            yield Rig(bench, book, **more)
            return
        with in_hand(bench) as (own, _):
            yield Rig(bench, own, **more)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with serving() as made:
        yield made


def test_every_instrument_tells_what_it_is_and_reads(rig: Rig) -> None:
    assert sorted(rig.served.actors) == sorted(rig.bench.lab.instruments)
    told = rig.get("pump_agno3", "kind", "identity", "signals", "state", "act", "infused")
    assert told == {
        "kind": "New Era NE-1000 syringe pump", "identity": {"model": "NE1000", "firmware": "3.923", "serial": ""},
        "signals": {"infused": "uL", "withdrawn": "uL"}, "state": "idle", "act": None, "infused": 0.0,
    }  # fmt: skip
    dispense = rig.get("pump_agno3", "actions")["actions"]["dispense"]
    assert dispense["act"] and dispense["settings"]["rate"]["unit"] == "uL/min"


def test_an_act_is_written_down_before_and_after_and_ends_with_what_was_achieved(rig: Rig) -> None:
    report = rig.call("pump_agno3", "dispense", **DISPENSE)
    assert (report["act"], report["action"], report["state"]) == (ACT, "dispense", "running")
    assert report["duration_s"] == pytest.approx(4.0)
    rig.wait(2.0)
    half = rig.call("pump_agno3", "last_act", act=ACT)
    assert half["state"] == "running" and half["elapsed_s"] == pytest.approx(2.0, abs=0.2)
    assert rig.get("pump_agno3", "state", "act") == {"state": "dispense", "act": ACT}
    rig.wait(4.0)
    done = rig.call("pump_agno3", "last_act")
    assert done["state"] == "done" and done["result"]["volume"] == pytest.approx(20.0, abs=0.1)
    assert done["result"]["units"]["volume"] == "uL"
    begun, ended = rig.facts()
    assert (begun.act, begun.by, begun.done) == (f"leco-{ACT}", "LECO N1.ann (key ann)", False) and begun.before
    assert ended.done and ended.achieved["volume"].unit == "uL" and begun.settings["volume"] == e.Amount(20.0, "uL")
    held = rig.book.left("pump_agno3")
    assert held is not None and rig.bench.spec.instruments["pump_agno3"].stock is not None
    assert float(held.value) < rig.bench.spec.instruments["pump_agno3"].stock.value


def test_the_same_id_is_answered_and_never_done_again(rig: Rig) -> None:
    for _ in range(3):
        rig.call("pump_agno3", "dispense", **DISPENSE)
    rig.wait(6.0)
    assert rig.call("pump_agno3", "dispense", **DISPENSE)["state"] == "done"
    assert len(rig.facts()) == 2
    rig.call("hotplate", "heat", temperature="40 degC", act=OTHER)
    with pytest.raises(Refused, match="is a heat"):
        rig.call("hotplate", "stir", speed=100.0, act=OTHER)


@pytest.mark.parametrize(
    "action, kwargs, code, why",
    [
        ("dispense", {"rate": 1e6, "volume": 20.0}, -32602, "is above the limit of the New Era"),
        ("dispense", {"rate": "20 K", "volume": 20.0}, -32602, "temperature"),
        ("dispense", {"rate": 100.0, "colour": "red"}, -32602, "has no setting 'colour'"),
        ("dispense", {"rate": True, "volume": 1.0}, -32602, "neither a number, a quantity nor a word"),
        ("dispense", {"rate": float("nan"), "volume": 1.0}, -32602, "not a finite number"),
        ("dispense", {"act": "AB"}, -32602, "is not 32 lower-case hex digits"),
        ("last_act", {"rate": 1}, -32602, "takes act alone"),
        ("fly", {}, -32603, "AttributeError: fly"),
        (7, {}, -32603, "AttributeError: 7"),
        ("array.spectrum", {}, -32000, "NoArray"),
    ],
)
def test_what_leaves_the_limits_or_is_not_known_is_refused(
    rig: Rig, action: Any, kwargs: Any, code: int, why: str
) -> None:
    with pytest.raises(Refused, match=why) as caught:
        rig.call("pump_agno3", action, **kwargs)
    assert caught.value.error[0] == code and rig.facts() == []


@pytest.mark.parametrize(
    "method, params",
    [
        ("get_parameters", {"parameters": ["colour"]}),
        ("get_parameters", {"parameters": 7}),
        ("get_parameters", {}),
        ("set_parameters", {"parameters": {"rate": 1}}),
        ("call_action", {"action": "dispense", "args": [1]}),
        ("call_action", {"action": "dispense", "kwargs": [1]}),
        ("call_action", {"colour": "red"}),
        ("call_action", {"action": "dispense", "kwargs": {"rate": 10**400, "volume": 20.0}}),
    ],
)
def test_requests_that_make_no_sense_are_refused(rig: Rig, method: str, params: Any) -> None:
    with pytest.raises(Refused):
        rig.ask("pump_agno3", method, params)


def test_the_labs_own_limits_hold(rig: Rig) -> None:
    limit = next(one for one in rig.bench.spec.limits_written if one.instrument == "hotplate" and one.max is not None)
    assert limit.max is not None
    with pytest.raises(Refused, match="the lab's limit"):
        rig.call("hotplate", "heat", temperature=limit.max.value + 1.0)


def test_one_act_at_a_time_and_others_beside_it(rig: Rig) -> None:
    rig.call("pump_agno3", "dispense", **DISPENSE)
    with pytest.raises(Refused, match=f"Busy: act {ACT} .dispense. is running"):
        rig.call("pump_agno3", "dispense", rate=300.0, volume=20.0)
    rig.call("pump_pva", "dispense", rate=300.0, volume=20.0)
    rig.wait(6.0)
    assert [one.done for one in rig.facts()].count(True) == 2


def test_a_stop_ends_the_act_and_says_how_much_was_done(rig: Rig) -> None:
    rig.call("pump_agno3", "dispense", **DISPENSE)
    rig.wait(2.0)
    report = rig.call("pump_agno3", "stop")
    assert report["state"] == "stopped" and "stopped by LECO N1.ann" in report["why"]
    assert report["result"]["volume"] == pytest.approx(10.0, abs=1.0)
    assert rig.facts()[-1].failed and rig.get("pump_agno3", "state") == {"state": "idle"}
    assert rig.call("pump_agno3", "stop") is None
    assert rig.call("pump_agno3", "dispense", **DISPENSE | {"act": OTHER})["state"] == "running"


@pytest.mark.parametrize("action", ["heat", "hold"])
def test_what_was_stopped_from_outside_is_neither_implausible_nor_unstirred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """A plate that is told to stop cools down, and its stirrer stands still."""
    (tmp_path / "lab.yaml").write_text(f"""
root: {LAB.parents[1]}
instruments:
  plate: {{driver: "drivers.ika:RCT", simulator: "simulators.ika:RCT", port: "serial:///dev/plate"}}
requires: {{stirred: {{of: [plate.heat, plate.hold], that: plate.speed >= 100 rpm, until: plate.off}}}}
plausible: {{probe: {{of: plate.temperature, rise: 2 K, within: 1 min}}}}
""")
    with serving(lab=tmp_path / "lab.yaml") as rig:
        rig.call("plate", "stir", speed=300.0)
        rig.wait(20.0)
        rig.call("plate", action, temperature=60.0, **({"time": "10 min"} if action == "hold" else {}))
        rig.wait(120.0)
        made_safe: list[str] = []
        monkeypatch.setattr(rig.served, "end", made_safe.append)
        rig.call("plate", "stop")
        rig.wait(200.0)
        assert not made_safe


def test_an_array_is_fetched_with_its_hash(rig: Rig) -> None:
    rig.call("spectrometer", "measure", integration="100 ms", act=ACT)
    rig.wait(1.0)
    report = rig.call("spectrometer", "last_act", act=ACT)
    assert report["state"] == "done" and report["result"]["arrays"] == ["spectrum"]
    answer = rig.call("spectrometer", "array.spectrum", act=ACT)
    assert isinstance(answer, WithFrames)
    (data,) = answer.frames
    assert answer.value == {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert len(data) == 301 * 16 and struct.unpack_from("<2d", data)[1] > struct.unpack_from("<2d", data)[0] > 100.0


def test_an_act_that_fails_takes_the_bench_to_its_safe_state(rig: Rig) -> None:
    rig.call("hotplate", "heat", temperature="60 degC")
    rig.wait(1.0)
    rig.call("pump_agno3", "dispense", rate="300 uL/min", volume="9 mL")
    rig.bench.lab.instruments["pump_agno3"].driver.progress = _cable_out  # type: ignore[method-assign]
    rig.wait(3.0)
    report = rig.call("pump_agno3", "last_act")
    assert report["state"] == "stopped" and "its cable is out" in report["why"]
    plate = rig.bench.lab.instruments["hotplate"]
    verdict = plate.driver.happened("heat", {"temperature": e.Amount(60.0, "degC")}, {}, "x")
    assert verdict.state == "not_begun"


def _cable_out(elapsed_s: float) -> Any:
    raise LinkError("its cable is out")


def test_the_end_of_the_service_breaks_off_what_runs(rig: Rig) -> None:
    rig.call("pump_agno3", "dispense", **DISPENSE)
    rig.wait(1.0)
    assert rig.served.end("ended by SIGTERM") == []
    assert rig.facts()[-1].failed == "ended by SIGTERM"
    assert rig.call("pump_agno3", "last_act", act=ACT)["state"] == "stopped"


def test_a_service_that_only_tells_does_nothing() -> None:
    with serving(read_only=True) as rig:
        assert rig.get("pump_agno3", "infused") == {"infused": 0.0}
        with pytest.raises(Refused, match="ReadOnly"):
            rig.call("pump_agno3", "dispense", **DISPENSE)
        assert rig.call("pump_agno3", "stop") is None


def test_the_book_remembers_acts_of_earlier_services(tmp_path: Path) -> None:
    book = BenchBook.open(tmp_path, "bench", utc_stamp)
    with serving(book) as rig:
        rig.call("pump_agno3", "dispense", **DISPENSE)
        rig.wait(6.0)
    with serving(book) as rig:
        done = rig.call("pump_agno3", "dispense", **DISPENSE)
        assert done["state"] == "done" and done["result"]["volume"] == pytest.approx(20.0, abs=0.1)
        rig.wait(6.0)
        assert len(rig.facts()) == 2
    book.close()


def test_an_id_is_known_though_a_thousand_acts_came_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labloop.runner.served_instrument.ACTS_KEPT", 2)
    book = BenchBook.open(tmp_path, "bench", utc_stamp)
    ids = [f"{number:032x}" for number in range(4)]
    with serving(book) as rig:
        for number, act in enumerate(ids):
            rig.call("pump_agno3", "dispense", rate=600.0, volume=float(number + 1), act=act)
            rig.wait(2.0)
        with pytest.raises(Refused, match="is a dispense of pump_agno3"):
            rig.call("pump_pva", "dispense", rate=600.0, volume=9.0, act=ids[0])
        facts = rig.facts()
        assert len(facts) == 8 and sum(one.done for one in facts) == 4
        for number, act in enumerate(ids):
            for report in (
                rig.call("pump_agno3", "dispense", rate=600.0, volume=float(number + 1), act=act),
                rig.call("pump_agno3", "last_act", act=act),
            ):
                assert (report["act"], report["action"], report["state"]) == (act, "dispense", "done")
                assert report["result"]["volume"] == pytest.approx(number + 1, abs=0.1)
        with pytest.raises(Refused, match="is a dispense"):
            rig.call("pump_agno3", "withdraw", rate=600.0, volume=1.0, act=ids[0])
    with serving(book) as rig:
        assert rig.call("pump_agno3", "dispense", rate=600.0, volume=1.0, act=ids[0])["state"] == "done"
        rig.wait(2.0)
        assert rig.facts() == facts
        assert rig.call("pump_agno3", "last_act")["act"] == ids[-1]
    book.close()


def test_what_nobody_can_tell_stays_unknown_whoever_asks_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pump was switched off and on while no service lived: its counters cannot say any more."""
    book = BenchBook.open(tmp_path, "bench", utc_stamp)
    settings = {"rate": e.Amount(300.0, "uL/min"), "volume": e.Amount(20.0, "uL")}
    before = {"infused": e.Amount(5.0, "uL"), "withdrawn": e.Amount(0.0, "uL")}  # and now it says 0
    book.record(
        e.ByHand(act=f"leco-{ACT}", instrument="pump_agno3", action="dispense", settings=settings, before=before)
    )
    for _ in range(2):  # the service that settles it, and the next one
        with serving(book) as rig:
            report = rig.call("pump_agno3", "dispense", **DISPENSE)
            assert report["state"] == "unknown" and report["why"].startswith("cannot_tell: ")
            assert len(rig.facts()) == 2
    book.close()


@pytest.mark.parametrize("ran_s, state", [(None, "stopped"), (2.0, "stopped"), (60.0, "done")])
def test_an_act_whose_service_was_killed_is_asked_about(tmp_path: Path, ran_s: float | None, state: str) -> None:
    """``ran_s``: how long the pump had run, None: its first byte never went out."""
    book = BenchBook.open(tmp_path, "bench", utc_stamp)
    with hand_bench(read_lab(LAB), live=False) as bench:
        rig = Rig(bench, book)
        if ran_s is None:
            settings = {"rate": e.Amount(300.0, "uL/min"), "volume": e.Amount(20.0, "uL")}
            counters = rig.bench.lab.instruments["pump_agno3"].driver.counters()
            book.record(
                e.ByHand(act=f"leco-{ACT}", instrument="pump_agno3", action="dispense", settings=settings,
                         before=dict(counters), by="ann")
            )  # fmt: skip
        else:
            rig.call("pump_agno3", "dispense", **DISPENSE)
            rig.wait(0.2)
            assert isinstance(bench.clock, VirtualClock)
            bench.clock.advance_to(bench.clock.now_s() + ran_s)
        again = Rig(bench, book)
        report = again.call("pump_agno3", "last_act", act=ACT)
        assert report["state"] == state
        assert again.call("pump_agno3", "dispense", **DISPENSE)["state"] == state
        got = {None: 0.0, 2.0: 11.0, 60.0: 20.0}[ran_s]
        assert report["result"].get("volume", 0.0) == pytest.approx(got, abs=1.5)
        assert sum(not one.done and not one.failed for one in again.facts()) == 1 and len(again.facts()) == 2
    book.close()


def test_a_reading_past_its_limit_makes_the_bench_safe_between_acts_too(rig: Rig, monkeypatch: Any) -> None:
    plate = rig.bench.lab.instruments["hotplate"].driver._driver  # type: ignore[attr-defined]
    rig.call("pump_agno3", "dispense", rate="300 uL/min", volume="9 mL", act=ACT)
    rig.wait(1.0)
    read = plate.read
    monkeypatch.setattr(plate, "read", lambda: read() | {"temperature": e.Reading(value=400.0, unit="degC")})
    rig.wait(20.0)
    report = rig.call("pump_agno3", "last_act", act=ACT)
    assert report["state"] == "stopped" and "temperature reads 400 degC, above the lab's limit" in report["why"]
    assert report["result"]["volume"] < 200.0
    with pytest.raises(Refused, match=r"Unsafe: .*temperature reads 400 degC"):
        rig.call("pump_agno3", "dispense", rate=300.0, volume=20.0)
    monkeypatch.setattr(plate, "read", read)
    rig.wait(20.0)
    assert rig.call("pump_agno3", "dispense", rate=300.0, volume=20.0)["state"] == "running"
    rig.wait(6.0)
    assert rig.call("pump_agno3", "last_act")["state"] == "done"


def test_a_bound_reading_that_stays_out_is_a_broken_rule(rig: Rig, monkeypatch: Any) -> None:
    plate = rig.bench.lab.instruments["hotplate"].driver._driver  # type: ignore[attr-defined]
    monkeypatch.setattr(plate, "read", lambda: _cable_out(0.0))
    rig.wait(60.0)
    with pytest.raises(Refused, match="Unsafe: hotplate: no fresh reading of temperature"):
        rig.call("pump_agno3", "dispense", **DISPENSE)


def test_a_watchdog_hears_from_us_as_long_as_the_service_lives(rig: Rig) -> None:
    plate = rig.bench.lab.instruments["hotplate"]
    assert plate.declaration.silence_s == 60.0
    wished = {"temperature": e.Amount(60.0, "degC")}
    rig.call("hotplate", "heat", temperature="60 degC")
    rig.wait(200.0)
    assert plate.driver.happened("heat", wished, {}, "x").state == "done"
    assert isinstance(rig.bench.clock, VirtualClock)
    rig.bench.clock.advance_to(rig.bench.clock.now_s() + 100.0)  # a service that hangs
    assert plate.driver.happened("heat", wished, {}, "x").state == "not_begun"


def test_that_an_act_was_taken_is_written_down_before_the_watch_asks(rig: Rig, monkeypatch: Any) -> None:
    station, clock = rig.bench.lab.instruments["hotplate"], rig.bench.clock
    plate = station.driver._driver  # type: ignore[attr-defined]
    order: list[str] = []
    said = [""]
    begin, read, record = plate.begin, plate.read, rig.book.record
    assert isinstance(clock, VirtualClock)

    def begun(*given: Any) -> None:
        begin(*given)
        said.append("it was told to heat")
        order.append("begin")
        clock.advance_to(clock.now_s() + 60.0)  # the reading that is bound is due

    def recorded(*facts: Any) -> Any:
        order.extend(type(fact).__name__ for fact in facts)
        return record(*facts)

    rig.served.turn()
    monkeypatch.setattr(plate, "begin", begun)
    monkeypatch.setattr(type(plate), "taken", property(lambda self: said[-1]))
    monkeypatch.setattr(plate, "read", lambda: order.append("read") or read())
    monkeypatch.setattr(rig.book, "record", recorded)
    rig.call("hotplate", "hold", temperature="40 degC", tolerance="1 K", time="30 s", reach_by="15 min", act=ACT)
    for _ in range(5):
        rig.served.turn()
    assert order[order.index("begin") :][:2] == ["begin", "ActTaken"] and "read" in order
