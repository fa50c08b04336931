"""The safe state at a person's word where no runner answers: what the guard would do, at once and in this process.

It is for a moment in which much else may be broken, so it asks for no more than it needs:

    who ran here last            the file of the runner's lock
    is the bench still theirs    the lease: what nobody can read counts as theirs
    is somebody at it already    the guard's lock and the lease: their end is waited for
    what stands on the bench     the lab file that the run keeps, held against the journal's first fact; where one of
                                 them cannot be read any more, the lab file as it lies, and that is said

A stop is never wrong, and what is not the instrument that the lab file speaks of gets no word but the question who it
is.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from labloop.bench.rescue import Rescued
from labloop.campaign import events as e
from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.spec import LabSpec, read_lab_text
from labloop.journal import Blobs, Reader, StoreError, locks, presence
from labloop.journal.errors import from_os

from . import kept
from .book import GUARD
from .clock import utc_stamp
from .guard import ACTING, Acted, Guard, Watched
from .lease import Leaseholder, holder
from .left import left_by
from .look import JOURNAL

# A guard that sees its runner gone acts within a tenth of a second, and some seconds on each dead line.
AT_WORK_S: Final = 30.0
AWAKE_S: Final = 3.0
LOOK_S: Final = 0.05
NOBODY: Final = locks.Holder(pid=0, started="", host="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of it, in words, and whether the bench is safe."""

    words: str
    safe: bool


