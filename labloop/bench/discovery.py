"""Which serial ports this machine has, written as a lab file wants them: by what is plugged in, where that is known."""

from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

BY_ID = Path("/dev/serial/by-id")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPort:
    """One serial port. ``address``: what to write into lab.yaml (the speed is the instrument's own)."""

    address: str
    device: str
    description: str
    serial_number: str


def lasting_names() -> dict[Path, Path]:
    """By the device of each adapter that has one, the name that it keeps when it is plugged in anew."""
    try:
        return {path.resolve(): path for path in sorted(BY_ID.iterdir())}
    except OSError:  # there is none plugged in, or the last one was drawn just now
        return {}


def serial_ports() -> list[FoundPort]:
    """Every serial port, in order of its name; nothing is opened."""
    lasting = lasting_names()
    return [
        FoundPort(
            address=f"serial://{lasting.get(Path(port.device).resolve(), port.device)}",
            device=port.device,
            description=port.description or "",
            serial_number=port.serial_number or "",
        )
        for port in sorted(list_ports.comports())
    ]
