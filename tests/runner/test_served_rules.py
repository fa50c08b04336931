"""A served bench keeps the rules of the lab between two acts, and for several who ask at once."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from labloop.bench import LinkError
from labloop.bench.leco_node import Refused
from labloop.campaign import events as e
from labloop.campaign.spec import read_lab_text
from labloop.runner.by_hand import hand_bench, in_hand
from tests.runner.test_served import ACT, ANN, DISPENSE, LAB, OTHER, Rig

STIRRED = "requires: {stirred: {of: [hotplate.heat, pump_pva.dispense], that: hotplate.speed >= 100 rpm}}"


@contextmanager
def ruled(rules: str) -> Iterator[Rig]:
    text = LAB.read_bytes() + rules.encode()
    with hand_bench(read_lab_text(text, str(LAB), LAB.parent), live=False) as bench, in_hand(bench) as (book, _):
        yield Rig(bench, book)


def asked(rig: Rig, instrument: str, action: str, **kwargs: Any) -> "Future[Any]":
    """The same without a turn of the service's in between."""
    answer = rig.served.actors[instrument]["call_action"](ANN, {"action": action, "kwargs": kwargs})
    assert isinstance(answer, Future)
    return answer


def test_an_id_is_done_once_on_the_whole_bench_so_that_no_total_counts_two_acts_as_one() -> None:
    with ruled("totals: {vessel: {of: [pump_agno3.dispense, pump_pva.dispense], max: 30 uL}}") as rig:
        rig.call("pump_agno3", "dispense", **DISPENSE)
        rig.wait(6.0)
        with pytest.raises(Refused, match=f"act {ACT} is a dispense of pump_agno3"):
            rig.call("pump_pva", "dispense", rate=300.0, volume=8.0, act=ACT)
        assert rig.call("pump_pva", "last_act", act=ACT) is None
        with pytest.raises(Refused, match="holds 20 uL, 12 uL would come to it"):
            rig.call("pump_pva", "dispense", rate=300.0, volume=12.0, act=OTHER)
        rig.call("pump_pva", "dispense", rate=300.0, volume=10.0, act=OTHER)
        rig.wait(6.0)
        assert rig.served._admission.totals.held == {"totals.vessel": pytest.approx(30.0, abs=0.1)}


def test_what_decides_about_an_act_is_read_right_before_it() -> None:
    with ruled(STIRRED) as rig:
        with pytest.raises(Refused, match="speed is 0 rpm"):
            rig.call("hotplate", "heat", temperature=40.0)
        rig.call("hotplate", "stir", speed=300.0)
        rig.wait(5.0)
        assert rig.call("hotplate", "heat", temperature=40.0, act=ACT)["state"] == "running"
        rig.wait(8.0)
        rig.call("hotplate", "off")
        rig.wait(0.3)
        rig.call("hotplate", "stir", speed=0.0)
        rig.wait(3.0)  # the watch has not looked since
        with pytest.raises(Refused, match=r"heat needs hotplate\.speed >= 100 rpm"):
            rig.call("hotplate", "heat", temperature=41.0)
        sent = [one.data for one in rig.bench.lab.instruments["hotplate"].port.traffic if one.kind == "sent"]
        assert not any(b"41.0" in data for data in sent)


def test_what_waits_to_be_read_for_is_refused_by_a_stop_and_by_the_end_and_nobody_comes_in_between() -> None:
    with ruled(STIRRED) as rig:
        rig.call("hotplate", "stir", speed=300.0)
        rig.wait(5.0)
        first = asked(rig, "pump_pva", "dispense", **DISPENSE)
        with pytest.raises(Refused, match=f"Busy: act {ACT} .* is about to begin"):
            rig.call("pump_pva", "dispense", rate=300.0, volume=1.0)
        rig.call("pump_pva", "stop")
        with pytest.raises(Refused, match="Stopped"):
            first.result(0)
        second = asked(rig, "pump_pva", "dispense", **DISPENSE)
        rig.served.end("ended by SIGTERM")
        with pytest.raises(Refused, match="Unsafe: ended by SIGTERM"):
            second.result(0)
        assert not [one for one in rig.facts() if one.instrument == "pump_pva"]


