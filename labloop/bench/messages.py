"""A link over ZMQ: one DEALER socket, whole messages as lists of frames.

DEALER, never REQ: one lost reply leaves a REQ socket unusable. Nothing lingers: with LINGER 0 a closed socket forgets
what it had not sent, and with IMMEDIATE nothing is queued for a peer that is not connected, so a server that comes
back after an hour is not handed commands of an hour ago. Replies are told apart by their ids, in the codec.
"""

import time
from collections.abc import Callable

import zmq

from .address import Address
from .errors import LinkError, LinkTimeout
from .link import BaseLink

# A spectrum of 10 000 points is 160 kB; a message beyond this is not an instrument's (test_messages: a giant one).
LARGEST = 64 * 1024 * 1024


class ZmqLink(BaseLink):
    """A DEALER socket to one ROUTER."""

    def __init__(self, address: Address, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = address
        super().__init__(address.port_key, clock)

    def _open(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        try:
            self._socket.connect(f"{self._where.scheme.removeprefix('zmq+')}://{self._where.place}")
        except zmq.ZMQError as error:
            self._close()
            raise LinkError(f"{self._where.text}: cannot connect ({error})") from error

    def _send(self, frames: list[bytes], end_s: float) -> None:
        while not self._interrupted.is_set():
            left_s = end_s - self._clock()
            if left_s <= 0:
                raise LinkTimeout(f"{self.address}: nobody answers there. Is the server running, and the port right?")
            if self._poll(zmq.POLLOUT, min(self.slice_s, left_s)):
                try:
                    self._socket.send_multipart(frames, zmq.NOBLOCK)
                except zmq.Again:
                    continue  # the connection went away between the look and the send
                return

    def _read(self, wait_s: float) -> list[bytes]:
        if not self._poll(zmq.POLLIN, wait_s):
            return []
        return self._socket.recv_multipart(zmq.NOBLOCK)

    def _poll(self, events: int, wait_s: float) -> bool:
        # poll() with 0 looks once; a wait below 1 ms would round down to that and spin.
        return bool(self._socket.poll(0 if wait_s <= 0.0 else max(1, round(wait_s * 1000)), events))

    def _close(self) -> None:
        self._socket.close(linger=0)
        self._context.destroy(linger=0)
