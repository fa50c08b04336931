"""Modbus RTU as Eurotherm controllers speak it: reads of some registers, writes of one; framed by pymodbus.

A reply belongs to the request that was sent last: same unit, same function, as many registers as were asked for, or the
same address and value. The CRC takes care of what the line does to it.
"""

import struct
from dataclasses import dataclass, field

from pymodbus.exceptions import ModbusException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    WriteSingleRegisterRequest,
    WriteSingleRegisterResponse,
)

from labloop.bench import ProtocolError, SpecError, parse_address, shown

# The longest reply (125 registers) has 255 bytes.
LONGEST = 256
# The slowest that a 3200 offers, for lines that do not say how fast they are; start bit, eight bits, parity, stop bit.
SLOWEST_BAUD, CHARACTER_BITS = 1200, 11
# Modbus application protocol V1.1b3, section 7.
EXCEPTIONS = {
    1: "it does not know this function",
    2: "it has no such register",
    3: "the value is out of its range",
    4: "it failed to do so",
    6: "it is busy",
}
# HA028651 iss. 7 p. 81: the registers that may be written as often as one likes. Target setpoint, SP1 and SP2 live in a
# memory of 100 000 write cycles, which a closed loop uses up; there is no way to write them through this codec. The
# setpoint limits are written by who says that it is meant to last: once, see eurotherm_limits.
REMOTE_SETPOINT, PROGRAM_STATUS = 26, 23
MAY_BE_WRITTEN = (REMOTE_SETPOINT, PROGRAM_STATUS)
LASTING = (111, 112)


@dataclass(frozen=True, slots=True)
class Read:
    """``count`` registers from ``address`` on. ``urgent``: a stop waits for it."""

    address: int
    count: int = 1
    urgent: bool = field(default=False, kw_only=True, repr=False)


@dataclass(frozen=True, slots=True)
class Write:
    """One register; ``value`` as it stands on the wire, negative ones too. ``urgent``: a stop. ``lasting``: it is known
    that this wears a memory out."""

    address: int
    value: int
    urgent: bool = field(default=False, kw_only=True)
    lasting: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.address not in (LASTING if self.lasting else MAY_BE_WRITTEN):
            raise SpecError(f"register {self.address} is not one that this driver may write")
        if not -0x8000 <= self.value <= 0x7FFF:
            raise SpecError(f"{self.value} does not fit into register {self.address}")


@dataclass(frozen=True, slots=True)
class Reply:
    """The registers read, signed; or none and an exception's number (0: none)."""

    registers: tuple[int, ...] = ()
    exception: int = 0


class ModbusCodec:
    """One unit on an RTU line. ``gap_s``: 3.5 characters of silence part two frames, and a quarter more."""

    def __init__(self, unit: int, baud: int = SLOWEST_BAUD) -> None:
        self.unit = unit
        self.gap_s = 1.25 * 3.5 * CHARACTER_BITS / baud
        self._framer = FramerRTU(DecodePDU(False))
        self._asked: Read | Write = Read(0)
        self._rest = b""

    @classmethod
    def on(cls, address: str, unit: int) -> "ModbusCodec":
        """For a unit on the line of this address, as fast as it says."""
        return cls(unit, int(parse_address(address).options.get("baud", SLOWEST_BAUD)))

    def encode(self, command: Read | Write) -> list[bytes]:
        self._asked = command
        request: ModbusPDU
        if isinstance(command, Read):
            request = ReadHoldingRegistersRequest(dev_id=self.unit, address=command.address, count=command.count)
        else:
            value = command.value & 0xFFFF
            request = WriteSingleRegisterRequest(dev_id=self.unit, address=command.address, registers=[value])
        return [self._framer.buildFrame(request)]

    def expects_reply(self, command: Read | Write) -> bool:
        return True

    def urgent(self, command: Read | Write) -> bool:
        return command.urgent

    def probe(self, command: Read | Write) -> Read:
        """Replies to reads differ by their length: two registers, or three when two were asked for."""
        return Read(1, 3 if isinstance(command, Read) and command.count == 2 else 2)

    def reset(self) -> None:
        self._rest = b""

    def feed(self, data: bytes | list[bytes]) -> Reply | None:
        """The reply. Raises ProtocolError for what is no frame, or answers another request."""
        self._rest += data if isinstance(data, bytes) else b"".join(data)
        try:
            used, reply = self._framer.handleFrame(self._rest, self.unit, 0)
        except (ModbusException, KeyError, IndexError, ValueError, struct.error) as error:
            noise, self._rest = self._rest, b""
            raise ProtocolError(f"{shown(noise)} is no frame of Modbus RTU ({error})") from error
        frame, self._rest = self._rest[:used], self._rest[used:]
        if reply is not None:
            return self._matched(reply, frame)
        if used or len(self._rest) > LONGEST:
            noise, self._rest = frame + self._rest, b""
            raise ProtocolError(f"{shown(noise)} is no frame of unit {self.unit}, or its checksum is wrong")
        return None

    def _matched(self, reply: ModbusPDU, frame: bytes) -> Reply:
        asked = self._asked
        function = 3 if isinstance(asked, Read) else 6
        if isinstance(reply, ExceptionResponse) and reply.function_code == function | 0x80:
            return Reply(exception=reply.exception_code)
        registers = tuple(one - 0x10000 if one > 0x7FFF else one for one in reply.registers)
        fits = (
            isinstance(reply, ReadHoldingRegistersResponse) and len(registers) == asked.count
            if isinstance(asked, Read)
            else isinstance(reply, WriteSingleRegisterResponse)
            and (reply.address, registers) == (asked.address, (asked.value,))
        )
        if fits:
            return Reply(registers)
        raise ProtocolError(f"{shown(frame)} is no answer to {asked}")
