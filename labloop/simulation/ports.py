"""Real ports for simulated lines: a pty, a TCP port, an RFC 2217 port; all without threads, driven by one loop.

Settings are part of the wire: a host at another speed (or, over RFC 2217, with other data bits, parity or stop bits)
hears and says garbage, as on a real line. A pty cannot carry data bits and parity (Linux forces 8N1 on it), so there
only the speed is compared.

A pty is reached through a link in ``folder`` that keeps its name when the cable is pulled and put back, as
/dev/serial/by-id does. Since it keeps 8 bits without parity whatever it is told, a host that asks for 7E1 and for
nothing else that is new is refused (EINVAL): so a flag that means nothing on a pty is set anew whenever it was cleared,
and the next host that opens it has that one to change. That it was opened is known within milliseconds, for the pty is
in packet mode (tty_ioctl(4)): hosts empty the port's buffers when they open it, and that wakes whoever reads here. Only
one that opens it again in the same breath is too early (matterlab-hotplates is): over TCP or RFC 2217 nobody is.
"""

import fcntl
import os
import select
import socket
import struct
import termios
import time
import tty
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from serial import rfc2217

GARBAGE = b"\xff\xfe\x00"
# In packet mode each read begins with it, or is a byte that says what was done to the port (emptied, flow control).
SAID = b"\x00"
CHUNK = 4096
# So soon after it has opened a port a host has made its other settings.
OPENING_S = 0.002
# Bits a second; an instrument with a network of its own says everything at once.
ETHERNET = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """As a port's address gives them: ``serial:///dev/x?baud=9600&bytesize=7&parity=E``."""

    baud: int = 9600
    bytesize: int = 8
    parity: str = "N"
    stopbits: float = 1.0

    def seconds_per_byte(self) -> float:
        return (1 + self.bytesize + (self.parity != "N") + self.stopbits) / self.baud


def line_settings(port: str) -> LineSettings:
    """Raises ValueError naming the port when a setting is no number. A TCP address has none, and paces nothing."""
    query = dict(parse_qsl(urlsplit(port).query))
    try:
        return LineSettings(
            baud=int(query.get("baud", ETHERNET if port.startswith("tcp:") else 9600)),
            bytesize=int(query.get("bytesize", 8)),
            parity=query.get("parity", "N").upper(),
            stopbits=float(query.get("stopbits", 1)),
        )
    except ValueError as error:
        raise ValueError(f"{port}: {error}") from None


class WirePort(Protocol):
    """``address``: what a host opens. ``readable``: the descriptors to wait on. ``read``: what came on one of them.

    ``write``: how many bytes there was room for; with nobody to take them, all.
    """

    address: str

    def readable(self) -> list[int]: ...
    def read(self, descriptor: int) -> bytes: ...
    def write(self, data: bytes) -> int: ...
    def unplug(self) -> None: ...
    def replug(self) -> None: ...
    def close(self) -> None: ...


class PtyPort:
    def __init__(self, name: str, port: str, folder: Path) -> None:
        self.settings = line_settings(port)
        self._link = folder / name
        self._master = self._slave = -1
        query = urlsplit(port).query
        self.address = f"serial://{self._link}" + (f"?{query}" if query else "")
        self.replug()

    def readable(self) -> list[int]:
        if self._master < 0:
            return []
        self._leave_something_to_change()
        return [self._master]

    def _leave_something_to_change(self) -> None:
        if termios.tcgetattr(self._master)[0] & termios.INPCK:
            return
        # Who has just opened it may go on with a speed: what is set here must not undo that.
        time.sleep(OPENING_S)
        modes = termios.tcgetattr(self._master)
        modes[0] |= termios.INPCK
        termios.tcsetattr(self._master, termios.TCSANOW, modes)

    def read(self, descriptor: int) -> bytes:
        try:
            while (packet := os.read(self._master, CHUNK)) and not packet.startswith(SAID):
                self._leave_something_to_change()
        except BlockingIOError:
            return b""
        data = packet[1:]
        return GARBAGE if data and not self._at_speed() else data

    def write(self, data: bytes) -> int:
        if self._master < 0:
            return len(data)
        at_speed = self._at_speed()
        try:
            taken = os.write(self._master, data if at_speed else GARBAGE)
        except BlockingIOError:
            return 0
        return taken if at_speed else len(data)

    def _at_speed(self) -> bool:
        speed = getattr(termios, f"B{self.settings.baud}", None)
        return speed is None or termios.tcgetattr(self._master)[5] == speed

    def unplug(self) -> None:
        if self._master >= 0:
            os.close(self._master)
            os.close(self._slave)
            self._master = self._slave = -1
            self._link.unlink(missing_ok=True)

    def replug(self) -> None:
        if self._master >= 0:
            return
        self._master, self._slave = os.openpty()  # The other end stays open here too: a host may come and go.
        for end in (self._master, self._slave):
            tty.setraw(end)
        modes = termios.tcgetattr(self._slave)
        speed = getattr(termios, f"B{self.settings.baud}", None)
        if speed is not None:
            modes[4] = modes[5] = speed
            termios.tcsetattr(self._slave, termios.TCSANOW, modes)
        os.set_blocking(self._master, False)
        fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", 1))
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(self._slave))

    def close(self) -> None:
        self.unplug()


