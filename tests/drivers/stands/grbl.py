"""A stage that was homed."""

from tests.drivers.stand import Stand

TRAVEL = {"x": ["-200 mm", "0 mm"], "y": ["-200 mm", "0 mm"], "z": ["-50 mm", "0 mm"]}
STANDS = {
    "Stage": Stand(
        port="serial:///dev/stage?baud=115200",
        simulator="simulators.grbl:Grbl",
        options={"travel": TRAVEL, "name": "STAGE"},
        simulation={"homed": True},
        sibling=(b"1.1h", b"0.9j"),
        act=("move", {"x": (-100.0, "mm"), "y": (-50.0, "mm"), "feed": (600.0, "mm/min")}),
        hearing=frozenset({"reports"}),
        rests_s=0.1,
    )
}
