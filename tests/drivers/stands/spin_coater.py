"""A spin coater, which is never homed."""

from tests.drivers.stand import Stand

STANDS = {
    "SpinCoater": Stand(
        port="serial:///dev/spin?baud=115200",
        simulator="simulators.grbl:Grbl",
        options={"speed": ["200 rpm", "6000 rpm"], "name": "COATER"},
        sibling=(b"1.1h", b"0.9j"),
        act=("spin", {"speed": (3000.0, "rpm"), "time": (60.0, "s")}),
        stopped="cannot_tell",
        hearing=frozenset({"reports"}),
    )
}
