"""Reading rows so that none is altered, missing or out of its place.

    chain(n) = sha256(chain(n-1), seq, at, format, type, trial, body)          chain(0) = 32 zero bytes

SQLite notices a torn write in its log, and a page that makes no sense; a bit that flips inside a page it does not
(measured: 126 of 300 flips gave a wrong row and ``integrity_check`` said ok). Every row that leaves this file has been
held against the chain. The chain finds damage and careless edits; whoever can write the file can also forge it whole.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeAlias, cast

from .errors import StoreDamaged, StoreError, damaged

FIRST = bytes(32)
LINKED: Final = b"%b%d\n%b\n%d\n%b\n%b\n%b"  # chain before, seq, at, format, type, trial, body
ALTERED: Final = "is not what was written there: it was altered, or moved from another place"
# Rows a query: a reader holds its snapshot for a millisecond, so the log can always be wound back; and of 256 what was
# read is still in the processor's cache when it is hashed and decoded (of 1,000 it is not: a tenth slower).
AT_ONCE = 256

Query = Callable[..., list[tuple[Any, ...]]]


class Row(NamedTuple):
    """A row as it stands in the file; text is bytes."""

    seq: int
    at: bytes
    type: bytes
    trial: int | None
    format: int
    body: bytes
    chain: bytes


Read: TypeAlias = tuple[int, bytes, bytes, int | None, int, bytes, bytes]  # the same as SQLite gives it


def link(previous: bytes, seq: int, at: bytes, type: bytes, trial: int | None, format: int, body: bytes) -> bytes:
    """Give the chain at one row. Raises TypeError when a column does not hold what it must."""
    of = b"" if trial is None else b"%d" % trial
    return sha256(LINKED % (previous, seq, at, format, type, of, body)).digest()


def head(query: Query, path: object) -> tuple[int, bytes]:
    """Read how far the chain goes. Raises StoreError."""
    match query("SELECT seq, chain FROM head"):
        case [(int(seq), bytes(chain))] if len(chain) == 32:
            return seq, chain
    raise StoreDamaged(
        f"{path}: the head, which says how far the chain goes, is altered. Put a copy of the folder back."
    )


def sound_rows(query: Query, path: object, after: int = 0) -> Iterator[list[Read]]:
    """Give the rows after ``after``, each held against the chain, in lists; nothing is held open between two of them.

    What stands before a row that is not sound is given first.

    Raises:
        StoreDamaged: naming the first row that is not as it was written.
        StoreError: the journal ends before ``after``.
    """
    last, last_chain = head(query, path)
    previous = FIRST
    if after:
        found = query("SELECT chain FROM events WHERE seq = ?", after)
        if not found and last < after:
            raise StoreError(
                f"{path}: ends at row {last}, but row {after} was read from it before: it was replaced. Open it anew."
            )
        if not found:
            raise damaged(path, after, "is missing")
        previous = found[0][0]
        if after == last and previous != last_chain:
            raise damaged(path, after, "does not agree with the head of the chain")
    seq = after
    while True:
        rows = query(
            "SELECT seq, at, type, trial, format, body, chain FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
            seq,
            AT_ONCE,
        )
        sound, wrong = _sound(rows, seq, previous)
        if seq < last <= seq + len(sound) and sound[last - seq - 1][-1] != last_chain:
            sound, wrong = sound[: last - seq - 1], "does not agree with the head of the chain"
        if sound:
            yield sound
            seq, previous = sound[-1][0], sound[-1][-1]
        if wrong:
            raise damaged(path, seq + 1, wrong)
        if len(rows) < AT_ONCE:
            break
    if seq < last:
        raise damaged(path, seq + 1, f"is missing, with all to row {last}")


def _sound(rows: list[tuple[Any, ...]], after: int, previous: bytes) -> tuple[list[Read], str]:
    """The first of ``rows`` that are as they were written, and what is wrong with the one behind them ("": nothing).

    Nothing is done twice here, no function of ours called and nothing made for a row that is sound: a journal of weeks
    has hundreds of thousands of them. So it says for itself what ``link`` says.
    """
    expected, wrong = after, ""
    try:
        for seq, at, type, trial, format, body, chain in rows:
            expected += 1
            if seq != expected:
                wrong = f"is missing (row {seq!r:.20} stands in its place)"
                break
            of = b"" if trial is None else b"%d" % trial
            if sha256(LINKED % (previous, seq, at, format, type, of, body)).digest() != chain:
                wrong = ALTERED
                break
            previous = chain
        else:
            return cast(list[Read], rows), ""
    except TypeError:  # a column does not hold what it must
        wrong = ALTERED
    return cast(list[Read], rows[: expected - after - 1]), wrong
