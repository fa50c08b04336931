"""A SourceMeter with 1 kohm between its terminals."""

from tests.drivers.stand import Stand

STANDS = {
    "K2400": Stand(
        port="serial:///dev/smu?baud=9600",
        simulator="simulators.keithley:K2400",
        simulation={"device": {"resistance": "1 kohm"}},
        sibling=(b"MODEL 2400", b"MODEL 2410"),
        act=("source_voltage", {"voltage": (1.0, "V"), "current_limit": (0.01, "A"), "time": (60.0, "s")}),
    )
}
