"""A flow of nitrogen."""

from tests.drivers.stand import Stand

STANDS = {
    "MC": Stand(
        port="serial:///dev/gas?baud=19200",
        simulator="simulators.alicat:MC",
        options={"full_scale": "500 mL/min", "gas": "N2"},
        sibling=(b"MC-", b"M-"),
        act=("hold", {"rate": (100.0, "mL/min"), "time": (60.0, "s")}),
    )
}
