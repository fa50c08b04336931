"""Which runs live on this machine: so that one ``labloop abort`` reaches all of them, wherever their folders are.

Each runner leaves a file with its folder's path in the user's state folder. The files only say where to look: whether a
run lives is asked of its lock, and a file that says nothing true any more is taken away by whoever reads it.
"""

from hashlib import sha256
from pathlib import Path

from platformdirs import user_state_path

from labloop.journal import look
from labloop.journal.files import private_folder, write_whole


def enter(folder: Path) -> None:
    """Write down that a run begins in ``folder``. Raises StoreError."""
    place = folder.resolve()
    name = sha256(str(place).encode()).hexdigest()[:16]
    write_whole(private_folder(_home()) / name, str(place).encode(), durable=False)


def living() -> list[Path]:
    """The folders of all runs of this user whose runner lives (or hangs), in order. Raises StoreError."""
    found = []
    for entry in sorted(_home().glob("[0-9a-f]*")) if _home().is_dir() else []:
        folder = Path(entry.read_text())
        if folder.is_dir() and look(folder) != "gone":
            found.append(folder)
        else:
            entry.unlink(missing_ok=True)
    return sorted(found)


def _home() -> Path:
    return user_state_path("labloop") / "runs"
