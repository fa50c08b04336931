"""What a simulated device is: sans-IO, from the manual, on a clock that is handed in.

A device takes bytes and a time and gives bytes. It never sleeps and opens nothing, so the same device stands behind a
pty, a TCP or RFC 2217 port, a ZMQ socket, or in process on a virtual clock. Devices of one bench share a World: the
sample's hidden truth and the ledger of physical acts.
"""

from collections.abc import Mapping
from typing import Any, Protocol


class SerialDevice(Protocol):
    """One device on a serial line; on a shared line every device hears every byte and answers when addressed.

    ``receive``: bytes that arrived (``b""``: only time has passed) -> bytes it sends now; called with rising
    ``now_s``. ``due``: when it will have something to say or do of its own accord (None: not until spoken to).
    ``state``/``restore``: plain JSON values, everything that outlives its process (volumes, temperatures, counters).
    ``over_tcp()``, where a device has it, tells that it stands behind a TCP port: the network port of its own.
    """

    def receive(self, data: bytes, now_s: float) -> bytes: ...
    def due(self, now_s: float) -> float | None: ...
    def state(self) -> Mapping[str, Any]: ...
    def restore(self, state: Mapping[str, Any], now_s: float) -> None: ...


class MessageDevice(Protocol):
    """One device behind a ROUTER socket: (peer identity, frames) in, messages out."""

    def receive(self, peer: bytes, frames: list[bytes], now_s: float) -> list[tuple[bytes, list[bytes]]]: ...
    def due(self, now_s: float) -> float | None: ...
    def state(self) -> Mapping[str, Any]: ...
    def restore(self, state: Mapping[str, Any], now_s: float) -> None: ...
