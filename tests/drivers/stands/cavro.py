"""A pump that somebody has initialized and half filled."""

from tests.drivers.stand import Stand

STANDS = {
    "XCalibur": Stand(
        port="serial:///dev/cavro?baud=9600",
        simulator="simulators.cavro:XCalibur",
        options={
            "address": 0,
            "syringe": "1 mL",
            "valve": {"water": 1, "cell": 4, "waste": 9},
            "initialize": {"from": "water", "to": "waste"},
        },
        simulation={"after": "N1K97Z1,1,9A12000"},
        act=("dispense", {"volume": (250.0, "uL"), "rate": (1000.0, "uL/min"), "port": ("cell", "")}),
        hearing=frozenset({"frames"}),  # which of its protocols it speaks is settled by the first message
    )
}