def test_of_what_waits_to_be_read_for_nobody_is_told_that_it_was_not_begun() -> None:
    """Whoever had no answer asks what became of it, and would do it once more."""
    with ruled(STIRRED) as rig:
        rig.call("hotplate", "stir", speed=300.0)
        rig.wait(5.0)
        first, again = (asked(rig, "pump_pva", "dispense", **DISPENSE) for _ in range(2))
        last = asked(rig, "pump_pva", "last_act", act=ACT)
        rig.wait(1.0)
        assert [one.result(0)["state"] for one in (first, again, last)] == ["running"] * 3
        rig.wait(10.0)
        asked(rig, "pump_pva", "dispense", **DISPENSE | {"act": OTHER})
        last = asked(rig, "pump_pva", "last_act", act=OTHER)
        rig.call("pump_pva", "stop")
        assert last.result(0) is None
        assert len({one.act for one in rig.facts() if one.instrument == "pump_pva"}) == 1


def test_what_decides_and_does_not_say_lets_nothing_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    with ruled(STIRRED) as rig:
        rig.call("hotplate", "stir", speed=300.0)
        rig.wait(5.0)
        plate = rig.bench.lab.instruments["hotplate"].driver._driver  # type: ignore[attr-defined]
        read = plate.read
        monkeypatch.setattr(plate, "read", _cable_out)
        with pytest.raises(LinkError, match="its cable is out"):
            rig.call("pump_pva", "dispense", **DISPENSE)
        monkeypatch.setattr(plate, "read", read)
        assert rig.call("pump_pva", "dispense", **DISPENSE)["state"] == "running"


def _cable_out() -> Any:
    raise LinkError("its cable is out")


def test_what_is_stopped_before_its_first_byte_has_moved_nothing_and_set_nothing() -> None:
    with ruled("") as rig:
        rig.call("pump_agno3", "dispense", **DISPENSE)
        rig.wait(6.0)
        held = rig.book.left("pump_agno3")
        rig.served.actors["pump_agno3"]["call_action"](
            ANN, {"action": "dispense", "kwargs": {**DISPENSE, "act": OTHER}}
        )
        stopped = asked(rig, "pump_agno3", "stop")
        rig.wait(1.0)
        assert stopped.result(0)["result"]["volume"] == 0.0 and rig.book.left("pump_agno3") == held
        assert rig.facts()[-1].achieved == {"volume": e.Amount(0.0, "uL")}
        rig.served.actors["hotplate"]["call_action"](ANN, {"action": "heat", "kwargs": {"temperature": 60.0}})
        asked(rig, "hotplate", "stop")
        rig.wait(1.0)
        assert rig.served._admission.standing.stood("hotplate", "temperature") is None


def test_however_often_it_is_asked_for_readings_a_stop_waits_for_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with ruled("") as rig:
        plate = rig.served.instruments["hotplate"].station
        waits: list[Future[Any]] = []

        def later(call: Any, who: str = "") -> "Future[Any]":
            waits.append(Future())
            return waits[-1]

        monkeypatch.setattr(plate.port, "submit", later)

        def get() -> "Future[Any]":
            told = rig.served.actors["hotplate"]["get_parameters"](ANN, {"parameters": ["temperature"]})
            assert isinstance(told, Future)
            return told

        first = [get() for _ in range(900)]
        assert len(waits) == 1
        assert waits[0].set_running_or_notify_cancel()
        later_ones = [get() for _ in range(900)]
        assert len(waits) == 2, "what is under way was asked before"
        for at, warm in enumerate((20.0, 30.0)):
            waits[at].set_result({"temperature": e.Reading(value=warm, unit="degC")})
        rig.served.turn()
        assert {one.result(0)["temperature"] for one in first} == {20.0}
        assert {one.result(0)["temperature"] for one in later_ones} == {30.0}


class EndsMeanwhile(Future[Any]):
    """A reading that comes to its end right after somebody has looked whether it had."""

    def done(self) -> bool:
        was = super().done()
        if not was:
            self.set_result({})
        return was


def test_a_reading_that_ends_while_answers_are_handed_on_is_told_as_well() -> None:
    with ruled("") as rig:
        answer: Future[Any] = Future()
        rig.served.instruments["hotplate"]._reading.append((EndsMeanwhile(), ["temperature"], answer))
        for _ in range(2):
            rig.served.turn()
        assert answer.done()
