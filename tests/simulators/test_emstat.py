"""The EmStat Pico simulator: its bytes, its scripts line by line, and its cell against Randles, Sevcik and Cottrell."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.cell import RT, Cell, F
from simulators.emstat import EmStatPico
from simulators.methodscript import Memory, Value, number_of, variable

CAPTURED = "captured from labmcp-palmsens against the maker's parser"
EXAMPLES = "PalmSens/MethodSCRIPT_Examples"
PROTOCOL = "communication protocol v1.6"


def pico(**options: Any) -> EmStatPico:
    return EmStatPico(World(), "pico", options)


def ask(device: EmStatPico, data: bytes, at_s: float = 0.0, for_s: float = 0.0) -> bytes:
    """What it says to this at once and within some seconds."""
    said, until_s = device.receive(data, at_s), at_s + for_s
    while (due_s := device.due(at_s)) is not None and due_s <= until_s:
        at_s = due_s
        said += device.receive(b"", at_s)
    return said


def lines(said: bytes) -> list[str]:
    return said.decode().splitlines()


STEPS = b"e\nvar p\nvar c\nset_e 0\ncell_on\nmeas_loop_lsv p c 0 300m 100m 1\npck_start\npck_add p\npck_end\nendloop\n"
SHORT = STEPS + b"on_finished:\ncell_off\n\n"
LONG = STEPS.replace(b"100m 1\n", b"100m 10m\n") + b"on_finished:\ncell_off\n\n"

EXCHANGES = [
    (b"t\n", b"tespico1600#Sep 30 2025 12:00:00\nR*\n", CAPTURED),
    (b"t\r\n", b"tespico1600#Sep 30 2025 12:00:00\nR*\n", "a CR is passed over"),
    (b"i\n", b"iESPSIM01\n", CAPTURED),
    (b"i\nt\n", b"iESPSIM01\ntespico1600#Sep 30 2025 12:00:00\nR*\n", "two at once"),
    (b"c\n", b"c!0003\n", CAPTURED),
    (b"\n\n", b"", "an empty line asks nothing"),
    (b"Z\n", b"Z!0006\n", CAPTURED),
    (b"e\nvar p\nnonsense\n\n", b"e!4001: Line 2, Col 1\n", f"{PROTOCOL}: where it cannot be read"),
    (b"e\nvar p\n  cell_on 1\n\n", b"e!4001: Line 2, Col 3\n", f"{PROTOCOL}: an argument too many"),
    (b"e\npck_start\npck_add p\n\n", b"e!4001: Line 2, Col 1\n", "MethodSCRIPT manual: p was never declared"),
    (b"e\nendloop\n\n", b"e!4001: Line 1, Col 1\n", "a loop that never began"),
    (b"e\nvar p\nmeas_loop_ocp p 100m 1\n\n", b"e!4001: Line 2, Col 1\n", "a loop that never ends"),
    (b"e\nvar p\nmeas_loop_cv p p 0 1 0\nendloop\n\n", b"e!4001: Line 2, Col 1\n", "too few for a voltammogram"),
    (b"e\nvar p\nmeas_loop_lsv p p 0 1 0 1\nendloop\n\n", b"e\nM0000\n!4002: Line 2\n\n", "a step of 0"),
    (b"e\n# nothing\n\n", b"e\n\n", "a script of nothing ends at once"),
    (b'e\nsend_string "hello there"\n\n', b"e\nThello there\n\n", "MethodSCRIPT manual: send_string"),
    (
        SHORT,
        b"e\nM0000\nPda8000000 \nPdaDF5E100n\nPda8030D40u\nPda80493E0u\n*\n\n",
        f"{EXAMPLES}: the form; 8030D40u is 200 mV",
    ),
]


@pytest.mark.parametrize("sent, said, source", EXCHANGES)
def test_exchanges(sent: bytes, said: bytes, source: str) -> None:
    assert ask(pico(), sent, for_s=10.0) == said


@pytest.mark.parametrize("sent, said, source", EXCHANGES)
def test_one_byte_at_a_time_is_the_same(sent: bytes, said: bytes, source: str) -> None:
    whole, piecemeal = ask(pico(), sent, for_s=10.0), pico()
    found = b"".join(piecemeal.receive(sent[n : n + 1], 0.0) for n in range(len(sent)))
    assert found + ask(piecemeal, b"", for_s=10.0) == whole


@pytest.mark.parametrize(
    "value, said, source",
    [
        (Value("da", 0.0), "da8000000 ", CAPTURED),
        (Value("da", 0.1), "daDF5E100n", CAPTURED),
        (Value("ba", 16.567805e-9, ",10,200"), "ba8FCCDFDf,10,200", CAPTURED),
        (Value("ba", -57.847747e-6, ",10,288"), "ba48D503Dp,10,288", EXAMPLES),
        (Value("eb", 1e12), "eb80F4240M", "1000000 M"),
        (Value("ba", 1e30), "ba     nan ", "what no prefix holds"),
    ],
)
def test_variables_of_a_package(value: Value, said: str, source: str) -> None:
    assert variable(value) == said


@pytest.mark.parametrize(
    "text, number",
    [
        ("300m", 0.3),
        ("-500m", -0.5),
        ("1", 1.0),
        ("7i", 7.0),
        ("100n", 1e-7),
        ("1k", 1e3),
        ("x", 2.5),
        ("nonsense", 0.0),
    ],
)
def test_numbers_of_a_script(text: str, number: float) -> None:
    assert number_of(text, Memory(variables={"x": Value("aa", 2.5)})) == pytest.approx(number)


def test_points_come_when_their_time_has_come() -> None:
    device = pico()
    assert ask(device, LONG) == b"e\nM0000\n"
    assert ask(device, b"", 9.9) == b"" and lines(ask(device, b"", 10.0)) == ["Pda8000000 "]
    assert len(lines(ask(device, b"", 10.1, for_s=20.0))) == 2
    assert [entry.phase for entry in device.world.ledger.entries] == ["begin"]
    assert lines(ask(device, b"", 30.1, for_s=10.0))[1:] == ["*", ""]
    assert [entry.phase for entry in device.world.ledger.entries] == ["begin", "end"]


def test_an_abort_ends_the_loop_and_does_what_stands_last() -> None:
    device = pico()
    ask(device, LONG)
    ask(device, b"", 15.0)
    assert device.on and ask(device, b"Z\n", 16.0) == b"Z\n*\n\n" and not device.on
    assert ask(device, b"", 16.0, for_s=60.0) == b"" and ask(device, b"Z\n", 20.0) == b"Z!0006\n"


def test_while_a_script_runs_nothing_else_is_answered() -> None:
    device = pico()
    ask(device, LONG)
    assert ask(device, b"t\ni\nx\ne\n", 1.0) == b"" and len(lines(ask(device, b"", 1.0, for_s=60.0))) == 6


def test_halt_and_go_on() -> None:
    device = pico()
    ask(device, LONG)
    assert ask(device, b"h\n", 5.0) == b"h\n" and ask(device, b"", 5.0, for_s=100.0) == b""
    assert ask(device, b"H\n", 105.0) == b"H\n"
    assert ask(device, b"", 105.0, for_s=4.9) == b"" and ask(device, b"", 110.0) != b""


def test_after_an_error_it_hears_nothing_for_50_ms() -> None:
    device = pico()
    assert ask(device, b"x\ni\n") == b"x!0003\n"
    assert ask(device, b"i\n", 0.049) == b"" and ask(device, b"i\n", 0.051) == b"iESPSIM01\n"


def test_a_scan_of_several_is_marked() -> None:
    device = pico()
    script = STEPS.replace(b"meas_loop_lsv p c 0 300m 100m 1\n", b"meas_loop_cv p c 0 100m -100m 100m 1 nscans(2)\n")
    said = [line[:1] for line in lines(ask(device, script + b"\n", for_s=60.0))]
    assert "".join(said) == "eM" + "CPPPPP-" + "CPPPP-" + "*"


def test_power_comes_back_with_the_cell_off_and_no_script() -> None:
    device = pico()
    ask(device, LONG)
    ask(device, b"", 15.0)
    device.power_cycle(16.0)
    assert not device.on and ask(device, b"", 16.0, for_s=100.0) == b"" and ask(device, b"i\n", 120.0) == b"iESPSIM01\n"


def test_its_state_is_json_and_a_script_does_not_outlive_its_process() -> None:
    device = pico()
    ask(device, LONG)
    ask(device, b"", 15.0)
    kept = json.loads(json.dumps(device.state()))
    again = pico()
    again.restore(kept, 15.0)
    assert not again.on and ask(again, b"i\n", 15.0) == b"iESPSIM01\n"


@given(st.lists(st.tuples(st.binary(max_size=80), st.floats(0, 5)), max_size=12))
def test_any_bytes_at_any_time_are_survived(said: list[tuple[bytes, float]]) -> None:
    device, now_s = pico(), 0.0
    for data, wait_s in said:
        now_s += wait_s
        device.receive(data, now_s)
    assert len(device._line) <= 256 and ask(device, b"\nZ\n", now_s + 1.0).startswith((b"", b"Z"))


WORDS = ["var p", "var c", "cell_on", "cell_off", "set_e 100m", "set_e p", "wait 1", "wait c", "timer_get c",
         "pck_start", "pck_add p", "pck_end", "endloop", "on_finished:", "copy_var p c",
         "store_var p 5m da", "set_range ba 0",
         "meas_loop_cv p c 0 1 0 100m 1", "meas_loop_cv p c", "meas_loop_ca p c 0 0 0", "meas_loop_lsv p c 0 0 0 0",
         "meas_loop_ocp p 0 0", "meas_loop_ocp p 1 2"]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_any_script_ends_or_is_refused(script: list[str]) -> None:
    device = pico()
    said = ask(device, ("e\n" + "".join(f"{line}\n" for line in script) + "\n").encode(), for_s=1000.0)
    assert said.startswith(b"e") and (said.startswith(b"e!") or said.endswith(b"\n\n"))


# --- the cell --------------------------------------------------------------------------------------------------------


def sweep(cell: Cell, begin_v: float, end_v: float, step_v: float, rate_v_s: float) -> list[tuple[float, float]]:
    count = round(abs(end_v - begin_v) / step_v)
    cell.rest(count * step_v / rate_v_s)
    volts = [begin_v + (end_v - begin_v) * n / count for n in range(count + 1)]
    return [(one, cell.apply(one, step_v / rate_v_s)) for one in volts]


@pytest.mark.parametrize("rate_v_s", [0.01, 0.1, 1.0])
def test_a_reversible_peak_is_what_randles_and_sevcik_say(rate_v_s: float) -> None:
    cell = Cell({"capacitance": 0.0, "resistance": 0.0, "rate": 0.1})
    volts, peak_a = max(sweep(cell, -0.2, 0.6, 0.0005, rate_v_s), key=lambda point: point[1])
    assert peak_a == pytest.approx(cell.peak_a(rate_v_s), rel=0.05)  # a staircase stays a little below a ramp
    assert volts == pytest.approx(cell.formal_v + 0.0285, abs=0.003)


def test_a_slow_couple_peaks_later_and_lower() -> None:
    fast, slow = ({"capacitance": 0.0, "resistance": 0.0, "rate": rate} for rate in (1e-2, 1e-6))
    peaks = [max(sweep(Cell(one), -0.2, 1.0, 0.002, 0.1), key=lambda point: point[1]) for one in (fast, slow)]
    assert peaks[1][0] > peaks[0][0] + 0.1 and peaks[1][1] < 0.9 * peaks[0][1]


def test_a_step_decays_as_cottrell_says() -> None:
    cell = Cell({"capacitance": 0.0, "resistance": 0.0})
    cell.rest(20.0)
    for n in range(1, 401):
        amps = cell.apply(0.8, 0.05)
        if n >= 20:
            cottrell = F * cell.area_m2 * cell.bulk * math.sqrt(cell.diffusion / (math.pi * 0.05 * n))
            assert amps == pytest.approx(cottrell, rel=0.03)


def test_a_double_layer_charges_with_the_scan_rate() -> None:
    cell = Cell({"concentration": 0.0, "resistance": 0.0})
    (_, first), *rest = sweep(cell, 0.0, 0.1, 0.001, 0.05)
    assert first == 0.0 and all(amps == pytest.approx(0.2 * 7.07e-6 * 0.05) for _, amps in rest)


def test_matter_is_kept() -> None:
    """What went into the electrode is what the solution lost."""
    cell = Cell({"capacitance": 0.0, "resistance": 0.0})
    cell.rest(10.0)
    passed = sum(cell.apply(0.6, 0.01) * 0.01 for _ in range(500))
    lost = F * cell.area_m2 * float(((cell.bulk - cell._reduced) * cell._dx).sum())
    assert passed == pytest.approx(lost, rel=0.05)


def test_the_open_circuit_is_nernst() -> None:
    assert Cell({}).open_circuit_v == pytest.approx(0.2 + RT / F * math.log(0.01 / 0.99))


@pytest.mark.parametrize("options", [{"colour": "red"}, {"area": 0}, {"diffusion": 1.0}])
def test_a_cell_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cell: "):
        Cell(options)
