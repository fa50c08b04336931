"""ProPar, what Bronkhorst instruments speak on RS-232, in its binary form: frames, parameters, questions, settings.

Source: manual 9.17.027 (RS232 interface with ProPar / FLOW-BUS protocol), p. 16 to 26; the numbers and types of the
parameters are those of the maker's own library, bronkhorst-propar 1.3.0. That library opens its port itself and reads
it in a thread of its own, which leaves no room for one lock, one deadline and a line that is opened again; so it is not
used here, and drives the simulator in the tests instead.

A frame is ``10 02 number node length body 10 03``, each 10 between doubled. The answer carries the question's number,
so one that comes late is known as such, and what stands between frames is passed over. There is no checksum.

    04 process|80 parameter|type|80 process parameter|type [length] ...   question; the first two are given back
    02 process|80 parameter|type|80 value ...                             its answer; 80: more of it follows
    01 process parameter|type value                                       setting
    00 status position                                                    its answer, or a refusal
"""

import itertools
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from labloop.bench import ProtocolError, SpecError, shown

TYPES = {"byte": 0x00, "word": 0x20, "float": 0x40, "text": 0x60}
FORMATS = {"byte": ">B", "word": ">H", "float": ">f"}
MORE = 0x80
# A length of one byte, then number, node and the length itself.
LONGEST = 258
LOCAL = 128  # the node at this end of the cable, whatever its number
# Manual p. 16; others mean that the line or the bus failed.
REFUSALS = {
    1: "the process is claimed by another",
    2: "it does not know this command",
    3: "it has no such process",
    4: "it has no such parameter",
    5: "the parameter is of another type",
    6: "the value is out of its range",
    13: "the parameter can only be read",
    17: "the parameter can only be written",
}
ERRORS = {4: "protocol error", 5: "rejected by the node", 9: "the node did not answer in time"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an instrument; ``form``: byte, word (16 bits), float or text; ``length`` of a text to be set."""

    name: str
    process: int
    number: int
    form: str
    length: int = 0


MEASURE = Parameter("measure", 1, 0, "word")
SETPOINT = Parameter("setpoint", 1, 1, "word")
CONTROL_MODE = Parameter("control mode", 1, 4, "byte")
CAPACITY = Parameter("capacity", 1, 13, "float")
FLUID = Parameter("fluid name", 1, 17, "text")
ALARM_INFO = Parameter("alarm info", 1, 20, "byte")
CAPACITY_UNIT = Parameter("capacity unit", 1, 31, "text")
COUNTED = Parameter("counter value", 104, 1, "float")
LIMIT = Parameter("counter limit", 104, 3, "float")
AT_LIMIT = Parameter("counter setpoint mode", 104, 5, "byte")
NEW_SETPOINT = Parameter("counter new setpoint", 104, 6, "word")
COUNTER_UNIT = Parameter("counter unit", 104, 7, "text", length=4)
COUNTER_MODE = Parameter("counter mode", 104, 8, "byte")
IO_STATUS = Parameter("io status", 114, 11, "byte")
DEVICE_TYPE = Parameter("device type", 113, 1, "text")
MODEL = Parameter("model number", 113, 2, "text")
SERIAL = Parameter("serial number", 113, 3, "text")
FIRMWARE = Parameter("firmware version", 113, 5, "text")
RESET = Parameter("reset", 115, 8, "byte")
# Nothing else can be set through this codec: a controller has parameters that change its calibration.
MAY_BE_SET = (SETPOINT, CONTROL_MODE, LIMIT, AT_LIMIT, NEW_SETPOINT, COUNTER_UNIT, COUNTER_MODE, RESET)

Worth = int | float | str


@dataclass(frozen=True, slots=True)
class Ask:
    """What these parameters are, all at one moment; those of one process side by side."""

    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Set:
    """One parameter to a value. ``urgent``: a stop."""

    parameter: Parameter
    value: Worth
    urgent: bool = False

    def __post_init__(self) -> None:
        if self.parameter not in MAY_BE_SET:
            raise SpecError(f"{self.parameter.name} is nothing that this driver may set")
        packed(self.parameter, self.value)


@dataclass(frozen=True, slots=True)
class Refused:
    """What it answers instead: a status and where in the body its reason stands."""

    status: int
    position: int = 0

    @property
    def why(self) -> str:
        return REFUSALS[self.status]


Reply = tuple[Worth, ...] | Refused


class ProparCodec:
    """One node. A stop has the number 0, everything else the next one."""

    def __init__(self, node: int = LOCAL) -> None:
        self._node = node
        self._frames = Frames()
        self._number, self._last = 0, 0
        self._asked: Ask | Set = Ask((MEASURE,))

    def encode(self, command: Ask | Set) -> list[bytes]:
        self._asked = command
        if self.urgent(command):
            self._number = 0
        else:
            self._number = self._last = self._last % 255 + 1
        return [framed(self._number, self._node, body_of(command))]

    def expects_reply(self, command: Ask | Set) -> bool:
        return True

    def urgent(self, command: Ask | Set) -> bool:
        return isinstance(command, Set) and command.urgent

    def probe(self, command: Ask | Set) -> None:
        """Answers carry the number of their question."""
        return None

    def reset(self) -> None:
        self._frames.reset()

    def feed(self, data: bytes | list[bytes]) -> Reply | None:
        """The values in the order asked for, none for a setting. Raises ProtocolError for another answer."""
        self._frames.push(data if isinstance(data, bytes) else b"".join(data))
        while (frame := self._frames.pop()) is not None:
            if (reply := self._reply(frame)) is not None:
                return reply
        return None

    def _reply(self, frame: bytes) -> Reply | None:
        if len(frame) < 4:
            raise ProtocolError(f"{shown(frame)} is too short for a frame")
        number, node, length, body = frame[0], frame[1], frame[2], frame[3:]
        if number != self._number or self._node not in (LOCAL, node):
            return None
        if length != len(body):
            raise ProtocolError(f"{shown(frame)} has {len(body)} bytes and says {length}")
        if len(body) == 1:
            raise ProtocolError(f"it says: {ERRORS.get(body[0], f'error {body[0]}')}")
        if body[0] == 0 and body[1] in REFUSALS:
            return Refused(*body[1:3])
        if body[0] == 0 and body[1] != 0:
            raise ProtocolError(f"it says: status {body[1]:02X}, the line or the bus failed")
        if isinstance(self._asked, Ask):
            return values_of(body, self._asked.parameters)
        if body[0] != 0 or len(body) > 3:
            raise ProtocolError(f"{shown(body)} is no answer to a setting")
        return ()


class Frames:
    """The insides of frames, 10 no more doubled; what stands outside of frames is passed over."""

    def __init__(self) -> None:
        self._rest = b""

    def push(self, data: bytes) -> None:
        self._rest += data

    def reset(self) -> None:
        """Forget what was half read."""
        self._rest = b""

    def pop(self) -> bytes | None:
        """The next whole frame, or None: more is needed. Raises ProtocolError for one that cannot be."""
        start = self._rest.find(b"\x10\x02")
        if start < 0:
            self._rest = self._rest[-1:] if self._rest.endswith(b"\x10") else b""
            return None
        self._rest = self._rest[start:]
        inside, at = bytearray(), 2
        while at < len(self._rest):
            byte, after = self._rest[at], self._rest[at + 1 : at + 2]
            if byte != 0x10:
                inside.append(byte)
                at += 1
            elif after == b"\x10":
                inside.append(byte)
                at += 2
            elif after == b"\x03":
                self._rest = self._rest[at + 2 :]
                return bytes(inside)
            elif not after:
                return None
            else:
                raise self._broken(at)
            if len(inside) > LONGEST:
                raise self._broken(at)
        return None

    def _broken(self, at: int) -> ProtocolError:
        """What came until now is forgotten; 10 02 in a frame begins another."""
        noise, self._rest = self._rest[:at], self._rest[at:]
        return ProtocolError(f"{shown(noise)} is no frame")


def framed(number: int, node: int, body: bytes) -> bytes:
    """A frame as it goes out."""
    inside = bytes([number, node, len(body)]) + body
    return b"\x10\x02" + inside.replace(b"\x10", b"\x10\x10") + b"\x10\x03"


def body_of(command: Ask | Set) -> bytes:
    """What a frame has to say."""
    if isinstance(command, Set):
        parameter = command.parameter
        start = bytes([1, parameter.process, parameter.number | TYPES[parameter.form]])
        return start + packed(parameter, command.value)
    out = bytearray([4])
    for head, parameter in _headed(command.parameters):
        kind = parameter.number | TYPES[parameter.form]
        out += head + bytes([parameter.process, kind]) + (b"\0" if parameter.form == "text" else b"")
    return bytes(out)


def values_of(body: bytes, parameters: Iterable[Parameter]) -> tuple[Worth, ...]:
    """The values in an answer. Raises ProtocolError for an answer to another question."""
    rest, found = body[1:], []
    for head, parameter in _headed(parameters):
        if body[0] != 2 or not rest.startswith(head):
            raise ProtocolError(f"{shown(body)} is no answer to the question for {parameter.name}")
        value, rest = _unpacked(parameter, rest[len(head) :])
        found.append(value)
    if rest:
        raise ProtocolError(f"{shown(body)} has {len(rest)} bytes more than were asked for")
    return tuple(found)


def packed(parameter: Parameter, value: Worth) -> bytes:
    """A value's bytes. Raises SpecError for one that does not fit."""
    try:
        if parameter.form == "text":
            text = str(value).ljust(parameter.length).encode("ascii")
            if len(text) == parameter.length:
                return bytes([len(text)]) + text
        elif not isinstance(value, str) and math.isfinite(value):
            return struct.pack(FORMATS[parameter.form], value)
    except (struct.error, OverflowError, UnicodeEncodeError):
        pass
    raise SpecError(f"{parameter.name} cannot be {value!r}")


def single(value: float) -> float:
    """A number as it is after it went through four bytes."""
    return float(struct.unpack(">f", struct.pack(">f", value))[0])


def _headed(parameters: Iterable[Parameter]) -> list[tuple[bytes, Parameter]]:
    """Each parameter with the one or two bytes that stand before it in question and answer."""
    groups = [(process, list(members)) for process, members in itertools.groupby(parameters, lambda one: one.process)]
    headed = []
    for process, members in groups:
        chained = MORE if (process, members) != groups[-1] else 0
        for one in members:
            last = one is members[-1]
            first = bytes([process | chained]) if one is members[0] else b""
            headed.append((first + bytes([one.number | TYPES[one.form] | (0 if last else MORE)]), one))
    return headed


def _unpacked(parameter: Parameter, rest: bytes) -> tuple[Worth, bytes]:
    """A value, and what follows it. Raises ProtocolError for one that is not whole, or is none."""
    if parameter.form == "text":
        return _text(parameter, rest)
    size = struct.calcsize(FORMATS[parameter.form])
    if len(rest) < size:
        raise ProtocolError(f"{shown(rest)} is too short for {parameter.name}")
    value: int | float = struct.unpack(FORMATS[parameter.form], rest[:size])[0]
    if not math.isfinite(value):
        raise ProtocolError(f"{parameter.name} is said to be {value}")
    return value, rest[size:]


def _text(parameter: Parameter, rest: bytes) -> tuple[str, bytes]:
    """A text of the length that stands before it; 0: up to a NUL."""
    length, rest = (rest[0], rest[1:]) if rest else (1, b"")
    if not length:
        text, end, rest = rest.partition(b"\0")
    else:
        text, end, rest = rest[:length], rest[length - 1 : length], rest[length:]
    if not end or not text.isascii() or not text.rstrip(b"\0").decode("ascii").isprintable():
        raise ProtocolError(f"{shown(text)} is no {parameter.name}")
    return text.decode("ascii").strip("\0 "), rest
