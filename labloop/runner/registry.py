"""Which runs live on this machine: so that one ``labloop abort`` reaches all of them, wherever their folders are.

Each runner leaves a file with its folder's path in the user's state folder. The files only say where to look: whether a
run lives is asked of its lock, whether it was killed is asked of its journal, and whether it left a bench that nobody
has made safe since is asked of the guard's lock and the lease, which need no journal. A file that says nothing true any
more is taken away by whoever reads it; one whose run cannot be looked at stays, and counts as left.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from platformdirs import user_state_path

from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.journal import Reader, StoreError, look, look_at_guard
from labloop.journal.files import private_folder, write_whole

from .left import left_by


def enter(folder: Path) -> None:
    """Write down that a run begins in ``folder``. Raises StoreError."""
    place = folder.resolve()
    name = sha256(os.fsencode(place)).hexdigest()[:16]
    write_whole(private_folder(_home()) / name, os.fsencode(place), durable=False)


def living() -> list[Path]:
    """The folders of all runs of this user whose runner lives (or hangs), in order."""
    return [one.folder for one in _known() if one.runner in ("alive", "hung")]


def left() -> list[Path]:
    """The folders of all runs of this user whose runner is gone and whose bench nobody has made safe yet.

    Also while a guard is at it; and whatever cannot be looked at, as far as anybody can tell.
    """
    return [one.folder for one in _known() if one.left]


def killed() -> list[Path]:
    """The folders of all live runs of this user whose runner was killed, and not taken up again."""
    return [one.folder for one in _known() if one.killed]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    folder: Path
    runner: str = "unknown"
    killed: bool = False
    left: bool = False


def _known() -> list[_Entry]:
    """Runs that live, were killed or left their bench, each looked at by itself: one that is damaged hides no other.

    What else the files say is taken away.
    """
    found = []
    for path in sorted(_home().glob("[0-9a-f]*")) if _home().is_dir() else []:
        one = _look_at(path)
        if one.left or one.killed or one.runner != "gone":
            found.append(one)
        else:
            with suppress(OSError):  # a disk that takes nothing hides no run either
                path.unlink(missing_ok=True)
    return sorted(found, key=lambda one: one.folder)


def _look_at(path: Path) -> _Entry:
    folder = path
    try:
        folder = Path(os.fsdecode(path.read_bytes()))
        if not folder.is_absolute() or not folder.is_dir():
            return _Entry(folder=folder, runner="gone")
        runner = look(folder)
    except (OSError, StoreError):
        return _Entry(folder=folder, left=True)
    if runner != "gone":
        return _Entry(folder=folder, runner=runner)
    state = _state(folder)
    killed = state is not None and state.mode == "live" and state.state in (s.RUNNING, s.PAUSED)
    left = (state is None or state.mode == "live") and _left_its_bench(folder)
    return _Entry(folder=folder, runner=runner, killed=killed, left=left)


def _state(folder: Path) -> s.CampaignState | None:
    """What a run that nobody runs has come to. None: its journal cannot be read."""
    try:
        with Reader(folder / "journal.db") as journal:
            return s.fold(journal.records())
    except Exception:  # noqa: BLE001 no damage, of whatever kind, may hide the other runs from an abort
        return None


def _left_its_bench(folder: Path) -> bool:
    """Whether nobody has made its bench safe. One that cannot be looked at counts as left."""
    try:
        return look_at_guard(folder) == "alive" or left_by(folder) is not None
    except (StoreError, SpecError):
        return True


def _home() -> Path:
    return user_state_path("labloop") / "runs"
