"""A run that was moved is the run that it was, and one that is begun where another lay is not that other.

The bench's journal speaks of runs by their folders. What says whose a folder was is what it noted of their journals
(JournalNoted has the run's own id): a folder is a run's from the lease with which that was noted, until another's is.
So the facts of a run can be read under the folder in which it lies now, whatever that was called before, and those of
another run that lay there once under a name that is nobody's.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from labloop.campaign import events as e
from labloop.campaign.bench_state import GUARD

Owners = dict[str, list[tuple[int, str]]]  # by folder: from which fact on it was whose


def owners(records: Sequence[e.Record]) -> Owners:
    """Whose each folder was, by the place of the facts among ``records``."""
    found: Owners = {}
    taken: dict[str, int] = {}
    for at, record in enumerate(records):
        fact = record.event
        if isinstance(fact, e.LeaseTaken) and fact.mode != GUARD:
            taken[fact.run] = at
        elif isinstance(fact, e.JournalNoted):
            known = found.setdefault(fact.run, [])
            if not known or known[-1][1] != fact.run_id:
                known.append((taken.get(fact.run, at), fact.run_id))
    return found


def apart(noted: Iterable[e.JournalNoted]) -> bool:
    """Whether some run has lain in two folders, or two runs in one."""
    pairs = {(note.run, note.run_id) for note in noted}
    return not len(pairs) == len({run for run, _ in pairs}) == len({run_id for _, run_id in pairs})


def as_they_lie(records: Sequence[e.Record], here: Sequence[e.JournalNoted]) -> Iterator[e.Record]:
    """The same facts, each under the folder in which its run lies now, or under none, where another lies there since.

    ``here``: what is noted of where runs lie, the latest last.
    """
    known = owners(records)
    lies = {note.run_id: note.run for note in here}
    now = {note.run: note.run_id for note in here}
    for at, record in enumerate(records):
        folder = getattr(record.event, "run", "")
        whose = next((one for since, one in reversed(known.get(folder, ())) if since <= at), "")
        name = lies.get(whose, folder)
        if whose and now.get(name) != whose:
            name = f"{folder} (another run: {whose})"
        yield record if name == folder else _under(record, name)


def _under(record: e.Record, name: str) -> e.Record:
    return msgspec.structs.replace(record, event=msgspec.structs.replace(record.event, run=name))
