"""What opens the way to the wire: a permit, which only the envelope writes.

``begin`` is the one call that makes an instrument do something. A Station lets nobody at a driver's ``begin`` or at its
actions; it begins what a Permit says, and a Permit is made here, after the envelope has looked. So there is one gate on
every way to the wire (a recipe's step, an act by hand, the safe state), and a way that forgets it does not exist.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from labloop.campaign.events import Value

from .errors import SafetyError

_SEAL: Final = object()


@dataclass(frozen=True, slots=True)
class Permit:
    """``action`` of ``instrument`` may begin, with these values ({argument: value} in declared units)."""

    instrument: str
    action: str
    values: Mapping[str, Value]
    seal: object = None

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise SafetyError(f"{self.instrument}.{self.action}: only the envelope says what may begin")


def sealed(instrument: str, action: str, values: Mapping[str, Value]) -> Permit:
    """A permit. The envelope's own: whoever else calls this has not looked."""
    return Permit(instrument, action, MappingProxyType(dict(values)), _SEAL)


class Fenced:
    """A driver without what acts: everything else of it is handed through."""

    def __init__(self, driver: Any, actions: Iterable[str]) -> None:
        self._driver = driver
        self._closed = frozenset((*actions, "begin", "prepare"))

    def __getattr__(self, name: str) -> Any:
        if name in self._closed:
            raise SafetyError(f"{name} must pass the envelope. Ask it for a permit, and begin that at the station")
        return getattr(self._driver, name)