def act_now(
    folder: Path, why: str, wait_s: float = AT_WORK_S,
    now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> Done | None:  # fmt: skip
    """Make the bench safe on which the run in ``folder`` was left, and journal it there.

    Whoever is at that already (the run's guard, another abort) is waited for; what they could not do is tried again.
    None: the bench is not its runner's, and nobody made it safe in its place: nothing is to be done. Raises StoreError,
    SpecError.
    """
    opened, damage = _first_fact(folder)
    if opened is not None and opened.mode != "live":
        return None
    until_s = now() + wait_s
    others = False
    while True:
        at_work = who_is_at_work(folder)
        if not at_work:
            held, unread = _left_by(folder)
            if held is None and not unread:
                return _given_back(folder, others)
            if (done := _act(folder, why, opened, [*damage, *unread], held)) is not None:
                return done
        others = True
        if now() >= until_s:
            who = at_work or "somebody else"
            hangs = "Where it hangs, end that process (kill -9), and say abort again"
            words = f"the bench is NOT known to be safe: {who} has it, and is not through. {hangs}"
            return Done(words=words, safe=False)
        sleep(LOOK_S)


def who_is_at_work(folder: Path) -> str:
    """Who makes the bench of the run in ``folder`` safe just now, or is about to ("": nobody)."""
    with suppress(StoreError):  # what cannot be looked at is nobody's who could be waited for
        if presence.look_at_guard(folder) == "alive":
            guard = locks.last_holder(folder / presence.GUARD_LOCK)
            note = guard.note if guard is not None else {}
            beat_s = note.get("beat_s")
            awake = isinstance(beat_s, (int, float)) and time.monotonic() - beat_s < AWAKE_S
            lives = guard is not None and locks.process_started(guard.pid) == guard.started  # not only who has its lock
            if (lives and note.get("state") == ACTING) or (awake and presence.look(folder) == "gone"):
                return f"the run's guard (process {guard.pid if guard is not None else 0})"
    with suppress(StoreError, SpecError):
        held = holder(kept.lab_folder(folder))
        if held is not None and held.by == GUARD and held.is_for(folder) and held.lives and not held.released:
            return f"whoever makes it safe (process {held.pid})"
    return ""


def _left_by(folder: Path) -> tuple[Leaseholder | None, list[str]]:
    """Who left the bench; and why that cannot be told, so that the bench counts as left."""
    try:
        return left_by(folder), []
    except StoreError as error:
        return None, [f"who has the bench cannot be read: {error}"]


def _given_back(folder: Path, others: bool) -> Done | None:
    """Who made the bench safe, and nobody has had it since; ``others``: somebody has just been busy with it."""
    held = None
    with suppress(SpecError):  # the run ended well, and where its bench is does not matter any more
        held = holder(kept.lab_folder(folder))
    if held is not None and held.released and held.by == GUARD and held.is_for(folder):
        return Done(words="the bench is safe: the run's guard, or an abort, has made it safe already", safe=True)
    if not others:
        return None
    if held is None or held.released:
        return Done(words="the bench was given back", safe=True)
    return Done(words=f"somebody else has the bench: {held.by} ({held.run}, process {held.pid})", safe=False)


def _act(
    folder: Path, why: str, opened: e.CampaignOpened | None, damage: list[str], held: Leaseholder | None
) -> Done | None:  # fmt: skip
    """None: somebody else has the bench. Raises StoreError, SpecError."""
    lab, unsure = _lab_of(folder, opened)
    runner = _runner(folder)
    left = held or runner or NOBODY
    guard = Guard(Watched(folder=folder, pid=left.pid, started=left.started), opened, lab, had=True)
    who = f"the runner (process {left.pid})" if left.pid else "the runner"
    hung = left.pid != 0 and locks.process_started(left.pid) == left.started
    acted = guard.act(f"{why}; {who} {'hung' if hung else 'was gone'}")
    if acted is None:
        return None
    _note(folder, acted)
    words = [_said(acted.rescued)]
    words += [f"it could not be journaled: {acted.unwritten}"] if acted.unwritten else []
    words += [unsure] if unsure else []
    return Done(words="; ".join([*words, *damage]), safe=not acted.rescued.errors)


def _note(folder: Path, acted: Acted) -> None:
    """Into the file of the guard's lock, where status looks for what a guard did; the bench's journal says more."""
    note = {"at": utc_stamp(), "unsafe": len(acted.rescued.errors), "journaled": not acted.unwritten}
    with suppress(StoreError), locks.FileLock.take(folder / presence.GUARD_LOCK, f"{folder}: its guard") as lock:
        lock.write(state=presence.ACTED, **note)


def _runner(folder: Path) -> locks.Holder | None:
    """Who ran here last; None: nobody can tell."""
    with suppress(StoreError):
        return presence.last_runner(folder)
    return None


def _said(rescued: Rescued) -> str:
    if rescued.errors:
        return f"the bench is NOT safe: {'; '.join(rescued.errors)}"
    states: dict[str, list[str]] = {}
    for name, found in sorted(rescued.found.items()):
        states.setdefault(found.state, []).append(name)
    each = "; ".join(f"{state}: {', '.join(names)}" for state, names in states.items())
    return f"the bench is safe ({each})"


def _first_fact(folder: Path) -> tuple[e.CampaignOpened | None, list[str]]:
    """What the run was begun with, or why nobody can read that any more."""
    try:
        with Reader(folder / JOURNAL) as reader:
            first = next((record.event for record in reader.records()), None)
    except Exception as error:  # noqa: BLE001 no damage, of whatever kind, may keep an abort from the bench
        return None, [f"the run's journal cannot be read: {error}"]
    begun = isinstance(first, e.CampaignOpened)
    return (first, []) if begun else (None, ["the run's journal cannot be read: its first fact is no beginning"])


def _lab_of(folder: Path, opened: e.CampaignOpened | None) -> tuple[LabSpec, str]:
    """What stands on the bench, and why it may be something else ("": it is that). Raises SpecError, StoreError."""
    where = kept.lab_folder(folder)
    unsure = ""
    if opened is not None:
        try:
            return kept.kept_lab(folder, opened, where), ""
        except LabloopError as error:
            unsure = str(error).partition("\n")[0]
        try:
            text = Blobs(folder / "blobs").get(opened.lab_sha256 or "")
            return read_lab_text(text, str(folder / kept.LAB), where), ""
        except LabloopError as error:
            unsure += f"; {error}"
    path = folder / kept.LAB
    try:
        text = path.read_bytes()
    except OSError as error:
        raise from_os(error, path, "read what stands on the bench") from error
    said = f"by {path} as it lies (sha256 {sha256(text).hexdigest()[:8]}), which nothing proves"
    return read_lab_text(text, str(path), where), f"{said}: {unsure}" if unsure else said
