"""CURVE on a socket, and the doorkeeper of a server: only those on its list come in.

CURVE alone lets anybody in who knows the server's public key. Who is asked for besides is ZAP (ZeroMQ RFC 27): for each
handshake libzmq asks a socket of the same context, at a fixed name, whether this key may come in. A door that nobody
keeps is closed (``ZAP_ENFORCE_DOMAIN``): a server whose doorkeeper died lets nobody in.

The list is a folder of public keys, ``NAME.key``. It is read anew for each handshake: a key put in or taken out counts
from the next connection on.
"""

import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zmq
from zmq.utils import z85

from .pairs import PUBLIC, KeyFileError, Pair, read_public

ENDPOINT: Final = "inproc://zeromq.zap.01"  # ZeroMQ RFC 27
DOMAIN: Final = b"labloop"
# Reading the list takes about 30 us a key; a lab has a handful of machines, and a folder of more is not ours.
MOST_KEYS: Final = 1000

Socket = Any  # zmq.Socket[bytes]: generic in the stubs only, and this file's callers own theirs


@dataclass(frozen=True, slots=True)
class Visit:
    """Who knocked, from where; ``name``: whose key it is, "" when it was refused."""

    name: str
    address: str
    public: bytes


class Door:
    """The doorkeeper of one context: a ZAP server whose list is a folder of public keys.

    No thread: whoever polls the server's socket polls ``socket`` too, and calls ``answer`` when it is readable.
    """

    def __init__(self, context: "zmq.Context[Any]", folder: Path) -> None:
        """Raises KeyFileError: the list cannot be read, or is empty."""
        self.folder = folder
        if not [read_public(path) for path in self._files()]:
            raise KeyFileError(f"{folder}: no public key ({PUBLIC}) lies there, so nobody could come in. Put one there")
        self.socket: Socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(ENDPOINT)

    def answer(self) -> list[Visit]:
        """Answer everybody who waits at the door; says who came."""
        visits = []
        while self.socket.poll(0):
            version, request, _domain, address, _identity, mechanism, *credentials = self.socket.recv_multipart()
            public = z85.encode(credentials[0]) if mechanism == b"CURVE" and len(credentials) == 1 else b""
            name = self._name_of(public)
            status = (b"200", b"OK") if name else (b"400", b"this key is not on the list")
            self.socket.send_multipart([version, request, *status, name.encode(), b""])
            visits.append(Visit(name, address.decode("ascii", "replace"), public))
        return visits

    def close(self) -> None:
        """Close the door for good: nobody comes in any more."""
        self.socket.close(0)

    def _name_of(self, public: bytes) -> str:
        """Whose key this is; "" for nobody's, and when the list cannot be read."""
        try:
            return next((path.stem for path in self._files() if _is(path, public)), "")
        except KeyFileError:
            return ""

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            raise KeyFileError(f"{self.folder}: is no folder. Name one that holds the public keys of those let in")
        if sys.platform != "win32" and stat.S_IMODE(self.folder.stat().st_mode) & 0o022:
            raise KeyFileError(
                f"{self.folder}: others may put keys there, and so let themselves in. Close it: chmod 700 {self.folder}"
            )
        files = sorted(self.folder.glob(f"*{PUBLIC}"))
        if len(files) > MOST_KEYS:
            raise KeyFileError(f"{self.folder}: holds {len(files)} keys, and {MOST_KEYS} are the most. Name another")
        return files


def _is(path: Path, public: bytes) -> bool:
    """A file that is no key (put there since) lets nobody in, and keeps nobody out."""
    try:
        return read_public(path) == public
    except KeyFileError:
        return False


def protect_server(socket: Socket, own: Pair) -> None:
    """Take only CURVE, and of those only whom the context's Door lets in. Before bind()."""
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own.public)
    socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def protect_client(socket: Socket, server_public: bytes, own: Pair) -> None:
    """Speak CURVE, and only with the server that holds the secret of this public key. Before connect()."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, server_public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, own.secret)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own.public)
