"""A supply with a cell of 10 ohm at its terminals."""

from tests.drivers.stand import Stand

STANDS = {
    "KA3005P": Stand(
        port="serial:///dev/supply?baud=9600",
        simulator="simulators.korad:KA3005P",
        sibling=(b"KA3005P", b"KA6003P"),
        act=("apply", {"voltage": (5.0, "V"), "current": (1.0, "A"), "time": (60.0, "s")}),
        hearing=frozenset({"named", "since_s"}),
    )
}
