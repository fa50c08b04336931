"""Where messages come in: ROUTER sockets on free ports, and who is let in to them when they have keys."""

import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import zmq

from labloop.keys import Door, is_local, protect_server, read_pair
from labloop.keys.pairs import PUBLIC

# No message to a simulated instrument is longer than some kB; what is, is cut off with its sender (test_serve_keys).
LARGEST = 1024 * 1024
EVERYWHERE = ("0.0.0.0", "*", "::", "[::]")


class Doorway:
    """The ZMQ ports of one plan: ``host``, ``own_key`` and ``allow`` as labloop.simulation.serve knows them."""

    def __init__(self, plan: Mapping[str, Any], context: "zmq.Context[Any]") -> None:
        """Raises ValueError: open to others without keys, or with half of what keys need."""
        self._context = context
        self._host = str(plan.get("host") or "127.0.0.1")
        self._own = Path(plan["own_key"]) if plan.get("own_key") else None
        allow = Path(plan["allow"]) if plan.get("allow") else None
        if (self._own is None) != (allow is None):
            raise ValueError("keys need both: own_key (ours) and allow (a folder with the public keys of those let in)")
        if self._own is None and not is_local(self._host):
            raise ValueError(
                f"host = {self._host} can be reached from other machines, and ZMQ asks nobody who he is. Give own_key "
                "and allow (`labloop keys` makes keys), or stay on 127.0.0.1"
            )
        if self._own is not None:
            read_pair(self._own)
        self._door = Door(context, allow) if allow is not None else None

    @property
    def sockets(self) -> list[Any]:
        """What is to be polled beside the ports."""
        return [] if self._door is None else [self._door.socket]

    def open(self, port: str) -> tuple[Any, str]:
        """A socket in the place of the written port, and the address that leads to it.

        Keys that the written address names are the real server's; ours are named in their place, or none.
        """
        router = self._context.socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        query = dict(parse_qsl(urlsplit(port).query, keep_blank_values=True))
        query.pop("server_key", "")
        client_key = query.pop("client_key", "")
        if self._own is not None:
            protect_server(router, read_pair(self._own))
            public = self._own.with_suffix(PUBLIC)
            query["server_key"] = str(public if public.exists() else self._own)
            query |= {"client_key": client_key} if client_key else {}
        number = router.bind_to_random_port(f"tcp://{self._host}")
        reached = socket.gethostname() if self._host in EVERYWHERE else self._host
        return router, f"zmq+tcp://{reached}:{number}" + (f"?{urlencode(query, safe='/')}" if query else "")

    def answer(self) -> None:
        """Answer those who knock, and write down who came."""
        for visit in self._door.answer() if self._door is not None else []:
            with suppress(OSError):  # a log on a full disk keeps nobody out, and lets nobody in
                sys.stderr.write(f"{visit.address}: {visit.name or f'refused, key {visit.public.decode()}'}\n")

    def close(self) -> None:
        """Close the door for good."""
        if self._door is not None:
            self._door.close()
