"""The scripts that an EmStat Pico is given: one technique each, that ends by itself and switches the cell off.

Every number is sent twice in its package (``copy_var``): a line without a checksum turns a digit now and then, and a
measured point cannot be asked for again. Source: MethodSCRIPT manual v1.8 and the maker's examples.
"""

from dataclasses import dataclass

from .emstat_codec import literal

# Potentials further apart than this want the high-speed mode (3) and its wider window.
LOW_SPEED_SPAN_V = 1.2
LEAST_RANGE_A = 100e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Technique:
    """A script, and what its packages hold: the variable that goes along the axis, its step, how many points.

    ``unit``: of what is measured.
    """

    script: str
    axis: str
    step: float
    points: int
    scans: int = 1
    unit: str = "A"


def cyclic(
    *, begin_v: float, vertex1_v: float, vertex2_v: float, step_v: float, rate_v_s: float, scans: int,
    equilibrate_s: float, range_a: float,
) -> Technique:  # fmt: skip
    """From the beginning to the first vertex, to the second, and back; so often."""
    way_v = abs(vertex1_v - begin_v) + abs(vertex2_v - vertex1_v) + abs(begin_v - vertex2_v)
    corners = [begin_v, vertex1_v, vertex2_v]
    # What is said meanwhile is no point; it tells whoever listens that the script runs.
    alive = ["timer_start", f"meas_loop_ca p c {literal(begin_v)} 200m {literal(equilibrate_s)}", "timer_get t",
             "pck_start", "pck_add t", "pck_end", "endloop"]  # fmt: skip
    rest = alive if equilibrate_s else []
    often = f" nscans({scans})" if scans > 1 else ""
    loop = " ".join(literal(one) for one in (*corners, step_v, rate_v_s))
    script = _script(
        [*_cell(corners, range_a, step_v / rate_v_s), *rest, f"meas_loop_cv p c {loop}{often}", *_sent("p"), "endloop"]
    )
    return Technique(script=script, axis="da", step=step_v, points=round(way_v / step_v) * scans, scans=scans)


def chrono(*, potential_v: float, time_s: float, interval_s: float, range_a: float) -> Technique:
    """A potential for a time, with the current every so often."""
    loop = f"meas_loop_ca p c {literal(potential_v)} {literal(interval_s)} {literal(time_s)}"
    script = _script(
        [*_cell([potential_v], range_a, interval_s), "timer_start", loop, "timer_get t", *_sent("t"), "endloop"]
    )
    return Technique(script=script, axis="eb", step=interval_s, points=round(time_s / interval_s))


def open_circuit(*, time_s: float, interval_s: float) -> Technique:
    """The potential with no current flowing."""
    lines = [
        "set_pgstat_chan 0", "set_pgstat_mode 3", "set_max_bandwidth 40", "cell_off", "timer_start",
        f"meas_loop_ocp c {literal(interval_s)} {literal(time_s)}", "timer_get t", *_sent("t"), "endloop",
    ]  # fmt: skip
    return Technique(script=_script(lines), axis="eb", step=interval_s, points=round(time_s / interval_s), unit="V")


def _cell(potentials_v: list[float], range_a: float, interval_s: float) -> list[str]:
    low_v, high_v = min(potentials_v), max(potentials_v)
    most = literal(range_a)
    return [
        "set_pgstat_chan 0",
        f"set_pgstat_mode {2 if high_v - low_v <= LOW_SPEED_SPAN_V else 3}",
        f"set_max_bandwidth {max(40, round(4.0 / interval_s))}",
        f"set_range_minmax da {literal(low_v)} {literal(high_v)}",
        f"set_range ba {most}",
        f"set_autoranging ba {literal(min(LEAST_RANGE_A, range_a))} {most}",
        f"set_e {literal(potentials_v[0])}",
        "cell_on",
    ]


def _sent(axis: str) -> list[str]:
    return [f"copy_var {axis} q", "copy_var c d", "pck_start", *(f"pck_add {name}" for name in (axis, "c", "q", "d")),
            "pck_end"]  # fmt: skip


def _script(lines: list[str]) -> str:
    variables = [f"var {name}" for name in "pcdqt"]
    return "\n".join(["e", *variables, *lines, "on_finished:", "cell_off", ""])
