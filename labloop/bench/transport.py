"""Links over streams of bytes: a serial port, a serial port behind RFC 2217, raw TCP; and open_link() for them all.

Deadlines are real seconds, at any ``--speed``: a simulator that runs sixty times faster still answers in real
milliseconds.
"""

import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

import serial

try:
    from termios import error as termios_error
except ImportError:  # Windows has no termios, and pyserial raises nothing of it there
    TERMINAL_ERRORS: tuple[type[Exception], ...] = ()
else:
    TERMINAL_ERRORS = (termios_error,)

from labloop.campaign.errors import SpecError

from .address import Address, parse_address
from .errors import LinkError
from .link import SLICE_S, BaseLink, Link
from .messages import ZmqLink

# A line that takes no byte for this long is blocked by its own flow control or by a dead adapter; without it a write
# to such a line waits for ever (test_transport: a blocked line).
WRITE_S = 1.0
CONNECT_S = 5.0


class SerialLink(BaseLink):
    """A serial port, always opened exclusively, local or behind RFC 2217."""

    def __init__(self, address: Address, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = address
        self.far = address.scheme == "rfc2217"
        super().__init__(address.port_key, clock)

    def _open(self) -> None:
        self._serial = _open_serial(self._where)
        # A write returns when the bytes are handed over, not when they are on the wire.
        parity = self._serial.parity != serial.PARITY_NONE
        bits = 1.0 + self._serial.bytesize + parity + self._serial.stopbits
        self.byte_s = bits / self._serial.baudrate

    def _send(self, frames: list[bytes], end_s: float) -> None:
        try:
            with self.fence:
                for frame in frames:
                    self._serial.write(frame)
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from error

    def _read(self, wait_s: float) -> bytes:
        # read(1) returns with the first byte or after the port's own time-out (one slice; setting it anew each time
        # would cost a tcsetattr), then takes what else has come: never readline, whose time-out is per byte.
        try:
            waiting = self._serial.in_waiting
            if not waiting and wait_s <= 0.0:
                return b""
            end_s = time.monotonic() + wait_s
            while True:
                data: bytes = self._serial.read(max(1, waiting))
                if data or time.monotonic() >= end_s:
                    return data
                waiting = self._serial.in_waiting
        except (serial.SerialException, OSError, TypeError) as error:
            # TypeError: pyserial reads from descriptor None when another thread has closed the port under it.
            raise self._gone(error) from error

    def _close(self) -> None:
        try:
            self._serial.close()
        except (serial.SerialException, OSError):
            # The device behind the port is gone; the descriptor is closed all the same.
            self._serial.is_open = False


class TcpLink(BaseLink):
    """A TCP connection that carries an instrument's bytes as they are."""

    far = True

    def __init__(self, address: Address, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = address
        super().__init__(address.port_key, clock)

    def _open(self) -> None:
        try:
            self._socket = socket.create_connection((self._where.host, self._where.port), timeout=CONNECT_S)
        except OSError as error:
            raise LinkError(f"{self._where.text}: nobody answers there ({error})") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.settimeout(WRITE_S)

    def _send(self, frames: list[bytes], end_s: float) -> None:
        try:
            with self.fence:
                self._socket.sendall(b"".join(frames))
        except OSError as error:
            raise self._gone(error) from error

    def _read(self, wait_s: float) -> bytes:
        try:
            readable, _, _ = select.select([self._socket], [], [], wait_s)
            if not readable:
                return b""
            data = self._socket.recv(65536)
        except (OSError, ValueError) as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(ConnectionError("the other side closed the connection"))
        return data

    def _close(self) -> None:
        self._socket.close()


def open_link(text: str, folder: Path = Path()) -> Link:
    """Open the line of an address; key files that it names are relative to ``folder``.

    Raises SpecError for an address or a key file that cannot be read, LinkError otherwise.
    """
    address = parse_address(text)
    if address.scheme == "tcp":
        return TcpLink(address)
    if address.scheme in ("zmq+tcp", "zmq+ipc"):
        return ZmqLink(address, folder=folder)
    if address.scheme == "sim":
        raise SpecError(f"port {text!r} is a simulator only; a live run needs the address of a real port")
    return SerialLink(address)


def _open_serial(address: Address) -> serial.SerialBase:
    options = address.options
    settings = {
        "baudrate": int(options.get("baud", "9600")),
        "bytesize": int(options.get("bytesize", "8")),
        "parity": options.get("parity", "N"),
        "stopbits": float(options.get("stopbits", "1")),
        "rtscts": options.get("rtscts") == "1",
        "xonxoff": options.get("xonxoff") == "1",
        "timeout": SLICE_S,
        "write_timeout": WRITE_S,
    }
    try:
        if address.scheme == "rfc2217":
            # RFC 2217 has no write time-out of its own and cannot lock: the far end serves one client at a time.
            del settings["write_timeout"]
            return serial.serial_for_url(f"rfc2217://{address.place}", **settings)
        if _is_pty(address.place):
            # Linux keeps every pty at 8 bits without parity, and refuses (EINVAL) a second opener who asks for less
            # and changes nothing else. The simulator behind it hears the bytes either way.
            settings |= {"bytesize": 8, "parity": "N"}
        return serial.Serial(address.place, exclusive=True, **settings)
    except (serial.SerialException, OSError, ValueError, *TERMINAL_ERRORS) as error:
        raise LinkError(f"{address.text}: {_why_not(error)}") from error


def _is_pty(place: str) -> bool:
    """Whether a device is a pseudo-terminal: the port of a simulator, not of an instrument."""
    return os.path.realpath(place).startswith("/dev/pts/")


def _why_not(error: Exception) -> str:
    """Why a port did not open, and the way out."""
    text = str(error)
    if "exclusively lock" in text or getattr(error, "errno", None) == 16:
        return "the port is in use by another program. Close that program (another run of labloop?) and try again."
    if getattr(error, "errno", None) == 2:
        return "there is no such port. Is it plugged in and switched on, and is the name right?"
    if getattr(error, "errno", None) == 13:
        return "this user may not open the port. On Linux, join the group that owns it (dialout)."
    return f"the port does not open ({text})"
