"""The safe state at a person's word where no runner answers: what the guard would do, at once and in this process.

It is for a moment in which much else may be broken, so it asks for no more than it needs:

    who ran here last            the file of the runner's lock
    is the bench still theirs    the lease
    what stands on the bench     the lab file that the run keeps, held against the journal's first fact; where one of
                                 them cannot be read any more, the lab file as it lies, and that is said

A stop is never wrong, and what is not the instrument that the lab file speaks of gets no word but the question who it
is.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from labloop.bench.rescue import Rescued
from labloop.campaign import events as e
from labloop.campaign.errors import LabloopError
from labloop.campaign.spec import LabSpec, read_lab_text
from labloop.journal import Blobs, Reader, locks, presence
from labloop.journal.errors import from_os

from . import kept
from .guard import Guard, Watched
from .lease import left_held
from .look import JOURNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of it, in words, and whether the bench is safe."""

    words: str
    safe: bool


def act_now(folder: Path, why: str) -> Done | None:
    """Make the bench safe on which the run in ``folder`` was left, and journal it there.

    None: the bench is not its runner's, so that nothing is to be done. Raises StoreError, SpecError.
    """
    runner = presence.last_runner(folder)
    if runner is None:
        return None
    opened, damage = _first_fact(folder)
    if (opened is not None and opened.mode != "live") or not left_held(folder):
        return None
    lab, unsure = _lab_of(folder, opened)
    guard = Guard(Watched(folder=folder, pid=runner.pid, started=runner.started), opened, lab)
    gone = locks.process_started(runner.pid) != runner.started
    acted = guard.act(f"{why}; the runner (process {runner.pid}) {'was gone' if gone else 'hung'}")
    if acted is None:
        return Done(words="somebody else has the bench", safe=True)
    words = [_said(acted.rescued)]
    words += [f"it could not be journaled: {acted.unwritten}"] if acted.unwritten else []
    words += [one for one in (unsure, damage and f"the run's journal cannot be read: {damage}") if one]
    return Done(words="; ".join(words), safe=not acted.rescued.errors)


def _said(rescued: Rescued) -> str:
    if rescued.errors:
        return f"the bench is NOT safe: {'; '.join(rescued.errors)}"
    states: dict[str, list[str]] = {}
    for name, found in sorted(rescued.found.items()):
        states.setdefault(found.state, []).append(name)
    each = "; ".join(f"{state}: {', '.join(names)}" for state, names in states.items())
    return f"the bench is safe ({each})"


def _first_fact(folder: Path) -> tuple[e.CampaignOpened | None, str]:
    """What the run was begun with, or why nobody can read that any more."""
    try:
        with Reader(folder / JOURNAL) as reader:
            first = next((record.event for record in reader.records()), None)
    except LabloopError as error:
        return None, str(error)
    return (first, "") if isinstance(first, e.CampaignOpened) else (None, "its first fact is no beginning")


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
