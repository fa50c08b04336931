"""Real ports for tests that are not about deadlines: a busy computer may answer as late as it likes."""

from pathlib import Path
from typing import Any

from labloop.bench import Link, Port, open_link

# Of what a driver allows its instrument: half a second becomes half a minute.
LONGER = 60.0


def patient_link(address: str, folder: Path = Path()) -> Link:
    """The line of an address, on which every deadline is LONGER."""
    link = open_link(address, folder)
    exchange = link.exchange

    def patiently(codec: Any, command: Any, deadline_s: float) -> Any:
        listens = getattr(codec, "listens", None)
        # Who only listens waits out its time when nothing comes.
        return exchange(codec, command, deadline_s * (1.0 if listens is not None and listens(command) else LONGER))

    link.exchange = patiently  # type: ignore[method-assign]
    return link


def patient_port(address: str) -> Port:
    """A port with that line."""
    return Port(patient_link(address))
