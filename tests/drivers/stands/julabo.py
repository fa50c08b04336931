"""A circulator."""

from tests.drivers.stand import Stand

STANDS = {
    "Circulator": Stand(
        port="serial:///dev/bath?baud=4800&bytesize=7&parity=E&rtscts=1",
        simulator="simulators.julabo:Circulator",
        sibling=(b"JULABO", b"HUBER"),
        act=("hold", {"temperature": (40.0, "degC"), "time": (30.0, "s")}),
    )
}
