"""A temperature controller on a cryostat at 77 K."""

from tests.drivers.stand import Stand

STANDS = {
    "LS336": Stand(
        port="serial:///dev/cryostat?baud=57600&bytesize=7&parity=O",
        simulator="simulators.lakeshore:LS336",
        simulation={"start": "77 K"},
        sibling=(b"MODEL336", b"MODEL335"),
        act=("hold", {"temperature": (100.0, "K"), "time": (30.0, "s")}),
        hearing=frozenset({"event"}),
    )
}
