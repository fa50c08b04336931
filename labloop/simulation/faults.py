"""What goes wrong on a line, on purpose and by a seed.

A specification is ``kind=probability`` pairs and a seed: ``drop=0.01,flip=0.005,late=0.01,seed=3``. Each kind is drawn
once for every whole answer (or message), each from a stream of its own, so adding one kind does not move another:

    drop         one byte of an answer is missing (a message: all of it is lost)
    flip         one bit of an answer is wrong (a message: of its content)
    late         an answer comes LATE_S after it was due
    double       an answer comes twice
    unsolicited  a line of noise comes before an answer (a message: one with a conversation that nobody began)
    silence      the device is stuck: nothing is heard and nothing said for SILENCE_S
    unplug       the cable is out for UNPLUG_S: what is sent in that time is lost, and the port goes away where it can
    stall        what moves is blocked (devices with stall())
    power_cycle  the mains goes and comes (devices with power_cycle())

The last four change what devices do; the first five only what is heard of it. Times are wall times: they are compared
with the host's deadlines.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

KINDS = ("drop", "flip", "late", "double", "unsolicited", "silence", "unplug", "stall", "power_cycle")
LATE_S = 1.0
SILENCE_S = 5.0
UNPLUG_S = 2.0
NOISE = b"\x0200S?\x03\r\n"


def parse_faults(specification: str | Mapping[str, float] | None) -> dict[str, float]:
    """``{kind: probability}``, with ``seed`` where one is named. Raises ValueError with the kinds that are known."""
    if not specification:
        return {}
    if isinstance(specification, Mapping):
        pairs = [(str(kind), str(value)) for kind, value in specification.items()]
    else:
        pairs = [(kind.strip(), value) for kind, _, value in (part.partition("=") for part in specification.split(","))]
    found: dict[str, float] = {}
    for kind, written in pairs:
        if kind not in (*KINDS, "seed"):
            raise ValueError(f"faults: {kind!r} is unknown; known are {', '.join(KINDS)} and seed")
        try:
            value = float(written)
        except ValueError:
            raise ValueError(f"faults: {kind}={written!r} is not a number") from None
        if kind == "seed" and not (value >= 0 and value.is_integer()):
            raise ValueError(f"faults: seed={written} must be a whole number, 0 or above")
        if kind != "seed" and not 0.0 <= value <= 1.0:
            raise ValueError(f"faults: {kind}={written} is a probability and must lie between 0 and 1")
        found[kind] = value
    return found


class Faults:
    """The dice: one stream for each kind. ``happened`` counts what was drawn."""

    def __init__(self, probabilities: Mapping[str, float], seed: int = 0) -> None:
        self.probabilities = {kind: p for kind, p in probabilities.items() if kind != "seed" and p > 0}
        seed = int(probabilities.get("seed", seed))
        self._streams = {kind: np.random.default_rng([abs(seed), n]) for n, kind in enumerate(KINDS)}
        self.happened: dict[str, int] = dict.fromkeys(KINDS, 0)

    def draw(self, kind: str) -> bool:
        p = self.probabilities.get(kind)
        if p is None or self._streams[kind].random() >= p:
            return False
        self.happened[kind] += 1
        return True

    def pick(self, kind: str, among: int) -> int:
        return int(self._streams[kind].integers(among))

    def state(self) -> dict[str, Any]:
        """Where the dice stand, as plain JSON values: a bench that is taken up again does not throw the same again."""
        return {
            "streams": {kind: dict(stream.bit_generator.state) for kind, stream in self._streams.items()},
            "happened": dict(self.happened),
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        for kind, stream in kept["streams"].items():
            self._streams[kind].bit_generator.state = stream
        self.happened = dict(kept["happened"])


class FaultyLine:
    """A line with faults between the devices and the host. Without any it hands everything through.

    ``unplugged_until_s``: a server of real ports takes the port away until then.
    """

    def __init__(self, line: Any, faults: Faults, speed: float) -> None:
        self.line, self.faults, self._speed = line, faults, speed
        self.kind: str = line.kind
        self.devices: dict[str, Any] = line.devices
        self.unplugged_until_s = self._silent_until_s = float("-inf")
        self._later: list[tuple[float, Any]] = []

    def due(self, now_s: float) -> float | None:
        times = [self.line.due(now_s), *(at_s for at_s, _ in self._later)]
        return min((at_s for at_s in times if at_s is not None), default=None)

    def state(self) -> dict[str, Any]:
        """Until when it is silent and unplugged (None: it is not), as plain JSON values."""
        return {"unplugged_until_s": _finite(self.unplugged_until_s), "silent_until_s": _finite(self._silent_until_s)}

    def restore(self, kept: Mapping[str, Any]) -> None:
        self.unplugged_until_s = _moment(kept["unplugged_until_s"])
        self._silent_until_s = _moment(kept["silent_until_s"])

    def _replugged(self, now_s: float) -> bool:
        """Whether the cable is in again, and nobody has listened yet: what was said meanwhile has reached nobody."""
        if not float("-inf") < self.unplugged_until_s <= now_s:
            return False
        self.unplugged_until_s = float("-inf")
        return True

    def _ripe(self, now_s: float) -> list[Any]:
        ripe = [what for at_s, what in self._later if at_s <= now_s]
        self._later = [(at_s, what) for at_s, what in self._later if at_s > now_s]
        return ripe

    def _trouble(self, asked: bool, now_s: float) -> None:
        if not asked or not self.faults.probabilities:
            return
        if self.faults.draw("silence"):
            self._silent_until_s = now_s + SILENCE_S * self._speed
        if self.faults.draw("unplug"):
            self.unplugged_until_s = now_s + UNPLUG_S * self._speed
        for kind in ("stall", "power_cycle"):
            able = [device for device in self.devices.values() if hasattr(device, kind)]
            if able and self.faults.draw(kind):
                getattr(able[self.faults.pick(kind, len(able))], kind)(now_s)


class FaultySerialLine(FaultyLine):
    """Bytes in, bytes out."""

    def receive(self, data: bytes, now_s: float) -> bytes:
        if self._replugged(now_s):
            self.line.receive(b"", now_s)
        self._trouble(bool(data), now_s)
        if now_s < self.unplugged_until_s or (data and now_s < self._silent_until_s):
            self.line.receive(b"", now_s)
            return b""
        answer: bytes = self.line.receive(data, now_s)
        out = b"".join(self._ripe(now_s))
        if not answer or not self.faults.probabilities:
            return out + answer
        if self.faults.draw("drop"):
            place = self.faults.pick("drop", len(answer))
            answer = answer[:place] + answer[place + 1 :]
        if answer and self.faults.draw("flip"):
            place = self.faults.pick("flip", 8 * len(answer))
            answer = _flipped(answer, place)
        if self.faults.draw("double"):
            answer += answer
        if self.faults.draw("unsolicited"):
            answer = NOISE + answer
        if self.faults.draw("late"):
            self._later.append((now_s + LATE_S * self._speed, answer))
            return out
        return out + answer


class FaultyMessageLine(FaultyLine):
    """Messages in, messages out."""

    def receive(self, peer: bytes, frames: list[bytes], now_s: float) -> list[tuple[bytes, list[bytes]]]:
        if self._replugged(now_s):
            self.line.receive(b"", [], now_s)
        self._trouble(bool(frames), now_s)
        if now_s < self.unplugged_until_s or (frames and now_s < self._silent_until_s):
            self.line.receive(b"", [], now_s)
            return []
        out: list[tuple[bytes, list[bytes]]] = list(self._ripe(now_s))
        for message in self.line.receive(peer, frames, now_s):
            out.extend(self._spoilt(message, now_s))
        return out

    def _spoilt(self, message: tuple[bytes, list[bytes]], now_s: float) -> list[tuple[bytes, list[bytes]]]:
        if not self.faults.probabilities:
            return [message]
        if self.faults.draw("drop"):
            return []
        peer, frames = message
        if self.faults.draw("flip") and len(frames) > 4 and frames[-1]:
            frames = [*frames[:-1], _flipped(frames[-1], self.faults.pick("flip", 8 * len(frames[-1])))]
        out = [(peer, frames)]
        if self.faults.draw("double"):
            out.append((peer, frames))
        if self.faults.draw("unsolicited"):
            out.insert(0, (peer, [*frames[:3], bytes(19) + b"\x01", b'{"jsonrpc":"2.0","id":0,"result":null}']))
        if self.faults.draw("late"):
            self._later.extend((now_s + LATE_S * self._speed, each) for each in out)
            return []
        return out


def _finite(at_s: float) -> float | None:
    return at_s if math.isfinite(at_s) else None


def _moment(at_s: float | None) -> float:
    return float("-inf") if at_s is None else at_s


def _flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]
