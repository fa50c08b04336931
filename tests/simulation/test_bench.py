"""A whole bench in process, on a virtual clock: the three devices, one sample, one ledger."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labloop.simulation.bench import SimulatedBench
from labloop.simulation.clock import VirtualClock, WallClock
from labloop.simulation.spectra import TARGET, distance

NAMES = ("agno3", "pva", "tsc", "seed", "water")
GOOD = dict(zip(NAMES, (35.0, 32.2, 3.6, 5.5, 23.7), strict=True))


class Chemist:
    """Somebody who works at the bench, knowing only ports, bytes and the clock."""

    def __init__(self, plan: Mapping[str, Any], clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.bench = SimulatedBench(plan, self.clock)
        ports = {name: given["port"] for name, given in plan["instruments"].items()}
        self.pumps = self.bench.lines[ports["pump_agno3"]]
        self.hotplate = self.bench.lines[ports["hotplate"]]
        self.spectrometer = self.bench.lines[ports["spectrometer"]]
        self.asked = 0

    def tell(self, line: Any, *commands: str) -> list[bytes]:
        return [line.receive(each.encode(), self.clock.now_s()) for each in commands]

    def ask(self, method: str, to: bytes = b"N1.spectrometer", **params: Any) -> tuple[Any, list[bytes]]:
        self.asked += 1
        body = json.dumps({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params}).encode()
        frames = [b"\x00", to, b"me", self.asked.to_bytes(16, "big") + b"\x00\x00\x00\x01", body]
        ((_, answer),) = self.spectrometer.receive(b"peer", frames, self.clock.now_s())
        return json.loads(answer[4])["result"], answer[5:]

    def wait(self, time_s: float, step_s: float = math.inf) -> None:
        """Let time pass, in leaps of at most ``step_s``, settling at each moment something is due."""
        end_s = self.clock.now_s() + time_s
        while self.clock.now_s() < end_s:
            due_s = self.bench.due(self.clock.now_s()) or math.inf
            self.clock.advance_to(min(end_s, due_s, self.clock.now_s() + step_s))
            self.bench.settle(self.clock.now_s())

    def warm_up(self) -> None:
        self.ask("sign_in", b"COORDINATOR")
        for n, name in enumerate(NAMES):
            self.tell(self.pumps, f"{n}\r", f"{n}DIA{26.7 if name == 'water' else 14.43}\r", f"{n}VOLUL\r")
        self.tell(self.hotplate, "OUT_SP_1 40\r\nSTART_1\r\n")
        self.wait(600.0)

    def make(self, shares: Mapping[str, float], flow: float = 600.0, step_s: float = math.inf) -> None:
        for n, name in enumerate(NAMES):
            rate = flow * shares[name] / 100.0
            self.tell(self.pumps, f"{n}VOL{rate / 3:.1f}\r", f"{n}RAT{rate:.1f}UM\r", f"{n}RUN\r")
        self.wait(50.0, step_s)

    def measure(self, name: str, step_s: float = math.inf) -> np.ndarray:
        act = hashlib.sha256(name.encode()).hexdigest()[:32]
        self.ask("call_action", action="measure", kwargs={"act": act})
        self.wait(1.0, step_s)
        _, (frame,) = self.ask("call_action", action="spectrum", kwargs={"act": act})
        return np.frombuffer(frame, "<f8")[301:]

    def rinse(self, name: str, step_s: float = math.inf) -> None:
        act = hashlib.sha256(name.encode()).hexdigest()[:32]
        self.ask("call_action", action="rinse", kwargs={"act": act})
        self.wait(25.0, step_s)


def test_from_pumps_to_spectrum(plan: dict[str, Any]) -> None:
    chemist = Chemist(plan)
    chemist.warm_up()
    chemist.make(GOOD)
    loss = distance(chemist.measure("first"), TARGET)
    sample = chemist.bench.world.sample
    assert sample.cell is not None and sample.chemistry is not None
    assert sample.cell.hottest_c == pytest.approx(40.0, abs=0.1)
    point = sample.chemistry.point(sample.cell)
    assert point["q_tot"] == pytest.approx(600.0, rel=1e-3) and point["q_agno3"] == pytest.approx(35.0, rel=1e-3)
    assert loss == pytest.approx(sample.chemistry.value(sample.cell, 7), abs=1e-3)
    assert abs(loss - sample.chemistry.response.value(point)) < 0.1
    chemist.rinse("second")
    assert chemist.measure("third").max() < 1e-3
    done = [(e.instrument, e.act, e.phase) for e in chemist.bench.ledger.entries]
    acts = [
        ("pump_agno3", "dispense"),
        ("pump_water", "dispense"),
        ("spectrometer", "measure"),
        ("spectrometer", "rinse"),
    ]
    for instrument, act in acts:
        assert done.index((instrument, act, "begin")) < done.index((instrument, act, "end"))
    times = [e.at_s for e in chemist.bench.ledger.entries]
    assert times == sorted(times)


def test_the_same_acts_give_the_same_bytes_however_time_leaps(plan: dict[str, Any]) -> None:
    def day(step_s: float) -> tuple[list[bytes], list[Any]]:
        chemist = Chemist(plan)
        chemist.warm_up()
        spectra = []
        for n in range(2):
            chemist.make(GOOD, step_s=step_s)
            spectra.append(chemist.measure(f"measure {n}", step_s).tobytes())
            chemist.rinse(f"rinse {n}", step_s)
        return spectra, chemist.bench.ledger.entries

    assert day(math.inf) == day(math.inf)
    spectra, entries = day(0.7)
    whole_spectra, whole_entries = day(math.inf)
    assert [(e.instrument, e.act, e.phase) for e in entries] == [(e.instrument, e.act, e.phase) for e in whole_entries]
    assert [e.at_s for e in entries] == pytest.approx([e.at_s for e in whole_entries], abs=1e-5)
    for one, other in zip(spectra, whole_spectra, strict=True):
        assert np.frombuffer(one, "<f8") == pytest.approx(np.frombuffer(other, "<f8"), abs=1e-9)


def test_in_one_leap_things_still_happen_in_the_order_of_time(plan: dict[str, Any]) -> None:
    chemist = Chemist(plan)
    chemist.warm_up()
    begun = len(chemist.bench.ledger.entries)
    for n, seconds in ((0, 30), (1, 10), (2, 20)):
        chemist.tell(chemist.pumps, f"{n}VOL{seconds * 10}\r", f"{n}RAT600UM\r", f"{n}RUN\r")
    chemist.ask("call_action", action="rinse", kwargs={"act": "0" * 32})
    start_s = chemist.clock.now_s()
    chemist.clock.advance_to(start_s + 1000.0)
    chemist.bench.settle(chemist.clock.now_s())
    ends = [e for e in chemist.bench.ledger.entries[begun:] if e.phase == "end"]
    assert [e.instrument for e in ends] in (
        ["pump_pva", "pump_tsc", "spectrometer", "pump_agno3"],
        ["pump_pva", "spectrometer", "pump_tsc", "pump_agno3"],
    )
    assert [e.at_s - start_s for e in ends] == pytest.approx([10.0, 20.0, 20.0, 30.0], abs=1e-5)


def test_state_goes_through_json_into_another_bench(plan: dict[str, Any]) -> None:
    first = Chemist(plan)
    first.warm_up()
    first.make(GOOD)
    first.tell(first.pumps, "0VOL900\r", "0RAT6MM\r", "0RUN\r")
    first.wait(3.0)
    kept = json.loads(json.dumps(first.bench.state()))
    second = Chemist(plan, VirtualClock(kept["at_s"]))
    second.bench.restore(kept)
    second.ask("sign_in", b"COORDINATOR")
    assert first.measure("x").tobytes() == second.measure("x").tobytes()
    second.wait(20.0)
    first.wait(20.0)
    assert first.tell(first.pumps, "0DIS\r") == second.tell(second.pumps, "0DIS\r")
    assert first.bench.ledger.entries[-1] == second.bench.ledger.entries[-1]


def test_what_an_earlier_version_had_no_word_for_stands_as_in_a_new_device(plan: dict[str, Any]) -> None:
    """A run that was begun with it goes on."""
    first = Chemist(plan)
    first.warm_up()
    kept = json.loads(json.dumps(first.bench.state()))
    assert kept["devices"]["hotplate"].pop("watchdog") == 0
    second = Chemist(plan, VirtualClock(kept["at_s"]))
    second.bench.restore(kept)
    assert second.bench.devices["hotplate"].state() == first.bench.devices["hotplate"].state()


def test_a_persons_refill(plan: dict[str, Any]) -> None:
    plan["instruments"]["pump_pva"]["options"]["stock"] = "0.1 mL"
    chemist = Chemist(plan)
    chemist.warm_up()
    run = ("1VOL200\r", "1RAT6MM\r", "1RUN\r")
    chemist.tell(chemist.pumps, *run)
    chemist.wait(10.0)
    assert chemist.tell(chemist.pumps, "1\r") == [b"\x0201A?S\x03"]
    chemist.bench.refill("pump_pva", 5000.0)
    chemist.tell(chemist.pumps, *run)
    chemist.wait(10.0)
    assert chemist.tell(chemist.pumps, "1DIS\r") == [b"\x0201SI300.0W0.000UL\x03"]
    with pytest.raises(ValueError, match="hotplate is nothing that can be refilled"):
        chemist.bench.refill("hotplate", 1.0)


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("pump_pva", {"simulator": "simulators.new_era:NE9"}, "pump_pva: simulator 'simulators.new_era:NE9' cannot be"),
        ("pump_pva", {"simulator": "simulators.nowhere:X"}, "pump_pva: simulator 'simulators.nowhere:X' cannot be"),
        ("pump_pva", {"options": {"address": 0}}, "have the same address"),
        ("pump_pva", {"options": {"address": 100}}, "pump_pva: address = 100 must lie between 0 and 99"),
        ("pump_pva", {"options": {"address": 1, "stock": "10 parsecs"}}, "'10 parsecs' cannot be read in mL"),
        ("spectrometer", {"port": "serial:///dev/serial/by-id/usb-FTDI_A1-if00?baud=19200"}, "cannot share the port"),
    ],
)
def test_complaints(plan: dict[str, Any], name: str, change: dict[str, Any], complaint: str) -> None:
    plan["instruments"][name] |= change
    with pytest.raises(ValueError, match=complaint):
        SimulatedBench(plan, VirtualClock())


def test_two_on_the_port_sim_are_told_how_each_gets_a_line_of_its_own(plan: dict[str, Any]) -> None:
    for name in ("hotplate", "spectrometer"):
        plan["instruments"][name]["port"] = "sim:"
    with pytest.raises(ValueError, match=r"like port: sim:spectrometer$"):
        SimulatedBench(plan, VirtualClock())
    plan["instruments"]["spectrometer"]["port"] = "sim:spectrometer"
    assert {"sim:", "sim:spectrometer"} <= SimulatedBench(plan, VirtualClock()).lines.keys()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(range(12)), st.floats(0.0, 40.0)), max_size=30))
def test_whatever_is_done_nothing_is_lost_or_invented(acts: list[tuple[int, float]]) -> None:
    """What left the syringes is what the ledger says and what the droplets hold, less what was rinsed away."""
    from_conftest: dict[str, Any] = {}
    for address in range(3):
        options = {"address": address, "syringe": {"volume": "10 mL", "diameter": "14.43 mm"}}
        from_conftest[f"pump_{address}"] = {"simulator": "simulators.new_era:NE1000", "port": "x", "options": options}
    bench, now_s = SimulatedBench({"instruments": from_conftest}, VirtualClock()), 0.0
    line = bench.lines["x"]
    for n in range(3):
        line.receive(f"{n}\r{n}DIA14.43\r{n}VOL.5\r{n}RAT{n + 1}MM\r".encode(), now_s)
    for which, wait_s in acts:
        now_s += wait_s
        n, what = which % 3, ("RUN", "STP", "DIS", "RUN")[which // 3]
        line.receive(f"{n}{what}\r".encode(), now_s)
    line.receive(b"0STP\r1STP\r2STP\r", now_s + 1)
    for n in range(3):
        device = bench.devices[f"pump_{n}"]
        left = 10_000 - device.drive.content_ml * 1e3
        ends = [e.amount for e in bench.ledger.entries if e.instrument == f"pump_{n}" and e.phase == "end"]
        held = sum(droplet.volumes_ul.get(f"pump_{n}", 0.0) for droplet in bench.world.sample.waiting)
        assert sum(ends) == pytest.approx(left, abs=1e-3) and held == pytest.approx(left, abs=1e-3)


def test_clocks() -> None:
    wall = iter([100.0, 100.5, 103.0])
    clock = WallClock(60.0, 1000.0, lambda: next(wall))
    assert (clock.now_s(), clock.now_s()) == (1030.0, 1180.0)
    with pytest.raises(ValueError, match="speed = 0"):
        WallClock(0)
    virtual = VirtualClock(5.0)
    virtual.advance_to(8.0)
    virtual.advance_to(6.0)
    assert virtual.now_s() == 8.0
