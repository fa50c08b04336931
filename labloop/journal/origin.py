"""Where a run's lab lies: its drivers, and the journal of its bench. Kept beside the run's own journal."""

import json
from pathlib import Path
from typing import Final

from labloop.campaign.errors import SpecError

ORIGIN: Final = "origin.json"
LONGEST_ORIGIN: Final = 10_000  # bytes; it holds one path


def lab_folder(folder: Path) -> Path:
    """Where the lab file lay when the run began. Raises SpecError: it is not there, or nobody knows."""
    path = folder / ORIGIN
    way_out = f'Write {{"lab_folder": "/where/it/lies/now"}} into {path}; status, trials and watch need none of it'
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(LONGEST_ORIGIN))
        found = Path(told["lab_folder"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError(f"{path}: does not say where the lab's folder lies ({error}). {way_out}") from error
    if not found.is_dir():
        raise SpecError(
            f"{path}: the lab's folder {found} is not here (was the run begun on another machine?), and a resume needs "
            f"the drivers in it. {way_out}"
        )
    return found
