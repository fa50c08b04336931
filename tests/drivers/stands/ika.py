"""A hotplate."""

from tests.drivers.stand import Stand

STANDS = {
    "RCT": Stand(
        port="serial:///dev/plate?baud=9600&bytesize=7&parity=E",
        simulator="simulators.ika:RCT",
        sibling=(b"RCT", b"EUR"),
        act=("hold", {"temperature": (40.0, "degC"), "time": (30.0, "s")}),
    )
}
