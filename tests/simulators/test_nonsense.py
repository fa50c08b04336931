"""Near misses of everything that a driver says, to every simulated instrument: it answers or not, and stays whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from labloop.bench import BenchError
from labloop.campaign.spec import read_lab
from labloop.runner.proving import Stand, examples

BENCH = read_lab(Path(__file__).parents[2] / "campaigns" / "bench.yaml")
NAMES = {instrument.driver: name for name, instrument in reversed(BENCH.instruments.items())}
PIECES = (
    b"-", b"-0", b".", b",", b";", b"?", b"\r", b"\n", b"\x00", b"\xff", b" " * 50, b"9" * 300, b"1" * 5000, b"1e308",
    b"1E999", b"nan", b"inf", b"0x10", b"1_0", "\u0663".encode(), b"\xb2",
)  # fmt: skip
PAUSES_S = (0.0, 0.0, 0.0, 0.001, 0.05, 0.3, 1.0, 10.0, 5000.0)
# The longest message that is said to any of them has some hundred bytes; no answer to nonsense is a flood.
LONGEST = 1_000_000


def said_to(name: str) -> list[Any]:
    """What the driver says when it opens, sets up, reads, and begins and stops each of its actions."""
    stand = Stand(BENCH, name).ready()
    stand.driver.read()
    for action in stand.declaration.actions.values():
        example = next(examples(stand.declaration, action))
        try:
            stand.driver.begin(action.name, dict(example.values), "nonsense-1")
            stand.wait(1.0)
            stand.driver.progress(1.0)
        except BenchError:
            pass  # what it refuses it was asked for all the same
        stand.driver.stop()
    return [one.data for one in stand.port.traffic if one.kind == "sent"]


def spoilt(message: bytes, known: list[bytes], dice: Random) -> bytes:
    """A message with up to three mistakes in it."""
    for _ in range(dice.randrange(4)):
        place, other = dice.randrange(len(message) + 1), dice.choice(known)
        message = dice.choice((
            message[:place] + bytes([dice.randrange(256)]) + message[place + 1 :],
            message[:place] + message[place + 1 :],
            message[:place] + dice.choice(PIECES) + message[place:],
            message[:place] + dice.randbytes(dice.randrange(1, 6)) + message[place:],
            message[:place] + other[dice.randrange(len(other) + 1) :],
            message[:place],
            message + message,
        ))  # fmt: skip
    return message


def nonsense(name: str, count: int) -> Iterator[Any]:
    dice, known = Random(name), said_to(name)
    flat = [one if isinstance(one, bytes) else one[-1] for one in known]
    for _ in range(count):
        one = dice.choice(known)
        if isinstance(one, bytes):
            yield spoilt(one, flat, dice) if dice.random() < 0.85 else dice.randbytes(dice.randrange(1, 40))
            continue
        frames = list(one)
        place = dice.choice((*range(len(frames)), len(frames) - 1, len(frames) - 1))
        frames[place] = spoilt(frames[place], flat, dice)
        yield frames


def survived(name: str, count: int) -> None:
    stand, dice, now_s = Stand(BENCH, name), Random(count), 0.0
    for number, message in enumerate(nonsense(name, count)):
        now_s += dice.choice(PAUSES_S)
        stand.clock.advance_to(now_s)
        if stand.serial:
            assert len(stand.line.receive(message, now_s)) < LONGEST
        else:
            answers = stand.line.receive(b"peer", message, now_s)
            assert sum(len(frame) for _, frames in answers for frame in frames) < LONGEST
        stand.bench.settle(now_s)
        if number % 50 == 0:
            json.dumps(stand.bench.state(), allow_nan=False)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hundred_near_misses(name: str) -> None:
    survived(name, 100)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_two_thousand_near_misses(name: str) -> None:
    survived(name, 2000)
