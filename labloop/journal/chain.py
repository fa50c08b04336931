"""Reading rows so that none is altered, missing or out of its place.

    chain(n) = sha256(chain(n-1), seq, at, format, type, trial, body)          chain(0) = 32 zero bytes

SQLite notices a torn write in its log, and a page that makes no sense; a bit that flips inside a page it does not
(measured: 126 of 300 flips gave a wrong row and ``integrity_check`` said ok). Every row that leaves this file has been
held against the chain. The chain finds damage and careless edits; whoever can write the file can also forge it whole.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

from .errors import StoreDamaged, StoreError, damaged

FIRST = bytes(32)
AT_ONCE = 1000  # rows a query: a reader holds its snapshot for milliseconds, so the log can always be wound back

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


def link(previous: bytes, seq: int, at: bytes, type: bytes, trial: int | None, format: int, body: bytes) -> bytes:
    """Give the chain at one row. Raises TypeError when a column does not hold what it must."""
    of = b"" if trial is None else b"%d" % trial
    return sha256(b"%b%d\n%b\n%d\n%b\n%b\n%b" % (previous, seq, at, format, type, of, body)).digest()


def head(query: Query, path: object) -> tuple[int, bytes]:
    """Read how far the chain goes. Raises StoreError."""
    match query("SELECT seq, chain FROM head"):
        case [(int(seq), bytes(chain))] if len(chain) == 32:
            return seq, chain
    raise StoreDamaged(
        f"{path}: the head, which says how far the chain goes, is altered. Put a copy of the folder back."
    )


def sound_rows(query: Query, path: object, after: int = 0) -> Iterator[Row]:
    """Give the rows after ``after``, each held against the chain; nothing is held open between two of them.

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
        for values in rows:
            row = Row(*values)
            seq += 1
            if row.seq != seq:
                raise damaged(path, seq, f"is missing (row {row.seq!r:.20} stands in its place)")
            try:
                expected = link(previous, *row[:6])
            except TypeError:
                expected = b""
            if row.chain != expected:
                raise damaged(path, seq, "is not what was written there: it was altered, or moved from another place")
            if seq == last and row.chain != last_chain:
                raise damaged(path, seq, "does not agree with the head of the chain")
            previous = row.chain
            yield row
        if len(rows) < AT_ONCE:
            break
    if seq < last:
        raise damaged(path, seq + 1, f"is missing, with all to row {last}")
