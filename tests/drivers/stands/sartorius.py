"""A balance with a vessel on its pan."""

from tests.drivers.stand import Stand

STANDS = {
    "SBI": Stand(
        port="serial:///dev/sartorius?baud=9600&bytesize=8&parity=O",
        simulator="simulators.sartorius:SBI",
        options={"model": "MSE1203S-100-DR"},
        simulation={"load": "12.5 g"},
        sibling=(b"MSE1203S", b"MSA225S "),
        act=("weigh", {}),
        acts=False,
        unnoticed="it takes what stands on the pan as zero then, and SBI has no way to ask",
    )
}
