"""A potentiostat with a disk electrode in a solution of a redox couple."""

from tests.drivers.stand import Stand

STANDS = {
    "EmStatPico": Stand(
        port="serial:///dev/pico?baud=230400",
        simulator="simulators.emstat:EmStatPico",
        sibling=(b"espico", b"es4_hr"),
        act=("cyclic_voltammogram", {
            "begin": (-0.2, "V"), "vertex1": (0.6, "V"), "vertex2": (-0.2, "V"), "scan_rate": (0.05, "V/s"),
        }),
    )
}  # fmt: skip
