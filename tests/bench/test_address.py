"""Addresses: taken apart, compared by their line, refused with the way out."""

import pytest

from labloop.bench import SpecError, parse_address


@pytest.mark.parametrize(
    "text, scheme, place, key",
    [
        ("serial:///dev/ttyUSB0?baud=9600&parity=E", "serial", "/dev/ttyUSB0", "serial:///dev/ttyUSB0?baud=9600&parity=E"),
        ("serial://COM3", "serial", "COM3", "serial://COM3"),
        ("rfc2217://moxa:4001?baud=4800", "rfc2217", "moxa:4001", "rfc2217://moxa:4001?baud=4800"),
        ("tcp://127.0.0.1:5025", "tcp", "127.0.0.1:5025", "tcp://127.0.0.1:5025"),
        ("zmq+tcp://127.0.0.2:12300?actor=N1.spec", "zmq+tcp", "127.0.0.2:12300", "zmq+tcp://127.0.0.2:12300"),
        ("zmq+ipc:///run/spec?actor=N1.spec", "zmq+ipc", "/run/spec", "zmq+ipc:///run/spec"),
        ("sim:", "sim", "", "sim:"),
    ],
)  # fmt: skip
def test_addresses_are_taken_apart(text, scheme, place, key):
    address = parse_address(text)
    assert (address.scheme, address.place, address.port_key) == (scheme, place, key)


def test_host_and_port_of_an_address_with_brackets():
    address = parse_address("tcp://[::1]:5025")
    assert (address.host, address.port) == ("::1", 5025)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("seriall:///dev/x", "unknown scheme 'seriall'; did you mean 'serial'?"),
        ("serial:///dev/x?buad=9600", "unknown key 'buad'; did you mean 'baud'?"),
        ("serial:///dev/x?parity=X", "parity=X is none of N, E, O, M, S"),
        ("serial:///dev/x?baud=fast", "baud=fast is not a whole number"),
        ("serial://", "names no device; write it as serial:///dev/ttyUSB0"),
        ("tcp://host", "write it as tcp://host:port"),
        ("tcp://host:99999", "write it as tcp://host:port"),
        ("tcp://host:1?baud=1", "unknown key 'baud'; this scheme takes none"),
    ],
)
def test_a_wrong_address_is_refused_with_the_way_out(text, complaint):
    with pytest.raises(SpecError) as caught:
        parse_address(text)
    assert text in str(caught.value) and complaint in str(caught.value)
