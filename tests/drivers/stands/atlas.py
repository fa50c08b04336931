"""A pH probe in a beaker of phosphate buffer."""

from tests.drivers.stand import Stand

STANDS = {
    "EzoPh": Stand(
        port="serial:///dev/ph?baud=9600",
        simulator="simulators.atlas:EzoPh",
        sibling=(b"?i,pH", b"?i,EC"),
        act=("measure", {"window": (10.0, "s")}),
        acts=False,
    )
}
