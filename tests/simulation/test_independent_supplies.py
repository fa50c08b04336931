"""koradctl, which we did not write, runs its own test of a supply on the simulated one.

A command of this supply ends with a silence, and koradctl waits a tenth of a second for an answer: so both live in
virtual time, where no busy computer swallows a pause.
"""

from typing import Any

import koradctl.test
import pytest
from koradctl.psu import INTER_COMMAND_DELAY, PowerSupply
from koradctl.test import TestSuite as Suite

from labloop.simulation.bench import SimulatedBench
from labloop.simulation.clock import VirtualClock

TENMA = "TENMA 72-2540 V2.1"
PORT = "serial:///dev/supply?baud=9600"
# As koradctl opens its port.
TIMEOUT_S = 0.1


class Line:
    """What koradctl takes for a serial port."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.clock = VirtualClock()
        supply = {"simulator": "simulators.korad:KA3005P", "port": PORT, "options": options}
        self._line = SimulatedBench({"instruments": {"supply": supply}}, self.clock).lines[PORT]

    def write(self, data: bytes) -> None:
        assert self._line.receive(data, self.clock.now_s()) == b""

    def read(self, size: int) -> bytes:
        end_s = self.clock.now_s() + TIMEOUT_S
        got: bytes = self._line.receive(b"", self.clock.now_s())
        while len(got) < size and (due_s := self._line.due(self.clock.now_s())) is not None and due_s <= end_s:
            self.clock.advance_to(due_s)
            got += self._line.receive(b"", due_s)
        self.clock.advance_to(end_s)
        return got


class Supply(PowerSupply):
    """Its own notes the time of a command before it waits, so that every third of a row goes out without the pause that
    its author wants. Here the pause is kept: whether the instrument needs it, is not known; ours does."""

    def insert_command_delay(self) -> None:
        self.port.clock.advance_to(self.port.clock.now_s() + INTER_COMMAND_DELAY)


def test_koradctl_finds_all_that_it_found_on_the_instrument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its author wrote these checks against a Tenma 72-2540 with 2.5 ohm at its terminals."""
    # It compares 1.188 with 3.3 / 2.5 * 0.9 to the last bit.
    monkeypatch.setattr(Suite, "TEST_CURRENT_LO", round(Suite.TEST_CURRENT_LO, 3))
    line = Line({"resistance": f"{Suite.TEST_LOAD} ohm", "name": TENMA})
    monkeypatch.setattr(koradctl.test, "sleep", lambda s: line.clock.advance_to(line.clock.now_s() + s))
    psu = Supply(line)
    assert psu.get_identity() == TENMA and psu.is_tested()
    Suite(psu).run()
    psu.set_voltage_setpoint(12.5)
    assert psu.get_voltage_setpoint() == (12.5, "V") and psu.get_status().output_enabled is False
