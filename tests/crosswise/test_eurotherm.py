"""Modbus by others: minimalmodbus and pymodbus drive our simulated 3216, pymodbus's server takes our driver."""

import json
import sys

import minimalmodbus
import pytest
from pymodbus.client import ModbusSerialClient

from drivers.eurotherm import E3216
from labloop.bench import InstrumentFault


@pytest.fixture
def device(serve_stand):
    return serve_stand(E3216, speed=60.0, control="remote").device("it")


def test_minimalmodbus_drives_our_simulator(device):
    it = minimalmodbus.Instrument(device, 1)
    it.serial.baudrate, it.serial.timeout = 9600, 1.0
    assert it.read_register(1, 1, signed=True) == pytest.approx(22.0)
    assert it.read_registers(111, 2) == [12000, 0]
    assert it.read_float(0x8000 + 2) == pytest.approx(22.0)
    it.write_register(26, 120.5, 1, functioncode=6)
    it.write_register(26, 120.5, 1)  # function 16
    assert it.read_register(26, 1) == 120.5
    with pytest.raises(minimalmodbus.IllegalRequestError):
        it.read_register(9999)
    with pytest.raises(minimalmodbus.ModbusException):
        it.write_register(26, 1300.0, 1, functioncode=6)
    other = minimalmodbus.Instrument(device, 7)
    other.serial.timeout = 0.1
    with pytest.raises(minimalmodbus.NoResponseError):
        other.read_register(1)
    it.serial.close()


def test_pymodbus_drives_our_simulator(device):
    client = ModbusSerialClient(device, baudrate=9600, timeout=1.0)
    assert client.connect()
    assert client.read_holding_registers(122, device_id=1).registers == [0x3216]
    assert client.read_holding_registers(1, count=5, device_id=1).registers[0] in range(219, 223)
    assert not client.write_registers(26, [1200], device_id=1).isError()
    refused = client.write_register(1, 5, device_id=1)
    assert refused.isError() and refused.exception_code == 2
    client.close()


SERVER = """
import asyncio, json, sys
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

values = [0] * 600
for number, value in json.loads(sys.argv[2]).items():
    values[int(number)] = value
device = SimDevice(1, [SimData(0, values=values, datatype=DataType.REGISTERS)])

async def main():
    server = ModbusTcpServer(device, address=("127.0.0.1", int(sys.argv[1])), framer=FramerType.RTU)
    await server.serve_forever()

asyncio.run(main())
"""


def test_pymodbus_server_takes_our_driver(run_server, on_port):
    registers = {1: 253, 2: 200, 5: 200, 24: 200, 107: 0x0213, 111: 12000, 112: 0, 122: 0x3216, 276: 1, 525: 1}
    command = [sys.executable, "-c", SERVER]
    number = run_server(lambda port: [*command, str(port), json.dumps(registers)])
    it = on_port(E3216, f"tcp://127.0.0.1:{number}")
    assert it.open().model == "Eurotherm 3200 series, type 3216"
    it.configure()
    assert {name: one.value for name, one in it.read().items()} == {
        "temperature": 25.3,
        "setpoint": 20.0,
        "output": 0.0,
    }
    it.begin("hold", {"temperature_c": 25.0, "tolerance_k": 1.0, "time_s": 0.0, "reach_by_s": 60.0}, "act-1")
    assert it.progress(0.0).done
    assert it._ask(26) == 250
    it.stop()
    assert it._ask(26) == 0
    with pytest.raises(InstrumentFault, match="it has no such register"):
        it._ask(5000)
