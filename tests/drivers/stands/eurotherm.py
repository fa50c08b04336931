"""A furnace that runs the programme of its controller, which goes on when this computer dies."""

from tests.drivers.stand import Stand

STANDS = {
    "E3216": Stand(
        port="serial:///dev/furnace?baud=9600",
        simulator="simulators.eurotherm:E3216",
        options={"control": "program"},
        act=("run_program", {"time": (3600.0, "s")}),
        stopped="cannot_tell",
    )
}
