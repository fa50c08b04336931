"""The address behind a target of ``notify:``, read when it is needed and kept nowhere.

What is read here never goes into a message, a log or a fact: complaints name the variable or the file.
"""

import os
import stat
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from labloop.campaign.errors import SpecError
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.targets import Target

LONGEST: Final = 10_000  # bytes; an address is one line
EXTRA: Final = "apprise is not installed, which sends the messages. Install it: pip install 'labloop[notify]'"


def address_of(target: Target, folder: Path) -> str:
    """The address itself; a relative file lies in ``folder``, the lab's. Raises SpecError, without the address."""
    if target.env is not None:
        address = os.environ.get(target.env, "").strip()
        if not address:
            raise SpecError(f"the environment variable {target.env} is not set here. Set it before the run begins")
        return address
    path = folder / os.path.expanduser(target.file or "")
    address = _read(path).strip()
    if not address or "\n" in address:
        raise SpecError(f"{path}: must hold one address, on one line")
    return address


def _read(path: Path) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe in its place must not hold us up
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise SpecError(f"{path}: is no plain file. Name a file that holds the address")
            if sys.platform != "win32" and stat.S_IMODE(status.st_mode) & 0o077:
                mode = stat.S_IMODE(status.st_mode)
                raise SpecError(f"{path}: others may read this address (mode {mode:04o}). Close it: chmod 600 {path}")
            return file.read(LONGEST).decode("utf-8", "replace")
    except (OSError, ValueError) as error:  # a NUL is part of no path
        why = error.strerror if isinstance(error, OSError) else error
        raise SpecError(f"{path}: cannot be read ({why}). Put the address there") from error


def complaints_about(lab: LabSpec) -> list[str]:
    """What keeps the targets of a lab from being told anything, as far as it shows without telling them."""
    found = []
    for name, target in lab.notify.items():
        try:
            address_of(target, lab.folder)
        except SpecError as error:
            found.append(f"{lab.place(('notify', name), key=True)}: notify.{name} would be told nothing: {error}")
    if lab.notify and find_spec("apprise") is None:
        found.append(f"{lab.place(('notify',), key=True)}: notify: nobody would be told anything: {EXTRA}")
    return found
