"""Lake Shore's own client, over TCP, drives the simulated controller."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lakeshore import Model336
from lakeshore.generic_instrument import InstrumentException

PLAN = {
    "instruments": {
        "cryostat": {
            "simulator": "simulators.lakeshore:LS336",
            "port": "serial:///dev/cryostat?baud=57600&bytesize=7&parity=O",
            "options": {},
        }
    }
}


@pytest.fixture
def controller(serve_plan: Callable[..., Any]) -> Iterator[Model336]:
    address = serve_plan(PLAN, speed=60, transport="tcp").ports["cryostat"]
    number = int(address.partition("?")[0].rpartition(":")[2])
    client = Model336(ip_address="127.0.0.1", tcp_port=number, timeout=60)
    yield client
    client.disconnect_tcp()


def test_it_is_read_and_set_up(controller: Model336) -> None:
    assert (controller.model_number, controller.serial_number, controller.firmware_version) == (
        "MODEL336",
        "LSA1234",
        "2.9",
    )
    assert controller.option_card_serial == "#######"
    kelvin = controller.get_all_kelvin_reading()
    assert kelvin[0] == pytest.approx(4.2, abs=0.01) and kelvin[2:] == [0.0, 0.0]
    assert controller.get_celsius_reading("A") == pytest.approx(kelvin[0] - 273.15, abs=0.01)
    status = controller.get_input_reading_status("C")
    assert status.invalid_reading and not controller.get_input_reading_status("A").invalid_reading
    controller.set_heater_pid(1, 40, 27, 0)
    assert controller.get_heater_pid(1) == {"gain": 40.0, "integral": 27.0, "derivative": 0.0}
    controller.set_temperature_limit("A", 300.0)
    assert controller.get_temperature_limit("A") == 300.0
    controller.set_heater_output_mode(
        1, controller.HeaterOutputMode.CLOSED_LOOP, controller.InputChannel.CHANNEL_A, False
    )
    assert controller.get_heater_output_mode(1)["mode"] == controller.HeaterOutputMode.CLOSED_LOOP
    controller.set_sensor_name("A", "stage")
    assert controller.get_sensor_name("A") == "stage"
    with pytest.raises(InstrumentException, match="Command Error"):
        controller.command("NONSENSE 1")
    with pytest.raises(InstrumentException, match="Execution Error"):
        controller.set_control_setpoint(7, 20.0)


def test_what_its_menus_keep_is_told(controller: Model336) -> None:
    assert controller.get_curve_header(2).curve_name.strip() == "DT-670"
    assert not controller.get_alarm_status("A")["high_state_enabled"]
    assert controller.get_alarm_parameters("A").alarm_enable == 0
    assert not controller.get_relay_status(1) and not controller.get_tuning_control_status()["active_tuning_enable"]
    assert controller.get_warmup_supply_parameter(3)["percentage"] == 50.0
    assert controller.get_control_loop_zone_table(1, 1).proportional == 50.0
    assert controller.get_min_max_data("A")["minimum"] == pytest.approx(4.2, abs=0.01)


def test_it_ramps_heats_and_is_switched_off(controller: Model336) -> None:
    controller.set_control_setpoint(1, 4.2)
    controller.set_setpoint_ramp_parameter(1, True, 0.1)  # it takes four minutes here
    assert controller.get_setpoint_ramp_parameter(1) == {"ramp_enable": True, "rate_value": 0.1}
    controller.set_heater_range(1, controller.HeaterRange.HIGH)
    controller.set_control_setpoint(1, 30.0)
    assert controller.get_setpoint_ramp_status(1)
    controller.set_setpoint_ramp_parameter(1, True, 30.0)
    until_s = time.monotonic() + 300.0
    while abs(controller.get_kelvin_reading("A") - 30.0) > 0.2 or controller.get_setpoint_ramp_status(1):
        assert time.monotonic() < until_s
    assert controller.get_heater_output(1) > 5.0
    assert controller.get_heater_status(1) == controller.HeaterError.NO_ERROR
    controller.all_heaters_off()
    assert controller.get_heater_range(1) == controller.HeaterRange.OFF
