"""pymeasure, over pyvisa-py and a pty, drives the simulated SourceMeter."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymeasure.instruments.keithley import Keithley2400

PLAN = {
    "instruments": {
        "smu": {
            "simulator": "simulators.keithley:K2400",
            "port": "serial:///dev/smu?baud=57600",
            "options": {"device": {"resistance": "1 kohm"}},
        }
    }
}


@pytest.fixture
def smu(serve_plan: Callable[..., Any]) -> Iterator[Keithley2400]:
    device = str(Path(serve_plan(PLAN, speed=20).device("smu")).resolve())  # VISA wants the name below /dev
    meter = Keithley2400(
        f"ASRL{device}::INSTR", visa_library="@py", baud_rate=57600, read_termination="\n", write_termination="\n",
        timeout=60_000,
    )  # fmt: skip
    yield meter
    meter.adapter.close()


def test_a_voltage_is_sourced_and_everything_measured_at_once(smu: Keithley2400) -> None:
    assert smu.id.startswith("KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567")
    smu.source_mode = "voltage"
    smu.source_voltage_range = 10
    smu.compliance_current = 0.01
    smu.source_voltage = 1.0
    assert (smu.source_voltage_range, smu.compliance_current, smu.source_voltage) == (21.0, 0.01, 1.0)
    smu.enable_source()
    assert smu.source_enabled
    smu.resistance_mode_auto_enabled = False
    found = smu.measure_all()
    assert found["voltage"] == pytest.approx(1.0, rel=1e-4) and found["current"] == pytest.approx(1e-3, rel=1e-4)
    assert found["resistance"] == pytest.approx(1000.0, rel=1e-3) and found["status"] & 1 << 14
    smu.source_voltage = 20.0
    assert smu.measure_all()["status"] & 1 << 3, "in compliance"
    smu.disable_source()
    assert smu.next_error[0] == 0


def test_one_function_at_a_time_and_the_current_source(smu: Keithley2400) -> None:
    smu.compliance_current = 0.01
    smu.source_voltage = -2.0
    smu.enable_source()
    assert smu.current == pytest.approx(-1.05e-4, rel=1e-3)  # :MEASure:CURRent? puts the compliance back
    assert smu.compliance_current == 1.05e-4
    smu.disable_source()
    smu.source_mode = "current"
    smu.source_current = 1e-3
    smu.compliance_voltage = 5.0
    smu.enable_source()
    smu.resistance_mode_auto_enabled = False
    assert smu.measure_all()["voltage"] == pytest.approx(1.0, rel=1e-4)


def test_the_buffer_fills_and_its_statistics_are_told(smu: Keithley2400) -> None:
    smu.source_voltage = 1.0
    smu.compliance_current = 0.01
    smu.config_buffer(points=10)
    smu.enable_source()
    smu.start_buffer()
    smu.wait_for_buffer(timeout=300, interval=0.02)
    data = smu.buffer_data.reshape(10, 5)
    assert data[:, 1].mean() == pytest.approx(1e-3, rel=1e-3)
    assert smu.means[1] == pytest.approx(data[:, 1].mean(), rel=1e-5)
    assert math.isclose(smu.maximums[1], data[:, 1].max(), rel_tol=1e-6)


def test_it_is_ramped_down_and_switched_off(smu: Keithley2400) -> None:
    smu.source_voltage = 3.0
    smu.enable_source()
    smu.wires = 4
    smu.terminals = "front"
    assert smu.wires == 4 and smu.terminals in ("front", "FRON")
    smu.shutdown()
    fresh = Keithley2400(smu.adapter)
    assert not fresh.source_enabled and fresh.next_error[0] == 0
