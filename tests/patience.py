"""Real ports and wishes for tests that are not about deadlines: a busy computer may answer as late as it likes."""

import sys
from pathlib import Path
from typing import Any

import pytest

from labloop.bench import Link, Port, open_link
from labloop.runner import wishes

# Of what a driver allows its instrument: half a second becomes half a minute.
LONGER = 60.0
# A living runner answers a wish within some hundredths of a second, or when a full processor and a slow disk let it.
ANSWERED_S = 300.0
# The command line that waits for so long.
PATIENT = (
    sys.executable, "-P", "-c",
    f"from labloop.runner import wishes; wishes.ask.__kwdefaults__['wait_s'] = {ANSWERED_S}; "
    "from labloop.cli import main; main()",
)  # fmt: skip


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


def patient_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on whoever asks something of a living runner waits for so long."""
    for ask in (wishes.ask, wishes.tell, wishes.prefer):
        monkeypatch.setitem(ask.__kwdefaults__, "wait_s", ANSWERED_S)


def patient_lab(served: Path) -> None:
    """A busy computer may leave a reading out for as long as it likes: of a lab served for tests of something else."""
    served.write_text(served.read_text().replace("stale_after: 5 s", "stale_after: 120 s"))
