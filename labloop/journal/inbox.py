"""The inbox of a run: what people wish of it.

Anybody who may write the folder posts a file, whole. The runner alone takes it: it journals the wish (its id with it)
and the answer, and only then is the file done away with. After a crash in between the file is still there, and its id
is in the journal already: answered, it is done away with, not granted twice; not answered, it is answered now.

Files are named by time, and each later than the last one there, so that a clock set back does not turn wishes round.
"""

import getpass
import os
import secrets
import time
from collections.abc import Callable, Container, MutableMapping, Sequence
from pathlib import Path

import msgspec

from .errors import StoreDamaged, from_os
from .files import private_folder, read_bounded, sync_folder, write_whole

LIMIT = 65_536  # bytes; a wish is a line or two, and a stray file must not fill the memory
REFUSED = "refused"
ASIDE = 10  # files that one look moves aside: each takes some syncs, and an abort behind thousands must not wait


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in a file of the inbox; ``request`` is a verb of ``labloop request``."""

    request: str
    arguments: list[str] = []
    by: str = ""
    why: str = ""


class Posted(Wish, frozen=True, kw_only=True):
    """A wish as the inbox gives it: with its id (the name of its file)."""

    id: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the inbox that makes no sense; it lies in ``refused/`` now."""

    name: str
    reason: str


def post(
    folder: Path,
    request: str,
    arguments: list[str] | None = None,
    by: str = "",
    why: str = "",
    *,
    id: str = "",
    now_ns: Callable[[], int] = time.time_ns,
) -> str:
    """Put a wish into the inbox ``folder`` (a run's ``requests``), durable when this returns, and give its id.

    ``id``: its own, from ``new_id``; a wish that is posted again under its id is the same wish. Raises StoreError.
    """
    if not folder.is_dir():
        private_folder(folder)
    name = id or new_id(folder, now_ns=now_ns)
    wish = Wish(request=request, arguments=arguments or [], by=by, why=why)
    write_whole(folder / f"{name}.json", msgspec.json.encode(wish))
    return name


def size(request: str, arguments: Sequence[str], by: str, why: str) -> int:
    """How long a wish is, in bytes; one beyond LIMIT is put aside by whoever takes it."""
    return len(msgspec.json.encode(Wish(request=request, arguments=[*arguments], by=by, why=why)))


def user() -> str:
    """The name of whoever sits at this terminal: in it a wish is posted, where they give no other."""
    try:
        return os.fsencode(getpass.getuser()).decode("utf-8", "replace")  # what an old system calls them
    except (OSError, KeyError):  # a container without a passwd entry
        return "somebody"


def new_id(folder: Path, *, now_ns: Callable[[], int] = time.time_ns) -> str:
    """Make an id for a wish, later than those that lie in the inbox ``folder`` now. Raises StoreError."""
    try:
        stamps = [int(path.name[:20]) for path in folder.glob("*.json") if path.name[:20].isdecimal()]
    except OSError as error:
        raise from_os(error, folder, "read the inbox") from error
    stamp = max([now_ns(), *(last + 1 for last in stamps)])
    return f"{stamp:020d}-{secrets.token_hex(4)}"


def take(
    folder: Path, known: Container[str] = (), read: MutableMapping[str, Posted] | None = None
) -> tuple[list[Posted], list[Refused]]:
    """Give the wishes in the inbox, first come first, and the files that were moved aside because they make no sense
    (of many the first; the others lie there until the next look).

    ``known``: ids that the journal has already; their files are done away with and not given again. The others stay
    until ``done``. ``read``: by id what was read before, and need not be read again; kept as it lies there now. Raises
    StoreError.
    """
    wishes: list[Posted] = []
    refused: list[Refused] = []
    before = {} if read is None else dict(read)
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise from_os(error, folder, "read the inbox") from error
    for name in names:
        id = name.removesuffix(".json")
        if id in known:
            done(folder, id)
            continue
        if id in before:
            wishes.append(before[id])
            continue
        path = folder / name
        try:
            wish = msgspec.json.decode(read_bounded(path, LIMIT), type=Wish)
        except FileNotFoundError:
            continue  # somebody took his wish back
        except (StoreDamaged, msgspec.MsgspecError, UnicodeDecodeError) as error:
            if len(refused) < ASIDE:
                refused.append(_move_aside(path, str(error)))
        except OSError as error:
            raise from_os(error, path, "read this request") from error
        else:
            wishes.append(Posted(id=id, **msgspec.structs.asdict(wish)))
    if read is not None:
        read.clear()
        read.update((one.id, one) for one in wishes)
    return wishes, refused


def done(folder: Path, id: str) -> None:
    """Do away with a wish that the journal holds now; harmless when done twice. Raises StoreError."""
    if not id or os.path.basename(id) != id:
        raise StoreDamaged(f"{id!r:.100} names no request of this inbox.")
    try:
        (folder / f"{id}.json").unlink(missing_ok=True)
    except OSError as error:
        raise from_os(error, folder / id, "do away with this request") from error


def take_back(folder: Path, id: str) -> bool:
    """Take a wish out of the inbox that no runner is there to take; False: it is not there. Raises StoreError."""
    try:
        (folder / f"{id}.json").unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise from_os(error, folder / id, "take this request back") from error
    return True


def _move_aside(path: Path, reason: str) -> Refused:
    aside = private_folder(path.parent / REFUSED)
    write_whole(aside / f"{path.name}.why", reason.encode())
    try:
        os.replace(path, aside / path.name)
        sync_folder(path.parent)
    except OSError as error:
        raise from_os(error, path, "move this request aside") from error
    return Refused(name=path.name, reason=reason)
