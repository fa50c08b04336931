"""Which runs live on this machine: so that one ``labloop abort`` reaches all of them, wherever their folders are.

Each runner leaves a file with its folder's path in the user's state folder. The files only say where to look: whether a
run lives is asked of its lock, whether it was killed is asked of its journal, and whether it left a bench that nobody
has made safe since is asked of the lease, which needs no journal. A file that says nothing true any more is taken away
by whoever reads it.
"""

from hashlib import sha256
from pathlib import Path

from platformdirs import user_state_path

from labloop.campaign import state as s
from labloop.campaign.errors import SpecError, StateError
from labloop.journal import Reader, StoreError, look
from labloop.journal.files import private_folder, write_whole

from .lease import left_held


def enter(folder: Path) -> None:
    """Write down that a run begins in ``folder``. Raises StoreError."""
    place = folder.resolve()
    name = sha256(str(place).encode()).hexdigest()[:16]
    write_whole(private_folder(_home()) / name, str(place).encode(), durable=False)


def living() -> list[Path]:
    """The folders of all runs of this user whose runner lives (or hangs), in order. Raises StoreError."""
    return [folder for folder, runner, _ in _known() if runner != "gone"]


def left() -> list[Path]:
    """The folders of all runs of this user whose runner is gone and whose bench was given back by nobody."""
    return [folder for folder, runner, _ in _known() if runner == "gone" and _left_its_bench(folder)]


def killed() -> list[Path]:
    """The folders of all live runs of this user whose runner was killed, and not taken up again. Raises StoreError."""
    return [folder for folder, _, killed in _known() if killed]


def _known() -> list[tuple[Path, str, bool]]:
    """Runs that live, were killed or left their bench: what of their runner, and whether they were killed.

    What else the files say is taken away.
    """
    found = []
    for entry in sorted(_home().glob("[0-9a-f]*")) if _home().is_dir() else []:
        folder = Path(entry.read_text())
        runner = look(folder) if folder.is_dir() else "gone"
        killed = runner == "gone" and _was_killed(folder)
        if runner != "gone" or killed or _left_its_bench(folder):
            found.append((folder, runner, killed))
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


def _left_its_bench(folder: Path) -> bool:
    """Whether nobody has made its bench safe. One whose lab nobody finds any more says nothing."""
    try:
        return left_held(folder)
    except (StoreError, SpecError):
        return False


def _home() -> Path:
    return user_state_path("labloop") / "runs"
