"""Lines that say hostile things, without end: every driver refuses them in bounded time and memory."""

import contextlib
import tracemalloc
from random import Random

import pytest

from labloop.bench import BenchError
from tests.drivers.rigs import Rig
from tests.drivers.stand import shipped

CHUNK = 16_384
BYTES_PER_S = 50_000.0  # faster than any serial line; more only burns the processor, which the deadline bounds
MEMORY = 30_000_000


def random_bytes():
    chance = Random(5)
    while True:
        yield chance.randbytes(CHUNK)


def always(data: bytes):
    while True:
        yield data


SAYS = {
    "an endless line": lambda: always(b"A" * CHUNK),
    "endless digits": lambda: always(b"9" * CHUNK),
    "NULs": lambda: always(bytes(CHUNK)),
    "empty lines": lambda: always(b"\r\n" * (CHUNK // 2)),
    "beginnings of frames": lambda: always(b"\x02" * CHUNK),
    "ends of frames": lambda: always(b"\x03" * CHUNK),
    "numbers without end": lambda: always(b"1e999\r\n" * (CHUNK // 7)),
    "escape codes": lambda: always(b"\x1b[2J\x9b31m\r\n" * (CHUNK // 12)),
    "noise": random_bytes,
}
SOON = ("an endless line", "noise")


class HostileLine:
    """Whatever it hears, it says one thing without end, as fast as a socket may."""

    def __init__(self, clock, kind, says):
        self._clock, self.kind, self._says = clock, kind, says
        self.unplugged_until_s = float("-inf")
        self.said = 0

    def due(self, now_s):
        return now_s + CHUNK / BYTES_PER_S

    def receive(self, *heard_and_now):
        self._clock.advance_to(self._clock.now_s() + CHUNK / BYTES_PER_S)
        data = next(self._says)
        self.said += len(data)
        if self.kind == "serial":
            return data
        peer = heard_and_now[0]
        header = b"\xff" * 20
        return [(peer, [b"\x00", b"x", b"y", header, data]), (peer, [data] * 8), (peer, [])]


@pytest.mark.parametrize(
    "says", [pytest.param(says, id=name, marks=() if name in SOON else pytest.mark.slow) for name, says in SAYS.items()]
)
@pytest.mark.parametrize("driver", shipped(), ids=lambda driver: driver.__name__)
def test_a_hostile_line_is_refused_in_bounded_memory(driver, says):
    rig = Rig(driver).ready()
    line = HostileLine(rig.clock, rig.port.link._line.kind, says())
    tracemalloc.start()
    try:
        rig.port.link._line = line
        for call in (rig.driver.open, rig.driver.read, rig.driver.counters, rig.driver.stop, rig.driver.configure):
            began_s = rig.clock.now_s()
            with contextlib.suppress(BenchError):  # and nothing else: no defect, no number out of noise that breaks it
                call()
            assert rig.clock.now_s() - began_s < 120.0, "an exchange has one deadline"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert line.said > CHUNK
    assert peak < MEMORY, f"{peak / 1e6:.0f} MB"
