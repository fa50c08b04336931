"""A link over ZMQ: one DEALER socket, whole messages as lists of frames.

DEALER, never REQ: one lost reply leaves a REQ socket unusable. Nothing lingers: with LINGER 0 a closed socket forgets
what it had not sent, and with IMMEDIATE nothing is queued for a peer that is not connected, so a server that comes
back after an hour is not handed commands of an hour ago. Replies are told apart by their ids, in the codec.

libzmq tells nobody why it does not get through: a refused key is a silence. But it tells a monitor, so a link listens
to its own handshakes and says which key was refused instead of waiting for its deadline again and again.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from labloop.campaign.errors import SpecError
from labloop.keys import Context, KeyFileError, Pair, protect_client, read_pair, read_public

from .address import Address
from .errors import LinkError, LinkTimeout, ProtocolError
from .framing import shown
from .link import BaseLink

# A spectrum of 10 000 points is 160 kB; a message beyond this is not an instrument's (test_messages: a giant one).
LARGEST = 64 * 1024 * 1024
# LECO needs five frames and a few of data. libzmq bounds a frame and not their number (test_messages: many frames).
MOST_FRAMES = 64
# A server that is just going down breaks off a handshake too; three in a row are a refusal (test_keyed_link).
BROKEN_OFF = 3
# First and longest wait before another try to connect: soon for a server that restarts, without hammering a dead one.
RECONNECT_MS, RECONNECT_MOST_MS = 100, 1000

HANDSHAKES: Final = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
)


class ZmqLink(BaseLink):
    """A DEALER socket to one ROUTER. Key files are relative to ``folder``, the lab file's own."""

    far = True

    def __init__(self, address: Address, clock: Callable[[], float] = time.monotonic, folder: Path = Path()) -> None:
        self._where = address
        self._folder = folder
        super().__init__(address.port_key, clock)

    def _open(self) -> None:
        keys = keys_of(self._where, self._folder)
        self._keyed = keys is not None
        self._broken_off, self._through = 0, False
        begun: Context | None = None
        try:
            self._context = begun = Context()
            self._socket = self._context.socket(zmq.DEALER)
            self._monitor = self._context.socket(zmq.PAIR)
            for option, value in (
                (zmq.LINGER, 0),
                (zmq.IMMEDIATE, 1),
                (zmq.MAXMSGSIZE, LARGEST),
                (zmq.IPV6, ":" in self._where.host),
                (zmq.RECONNECT_IVL, RECONNECT_MS),
                (zmq.RECONNECT_IVL_MAX, RECONNECT_MOST_MS),
            ):
                self._socket.setsockopt(option, value)
            self._monitor.setsockopt(zmq.RCVHWM, 0)  # else a link beside a dead server stalls libzmq's thread
            if keys is not None:
                protect_client(self._socket, *keys)
            self._socket.monitor("inproc://handshakes", HANDSHAKES)
            self._monitor.connect("inproc://handshakes")
            self._socket.connect(f"{self._where.scheme.removeprefix('zmq+')}://{self._where.place}")
        except zmq.ZMQError as error:
            if begun is not None:
                begun.destroy(linger=0)  # with what sockets it has by now
            raise LinkError(f"{self._where.text}: cannot connect ({error})") from error

    def _send(self, frames: list[bytes], end_s: float) -> None:
        while not self._interrupted.is_set():
            left_s = end_s - self._clock()
            if left_s <= 0:
                nobody = (
                    f"nobody answers there: {shown(frames)} could not be sent, and nothing came back. Is the server "
                    "running, and the port right?"
                )
                raise LinkTimeout(f"{self.address}: {self._why_broken_off() if self._broken_off else nobody}")
            if self._poll(zmq.POLLOUT, min(self.slice_s, left_s)):
                try:
                    with self.fence:
                        self._socket.send_multipart(frames, zmq.NOBLOCK)
                except zmq.Again:
                    continue  # the connection went away between the look and the send
                return
            self._look_at_handshakes()

    def _read(self, wait_s: float) -> list[bytes]:
        if not self._poll(zmq.POLLIN, wait_s):
            return []
        frames = [self._socket.recv(zmq.NOBLOCK)]
        size = len(frames[0])
        while self._socket.getsockopt(zmq.RCVMORE):
            frames.append(self._socket.recv(zmq.NOBLOCK))
            size += len(frames[-1])
            if len(frames) > MOST_FRAMES or size > LARGEST:
                self._renew()  # what is left of it goes with the socket
                raise ProtocolError(
                    f"a message of more than {MOST_FRAMES} frames or {LARGEST} bytes; the connection was begun anew"
                )
        return frames

    def _poll(self, events: int, wait_s: float) -> bool:
        # poll() with 0 looks once; a wait below 1 ms would round down to that and spin.
        return bool(self._socket.poll(0 if wait_s <= 0.0 else max(1, round(wait_s * 1000)), events))

    def _close(self) -> None:
        self._socket.close(linger=0)
        self._monitor.close(linger=0)
        self._context.destroy(linger=0)

    # --- handshakes ---------------------------------------------------------------------------------------------

    def _look_at_handshakes(self) -> None:
        """Raise LinkError when the other side refuses us; such a link is lost until it is opened again.

        A connection that stood and broke is begun anew: after a message that it could not take (a giant one) libzmq
        never connects again by itself.
        """
        why = ""
        while self._monitor.poll(0):
            said = recv_monitor_message(self._monitor)
            event, value = said["event"], said["value"]
            if event == zmq.EVENT_DISCONNECTED:
                if self._through:
                    self._renew()
                continue
            self._through = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            self._broken_off = self._broken_off + 1 if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL else 0
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                why = self._why_not_let_in(value)
            elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                why = self._why_not_understood(value)
            elif self._broken_off >= BROKEN_OFF:
                why = self._why_broken_off()
        if why:
            self._lost = f"{self.address}: {why}"
            self._close()
            raise LinkError(self._lost)

    def _why_not_let_in(self, status: int) -> str:
        own = self._where.options.get("client_key", "")
        return (
            f"the server does not let our key in (client_key={own}; it answered {status}). Put its public half "
            f"({own.removesuffix('_secret')}) into the server's folder of keys"
        )

    def _why_not_understood(self, value: int) -> str:
        if value != zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
            return f"what answers there does not speak ZMQ as we know it ({value:#x}). Is the port right?"
        if self._keyed:
            return "the server knows no keys and takes anybody. Give it keys, or take server_key and client_key out"
        return "the server asks for keys. Add server_key=FILE&client_key=FILE (`labloop keys` makes them)"

    def _why_broken_off(self) -> str:
        if self._keyed:
            named = self._where.options.get("server_key", "")
            return (
                f"the server breaks the handshake off: its key is not the one in server_key={named}, or it knows no "
                "keys. Get its public key from whoever keeps it"
            )
        return (
            "what answers there breaks the handshake off: it asks for keys, or it is no ZMQ server. Add "
            "server_key=FILE&client_key=FILE (`labloop keys` makes them)"
        )


def keys_of(address: Address, folder: Path) -> tuple[bytes, Pair] | None:
    """The server's public key and our own pair, as an address names them. Raises SpecError for other files."""
    written = address.options.get("server_key"), address.options.get("client_key")
    if not written[0] or not written[1]:
        return None
    try:
        return read_public(folder / written[0]), read_pair(folder / written[1])
    except KeyFileError as error:
        raise SpecError(f"port {address.text!r}: {error}") from error
