"""Addresses as lab.yaml writes them, read and compared without opening anything.

    serial:///dev/ttyUSB0?baud=9600&bytesize=7&parity=E&stopbits=1   (serial://COM3 on Windows)
    rfc2217://host:port?baud=9600                                    a serial port behind the network
    tcp://host:port                                                  bytes as they are
    zmq+tcp://host:port?actor=N1.spectrometer                        ZMQ, messages
        &server_key=keys/box.key&client_key=keys/me.key_secret       with CURVE keys, by file; must, beyond this machine
    zmq+ipc:///path/of/socket?actor=N1.spectrometer                  the same, on one machine
    sim:                                                             a simulator only, no real port

What belongs to one instrument and not to the line (``actor``) is no part of the port: instruments with equal
``port_key`` share a port.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from labloop.campaign.errors import SpecError
from labloop.keys import is_local

LINE_KEYS = ("baud", "bytesize", "parity", "stopbits", "rtscts", "xonxoff")
INSTRUMENT_KEYS = ("actor",)
KEY_FILES = ("server_key", "client_key")
KEYS = {
    "serial": LINE_KEYS,
    "rfc2217": LINE_KEYS,
    "tcp": (),
    "zmq+tcp": INSTRUMENT_KEYS + KEY_FILES,
    "zmq+ipc": INSTRUMENT_KEYS,
    "sim": (),
}
BY_NUMBER = ("rfc2217", "tcp", "zmq+tcp")
ALLOWED = {
    "bytesize": ("5", "6", "7", "8"),
    "parity": ("N", "E", "O", "M", "S"),
    "stopbits": ("1", "1.5", "2"),
    "rtscts": ("0", "1"),
    "xonxoff": ("0", "1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One address, taken apart. ``place``: the device's path, or ``host:port``."""

    text: str
    scheme: str
    place: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return self.place.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.place.rpartition(":")[2])

    @property
    def port_key(self) -> str:
        """The address of the line alone: equal for all instruments that share it."""
        line = "&".join(f"{key}={value}" for key, value in self.options.items() if key not in INSTRUMENT_KEYS)
        return f"{self.scheme}:{'' if self.scheme == 'sim' else '//'}{self.place}" + (f"?{line}" if line else "")


def parse_address(text: str) -> Address:
    """Take an address apart. Raises SpecError that names what is wrong with it."""
    parts = urlsplit(text)
    known = KEYS.get(parts.scheme)
    if known is None:
        raise SpecError(f"port {text!r}: {_unknown('scheme', parts.scheme, KEYS)}")
    place = parts.netloc if parts.scheme in BY_NUMBER else parts.netloc + parts.path
    if not place and parts.scheme != "sim":
        raise SpecError(f"port {text!r} names no device; write it as {parts.scheme}://{_example(parts.scheme)}")
    options: dict[str, str] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in known:
            raise SpecError(f"port {text!r}: {_unknown('key', key, known)}")
        if key in ALLOWED and value not in ALLOWED[key]:
            raise SpecError(f"port {text!r}: {key}={value} is none of {', '.join(ALLOWED[key])}")
        if key == "baud" and not (value.isascii() and value.isdigit() and 0 < int(value) <= 4_000_000):
            raise SpecError(f"port {text!r}: baud={value} is not a whole number of bits per second")
        options[key] = value
    if parts.scheme in BY_NUMBER:
        host, _, port = place.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise SpecError(f"port {text!r}: write it as {parts.scheme}://{_example(parts.scheme)}")
    address = Address(text=text, scheme=parts.scheme, place=place, options=options)
    if parts.scheme == "zmq+tcp":
        _refuse_open(address)
    return address


def _refuse_open(address: Address) -> None:
    """ZMQ asks nobody who he is: beyond this machine only with keys. Raises SpecError."""
    named = [key for key in KEY_FILES if address.options.get(key)]
    if named == list(KEY_FILES) or (not named and is_local(address.host)):
        return
    if named:
        missing = next(key for key in KEY_FILES if key not in named)
        raise SpecError(f"port {address.text!r}: {named[0]} without {missing}. Add {missing}=FILE")
    raise SpecError(
        f"port {address.text!r}: ZMQ beyond this machine needs keys, or anybody there could speak with the instrument. "
        "Add server_key=FILE&client_key=FILE (`labloop keys` makes them), or bring the port here (ssh -L) and write "
        "127.0.0.1"
    )


def _example(scheme: str) -> str:
    return {"serial": "/dev/ttyUSB0?baud=9600", "zmq+ipc": "/path/of/socket"}.get(scheme, "host:port")


def _unknown(what: str, name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    if not known:
        return f"unknown {what} {name!r}; this scheme takes none"
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"unknown {what} {name!r}; " + (f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}")
