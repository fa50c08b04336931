"""A node of LECO on a ZMQ port: on this machine for everybody, beyond it only with keys."""

import time
from pathlib import Path
from typing import Any, Final

import zmq

from labloop.campaign.errors import SpecError
from labloop.keys import Context, Door, KeyFileError, is_local, protect_server, read_pair

from .leco_node import Message, Node

# A request of LECO is some hundred bytes; libzmq cuts off whoever sends more in one frame.
LARGEST: Final = 1024 * 1024
MOST_FRAMES: Final = 16
# Messages heard in one turn, so that a peer that never stops talking does not keep the acts from being looked after.
MOST_IN_A_TURN: Final = 100


class NodeServer:
    """A node's ROUTER socket. ``address``: where it is reached. One thread: whoever calls ``turn``."""

    def __init__(
        self, node: Node, *, host: str = "127.0.0.1", port: int = 0, own_key: Path | None = None,
        allow: Path | None = None,
    ) -> None:  # fmt: skip
        """Raises SpecError: beyond this machine without keys, keys that are none, a port that is taken."""
        if (own_key is None) != (allow is None):
            raise SpecError("keys need both: own_key (ours) and allow (a folder with the public keys of those let in)")
        if own_key is None and not is_local(host):
            raise SpecError(
                f"host = {host} can be reached from other machines, and ZMQ asks nobody who he is. Give own_key and "
                "allow (`labloop keys` makes keys), or stay on 127.0.0.1"
            )
        self._node = node
        self._context = Context()
        self._door: Door | None = None
        self._socket = self._context.socket(zmq.ROUTER)
        for option, value in ((zmq.LINGER, 0), (zmq.MAXMSGSIZE, LARGEST), (zmq.IPV6, ":" in host)):
            self._socket.setsockopt(option, value)
        try:
            if own_key is not None and allow is not None:
                self._door = Door(self._context, allow)
                protect_server(self._socket, read_pair(own_key))
            place = f"[{host.strip('[]')}]" if ":" in host else host
            self._socket.bind(f"tcp://{place}:{port or '*'}")
        except (KeyFileError, zmq.ZMQError) as error:
            self.close()
            raise SpecError(str(error) if isinstance(error, KeyFileError) else f"{host}:{port}: {error}") from error
        endpoint = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        self.address = f"zmq+{endpoint.rstrip(bytes(1)).decode()}" if isinstance(endpoint, bytes) else ""

    def turn(self, wait_s: float) -> list[str]:
        """Hear what is said within ``wait_s`` and answer it; who was refused at the door, in words."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        if self._door is not None:
            poller.register(self._door.socket, zmq.POLLIN)
        poller.poll(max(0, int(wait_s * 1000)))
        visits = self._door.answer() if self._door is not None else []
        for _ in range(MOST_IN_A_TURN):
            if not self._socket.poll(0):
                break
            peer, key, frames = self._heard()
            self._answer(self._node.receive(peer, key, frames, time.monotonic()))
        self._answer(self._node.answers())
        return [f"{one.address}: refused, key {one.public.decode()}" for one in visits if not one.name]

    def close(self) -> None:
        """Let go of the port; harmless twice."""
        if self._door is not None:
            self._door.close()
        self._context.destroy(linger=0)

    def _heard(self) -> tuple[bytes, str, list[bytes]]:
        """A message: whose, whose key, its frames; what is too long is as good as nothing."""
        first: Any = self._socket.recv(copy=False)
        frames: list[bytes] = []
        key, more = "", bool(self._socket.getsockopt(zmq.RCVMORE))
        while more:
            frame: Any = self._socket.recv(copy=False)
            if not frames and self._door is not None:
                key = str(frame.get("User-Id"))
            if len(frames) <= MOST_FRAMES:
                frames.append(frame.bytes)
            more = bool(self._socket.getsockopt(zmq.RCVMORE))
        return first.bytes, key, frames if len(frames) <= MOST_FRAMES else []

    def _answer(self, messages: list[Message]) -> None:
        for peer, frames in messages:
            self._socket.send_multipart([peer, *frames])  # to whoever is gone, a ROUTER says it to nobody
