"""What a person may change at the front of a Lake Shore 336, as it says it.

Source: as drivers/lakeshore.py.

* The setpoint (SETP), whether and how fast that ramps (RAMP), and whether the heater is on (RANGE).
* The cut-out of the control input (TLIMIT).
* Not a setpoint on its way, nor the terms of its PID: in zone mode it takes others by itself.
* Not the mode of its output (OUTMODE): configure() sets it, or says why it does not.
"""

from collections.abc import Callable

from labloop.bench import Stand

from .lakeshore_options import Loop

# Setpoints are sent and told with three decimals below 1000 K, a ramp's rate with one.
READ_BACK_K, RATE_BACK = 0.002, 0.051


def standing(
    sure: Callable[[str], tuple[str, ...]], loop: Loop, range_: str, ramping: str, setpoint: str
) -> dict[str, Stand]:
    """Setpoint, ramp, cut-out and heater. ``sure``: what questions are answered with, twice alike."""
    ramp, cutoff = sure(f"RAMP? {loop.output};TLIMIT? {loop.place}")
    on, rate = ramp.split(",")
    stands = {
        "ramp": Stand(value=float(rate) if on == "1" else 0.0, unit="K/min", within=RATE_BACK),
        "cut-out": Stand(value=float(cutoff), unit="K", within=READ_BACK_K),
        "heater": Stand(value=range_ != "0"),
    }
    return stands if ramping == "1" else stands | {
        "temperature": Stand(value=float(setpoint), unit="K", within=READ_BACK_K)
    }  # fmt: skip
