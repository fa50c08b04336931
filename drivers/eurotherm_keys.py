"""What a person may change at the front of a Eurotherm 3216, as its registers say it.

Source: engineering handbook HA028651 issue 7, chapter 15, p. 81-82 (see eurotherm).

* SP1 (24) and SP2 (25), which of them is used (15), and the highest and lowest setpoint (111, 112).
* Remote or local setpoint (276), automatic or manual (75, bit 4), the instrument mode (199).
* The programme (23): started at the keys, it is anything but reset.
* Not the remote setpoint (26): no key sets that.
"""

from collections.abc import Callable

from labloop.bench import Stand

SETPOINTS, LIMITS, SELECTED, REMOTE_SELECTED, STATUS, MODE, PROGRAM_STATUS = 24, 111, 15, 276, 75, 199, 23
MANUAL, RESET = 1 << 4, 0
MODES = {0: "operating", 1: "standby", 2: "configuration"}


def standing(read: Callable[[int, int], tuple[int, ...]], digit_c: float) -> dict[str, Stand]:
    """Setpoints and their limits, from where it is steered and how, and whether its programme is reset.

    ``read``: so many registers from one on. ``digit_c``: one unit of the last digit.
    """
    (first, second), (high, low) = read(SETPOINTS, 2), read(LIMITS, 2)
    set_to = {"SP1": first, "SP2": second, "SP.HI": high, "SP.LO": low}
    stands = {
        name: Stand(value=round(one * digit_c, 2), unit="degC", within=digit_c / 2.0) for name, one in set_to.items()
    }

    def ask(register: int) -> int:
        return read(register, 1)[0]

    mode = ask(MODE)
    return stands | {
        "selected": Stand(value=f"SP{ask(SELECTED) + 1}"),
        "setpoint": Stand(value="remote" if ask(REMOTE_SELECTED) == 1 else "local"),
        "control": Stand(value="manual" if ask(STATUS) & MANUAL else "automatic"),
        "mode": Stand(value=MODES.get(mode, f"mode {mode}")),
        "programme": Stand(value=ask(PROGRAM_STATUS) != RESET),
    }
