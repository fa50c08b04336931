"""The Hein group's vicivalve drives our simulated actuator, over pyserial."""

import pytest
from ftdi_serial import Serial
from vicivalve import VICI

from drivers.vici import Actuator


@pytest.fixture
def line(serve_stand):
    """``line(**options)``: their serial port on our simulated valve."""
    lines = []

    def connect(**options):
        device = serve_stand(Actuator, speed=60.0, **options).device("it")
        lines.append(Serial(device_port=device, baudrate=9600, connect_settle_time=0))
        return lines[-1]

    yield connect
    for one in lines:
        one.disconnect()


def test_vicivalve_turns_a_selector_valve(line):
    it = VICI(line(), positions=10)
    assert it.current_position() == 1
    assert it.move_to_position(4) and it.current_position() == 4
    assert it.move_clockwise_to_position(10) and it.move_counterclockwise_to_position(9)
    assert it.current_position() == 9
    assert it._send_and_receive("AM") == "AM3"


def test_vicivalve_turns_a_two_position_valve_on_a_shared_line(line):
    it = VICI(line(valve={"load": "A", "inject": "B"}, prefix="/1"), address=1)
    assert it.current_position() == "A"
    assert it.switch_valve("B") and it.current_position() == "B"
    assert it.toggle() == "A" and it.toggle() == "B"
    assert it.learn() and it.current_position() == "A"
