"""A thermal evaporator that somebody offers as a LECO actor, and what a lab file says of it."""

import copy

from tests.drivers.stand import Stand

EVAPORATOR = {
    "identity": {"parameter": "idn", "is": "EVAPORATOR", "serial": "serial_number"},
    "starts": {"parameter": "starts"},
    "readings": {
        "temperature": {"parameter": "temperature_c", "unit": "degC", "doc": "of the substrate"},
        "thickness": {"parameter": "deposited_nm", "unit": "nm", "doc": "deposited so far"},
        "state": {"doc": "idle, depositing or error"},
        "shutter": {"parameter": "shutter.open"},
    },
    "actions": {
        "heat": {
            "doc": "Heat the substrate, and leave it there",
            "act": True,
            "settings": {"temperature": {"parameter": "setpoint_c", "unit": "degC", "from": 20, "to": "300 degC"}},
            "parameters": {"heater": True},
            "until": {"parameter": "temperature_c", "near": "temperature", "within": 1.0},
            "lasts": "5 min",
        },
        "deposit": {
            "doc": "Deposit a film",
            "act": True,
            "call": "deposit",
            "settings": {"thickness": {"argument": "thickness_nm", "unit": "nm", "from": 1, "to": 500}},
            "until": {"parameter": "state", "is": "idle", "fails": ["error"]},
            "counts": {"parameter": "deposited_nm", "setting": "thickness"},
            "remainder": True,
            "lasts": "10 min",
        },
        "spectrum": {
            "doc": "Take the film's transmission",
            "call": "spectrum",
            "repeatable": True,
            "settings": {
                "points": {"argument": "points", "unit": "count", "from": 2, "to": 2000, "default": 101, "whole": True}
            },
            "gives": {"transmission": {"array": True}, "thickness": {"parameter": "deposited_nm", "unit": "nm"}},
        },
    },
    "stop": {"parameters": {"heater": False}, "call": "stop"},
    "stands": {
        "temperature": {"parameter": "setpoint_c", "unit": "degC", "within": 0.1},
        "heater": {},
        "deposited": {"parameter": "deposited_nm", "unit": "nm", "within": 0.01, "counts": True},
    },
}
STANDS = {
    "LecoActor": Stand(
        port="zmq+tcp://127.0.0.1:12301?actor=N1.evaporator",
        simulator="simulators.evaporator:Evaporator",
        options=EVAPORATOR,
        sibling=(b"EVAPORATOR", b"SPUTTERER"),
        act=("deposit", {"thickness": (100.0, "nm")}),
    )
}


def changed(path, value):
    """The evaporator's options with one of them another: ``actions.heat.until.is``."""
    options = copy.deepcopy(EVAPORATOR)
    *where, last = path.split(".")
    table = options
    for name in where:
        table = table.setdefault(name, {})
    if value is None:
        del table[last]
    else:
        table[last] = value
    return options
