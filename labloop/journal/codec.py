"""Event <-> JSON, with a format version.

A row says in which format its body is written. A format is never changed: what changes is FORMAT (one more) and the
table UPCASTERS, which gets the step from the format before. So a journal begun by an older labloop is read by every
newer one, rows of several formats may follow each other in one file, and no row is ever rewritten.

What is written is read back before it counts: JSON has no NaN and no infinity, and msgspec would write them as null.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from labloop.campaign.events import Event, Fact, Record

from .chain import Read
from .errors import StoreDamaged, StoreError, StoreNewer

FORMAT = 1
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
# format -> the step from it to the next: takes and gives the JSON object (with its "type")
UPCASTERS: dict[int, Upcaster] = {}


class EventError(StoreError, ValueError):
    """An event that JSON cannot keep; a defect of the caller, nothing was written."""


class EventCodec:
    """Events of one union, in one format, with the way up from all older ones."""

    def __init__(
        self, events: Any = Event, format: int = FORMAT, upcasters: Mapping[int, Upcaster] | None = None
    ) -> None:
        self.format = format
        self._upcasters = UPCASTERS if upcasters is None else upcasters
        missing = [number for number in range(1, format) if number not in self._upcasters]
        if missing:
            raise ValueError(f"no way up from format {missing}")
        self._union = events
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(events)

    def encode(self, event: Fact) -> bytes:
        """Write an event of the present format. Raises EventError when it would not be read back as it is."""
        reason = "it would not be read back as it is"
        try:
            body = self._encoder.encode(event)
            if self._decoder.decode(body) == event:
                return body
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
            reason = str(error)
        raise EventError(
            f"{event!r:.300} cannot be kept: {reason}. JSON has no NaN, no infinity and no tuples: say in words what"
            " was read, or leave the value out."
        )

    def decode(self, body: bytes, format: int, place: str = "an event") -> Any:
        """Read an event of this or an older format; ``place`` begins the complaint.

        Raises:
            StoreNewer: its format or its type is one that only a newer labloop knows.
            StoreDamaged: it is no event.
        """
        if format > self.format:
            raise StoreNewer(
                f"{place}: is written in format {format}; this labloop reads formats up to {self.format}. Use the newer"
                " labloop that wrote it."
            )
        try:
            if format == self.format:
                return self._decoder.decode(body)
            plain = msgspec.json.decode(body, type=dict[str, Any])
            for number in range(format, self.format):
                plain = self._upcasters[number](plain)
            return msgspec.convert(plain, self._union)
        except msgspec.DecodeError as error:
            newer = "Invalid value" in str(error) and str(error).endswith("`$.type`")
            if newer or "unknown field" in str(error):
                raise StoreNewer(
                    f"{place}: {error}: this labloop knows no such events. Use the newer labloop that wrote it."
                ) from error
            raise StoreDamaged(f"{place}: is not an event ({error}): {body[:200]!r}.") from error

    def records(self, rows: Iterable[Read], place: str) -> Iterator[Record]:
        """Read rows; ``place`` and the row's number begin a complaint. Raises as ``decode``."""
        quick = self._decoder.decode
        for seq, at, _, _, format, body, _ in rows:
            try:
                event = quick(body) if format == self.format else self.decode(body, format, f"{place}{seq}")
            except msgspec.DecodeError:
                event = self.decode(body, format, f"{place}{seq}")  # says what is wrong with it
            yield Record(seq, at.decode(), event)


CODEC = EventCodec()
