"""A spectrometer as a LECO actor."""

from tests.drivers.stand import Stand

STANDS = {
    "Spectrometer": Stand(
        port="zmq+tcp://127.0.0.1:12300?actor=N1.spectrometer",
        simulator="simulators.spectrometer:Spectrometer",
        act=("rinse", {}),
        sibling=(b"Z0 fibre", b"Z1 prism"),
        hearing=frozenset({"components", "coordinator"}),
    )
}
