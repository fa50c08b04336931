"""One controller a device, also where two lab files name it: two folders are two benches, with a journal and a lease
each, and neither knows of the other.

Serial ports know an exclusive open; TCP, RFC 2217 and ZMQ do not, and a serial port is closed while a run rests. So
whoever has a live bench holds a lock for each of its devices, in a file of the user's state folder that is named by the
address: a device behind a cable by the cable (its adapter, where that has a name of its own), an actor of LECO by its
name on its node, since others may be others'.

What is kept apart are programs of one user on one machine, by the addresses as they are written. The guard and an abort
ask nobody: they only stop.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from platformdirs import user_state_path

from labloop.bench import parse_address
from labloop.bench.discovery import lasting_names
from labloop.campaign.errors import SpecError
from labloop.campaign.lab_spec import LabSpec
from labloop.journal import StoreError, StoreLocked
from labloop.journal.files import private_folder
from labloop.journal.locks import FileLock, last_holder
from labloop.keys import is_local

LOG: Final = logging.getLogger("labloop.run")
KEPT: Final = 80  # of a folder's path: what a lock's file has room for, in any writing


@contextmanager
def sole(lab: LabSpec, wait_s: float = 0.0) -> Iterator[None]:
    """Keep every other lab file from the devices of this one, as long as this lasts; ``wait_s``: for who has one.

    Where no lock can be made (a home that is read-only) the log says so, and it is done without.

    Raises StoreLocked, which names the other lab file.
    """
    note = {"lab": str(lab.folder.resolve())[-KEPT:]}
    with ExitStack() as stack:
        for name, device in _devices(lab).items():
            _take(stack, device, lab.named(("instruments", name)), note, wait_s)
        yield


@contextmanager
def alone(port: str, lab: LabSpec | None) -> Iterator[None]:
    """Keep everybody else from what stands on one port, also where no lab file names it. ``lab``: whose we have.

    Raises StoreLocked, which names the lab file whose controller has it; SpecError for what is no address.
    """
    device = _device(port)
    with ExitStack() as stack:
        if lab is None or device not in _devices(lab).values():
            _take(stack, device, port, {}, 0.0)
        yield


def _take(stack: ExitStack, device: str, where: str, note: dict[str, str], wait_s: float) -> None:
    try:
        stack.enter_context(_lock(device, where, note, wait_s))
    except StoreLocked:
        raise
    except StoreError as error:
        LOG.warning("whether another lab file has %s is not known: %s", device, error)


def _lock(device: str, where: str, note: dict[str, str], wait_s: float) -> FileLock:
    folder = private_folder(user_state_path("labloop") / "devices")
    path = folder / sha256(os.fsencode(f"{socket.gethostname()} {device}")).hexdigest()[:16]
    try:
        return FileLock.take(path, device, note=note, wait_s=wait_s)
    except StoreLocked as error:
        held = last_holder(path)
        other = str(held.note.get("lab", "")) if held is not None else ""
        whose = f" for another lab file, in {other}" if other else ""
        raise StoreLocked(
            f"{where}: {device} is in use{whose} (process {error.pid}). One device has one controller: end that run or "
            "command first, or keep both in one lab file.",
            error.pid, error.host,
        ) from error  # fmt: skip


def _devices(lab: LabSpec) -> dict[str, str]:
    """By an instrument of each, what must have one controller."""
    found: dict[str, str] = {}
    for name, instrument in lab.instruments.items():
        try:
            device = _device(instrument.port or "sim:")
        except SpecError:  # whoever opens it says so
            continue
        if device and device not in found.values():
            found[name] = device
    return found


def _device(port: str) -> str:
    """What must have one controller ("": a simulator only). Raises SpecError for what is no address."""
    address = parse_address(port)
    if address.scheme == "sim":
        return ""
    if address.scheme in ("serial", "zmq+ipc"):
        place = os.path.realpath(address.place) if Path(address.place).is_absolute() else address.place
        # Plugged in anew, an adapter is another ttyUSB, and its old name may be another's.
        place = str(lasting_names().get(Path(place), place))
    else:
        place = f"localhost:{address.port}" if is_local(address.host) else address.place.lower()
    return f"{actor} at {place}" if (actor := address.options.get("actor")) else place
