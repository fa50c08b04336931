"""A balance with a vessel on its pan."""

from tests.drivers.stand import Stand

STANDS = {
    "MTSICS": Stand(
        port="serial:///dev/balance?baud=9600",
        simulator="simulators.mettler_toledo:MTSICS",
        simulation={"load": "12.5 g"},
        act=("weigh", {}),
        acts=False,
        proving={"load": "0 g"},  # what stands on the pan is outside its zero range
    )
}
