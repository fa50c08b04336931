"""A pump with a 10 mL syringe."""

from tests.drivers.stand import Stand

SYRINGE = {"maker": "BD", "volume": "10 mL", "diameter": "14.43 mm"}
STANDS = {
    "NE1000": Stand(
        port="serial:///dev/pumps?baud=19200",
        simulator="simulators.new_era:NE1000",
        options={"address": 0, "syringe": SYRINGE},
        proving={"stock": "5 mL"},  # half full: it can be drawn up too
        act=("dispense", {"rate": (60.0, "uL/min"), "time": (60.0, "s")}),
        sibling=(b"NE1000V", b"NE4000V"),
        hearing=frozenset({"alarm", "heard_s"}),
    )
}
