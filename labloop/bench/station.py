"""One instrument of an open lab: who it is, what it may be told, and how it is stopped."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from .declared import Declaration
from .errors import InstrumentFault, LinkInterrupted, LinkTimeout, ProtocolError, SafetyError
from .instrument import Action, Identity, Instrument, Signal
from .link import Traffic, told
from .permit import Fenced, Permit
from .port import Port

# Of a stranger's answers so many are quoted: three questions tell of every shipped driver who is there.
QUOTED: Final = 3
WHERE_TO_LOOK: Final = (
    "look whether it is switched on, and compare its port in the lab file (address, baud, bytesize, parity) with its "
    "own settings; `labloop ports --probe` asks who is on each port"
)


@dataclass(slots=True, kw_only=True)
class Station:
    """One instrument of an open lab: its driver, its port, what it declares and who it said it is.

    ``driver`` is fenced: what acts goes through ``begin``, which takes a permit of the envelope's.
    """

    name: str
    driver: Any
    port: Port
    declaration: Declaration
    identity: Identity | None = None
    stranger: str = ""  # in words: something else answers in its place, which must not be told anything
    _driver: Instrument = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._driver = self.driver
        self.driver = Fenced(self._driver, self.declaration.actions)

    def limit(self, limits: Mapping[str, tuple[float | None, float | None]]) -> None:
        """Tell the driver what is allowed, for an instrument that can hold limits of its own."""
        self._driver.limits = limits

    def identify(self, *was: str) -> Identity:
        """Ask who it is, setting nothing; on the port's own thread, as every call.

        ``was``: model and serial number of who answered before. Another is asked once more before it is believed: a
        line without a checksum turns a character now and then, and nobody says a stop to something else. Something
        else that then has no time, no answer or none of sense is believed at once. Raises InstrumentFault, which says
        of something else what it was asked, and what it answered.
        """
        other: InstrumentFault | None = None
        heard = self.port.traffic
        try:
            found = self._expected(self._driver.open())
            if not was or found.is_still(*was):
                return found
        except InstrumentFault as fault:
            if fault.kind != "identity":
                raise InstrumentFault(self.placed(fault), fault.kind) from fault
            other = self._other(fault, heard)
        heard = self.port.traffic
        try:
            return self._expected(self._driver.open())
        except (LinkTimeout, LinkInterrupted, ProtocolError) as error:
            if other is None:
                raise
            raise other from error
        except InstrumentFault as fault:
            if fault.kind != "identity":
                raise InstrumentFault(self.placed(fault), fault.kind) from fault
            raise self._other(fault, heard) from fault

    def _other(self, fault: InstrumentFault, heard: tuple[Traffic, ...]) -> InstrumentFault:
        """That something else is there; ``heard``: what was said on the line before it was asked."""
        since = [one for one in self.port.traffic if not any(one is old for old in heard)]
        return InstrumentFault(
            f"{fault}. On {self.port.address} {told(since, QUOTED)}. Connect what belongs there, or correct its "
            "driver, its port or the port's line settings in the lab file",
            fault.kind,
        )

    def identify_first(self) -> Identity:
        """The same where nobody asked before: half a line that another program left in its ear spoils one question."""
        with suppress(LinkTimeout, ProtocolError):
            return self.identify()
        try:
            return self.identify()
        except (LinkTimeout, ProtocolError) as error:
            raise type(error)(f"{error}; {WHERE_TO_LOOK}") from error

    def placed(self, error: Exception) -> str:
        """What went wrong in words; with its line and what was said there last, where the error does not name it."""
        said = str(error)
        if self.port.address in said:
            return said
        return f"{said.rstrip('.')}. On {self.port.address} {told(self.port.traffic, QUOTED) or 'nothing was said'}"

    def _expected(self, found: Identity) -> Identity:
        """The same. Raises InstrumentFault for another serial number than the lab file's."""
        wanted = self.declaration.serial
        if not found.has_number(wanted):
            number = f"serial number {found.serial}" if found.serial else "no serial number"
            raise InstrumentFault(f"{found.model} with {number} answers where {wanted} was expected", "identity")
        return found

    def prepare(self, permit: Permit, act: str) -> None:
        """Get everything ready for what the envelope permits, and begin nothing. Raises as ``begin`` does."""
        self._mine(permit)
        self._driver.prepare(permit.action, permit.values, act)

    def begin(self, permit: Permit, act: str) -> None:
        """Begin what the envelope permits; ``act`` is its identity. On the port's own thread, as every call.

        Raises SafetyError for a permit of another instrument.
        """
        self._mine(permit)
        self._driver.begin(permit.action, permit.values, act)

    def _mine(self, permit: Permit) -> None:
        if permit.instrument != self.name:
            raise SafetyError(f"{self.name}: this permit is {permit.instrument}'s")

    @property
    def actions(self) -> Mapping[str, Action]:
        return self.declaration.actions

    @property
    def signals(self) -> Mapping[str, Signal]:
        return self.declaration.signals


def stop(station: Station, kept: frozenset[str], until_s: float) -> None:
    """Stop it, and once more when its answer was lost or makes no sense; not on a line that is dead.

    Answers that make no sense may be two: the rest of one that was broken off, and one that began behind it.
    """
    halt = partial(station.driver.stop_except, kept) if kept else station.driver.stop
    forgiven: list[tuple[type[Exception], ...]] = [(ProtocolError,), (LinkTimeout, ProtocolError)]
    while True:
        try:
            halt()
        except LinkInterrupted:
            raise
        except (LinkTimeout, ProtocolError) as error:
            if time.monotonic() > until_s or not forgiven or not isinstance(error, forgiven.pop()):
                raise
        else:
            return


def brakes(station: Station) -> bool:
    return callable(getattr(station.driver, "brake", None))
