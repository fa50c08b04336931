"""Which runs live on this machine: so that one ``labloop abort`` reaches all of them, wherever their folders are.

Each runner leaves a file with its folder's path in the user's state folder. The files only say where to look: whether a
run lives is asked of its lock, whether it was killed is asked of its journal. A file that says nothing true any more is
taken away by whoever reads it.
"""

from hashlib import sha256
from pathlib import Path

from platformdirs import user_state_path

from labloop.campaign import state as s
from labloop.campaign.errors import StateError
from labloop.journal import Reader, StoreError, look
from labloop.journal.files import private_folder, write_whole


def enter(folder: Path) -> None:
    """Write down that a run begins in ``folder``. Raises StoreError."""
    place = folder.resolve()
    name = sha256(str(place).encode()).hexdigest()[:16]
    write_whole(private_folder(_home()) / name, str(place).encode(), durable=False)


def living() -> list[Path]:
    """The folders of all runs of this user whose runner lives (or hangs), in order. Raises StoreError."""
    return [folder for folder, runner in _known() if runner != "gone"]


def killed() -> list[Path]:
    """The folders of all live runs of this user whose runner was killed, and not taken up again. Raises StoreError."""
    return [folder for folder, runner in _known() if runner == "gone"]


def _known() -> list[tuple[Path, str]]:
    """Runs that live or were killed, and what of their runner; what else the files say is taken away."""
    found = []
    for entry in sorted(_home().glob("[0-9a-f]*")) if _home().is_dir() else []:
        folder = Path(entry.read_text())
        runner = look(folder) if folder.is_dir() else "gone"
        if runner != "gone" or _was_killed(folder):
            found.append((folder, runner))
        else:
            entry.unlink(missing_ok=True)
    return sorted(found)


def _was_killed(folder: Path) -> bool:
    """Whether a run that nobody runs had an end neither good nor bad. One that cannot be read says nothing."""
    try:
        with Reader(folder / "journal.db") as journal:
            state = s.fold(journal.records())
    except (StoreError, StateError):
        return False
    return state.mode == "live" and state.state in (s.RUNNING, s.PAUSED)


def _home() -> Path:
    return user_state_path("labloop") / "runs"
