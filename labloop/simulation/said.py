"""What a served serial line has still to say: byte by byte at the rate of its line, as far as somebody reads it."""

from typing import Any

from .ports import PtyPort, TcpPort

# A port whose host does not read loses what comes when its buffer is full, as a UART does. The buffer of a pty holds so
# much; in a world that runs faster, as much more is kept, until nobody has read for so long (real time, and longer than
# a host on a busy machine is ever away): who opens the port then is not told what was said to nobody.
BUFFER = 4096
UNREAD_S = 10.0
FULL_AGAIN_S = 0.001


class SerialSide:
    """One serial line on its port, with what it has still to say: (wall time, byte) in order."""

    def __init__(self, line: Any, port: PtyPort | TcpPort, speed: float) -> None:
        self.line, self.port = line, port
        self._byte_s = port.settings.seconds_per_byte() / speed
        self._kept = max(0, int(BUFFER * (speed - 1.0)))
        self._full_until_s = self._read_s = 0.0
        self._waiting: list[tuple[float, bytes]] = []
        self._free_s = 0.0

    def hear(self, data: bytes, now_s: float, wall_s: float) -> None:
        answer = self.line.receive(data, now_s)
        at_s = max(self._free_s, wall_s + len(data) * self._byte_s)
        for n in range(len(answer)):
            at_s += self._byte_s
            self._waiting.append((at_s, answer[n : n + 1]))
            self._free_s = at_s

    def speak(self, wall_s: float) -> None:
        ripe = 0
        while ripe < len(self._waiting) and self._waiting[ripe][0] <= wall_s:
            ripe += 1
        if ripe:
            taken = self.port.write(b"".join(byte for _, byte in self._waiting[:ripe]))
            self._read_s = wall_s if taken else self._read_s
            kept = self._kept if wall_s - self._read_s <= UNREAD_S else 0
            del self._waiting[min(taken + kept, ripe) : ripe]
            del self._waiting[:taken]
            self._full_until_s = wall_s + FULL_AGAIN_S if taken < ripe else 0.0

    def next_s(self) -> float | None:
        return max(self._waiting[0][0], self._full_until_s) if self._waiting else None

    def replug(self, now_s: float) -> None:
        if now_s < self.line.unplugged_until_s:
            self._waiting.clear()
            self.port.unplug()
        else:
            self.port.replug()