class TcpPort:
    """One host at a time; a second one is turned away."""

    scheme = "tcp"

    def __init__(self, name: str, port: str, folder: Path) -> None:
        self.settings = line_settings(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._host: socket.socket | None = None
        self._plugged = True
        host, number = self._listener.getsockname()[:2]
        self.address = f"{self.scheme}://{host}:{number}"  # bytes as they are: a TCP port has no line settings

    def readable(self) -> list[int]:
        # The host first: what it said before it went is heard before the next one is let in.
        return [*([self._host.fileno()] if self._host is not None else []), self._listener.fileno()]

    def read(self, descriptor: int) -> bytes:
        if descriptor == self._listener.fileno():
            self._accept()
            return b""
        if self._host is None:
            return b""
        try:
            data = self._host.recv(CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return self._heard(data)

    def write(self, data: bytes) -> int:
        if self._host is not None:
            try:
                self._host.sendall(self._said(data))
            except OSError:
                self._hang_up()  # The host went, or reads nothing any more.
        return len(data)

    def _accept(self) -> None:
        host, _ = self._listener.accept()
        if self._gone():
            self._hang_up()
        if self._host is not None or not self._plugged:
            host.close()
            return
        host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host.settimeout(1.0)
        self._host = host
        self._greet(host)

    def _gone(self) -> bool:
        """Whether the host has hung up, and that was not read yet."""
        if self._host is None:
            return False
        news = select.poll()
        news.register(self._host, select.POLLIN)
        try:
            return bool(news.poll(0)) and not self._host.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _greet(self, host: socket.socket) -> None:
        """What the port says to a host that has come: nothing."""

    def _heard(self, data: bytes) -> bytes:
        return data

    def _said(self, data: bytes) -> bytes:
        return data

    def _hang_up(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None

    def unplug(self) -> None:
        self._plugged = False
        self._hang_up()

    def replug(self) -> None:
        self._plugged = True

    def close(self) -> None:
        self._hang_up()
        self._listener.close()


class _Remembered:
    """The serial port that RFC 2217 sets: it only remembers."""

    def __init__(self, settings: LineSettings) -> None:
        self.baudrate, self.bytesize = settings.baud, settings.bytesize
        self.parity, self.stopbits = settings.parity, settings.stopbits
        self.rts = self.dtr = self.cts = self.dsr = self.cd = True
        self.ri = self.break_condition = self.xonxoff = self.rtscts = False

    def reset_input_buffer(self) -> None:
        """Nothing waits here."""

    def reset_output_buffer(self) -> None:
        """Nothing waits here."""


class _Connection:
    """What a PortManager writes its negotiation to."""

    def __init__(self, host: socket.socket) -> None:
        self._host = host

    def write(self, data: bytes) -> None:
        self._host.sendall(data)


class Rfc2217Port(TcpPort):
    scheme = "rfc2217"

    def __init__(self, name: str, port: str, folder: Path) -> None:
        super().__init__(name, port, folder)
        query = urlencode(parse_qsl(urlsplit(port).query))
        self.address += f"?{query}" if query else ""
        self._set = _Remembered(self.settings)
        self._manager: Any = None

    def _greet(self, host: socket.socket) -> None:
        self._set = _Remembered(self.settings)
        self._manager = rfc2217.PortManager(self._set, _Connection(host))

    def _heard(self, data: bytes) -> bytes:
        if self._manager is None or not data:
            return b""
        try:
            plain = b"".join(self._manager.filter(data))
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            self._hang_up()  # It went, or what it says is no RFC 2217.
            return b""
        return GARBAGE if plain and not self._matches() else plain

    def _said(self, data: bytes) -> bytes:
        return b"".join(self._manager.escape(data if self._matches() else GARBAGE))

    def _matches(self) -> bool:
        there, here = self._set, self.settings
        return (there.baudrate, there.bytesize, there.parity, float(there.stopbits)) == (
            here.baud,
            here.bytesize,
            here.parity,
            here.stopbits,
        )


TRANSPORTS: Mapping[str, type[PtyPort] | type[TcpPort]] = {"pty": PtyPort, "tcp": TcpPort, "rfc2217": Rfc2217Port}


def transport_of(port: str) -> str:
    """What a line is reached by when nobody says: its own address's scheme, and a pty for a serial port."""
    scheme = port.partition(":")[0]
    return scheme if scheme in TRANSPORTS else "pty"
