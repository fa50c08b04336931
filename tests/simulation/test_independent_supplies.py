"""koradctl, which we did not write, runs its own test of a supply on the simulated one, over a pty."""

import time
from collections.abc import Callable
from typing import Any

import koradctl.test
import pytest
from koradctl.port import get_port
from koradctl.psu import INTER_COMMAND_DELAY, PowerSupply
from koradctl.test import TestSuite as Suite

TENMA = "TENMA 72-2540 V2.1"


class Supply(PowerSupply):
    """Its own notes the time of a command before it waits, so that every third of a row goes out without the pause that
    its author wants. Here the pause is kept: whether the instrument needs it, is not known; ours does."""

    def insert_command_delay(self) -> None:
        time.sleep(INTER_COMMAND_DELAY)


def test_koradctl_finds_all_that_it_found_on_the_instrument(
    serve_plan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its author wrote these checks against a Tenma 72-2540 with 2.5 ohm at its terminals."""
    monkeypatch.setattr(koradctl.test, "sleep", lambda seconds: None)
    # It compares 1.188 with 3.3 / 2.5 * 0.9 to the last bit.
    monkeypatch.setattr(Suite, "TEST_CURRENT_LO", round(Suite.TEST_CURRENT_LO, 3))
    options = {"resistance": f"{Suite.TEST_LOAD} ohm", "name": TENMA}
    supply = {"simulator": "simulators.korad:KA3005P", "port": "serial:///dev/supply?baud=9600", "options": options}
    port = get_port(serve_plan({"instruments": {"supply": supply}}).device("supply"))
    try:
        psu = Supply(port)
        assert psu.get_identity() == TENMA and psu.is_tested()
        Suite(psu).run()
        psu.set_voltage_setpoint(12.5)
        assert psu.get_voltage_setpoint() == (12.5, "V") and psu.get_status().output_enabled is False
    finally:
        port.close()
