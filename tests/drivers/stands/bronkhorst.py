"""A flow of argon."""

from tests.drivers.stand import Stand

STANDS = {
    "ELFlow": Stand(
        port="serial:///dev/argon?baud=38400",
        simulator="simulators.bronkhorst:ELFlow",
        options={"full_scale": "500 mL/min", "gas": "Ar"},
        sibling=(b"DMFC", b"DMFM"),
        act=("hold", {"rate": (100.0, "mL/min"), "time": (60.0, "s")}),
        hearing=frozenset({"since_s"}),
    )
}
