"""What the bench noted of a run's journal, and whether the journal is still that one.

    journal.db    every row carries the chain of all before it: an altered, missing or moved row is found by itself
    bench.db      how far the chain had come when the run took the bench, and when it gave it back

The chain alone cannot tell that rows were cut off its end together with the head, nor that another whole journal was
put in its place: such a file agrees with itself. The bench's journal of a live run lies in the lab's folder and
remembers. Of a simulated run it lies beside the run's own, and notices only what befalls that one file. Rows that came
after the last note stand on the chain alone, and whoever can write both files can forge both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError, StateError
from labloop.journal import Reader, Rows, StoreDamaged, begun
from labloop.journal.files import sync_file

from .kept import lab_folder
from .look import BENCH, JOURNAL

WAY_OUT: Final = (
    "Put the right one back, from a copy of the folder, or move this folder away and begin a new run, which can be "
    "told the old results (`labloop tell RUN --table T.csv`)."
)
Note = tuple[str, e.JournalNoted]  # when, and what


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """The first ``rows`` rows of a run's journal are those that ``bench`` noted, last ``at``; 0: ``why`` not."""

    rows: int = 0
    later: int = 0  # rows that came after them
    at: str = ""
    bench: str = ""
    why: str = ""


def note_of(run: str, opened: e.CampaignOpened, journal: Rows) -> e.JournalNoted:
    """How far the journal of a run has come, and is durable. Raises StoreError."""
    seq, chain = journal.head()
    if journal.path is not None:
        # A process that was killed within a commit leaves rows that everybody reads and no disk has yet. (The log, and
        # not the main file: to close that one would let go of SQLite's own locks on it.)
        sync_file(journal.path.with_name(journal.path.name + "-wal"))
    return e.JournalNoted(run=run, run_id=opened.run_id, seq=seq, chain=chain)


def hold_against(folder: Path) -> Noted:
    """Hold the journal of the run in ``folder``, which must be sound, against what its bench noted.

    Raises StoreDamaged, naming the journal and what became of it; StoreError, StateError.
    """
    path = folder / JOURNAL
    with Reader(path) as journal:
        first = next(journal.records(), None)
        if first is None or not isinstance(first.event, e.CampaignOpened):
            raise StateError(f"{path}: holds no campaign. Begin again in another folder.")
        opened = first.event
        if opened.mode == "told":
            return Noted(why="a campaign that is asked and told has no bench that notes it")
        try:
            bench = (lab_folder(folder) if opened.mode == "live" else folder) / BENCH
        except SpecError as error:
            return Noted(why=f"the journal of its bench is not at hand. {error}")
        if not bench.exists():
            return Noted(why=f"the journal of its bench is not at hand: there is no {bench}")
        with Reader(bench) as book:  # before the run's: what is noted is in there by then
            notes = [(one.at, one.event) for one in book.records() if isinstance(one.event, e.JournalNoted)]
        refuse_cut(path, opened.run_id, notes, journal, bench)
        here = [note for note in notes if opened.mode != "live" or note[1].run == str(folder.resolve())]
        _refuse_stranger(path, first.at, opened, here[-1:], bench)
        mine = [note for note in notes if note[1].run_id == opened.run_id]
        if not mine:
            return Noted(bench=str(bench), why=f"{bench} has noted nothing of this run")
        at, last = mine[-1]
        return Noted(rows=last.seq, later=journal.head()[0] - last.seq, at=at, bench=str(bench))


def refuse_cut(path: Path, run_id: str, notes: Iterable[Note], journal: Rows, bench: Path) -> None:
    """Raise StoreDamaged when the journal at ``path`` is not the one, or not all of the one, that the bench noted."""
    for at, note in notes:
        if note.run_id != run_id:
            continue
        found = journal.chain_at(note.seq)
        if found and found != note.chain:
            raise StoreDamaged(
                f"{path}: its row {note.seq} is another than {bench} noted at {at[:19]}: another journal was put in "
                f"the place of that one. {WAY_OUT}",
                note.seq,
            )
        if not found:
            raise StoreDamaged(
                f"{path}: ends at row {journal.head()[0]}, and {bench} noted its row {note.seq} at {at[:19]}: its end "
                f"was cut off, or an older copy was put in its place. {WAY_OUT}",
                note.seq,
            )


def refuse_lost(bench: Path, live: bool, whose: str = "this run") -> None:
    """Raise StoreDamaged when the journal of a bench that ``whose`` was before is not there (any more), or is empty."""
    if begun(bench):
        return
    way_out = (
        "If nobody has it any more, `labloop instruments LAB --live` begins a new one; then say what is there, by "
        "`labloop request RUN refill` and `empty`, and go on"
        if live
        else "If nobody has it any more, begin a new run, which can be told the old results (`labloop tell RUN --table "
        "T.csv`)"
    )
    raise StoreDamaged(
        f"{bench}: the journal of the bench is not there, and {whose} had it before. What stands in vessels and in "
        f"stock, what was done by hand, and how far the run's journal had come is known there alone. Put it back from "
        f"a copy. {way_out}."
    )


def refuse_other(path: Path, opened: e.CampaignOpened, began: str, notes: Sequence[Note], bench: Path) -> None:
    """Raise StoreDamaged for the journal of another run than the ``bench`` beside it, a simulated one, has noted."""
    if notes and notes[-1][1].run_id != opened.run_id:
        raise _stranger(path, began, opened, notes[-1], bench)


def _refuse_stranger(path: Path, began: str, opened: e.CampaignOpened, last: Sequence[Note], bench: Path) -> None:
    """Raise StoreDamaged for the journal of another run, unless it was begun here after the one that is noted."""
    for at, note in last:
        if note.run_id != opened.run_id and datetime.fromisoformat(began) < datetime.fromisoformat(at):
            raise _stranger(path, began, opened, (at, note), bench)


def _stranger(path: Path, began: str, opened: e.CampaignOpened, last: Note, bench: Path) -> StoreDamaged:
    at, note = last
    return StoreDamaged(
        f"{path}: is the journal of the run {opened.run_id} ({opened.campaign}), begun at {began[:19]}. Here {bench} "
        f"noted, at {at[:19]}, row {note.seq} of the run {note.run_id}: it was replaced as a whole, or the folder of "
        f"another run was moved here. {WAY_OUT}"
    )
