"""MethodSCRIPT as an instrument runs it: what a script is made of, its numbers and its data packages.

From the MethodSCRIPT manual (v1.8). A script is one command a line; ``#`` begins a comment; what stands after
``on_finished:`` is done at the end, also after an abort. Numbers are whole with an SI prefix, ``-500m``; a trailing
``i`` is a whole number. A variable in place of a number means its value.

    package      P<variable>;<variable>...        variable: two letters, seven hex digits (value + 2^27), a prefix,
                 and after commas what else is known of it: 1x status, 2xx current range
    loops        M<xxxx> ... *  a measurement loop     C<xxxx> ... -  one scan of several

Our reading: the codes of errors, and that a loop without a step or of more than a million points is one.

Run lazily: ``run`` yields what is said and how long the next thing takes; a point is worked out when its time comes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

PREFIXES = {
    "a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, " ": 1.0, "k": 1e3, "M": 1e6, "G": 1e9,
}  # fmt: skip
LITERAL = re.compile(r"([-+]?\d+(?:\.\d+)?)([afpnumkMGi]?)")
OFFSET = 1 << 27
OK, OVERLOAD = 0x0, 0x2
# What a script may say, and how many arguments it takes (None: as many as it likes).
COMMANDS: Mapping[str, int | None] = {
    "var": 1, "store_var": 3, "copy_var": 2, "set_pgstat_chan": 1, "set_pgstat_mode": 1, "set_max_bandwidth": 1,
    "set_range": 2, "set_range_minmax": 3, "set_autoranging": 3, "set_e": 1, "cell_on": 0, "cell_off": 0, "wait": 1,
    "timer_start": 0, "timer_get": 1, "send_string": None, "meas_loop_ca": 5, "meas_loop_lsv": 6, "meas_loop_cv": None,
    "meas_loop_ocp": 3, "endloop": 0, "pck_start": None, "pck_add": 1, "pck_end": 0,
}  # fmt: skip
SCANS = re.compile(r"nscans\((\d{1,5})i?\)")
LEAST_OF_CV = 7
MOST_POINTS = 1_000_000
UNKNOWN, SENSELESS = "4001", "4002"


class ScriptError(Exception):
    """A script that is not run: code, line and column. One that fails as it runs: code and line."""

    def __init__(self, code: str, line: int, column: int | None = None) -> None:
        super().__init__(f"{code}: Line {line}" + (f", Col {column}" if column is not None else ""))


class Electrode(Protocol):
    """What a script is run on."""

    def apply(self, volts: float, seconds: float) -> float: ...
    def switch(self, on: bool, volts: float) -> None: ...
    @property
    def open_circuit_v(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    word: str
    arguments: tuple[str, ...]


@dataclass(slots=True)
class Value:
    """A variable: its type, number, and what a package tells beside it."""

    kind: str = "aa"
    number: float = 0.0
    more: str = ""


@dataclass(slots=True)
class Memory:
    variables: dict[str, Value] = field(default_factory=dict)
    package: list[str] = field(default_factory=list)
    volts: float = 0.0
    most_a: float = 1e-4
    mode: int = 2
    timer_s: float = 0.0
    now_s: float = 0.0


def read_script(lines: Sequence[str]) -> tuple[list[Line], list[Line]]:
    """The commands, and those after ``on_finished:``. Raises ScriptError at what nobody knows."""
    main: list[Line] = []
    last: list[Line] = []
    found, depth = main, 0
    declared: set[str] = set()
    for number, text in enumerate(lines, start=1):
        plain = text.partition("#")[0].rstrip()
        words = plain.split()
        if not words:
            continue
        if words == ["on_finished:"]:
            found = last
            continue
        word, arguments = words[0], tuple(words[1:])
        count = COMMANDS.get(word, -1)
        column = plain.index(word) + 1
        if word not in COMMANDS or (count is not None and len(arguments) != count):
            raise ScriptError(UNKNOWN, number, column)
        if word == "var":
            declared.add(arguments[0])
        wrong = [one for one in arguments if word in ("pck_add", "copy_var", "timer_get") and one not in declared]
        if word == "meas_loop_cv":
            wrong += [one for one in arguments[LEAST_OF_CV:] if not SCANS.fullmatch(one)]
            wrong += [word] if len(arguments) < LEAST_OF_CV else []
        depth += word.startswith("meas_loop_") - (word == "endloop")
        if wrong or depth < 0:
            raise ScriptError(UNKNOWN, number, column)
        found.append(Line(number, word, arguments))
    if depth:
        raise ScriptError(UNKNOWN, len(lines), 1)
    return main, last


def number_of(text: str, memory: Memory) -> float:
    if text in memory.variables:
        return memory.variables[text].number
    match = LITERAL.fullmatch(text)
    if match is None:
        return 0.0
    return float(match[1]) * (1.0 if match[2] in ("", "i") else PREFIXES[match[2]])


def variable(value: Value) -> str:
    """One variable of a package, with the finest prefix whose digits suffice."""
    if value.number == 0.0:
        return f"{value.kind}{OFFSET:07X} {value.more}"
    for prefix, factor in PREFIXES.items():
        digits = round(value.number / factor)
        if abs(digits) < OFFSET:
            return f"{value.kind}{digits + OFFSET:07X}{prefix}{value.more}"
    return f"{value.kind}     nan {value.more}"


Step = tuple[float, str]  # so long it takes, and what is said then


def run(lines: Sequence[Line], memory: Memory, electrode: Electrode) -> Iterator[Step]:
    """Every step of a script, in order; ends when it does. Raises ScriptError when it fails."""
    place = 0
    while place < len(lines):
        line = lines[place]
        if line.word.startswith("meas_loop_"):
            end = _end_of_loop(lines, place)
            yield from _loop(line, lines[place + 1 : end], memory, electrode)
            place = end + 1
            continue
        yield from _do(line, memory, electrode)
        place += 1


def _end_of_loop(lines: Sequence[Line], place: int) -> int:
    depth = 0
    for n in range(place, len(lines)):
        depth += lines[n].word.startswith("meas_loop_") - (lines[n].word == "endloop")
        if depth == 0:
            return n
    return len(lines)


def _do(line: Line, memory: Memory, electrode: Electrode) -> Iterator[Step]:
    args = line.arguments
    match line.word:
        case "var":
            memory.variables[args[0]] = Value()
        case "store_var":
            memory.variables[args[0]] = Value(args[2], number_of(args[1], memory))
        case "copy_var":
            kept = memory.variables[args[0]]
            memory.variables[args[1]] = Value(kept.kind, kept.number, kept.more)
        case "set_pgstat_mode":
            memory.mode = int(number_of(args[0], memory))
        case "set_range" | "set_autoranging" if args[0] == "ba":
            memory.most_a = number_of(args[-1], memory)
        case "set_e":
            memory.volts = number_of(args[0], memory)
        case "cell_on" | "cell_off":
            electrode.switch(line.word == "cell_on", memory.volts)
        case "wait":
            memory.now_s += (seconds := number_of(args[0], memory))
            yield seconds, ""
        case "timer_start":
            memory.timer_s = memory.now_s
        case "timer_get":
            memory.variables[args[0]] = Value("eb", memory.now_s - memory.timer_s)
        case "send_string":
            yield 0.0, "T" + " ".join(args).strip('"') + "\n"
        case "pck_start":
            memory.package = []
        case "pck_add":
            memory.package.append(variable(memory.variables[args[0]]))
        case "pck_end":
            yield 0.0, "P" + ";".join(memory.package) + "\n"


def _loop(line: Line, body: Sequence[Line], memory: Memory, electrode: Electrode) -> Iterator[Step]:
    kind, args = line.word.removeprefix("meas_loop_"), line.arguments
    # 0 is in the maker's examples; the other technique numbers are our reading of the manual's list.
    yield 0.0, f"M{ {'lsv': 0, 'cv': 5, 'ca': 7}.get(kind, 0x0C):04X}\n"
    potentials, seconds, scans = _staircase(line, memory)
    for scan in range(scans):
        if scans > 1:
            yield 0.0, f"C{scan:04X}\n"
        for volts in potentials[scan > 0 :]:
            memory.now_s += seconds
            yield seconds, ""
            if kind == "ocp":
                memory.variables[args[0]] = Value("ab", electrode.open_circuit_v)
                yield from run(body, memory, electrode)
                continue
            memory.volts = volts
            amps, status = electrode.apply(volts, seconds), OK
            if abs(amps) > memory.most_a:
                amps, status = (memory.most_a if amps > 0 else -memory.most_a), OVERLOAD
            memory.variables[args[0]] = Value("da", volts)
            memory.variables[args[1]] = Value("ba", amps, f",1{status:X},2{_range(memory):02X}")
            yield from run(body, memory, electrode)
        if scans > 1:
            yield 0.0, "-\n"
    yield 0.0, "*\n"


def _staircase(line: Line, memory: Memory) -> tuple[list[float], float, int]:
    """The potentials in order, how long each lasts, and how often. Raises ScriptError for what makes no sense."""
    numbers = [number_of(one, memory) for one in line.arguments if not SCANS.fullmatch(one)]
    scans = next((int(often[1]) for one in line.arguments if (often := SCANS.fullmatch(one))), 1)
    if not line.word.endswith(("cv", "lsv")):
        volts, interval_s, time_s = numbers[-3:]
        if interval_s <= 0 or time_s / interval_s > MOST_POINTS:
            raise ScriptError(SENSELESS, line.number)
        return [volts] * max(1, round(time_s / interval_s)), interval_s, 1
    *corners, step, rate = numbers[2:]
    if line.word.endswith("cv"):
        corners.append(corners[0])
    way = sum(abs(end - begin) for begin, end in pairwise(corners))
    if step <= 0 or rate <= 0 or way / step * scans > MOST_POINTS:
        raise ScriptError(SENSELESS, line.number)
    found = [corners[0]]
    for begin, end in pairwise(corners):
        count = max(1, round(abs(end - begin) / step)) if end != begin else 0
        found += [begin + (end - begin) * n / count for n in range(1, count + 1)]
    return found, step / rate, scans


def longest_s(lines: Sequence[Line]) -> float:
    """How long a script's loops last, as far as can be told before it runs."""
    memory, longest = Memory(), 0.0
    for line in lines:
        if line.word == "store_var":
            memory.variables[line.arguments[0]] = Value(number=number_of(line.arguments[1], memory))
        elif line.word.startswith("meas_loop_"):
            with suppress(ScriptError):
                potentials, seconds, scans = _staircase(line, memory)
                longest += len(potentials) * seconds * scans
    return longest


_RANGES = (1e-7, 2e-6, 4e-6, 8e-6, 16e-6, 32e-6, 63e-6, 125e-6, 250e-6, 500e-6, 1e-3, 5e-3)


def _range(memory: Memory) -> int:
    """The number of the current range in use: the smallest that holds what was asked for."""
    place = next((n for n, most in enumerate(_RANGES) if memory.most_a <= most * 1.2), len(_RANGES) - 1)
    return place + (128 if memory.mode == 3 else 0)
